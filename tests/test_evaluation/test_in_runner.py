"""Episodes and their metric inside mmengine's loops, with a model that needs no videos."""

from __future__ import annotations

import json

import pytest
import torch
from mmaction.registry import DATASETS, MODELS, TRANSFORMS
from mmaction.structures import ActionDataSample
from mmcv.transforms import BaseTransform
from mmengine.dataset import BaseDataset
from mmengine.model import BaseModel
from mmengine.runner import Runner

from fsar_llava import EpisodeBatch


@DATASETS.register_module()
class NamedVideos(BaseDataset):
    """Eight classes of six videos that consist of a name."""

    def load_data_list(self):
        return [dict(filename=f'c{c}/{v}.mp4', label=c) for c in range(8) for v in range(6)]


@TRANSFORMS.register_module()
class PackNothing(BaseTransform):
    def transform(self, results):
        return dict(inputs=torch.zeros(1), data_samples=ActionDataSample())


@MODELS.register_module()
class Guess(BaseModel):
    """Puts query j of an episode into way (episode + j) modulo N, and remembers which episodes it met in training."""

    met: list[tuple[int, str]] = []

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, inputs, data_samples, mode):
        batch = EpisodeBatch.from_samples(data_samples)
        if mode == 'loss':
            self.met.extend(zip(batch.episode_ids, batch.digests))
            return dict(loss=self.weight.sum())
        results = []
        for i, episode in enumerate(batch.episode_ids):
            sample = ActionDataSample(
                metainfo=dict(
                    episode_id=episode,
                    episode_digest=batch.digests[i],
                    class_names=batch.class_names[i],
                    class_ids=batch.class_ids[i],
                )
            )
            guess = (episode + torch.arange(batch.query_way.shape[1])) % batch.num_ways
            sample.set_field(guess, 'pred_label')
            sample.set_field(batch.query_way[i], 'gt_label')
            results.append(sample)
        return results


def loader(num_episodes, batch_size, **sampler):
    return dict(
        batch_size=batch_size,
        num_workers=0,
        sampler=dict(type='EpisodicSampler', num_ways=4, **sampler),
        dataset=dict(
            type='EpisodicDataset',
            dataset=dict(type='NamedVideos', pipeline=[dict(type='PackNothing')]),
            num_episodes=num_episodes,
        ),
        collate_fn=dict(type='repeat_pseudo_collate'),
    )


@pytest.fixture
def run(tmp_path):
    def build(name, **kwargs):
        settings = dict(
            model=dict(type='Guess'),
            work_dir=str(tmp_path / name),
            train_dataloader=loader(6, 2),
            train_cfg=dict(by_epoch=True, max_epochs=3),
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
            val_dataloader=loader(10, 3, seed=0, shuffle=False),
            val_cfg=dict(),
            val_evaluator=dict(type='FewShotMetric'),
            test_dataloader=loader(10, 3, seed=0, shuffle=False),
            test_cfg=dict(),
            test_evaluator=dict(type='FewShotMetric', out_file=str(tmp_path / 'test.json')),
            default_hooks=dict(checkpoint=dict(type='CheckpointHook', interval=1, save_best='auto')),
            default_scope='mmaction',
            randomness=dict(seed=4),
            experiment_name=f'{tmp_path.name}_{name}',
            log_level='WARNING',
        )
        return Runner.from_cfg({**settings, **kwargs})

    return build


def test_values_reach_the_logs(run, tmp_path):
    runner = run('logs')
    metrics = runner.test()
    (log,) = (tmp_path / 'logs').glob('*/*.json')
    logged = json.loads(log.read_text())
    full = json.loads((tmp_path / 'test.json').read_text())
    assert set(metrics) == {'few_shot/acc', 'few_shot/ci95', 'few_shot/episodes'}
    for key, value in metrics.items():
        assert logged[key] == pytest.approx(value)
        assert full[key.removeprefix('few_shot/')] == value
    assert metrics['few_shot/episodes'] == 10
    assert full['list_hash'] == runner.test_dataloader.dataset.list_hash


def test_best_checkpoint_by_accuracy(run, tmp_path):
    runner = run('best')
    runner.train()
    (best,) = (tmp_path / 'best').glob('best_*')
    assert best.name == 'best_few_shot_acc_epoch_1.pth'
    scalars = [json.loads(line) for line in next((tmp_path / 'best').glob('*/vis_data/scalars.json')).open()]
    validated = [line for line in scalars if 'few_shot/acc' in line]
    assert len(validated) == 3
    # The same episodes every time, so the same guesses are right.
    assert len({(line['few_shot/acc'], line['few_shot/ci95']) for line in validated}) == 1
    meta = torch.load(tmp_path / 'best' / 'epoch_3.pth')['meta']
    assert meta['dataset_meta']['list_hash'] == runner.train_dataloader.dataset.list_hash


def test_a_resumed_training_meets_the_same_episodes(run, tmp_path):
    Guess.met.clear()
    run('whole').train()
    whole = list(Guess.met)
    assert [number for number, _ in whole] == list(range(6)) * 3
    assert len({digest for _, digest in whole}) == 18

    Guess.met.clear()
    run('resumed', load_from=str(tmp_path / 'whole' / 'epoch_1.pth'), resume=True).train()
    assert whole[6:] == Guess.met
