"""Tests on thousands of episodes, with every video encoded once."""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping, Sequence

import torch
from mmengine.dataset import pseudo_collate
from mmengine.dist import get_rank, get_world_size
from mmengine.evaluator import Evaluator
from mmengine.model import is_model_wrapper
from mmengine.runner import BaseLoop, Runner, autocast
from torch import nn
from torch.utils.data import DataLoader

from fsar_llava.datasets import EpisodicDataset, EpisodicSampler
from fsar_llava.features import FeatureBank
from fsar_llava.features.deterministic_pipeline import check_deterministic
from fsar_llava.models.heads import PrototypeHead
from fsar_llava.models.layers import free_memory
from fsar_llava.structures import VideoFeatures

from .episode_plan import EpisodePlan
from .episode_scorer import EpisodeScorer
from .evaluation_setting import EvaluationSetting
from .result_files import add_to_results, copy_for, write_overview
from .settings_table import settings_table
from .video_encoder import SingleVideos, encode_videos
from .video_variants import VideoVariants


class FeatureBankLoop(BaseLoop):
    """Encodes every video that the episodes need once, then scores all episodes from the features.

    Takes the configs of mmengine's loops: a dataloader of episodes and an evaluator, which gets the results that it
    would get episode by episode, in the same order. An iteration, for hooks and logs, is a batch of videos. Several
    processes share the videos and the episodes.

    Args:
        runner: The runner.
        dataloader: Its dataset must be an :class:`EpisodicDataset` with a deterministic pipeline and its sampler an
            :class:`EpisodicSampler`; ``num_workers`` is used, ``batch_size`` is not.
        evaluator: As in mmengine.
        fp16: Automatic mixed precision.
        video_batch_size: Videos that are encoded at a time.
        episode_batch_size: Episodes that are scored at a time; None for as many as a bounded amount of memory holds.
        bank_device: Where the features are kept: ``'cpu'``, or None for the model's device if they fit.
        settings: Several tests from one pass over the videos, each
            ``dict(num_ways=, num_shots=, num_queries=, seed=, groups=, matching=, prototype=, temperature=, name=)``;
            what is left out is as in the dataloader and the model. The metrics of the first also come without its name,
            so that ``save_best`` finds them. None: one test, as the dataloader and the model are.

    Raises:
        TypeError: If dataset, sampler or head are of another kind.
    """

    stage: str

    def __init__(
        self,
        runner: Runner,
        dataloader: DataLoader | dict,
        evaluator: Evaluator | dict | list,
        fp16: bool = False,
        *,
        video_batch_size: int = 8,
        episode_batch_size: int | None = None,
        bank_device: str | None = None,
        settings: Sequence[Mapping] | None = None,
    ) -> None:
        super().__init__(runner, dataloader)
        self.episodes = self.dataloader
        self.evaluator = evaluator if isinstance(evaluator, Evaluator) else runner.build_evaluator(evaluator)
        self.evaluator.dataset_meta = getattr(self.episodes.dataset, 'metainfo', None)
        self.fp16 = fp16
        self.video_batch_size, self.episode_batch_size = video_batch_size, episode_batch_size
        self.bank_device = bank_device
        self._check_episodes()
        self.settings = [EvaluationSetting.from_config(setting, self.episodes.sampler) for setting in settings or ()]
        _check_names(self.settings)
        self._pipeline_checked = False
        self._wall_time: dict[str, float] = {}

    def run(self) -> dict:
        """Encode, score, evaluate.

        Returns:
            The evaluator's metrics; with ``settings``, those of each behind its name.
        """
        self.runner.call_hook(f'before_{self.stage}')
        model = self.runner.model.module if is_model_wrapper(self.runner.model) else self.runner.model
        self._check_model(model)
        plans, variants = self._plan(model)
        batches = variants.batches(self.video_batch_size)[get_rank() :: get_world_size()]
        self.dataloader = self._video_loader(batches)
        self.runner.call_hook(f'before_{self.stage}_epoch')
        self.runner.model.eval()
        began = time.perf_counter()
        bank = self._encode(model, batches, variants)
        encoded = time.perf_counter()
        self._wall_time = dict(encoding=encoded - began)
        metrics = self._evaluate(model.cls_head, bank, plans)
        self.runner.logger.info(
            f'Encoded {len(variants.rows_of_video)} videos ({len(variants)} with their roles and prompts) in '
            f'{encoded - began:.1f} s; scored {sum(map(len, plans))} episodes in {time.perf_counter() - encoded:.1f} s.'
        )
        self.runner.call_hook(f'after_{self.stage}_epoch', metrics=metrics)
        self.dataloader = self.episodes
        self.runner.call_hook(f'after_{self.stage}')
        return metrics

    def _plan(self, model: nn.Module) -> tuple[list[EpisodePlan], VideoVariants]:
        """The episodes of each setting, and what they need of the videos."""
        dataset, sampler = self.episodes.dataset, self.episodes.sampler
        if not self._pipeline_checked:
            first = min(min(videos) for videos in dataset.class_to_indices.values())
            check_deterministic(
                dataset.dataset.pipeline.transforms, lambda: copy.deepcopy(dataset.dataset.get_data_info(first))
            )
            self._pipeline_checked = True
        variants = VideoVariants(model)
        samplers = [setting.sampler(sampler) for setting in self.settings] or [sampler]
        return [EpisodePlan.make(dataset, own, variants) for own in samplers], variants

    def _video_loader(self, batches: list[Sequence[int]]) -> DataLoader:
        """This process's share of the videos."""
        workers = self.episodes.num_workers
        return DataLoader(
            SingleVideos(self.episodes.dataset),
            batch_sampler=batches,
            num_workers=workers,
            collate_fn=pseudo_collate,
            pin_memory=self.episodes.pin_memory,
            multiprocessing_context=self.episodes.multiprocessing_context if workers else None,
            worker_init_fn=self.episodes.worker_init_fn if workers else None,
        )

    @torch.no_grad()
    def _encode(self, model: nn.Module, batches: list[Sequence[int]], variants: VideoVariants) -> VideoFeatures:
        """Features of all variants, of all processes."""
        bank = None
        for number, batch in enumerate(self.dataloader):
            self.runner.call_hook(f'before_{self.stage}_iter', batch_idx=number, data_batch=batch)
            rows = [variants.rows_of_video[video] for video in batches[number]]
            with autocast(enabled=self.fp16):
                features = encode_videos(model, batch, [[variants.stamps[row] for row in part] for part in rows])
            if bank is None:
                bank = FeatureBank(len(variants), self._bank_device(features, len(variants)))
            bank.add([row for part in rows for row in part], features.float())
            self.runner.call_hook(f'after_{self.stage}_iter', batch_idx=number, data_batch=batch, outputs=())
        return (bank or FeatureBank(len(variants), self.bank_device or model.data_preprocessor.device)).gather()

    def _bank_device(self, features: VideoFeatures, num_rows: int) -> torch.device:
        """The configured device, else that of the features if it has room for all of them twice."""
        device = features.visual.device
        if self.bank_device is not None or device.type == 'cpu':
            return torch.device(self.bank_device or 'cpu')
        row = sum(tensor[0].nbytes for tensor in (features.visual, features.textual) if tensor is not None)
        if 2 * row * num_rows < free_memory(device):
            return device
        self.runner.logger.warning(
            f'{num_rows} rows of features take {row * num_rows / 1e9:.1f} GB, too much for {device}: they stay in main '
            "memory, and episodes are scored there. Set bank_device='cpu' to silence this."
        )
        return torch.device('cpu')

    def _evaluate(self, head: PrototypeHead, bank: VideoFeatures, plans: list[EpisodePlan]) -> dict:
        """Metrics of all settings."""
        if not self.settings:
            return self._evaluate_plan(self.evaluator, head, bank, plans[0])
        metrics, table, began = {}, {}, time.perf_counter()
        for setting, plan in zip(self.settings, plans):
            evaluator = copy_for(self.evaluator, setting.name)
            found = self._evaluate_plan(evaluator, setting.head_like(head, bank.visual.device), bank, plan)
            metrics = metrics or dict(found)
            metrics.update({f'{setting.name}/{name}': value for name, value in found.items()})
            table[setting.name] = found
        self.runner.logger.info(f'\n{settings_table(table)}')
        write_overview(self.evaluator, table, dict(self._wall_time, scoring=time.perf_counter() - began))
        return metrics

    @torch.no_grad()
    def _evaluate_plan(self, evaluator: Evaluator, head: PrototypeHead, bank: VideoFeatures, plan: EpisodePlan) -> dict:
        """Metrics of one setting; the evaluator gets a rank's results as mmengine's samplers would deal them out."""
        began = time.perf_counter()
        with autocast(enabled=self.fp16):
            logits = EpisodeScorer(head, bank, self.episode_batch_size).logits(plan)
        rank, world_size = get_rank(), get_world_size()
        share = -(-len(plan) // world_size)
        mine = [(step * world_size + rank) % len(plan) for step in range(share)]
        for begin in range(0, share, 1024):
            numbers = mine[begin : begin + 1024]
            evaluator.process(data_samples=head.results(logits[numbers], plan.select(numbers)))
        metrics = evaluator.evaluate(len(plan))
        add_to_results(evaluator, dict(wall_time=dict(self._wall_time, scoring=time.perf_counter() - began)))
        return metrics

    def _check_episodes(self) -> None:
        for name, wanted in (('dataset', EpisodicDataset), ('sampler', EpisodicSampler)):
            found = getattr(self.episodes, name)
            if not isinstance(found, wanted):
                raise TypeError(
                    f"{type(self).__name__} needs {name}=dict(type='{wanted.__name__}', ...) in the dataloader, but "
                    f'got {type(found).__name__}.'
                )

    def _check_model(self, model: nn.Module) -> None:
        if not isinstance(getattr(model, 'cls_head', None), PrototypeHead):
            raise TypeError(
                f'{type(self).__name__} needs a recognizer with a PrototypeHead, but {type(model).__name__} has '
                f"{type(getattr(model, 'cls_head', None)).__name__}. Use mmengine's ValLoop and TestLoop for it."
            )


def _check_names(settings: Sequence[EvaluationSetting]) -> None:
    names = [setting.name for setting in settings]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f'Several settings of the feature bank are called {twice}; give each a name of its own.')
