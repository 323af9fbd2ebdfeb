"""Every config of a benchmark loads, builds a miniature of its model, takes a step and is tested, in both ways."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from pathlib import Path

import pytest
import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.runner import Runner

from fsar_llava.datasets.preparation import prepare_dataset
from fsar_llava.datasets.splits import load_split, split_names
from tests.conftest import load_tool
from tests.feature_bank import assert_equal_results, bank_results, stir
from tests.miniature import miniature, small_frames
from tests.test_configs import CONFIGS

NAME = re.compile(
    r'(?P<method>.+)_5way-(?P<shots>[15])shot_(?P<dataset>hmdb51|ucf101|kinetics100|ssv2-small|ssv2-full)'
)
LEAVES = {path.stem: path for path in sorted(CONFIGS.glob('*/*.py')) if NAME.fullmatch(path.stem)}
METHODS = sorted({NAME.fullmatch(name)['method'] for name in LEAVES})


@lru_cache
def load(name: str) -> Config:
    return Config.fromfile(LEAVES[name])


def fields(name: str) -> dict[str, str]:
    return NAME.fullmatch(name).groupdict()


def pipelines(cfg: Config) -> dict[str, list]:
    return {part: cfg[f'{part}_dataloader'].dataset.dataset.pipeline for part in ('train', 'val', 'test')}


def test_every_method_is_there_for_every_benchmark():
    assert len(METHODS) == 11
    wanted = {f'{m}_5way-{k}shot_{d.replace("_", "-")}' for m in METHODS for k in (1, 5) for d in split_names()}
    assert set(LEAVES) == wanted


def test_the_model_of_tsn_is_that_of_protonet():
    baseline = Config.fromfile(CONFIGS / 'tsn/tsn_resnet50_5way-1shot_toy-motion.py')
    assert baseline.model == load('protonet_resnet50_5way-1shot_hmdb51').model


@pytest.mark.parametrize('name', LEAVES)
def test_protocol(name):
    cfg, (method, shots, dataset) = load(name), fields(name).values()
    folder = f'data/{dataset.replace("-", "_")}'
    for part in ('train', 'val', 'test'):
        loader = cfg[f'{part}_dataloader']
        sampler, videos = loader.sampler, loader.dataset.dataset
        assert (sampler.num_ways, sampler.num_shots) == (5, int(shots))
        assert (videos.data_root, videos.ann_file, videos.delimiter) == (folder, f'{part}.txt', '\t')
        assert loader.dataset.classes == f'{folder}/classes.txt'
        assert (sampler.num_queries, sampler.get('seed'), sampler.get('shuffle', True)) == (
            (5, None, True) if part == 'train' else (1, 0, False)
        )
        assert any(step.type == 'Flip' for step in pipelines(cfg)[part]) == (
            part == 'train' and not dataset.startswith('ssv2') and 'llava' not in method
        )
        if 'tokens' not in method:
            [sample] = [step for step in pipelines(cfg)[part] if step.type == 'SampleFrames']
            assert (sample.num_clips, sample.get('test_mode', False)) == (8, part != 'train')
    step = cfg.train_dataloader.batch_size * cfg.optim_wrapper.get('accumulative_counts', 1)
    assert step == (8 if 'llava' in method else 16)
    assert cfg.auto_scale_lr.base_batch_size == cfg.train_dataloader.batch_size
    assert cfg.test_dataloader.dataset.num_episodes == 10000
    assert cfg.default_hooks.checkpoint.save_best == 'few_shot/acc'


@pytest.mark.parametrize('name', LEAVES)
def test_data_sets_differ_in_nothing_but_data(name):
    def rest(name: str) -> str:
        cfg = load(name).to_dict()
        for key in ('classes', 'data_root', 'store', 'pipeline'):
            cfg.pop(key, None)
        for key in ('train_dataloader', 'val_dataloader', 'test_dataloader', 'train_pipeline', 'test_pipeline'):
            cfg.pop(key, None)
        return re.sub(r'data/\w+/', 'data/', json.dumps(cfg, sort_keys=True))

    method, shots, _ = fields(name).values()
    assert rest(name) == rest(f'{method}_5way-{shots}shot_hmdb51')


@pytest.mark.parametrize('name', LEAVES)
def test_first_lines_say_how_to_run_it(name):
    head = LEAVES[name].read_text(encoding='utf-8').split('_base_')[0]
    path = LEAVES[name].relative_to(CONFIGS.parent).as_posix()
    assert f'python tools/train.py {path}' in head
    assert f'python tools/test.py {path} work_dirs/{name}/best_' in head


def test_data_root_is_set_in_one_place(monkeypatch):
    monkeypatch.setenv('FSAR_DATA_ROOT', '/elsewhere')
    cfg = Config.fromfile(LEAVES['clip-fsar_clip-vit-b16_5way-1shot_ssv2-small'])
    text = json.dumps(cfg.to_dict())
    assert 'data/ssv2_small' not in text
    assert text.count('/elsewhere/ssv2_small') >= 7


@pytest.fixture(scope='module')
def benchmarks(toy_videos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with HMDB51 and SSv2-Full in the names of their classes, prepared by our own tool."""
    root, source = tmp_path_factory.mktemp('benchmarks'), sorted((toy_videos / 'videos').iterdir())
    for name in ('hmdb51', 'ssv2_full'):
        split, videos = load_split(name), root / f'{name}_videos'
        chosen = [class_name for part in ('train', 'val', 'test') for class_name in list(split.classes[part])[:5]]
        official = dict(train=[], validation=[])
        for number, (class_name, folder) in enumerate(zip(chosen, source)):
            for video in folder.iterdir():
                link = videos / (f'{number}{video.name}' if name == 'ssv2_full' else f'{class_name}/{video.name}')
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(video)
                role = 'train' if split.split_of[class_name] == 'train' else 'validation'
                official[role].append(dict(id=link.stem, template=class_name))
        files = [root / f'{role}.json' for role in official]
        for file in files:
            file.write_text(json.dumps(official[file.stem]))
        prepare_dataset(name, videos, root / name, official=files if name == 'ssv2_full' else (), open_videos=False)
    # The others are prepared from list files that name thousands of videos; their configs differ in the folder alone.
    for name, like in dict(ucf101='hmdb51', kinetics100='hmdb51', ssv2_small='ssv2_full').items():
        (root / name).symlink_to(root / like)
    return root


def extract_tokens(name: str, folder: Path) -> None:
    """What the head of a config from stored tokens tells to do first."""
    cfg = Config.fromfile(LEAVES[name.replace('-tokens', '')])
    small_frames(cfg, 32)
    miniature(cfg)
    cfg.dump(str(folder / f'{name}.py'))
    command = [str(folder / f'{name}.py'), '--out', f'{cfg.data_root}/tokens', '--num-workers', '0']
    assert load_tool('tools/extract_tokens.py').main(command) == 0


@pytest.mark.parametrize('name', LEAVES)
def test_one_step_of_a_miniature(name, benchmarks, tmp_path, monkeypatch):
    monkeypatch.setenv('FSAR_DATA_ROOT', str(benchmarks))
    if 'tokens' in name:
        extract_tokens(name, tmp_path)
    cfg = Config.fromfile(LEAVES[name])
    small_frames(cfg, 64 if 'clip' in name else 32)
    torch.manual_seed(0)
    model = MODELS.build(miniature(cfg))
    model.init_weights()
    for part in ('train', 'test'):
        loader = cfg[f'{part}_dataloader']
        loader.update(batch_size=1, num_workers=0, persistent_workers=False)
        loader.sampler.update(num_ways=3, num_queries=1)
        loader.dataset.num_episodes = 1
        loader.dataset.dataset.serialize_data = False  # collects garbage for half a second
        episodes = Runner.build_dataloader(loader, seed=0)
        batch = next(iter(episodes))
        batch = model.data_preprocessor(batch, training=part == 'train')
        if part == 'train':
            losses = model.train()(**batch, mode='loss')
            loss, _ = model.parse_losses(losses)
            optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
            loss.backward()
            optimizer.step()
            gradients = [p.grad for p in model.parameters() if p.requires_grad and p.grad is not None]
            assert gradients
            assert torch.isfinite(loss)
        else:
            stir(model)
            with torch.no_grad():
                [result] = model.eval()(**batch, mode='predict')
            assert_equal_results([result.to_dict()], bank_results(model, episodes))
            assert result.pred_scores.shape == (3, 3)
            prepared = (benchmarks / cfg.data_root.rpartition('/')[2]).resolve().name
            names = list(load_split(prepared).classes['test'].values())
            assert set(result.class_names) <= set(names[:5])
