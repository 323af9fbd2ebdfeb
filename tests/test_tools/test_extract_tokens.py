"""Extraction of tokens, and what is done with them, on real video files."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

import fsar_llava.engine.loops  # noqa: F401
from fsar_llava.datasets import EpisodicDataset
from fsar_llava.datasets.transforms import LoadVideoTokens
from fsar_llava.features import Fingerprint, TokenStore, TokenStoreMismatchError, TokenWriter
from fsar_llava.features.extraction_job import ExtractionJob, make_jobs
from fsar_llava.features.store_care import verify
from fsar_llava.features.token_extractor import TokenExtractor
from fsar_llava.features.token_shard import ForeignShardError
from fsar_llava.models.prompts import PROMPT_SETS, PromptSet
from tests.conftest import REPOSITORY, load_tool
from tests.test_configs import LEAVES, shrink
from tests.test_features.plain_configs import plain_configs  # noqa: F401
from tests.test_features.test_token_store import IDENTITY, put_a_foreign_shard, tokens

NAME = 'fsar-llava_tiny_unknown_5way-1shot_toy-motion'
CONFIG = str(LEAVES[NAME])
tool = load_tool('tools/extract_tokens.py')
main = tool.main
VIDEOS = 120
NO_TEST = dict(test_dataloader=None, test_cfg=None, test_evaluator=None)


def extract(out: Path, *options: str) -> int:
    return main([CONFIG, '--out', str(out), '--num-workers', '0', *options])


@pytest.fixture(scope='module')
def module_root(toy_videos: Path) -> Path:
    return toy_videos.parent


@pytest.fixture(scope='module')
def extracted(module_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp('tokens') / 'store'
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('FSAR_DATA_ROOT', str(module_root))
        assert extract(out) == 0
    return out


def use_store(cfg: Config, store: Path) -> Config:
    """What a config changes to train and test from tokens."""
    pipeline = [
        dict(type='LoadVideoTokens', store=str(store)),
        dict(type='PackActionInputs', collect_keys=('visual', 'textual', 'prompts')),
    ]
    cfg.model.backbone = dict(type='StoredTokens', store=str(store))
    cfg.model.data_preprocessor = dict(type='TokenDataPreprocessor')
    for split in ('train', 'val', 'test'):
        cfg[f'{split}_dataloader'].dataset.dataset.pipeline = pipeline
    return cfg


def run(cfg: Config, work_dir: Path, *, train: bool = False) -> tuple[Runner, dict]:
    cfg.work_dir = str(work_dir)
    cfg.experiment_name = work_dir.name
    cfg.log_level = 'ERROR'
    cfg.randomness = dict(seed=5)
    cfg.test_dataloader.dataset.num_episodes = 4
    cfg.test_evaluator = dict(type='FewShotMetric', out_file=str(work_dir / 'result.json'))
    runner = Runner.from_cfg(cfg)
    if train:
        runner.train()
    return runner, runner.test()


def test_all_videos_of_all_splits_are_there(extracted: Path) -> None:
    store = TokenStore(extracted)
    assert len(store) == VIDEOS
    assert not store.superseded
    visual, textual = store.read(next(iter(store.videos)))
    assert visual.shape == (8, 16, 128)
    assert list(textual) == ["What's the action of the video?"]


def test_tokens_are_those_of_the_backbone(extracted: Path, data_root: Path, tmp_path: Path) -> None:
    runner, _ = run(shrink(Config.fromfile(CONFIG), NAME), tmp_path)
    dataset, store = runner.test_dataloader.dataset, TokenStore(extracted)
    for index in (0, 7):
        inputs = runner.model.data_preprocessor(
            {name: [value] for name, value in dataset.load_video(index).items()}, False
        )['inputs']
        live = runner.model.backbone(inputs, ["What's the action of the video?"])
        stored = store.read(dataset.video_names[index])
        torch.testing.assert_close(stored.visual, live.visual[0], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(*stored.textual.values(), live.textual[0], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize('loop', ['TestLoop', 'FeatureBankTestLoop'])
def test_testing_from_tokens_and_from_videos_agree(extracted: Path, data_root: Path, tmp_path: Path, loop: str) -> None:
    live = shrink(Config.fromfile(CONFIG), NAME)
    stored = use_store(shrink(Config.fromfile(CONFIG), NAME), extracted)
    stored.test_cfg = dict(type=loop)
    live_runner, live_metrics = run(live, tmp_path / 'live')
    stored_runner, stored_metrics = run(stored, tmp_path / 'stored')
    assert live_metrics == stored_metrics
    assert live_runner.model.identity() == stored_runner.model.identity()


def test_a_checkpoint_trained_from_tokens_tests_on_videos(extracted: Path, data_root: Path, tmp_path: Path) -> None:
    stored = use_store(shrink(Config.fromfile(CONFIG), NAME), extracted)
    stored.val_cfg = dict(type='FeatureBankValLoop')
    _, from_tokens = run(stored, tmp_path / 'stored', train=True)
    live = shrink(Config.fromfile(CONFIG), NAME)
    live.load_from = str(next((tmp_path / 'stored').glob('epoch_*.pth')))
    _, from_videos = run(live, tmp_path / 'live')
    assert from_tokens == from_videos


@pytest.mark.slow
def test_pictures_need_videos(extracted: Path, data_root: Path, tmp_path: Path) -> None:
    stored = use_store(shrink(Config.fromfile(CONFIG), NAME), extracted)
    stored.test_cfg = dict(type='TestLoop')
    stored.default_hooks.visualization.update(enable=True, out_dir=str(tmp_path / 'show'))
    with pytest.raises(TypeError, match=r"gives \['prompts', 'textual', 'visual'\].*without --show"):
        run(stored, tmp_path)


def test_neither_decoder_nor_mllm_is_imported(extracted: Path, data_root: Path, tmp_path: Path) -> None:
    cfg = use_store(shrink(Config.fromfile(CONFIG), NAME), extracted)
    cfg.work_dir = str(tmp_path)
    cfg.custom_imports.imports.append('fsar_llava.engine.loops')
    cfg.val_cfg = dict(type='FeatureBankValLoop')
    cfg.dump(tmp_path / 'config.py')
    program = (
        'import sys, runpy\n'
        'for name in ("decord", "transformers", "av"): sys.modules[name] = None\n'
        f'sys.argv = ["train.py", {str(tmp_path / "config.py")!r}, "--seed", "0"]\n'
        f'runpy.run_path({str(REPOSITORY / "tools/train.py")!r}, run_name="__main__")\n'
    )
    environment = dict(os.environ, OMP_NUM_THREADS='1')
    done = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert list(tmp_path.glob('epoch_*.pth'))


def test_a_prompt_that_was_not_extracted_is_refused(extracted: Path, data_root: Path, tmp_path: Path) -> None:
    cfg = use_store(shrink(Config.fromfile(CONFIG), NAME), extracted)
    cfg.model.prompts = 'known'
    with pytest.raises(KeyError, match='was not extracted with the prompt'):
        run(cfg, tmp_path)


def test_other_expectations_are_refused(extracted: Path, data_root: Path, tmp_path: Path) -> None:
    cfg = use_store(shrink(Config.fromfile(CONFIG), NAME), extracted)
    cfg.test_dataloader.dataset.dataset.pipeline[0].expect = dict(backbone=dict(layer=3))
    with pytest.raises(TokenStoreMismatchError, match=r'backbone\.layer: store 2, config 3'):
        run(cfg, tmp_path)


def test_a_second_run_has_nothing_to_do(extracted: Path, data_root: Path, capsys: pytest.CaptureFixture) -> None:
    files = set(extracted.iterdir())
    assert extract(extracted) == 0
    assert f'{VIDEOS} videos, {VIDEOS} of them' in capsys.readouterr().out
    assert set(extracted.iterdir()) == files


def test_a_damaged_shard_is_put_aside_and_one_of_another_store_is_not(
    extracted: Path, data_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    store = tmp_path / 'store'
    shutil.copytree(extracted, store)
    (shard,) = TokenStore(store).shards()
    os.truncate(shard, 100)
    assert extract(store, '--dry-run') == 0
    assert f'would be renamed to {shard.name}.damaged' in capsys.readouterr().err
    assert list(store.glob('tokens-*')) == [shard]  # which only a real run touches
    assert extract(store) == 0
    assert [path.name for path in store.glob('tokens-*.damaged')] == [f'{shard.name}.damaged']
    assert len(TokenStore(store)) == VIDEOS
    foreign = put_a_foreign_shard(store)
    with pytest.raises(ForeignShardError, match=f'{foreign.name}.*Move it out'):
        extract(store, '--dry-run')
    assert foreign.exists()


def test_a_shard_that_cannot_be_opened_now_is_not_put_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with TokenWriter(tmp_path, IDENTITY) as writer:
        writer.add('0.mp4', Fingerprint(3, 4, 'abc'), *tokens(0))
    files = set(tmp_path.iterdir())
    monkeypatch.setattr('safetensors.safe_open', Mock(side_effect=MemoryError))
    with pytest.raises(OSError, match='is whole, but cannot be opened now'):
        tool.find_missing(tmp_path, IDENTITY, [])
    assert set(tmp_path.iterdir()) == files


def test_another_layer_is_refused(extracted: Path, data_root: Path) -> None:
    with pytest.raises(TokenStoreMismatchError, match=r'backbone\.layer: store 2, config 1'):
        extract(extracted, '--cfg-options', 'model.backbone.layer=1')


def test_what_enters_the_decoder_is_a_layer_like_any_other(data_root: Path, tmp_path: Path) -> None:
    store = tmp_path / 'store'
    assert extract(store, '--split', 'test', '--cfg-options', 'model.backbone.layer=0') == 0
    live = shrink(Config.fromfile(CONFIG), NAME)
    live.model.backbone.layer = 0
    stored = use_store(shrink(Config.fromfile(CONFIG), NAME), store)
    stored.test_dataloader.dataset.dataset.pipeline[0].expect = dict(backbone=dict(layer=0))
    (live_runner, live_metrics), (stored_runner, stored_metrics) = run(live, tmp_path / 'live'), run(stored, tmp_path)
    assert live_metrics == stored_metrics
    assert live_runner.model.identity() == stored_runner.model.identity()


def test_dry_run_tells_the_bytes(data_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert extract(tmp_path / 'store', '--split', 'test', '--dry-run') == 0
    said = float(capsys.readouterr().out.split(' to do, ')[1].split(' MB')[0])
    assert not (tmp_path / 'store').exists()
    assert extract(tmp_path / 'store', '--split', 'test') == 0
    size = sum(path.stat().st_size for path in (tmp_path / 'store').iterdir()) / 1e6
    assert said == pytest.approx(size, rel=0.02)


def test_several_prompts_of_one_forward(data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fsar_llava.models.backbones.frozen_video_llava import FrozenVideoLlava

    seen = []
    run_videos = FrozenVideoLlava._run_videos
    monkeypatch.setattr(
        FrozenVideoLlava,
        '_run_videos',
        lambda self, model, pixels: seen.append(len(pixels)) or run_videos(self, model, pixels),
    )
    cfg = Config.fromfile(CONFIG)
    cfg.model.prompts = dict(support=PROMPT_SETS['known'].support, query='What?')
    cfg.dump(tmp_path / 'config.py')
    arguments = ['--out', str(tmp_path / 'store'), '--split', 'test', '--num-workers', '0']
    assert main([str(tmp_path / 'config.py'), *arguments]) == 0
    store = TokenStore(tmp_path / 'store')
    assert sum(seen) == len(store) == 30
    for name in store.videos:
        known = f"Please describe if the '{name.split('/')[0]}' action is present in the video in one sentence."
        assert set(store.read(name).textual) == {'What?', known}


def test_prompts_of_an_episode_cannot_be_stored(data_root: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match='FeatureBankTestLoop'):
        extract(tmp_path, '--cfg-options', 'model.prompts=known')


@pytest.mark.parametrize('field', ['{options}', '{options!r}', '{options:s}'])
def test_however_a_prompt_lists_the_classes(field: str) -> None:
    with pytest.raises(ValueError, match=r'The query prompt .* lists the classes of an episode'):
        tool.fixed_templates([PromptSet(support=None, query=f'Which of {field}?')])


def test_braces_that_are_no_field_list_no_classes() -> None:
    template = 'What is {{options}}?'
    assert tool.fixed_templates([PromptSet(support=None, query=template)]) == [template]


def test_classes_in_a_config_mean_their_names(data_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    cfg = Config.fromfile(CONFIG)
    cfg.dump(tmp_path / 'config.py')
    text = (tmp_path / 'config.py').read_text().replace("type='DecordInit'", 'type=DecordInit')
    imported = 'from mmaction.datasets.transforms import DecordInit\n'  # makes it a config of mmengine's pure Python
    (tmp_path / 'config.py').write_text(imported + text)
    options = ['--out', str(tmp_path / 'store'), '--num-workers', '0', '--split', 'test']
    assert main([str(tmp_path / 'config.py'), *options]) == 0
    for config in (CONFIG, str(tmp_path / 'config.py')):
        capsys.readouterr()
        assert main([config, *options]) == 0
        assert '30 of them in' in capsys.readouterr().out
    assert TokenStore(tmp_path / 'store').manifest.identity['pipeline'] == cfg.test_dataloader.dataset.dataset.pipeline


def test_a_config_that_reads_tokens_cannot_make_them(data_root: Path, tmp_path: Path) -> None:
    use_store(Config.fromfile(CONFIG), tmp_path / 'none').dump(tmp_path / 'config.py')
    with pytest.raises(TypeError, match=r'StoredTokens cannot be extracted: .*Use a config with VideoMLLMBackbone'):
        main([str(tmp_path / 'config.py'), '--out', str(tmp_path / 'store')])


@pytest.mark.parametrize('remove', [lambda cfg: cfg.pop('test_dataloader'), lambda cfg: cfg.update(NO_TEST)])
def test_the_pipeline_of_the_test_is_needed(data_root: Path, tmp_path: Path, remove: Callable[[Config], None]) -> None:
    cfg = Config.fromfile(CONFIG)
    remove(cfg)
    cfg.dump(tmp_path / 'config.py')
    with pytest.raises(ValueError, match=r'has no test_dataloader, .*pipeline of the test\. Set test_dataloader'):
        main([str(tmp_path / 'config.py'), '--out', str(tmp_path / 'store'), '--split', 'train'])


def test_random_pipelines_are_refused(data_root: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r'The pipeline is random: SampleFrames'):
        extract(tmp_path, '--cfg-options', 'test_dataloader.dataset.dataset.pipeline.2.test_mode=False')


def test_a_replaced_and_a_broken_video(
    module_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    shutil.copytree(module_root / 'toy_motion', tmp_path / 'data/toy_motion')
    monkeypatch.setenv('FSAR_DATA_ROOT', str(tmp_path / 'data'))
    names = [line.split('\t')[0] for line in (tmp_path / 'data/toy_motion/test.txt').read_text().splitlines()]
    videos = tmp_path / 'data/toy_motion/videos'
    broken = (videos / names[3]).read_bytes()
    (videos / names[3]).write_bytes(b'no video')
    store = tmp_path / 'store'
    assert extract(store, '--split', 'test') == 1
    assert names[3] in capsys.readouterr().err
    assert len(TokenStore(store)) == 29

    (videos / names[3]).write_bytes(broken)
    shutil.copyfile(videos / names[5], videos / names[0])
    assert extract(store, '--split', 'test') == 0
    assert f'1 stored videos, such as {names[0]}, have changed since their extraction' in capsys.readouterr().out
    found = TokenStore(store)
    assert len(found) == 30
    assert torch.equal(found.read(names[0]).visual, found.read(names[5]).visual)
    assert [entry.video for entry in found.superseded] == [names[0]]

    (videos / names[2]).unlink()
    assert extract(store, '--split', 'test') == 1
    printed = capsys.readouterr()
    assert '30 videos, 29 of them' in printed.out
    assert names[2] in printed.err

    (videos / names[1]).write_bytes(b'replaced')
    cfg = use_store(shrink(Config.fromfile(CONFIG), NAME), store)
    with pytest.raises(RuntimeError, match=r'was replaced after its tokens were extracted'):
        run(cfg, tmp_path / 'run')


def test_a_video_that_lacks_a_prompt_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    video = tmp_path / '0.mp4'
    video.write_bytes(b'video')
    with TokenWriter(tmp_path / 'store', IDENTITY) as writer:
        writer.add('0.mp4', Fingerprint.of(video), *tokens(0))
    for prompt, missing in (('What is it?', {}), ('Else?', {'0.mp4': ('Else?', 'What is it?')})):
        job = ExtractionJob('0.mp4', str(video), (prompt,), dataset=None, index=0)
        assert tool.find_missing(tmp_path / 'store', IDENTITY, [job]) == missing
        assert ('0.mp4, have changed since their extraction or lack a prompt' in capsys.readouterr().out) == bool(
            missing
        )


def test_configs_of_other_classes_add_prompts(
    module_root: Path, data_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    cfg = Config.fromfile(CONFIG)
    cfg.model.prompts = dict(support="Is it '{class_name}'?", query='What?')
    old = (module_root / 'toy_motion/classes.txt').read_text()
    for name in ('old', 'new'):
        (tmp_path / f'{name}.txt').write_text(old.upper() if name == 'new' else old)
        cfg.test_dataloader.dataset.classes = str(tmp_path / f'{name}.txt')
        cfg.dump(tmp_path / f'{name}.py')
    store, printed = tmp_path / 'store', []
    for name in ('old', 'new', 'old', 'new'):
        config = str(tmp_path / f'{name}.py')
        assert main([config, '--out', str(store), '--num-workers', '0', '--split', 'test']) == 0
        printed.append(capsys.readouterr().out)
    assert '30 to do' in printed[0]
    assert '30 stored videos' in printed[1]
    assert '30 to do' in printed[1]
    assert all(' 0 to do' in text for text in printed[2:])
    for video in TokenStore(store).videos:
        label = video.split('/')[0]
        known = {f"Is it '{label}'?", f"Is it '{label.upper()}'?"}
        assert set(TokenStore(store).read(video).textual) == {'What?', *known}


def test_a_replaced_video_keeps_no_prompt_of_another_content(tmp_path: Path) -> None:
    video = tmp_path / '0.mp4'
    video.write_bytes(b'video')
    with TokenWriter(tmp_path / 'store', IDENTITY) as writer:
        writer.add('0.mp4', Fingerprint.of(video), *tokens(0))
    video.write_bytes(b'another video')
    job = ExtractionJob('0.mp4', str(video), ('Else?',), dataset=None, index=0)
    assert job.lacking(TokenStore(tmp_path / 'store')) == ('Else?',)
    video.unlink()
    assert job.lacking(TokenStore(tmp_path / 'store')) == ('Else?',)


def test_a_batch_size_is_found_where_one_video_fits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ('synchronize', 'reset_peak_memory_stats', 'max_memory_allocated'):
        monkeypatch.setattr(torch.cuda, name, lambda device: 0)

    def encode(self: TokenExtractor, jobs: list, videos: list) -> None:
        if len(videos) > room:
            raise torch.OutOfMemoryError

    monkeypatch.setattr(TokenExtractor, '_encode_at_once', encode)
    (tmp_path / '0.mp4').write_bytes(b'video')
    dataset = SimpleNamespace(load_video=lambda index: dict(inputs=None))
    job = ExtractionJob('0.mp4', str(tmp_path / '0.mp4'), ('What?',), dataset, index=0)
    extractor = TokenExtractor(None, SimpleNamespace(device=torch.device('cuda')), None)
    room = 1
    assert extractor.find_batch_size([job]) == 1
    room = 0
    with pytest.raises(torch.OutOfMemoryError):
        extractor.find_batch_size([job])


def test_a_batch_size_is_found_without_readable_videos(tmp_path: Path) -> None:
    jobs = [ExtractionJob(f'{n}.mp4', str(tmp_path / f'{n}.mp4'), ('What?',), dataset=None, index=n) for n in range(99)]
    on_a_gpu = SimpleNamespace(device=torch.device('cuda'))
    assert TokenExtractor(None, on_a_gpu, None).find_batch_size(jobs) == 1


FRAMES = 'test_dataloader.dataset.dataset.{}'.format


def extract_frames(folder: Path, frames: Sequence[int], *options: str) -> int:
    """Extract one folder of frames a class into ``folder/store``, from a list with these numbers of frames."""
    (folder / 'list.txt').write_text(''.join(f'{label} {count} {label}\n' for label, count in enumerate(frames)))
    cfg = Config.fromfile(CONFIG)
    rest = cfg.test_dataloader.dataset.dataset.pipeline[-3:]
    sample = dict(type='SampleFrames', clip_len=1, num_clips=8, test_mode=True)
    cfg.test_dataloader.dataset.dataset = dict(
        type='RawframeDataset',
        ann_file=str(folder / 'list.txt'),
        data_prefix=dict(img=str(folder)),
        pipeline=[sample, dict(type='RawFrameDecode'), *rest],
    )
    cfg.dump(folder / 'config.py')
    command = [str(folder / 'config.py'), '--out', str(folder / 'store'), '--num-workers', '0', '--split', 'test']
    return main([*command, *options])


def test_frames_that_are_counted_or_named_in_another_way(
    data_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    for label in range(2):
        (tmp_path / str(label)).mkdir()
        for number in range(1, 21):
            image = np.full((64, 64, 3), 10 * number, np.uint8)
            for name in (f'img_{number:05d}.jpg', f'flow_{number:05d}.jpg'):
                cv2.imwrite(str(tmp_path / str(label) / name), image)
    assert extract_frames(tmp_path, [18, 20]) == 0
    before = TokenStore(tmp_path / 'store').read('0').visual

    capsys.readouterr()
    assert extract_frames(tmp_path, [20, 20]) == 0
    assert '1 stored videos, such as 0, have changed' in capsys.readouterr().out
    store = TokenStore(tmp_path / 'store')
    assert torch.equal(store.read('0').visual, store.read('1').visual)
    assert not torch.equal(store.read('0').visual, before)

    load = LoadVideoTokens(str(tmp_path / 'store'))
    load(dict(frame_dir=str(tmp_path / '0'), total_frames=20))
    load = LoadVideoTokens(str(tmp_path / 'store'))
    with pytest.raises(ValueError, match=r'0 18 frames, but .* were made from 20 frames.*extraction again'):
        load(dict(frame_dir=str(tmp_path / '0'), total_frames=18))

    for name, old, new in (('start_index', 1, 0), ('filename_tmpl', 'img_{:05}.jpg', 'flow_{:05}.jpg')):
        with pytest.raises(TokenStoreMismatchError) as caught:
            extract_frames(tmp_path, [20, 20], '--cfg-options', f'{FRAMES(name)}={new}')
        assert f'dataset.{name}: store {old!r}, config {new!r}' in str(caught.value)


def test_splits_that_count_frames_in_two_ways(data_root: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"of val and test .*'start_index': 0.*'start_index': 1.*stores of their own"):
        extract(tmp_path, '--split', 'val', 'test', '--cfg-options', f'{FRAMES("start_index")}=1')


def test_lists_that_disagree_about_a_video(tmp_path: Path) -> None:
    datasets = []
    for frames in (10, 20):
        (tmp_path / 'list.txt').write_text(f'a {frames} 0\n')
        config = dict(type='RawframeDataset', ann_file=str(tmp_path / 'list.txt'), pipeline=[])
        datasets.append(EpisodicDataset(config))
    assert len(make_jobs([datasets[0], datasets[0]], lambda name: ['What?'])) == 1
    with pytest.raises(ValueError, match='One list gives a 10 frames and another one 20'):
        make_jobs(datasets, lambda name: ['What?'])


def in_background(task: Callable[[], object]) -> multiprocessing.Process:
    process = multiprocessing.get_context('fork').Process(target=task)
    process.start()
    return process


def test_killed_at_any_moment(data_root: Path, tmp_path: Path) -> None:
    options = ('--batch-size', '4', '--shard-size', '1')  # a shard of 1 MB holds 12 videos
    kept = 0
    for shards in (0, 2, 5):
        process = in_background(lambda: extract(tmp_path, *options))
        while process.is_alive() and len(list(tmp_path.glob('tokens-*'))) < shards + (shards == 0):
            time.sleep(0.002)
        time.sleep(0.013 * (shards + 1))
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        found = len(TokenStore(tmp_path))
        assert found >= kept
        kept = found
    assert 0 < kept < VIDEOS
    assert extract(tmp_path, *options) == 0
    store = TokenStore(tmp_path)
    assert len(store) == VIDEOS
    assert not store.superseded
    assert not verify(tmp_path)


def test_two_extractions_at_once(data_root: Path, extracted: Path, tmp_path: Path) -> None:
    options = ('--split', 'test', '--shard-size', '1')
    processes = [in_background(lambda: sys.exit(extract(tmp_path, *options))) for _ in range(2)]
    for process in processes:
        process.join()
        assert process.exitcode == 0
    store, reference = TokenStore(tmp_path), TokenStore(extracted)
    assert len(store) == 30
    assert not verify(tmp_path)
    for name in store.videos:
        torch.testing.assert_close(store.read(name).visual, reference.read(name).visual, atol=1e-5, rtol=1e-4)


@pytest.mark.slow
def test_several_ranks(data_root: Path, extracted: Path, tmp_path: Path) -> None:
    command = [sys.executable, '-m', 'torch.distributed.run', '--nproc_per_node=2', '--standalone']
    command += [str(REPOSITORY / 'tools/extract_tokens.py'), CONFIG, '--out', str(tmp_path), '--num-workers', '0']
    done = subprocess.run([*command, '--launcher', 'pytorch'], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    store, reference = TokenStore(tmp_path), TokenStore(extracted)
    assert store.videos.keys() == reference.videos.keys()
    assert len(store.shards()) == 2
    assert not store.superseded


@pytest.mark.skipif(sys.platform != 'linux', reason='elsewhere no open file stands behind a tensor of a worker')
def test_workers_may_hand_over_more_tensors_than_files_could_be_open_before(data_root: Path, tmp_path: Path) -> None:
    command = ['bash', '-c', 'ulimit -Sn 100 && exec "$@"', '-', sys.executable]
    command += [str(REPOSITORY / 'tools/extract_tokens.py'), CONFIG, '--out', str(tmp_path), '--split', 'train']
    command += ['--batch-size', '60', '--num-workers', '1']
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
