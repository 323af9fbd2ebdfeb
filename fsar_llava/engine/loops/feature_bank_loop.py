"""Tests on thousands of episodes, with every video encoded once."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping, Sequence

import torch
from mmengine.dist import all_gather_object, get_rank, get_world_size
from mmengine.evaluator import Evaluator
from mmengine.model import is_model_wrapper
from mmengine.runner import BaseLoop, Runner, autocast
from torch import nn
from torch.utils.data import DataLoader

from fsar_llava.checks import check_integers
from fsar_llava.datasets import EpisodicDataset, EpisodicSampler
from fsar_llava.datasets.episodic_dataset import REMEDY
from fsar_llava.features import FeatureBank
from fsar_llava.features.deterministic_pipeline import check_deterministic
from fsar_llava.models.heads import PrototypeHead
from fsar_llava.models.layers import free_memory
from fsar_llava.structures import VideoFeatures

from .episode_plan import EpisodePlan
from .episode_scorer import EpisodeScorer
from .evaluation_setting import EvaluationSetting
from .loaded_videos import first_readable, video_loader
from .result_files import add_to_results, copy_for, write_overview
from .settings_table import settings_table
from .video_encoder import encode_videos
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
        ValueError: If a batch size is below 1, or a setting cannot be used.
        RuntimeError: If a video cannot be loaded and the dataset's ``on_error`` is ``'raise'``, or no video of its
            class can take its place.
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
        check_integers(self, video_batch_size=video_batch_size)
        check_integers(self, optional=True, episode_batch_size=episode_batch_size)
        self.video_batch_size, self.episode_batch_size = video_batch_size, episode_batch_size
        self.bank_device = bank_device
        self._check_episodes()
        self.settings = [EvaluationSetting.from_config(setting, self.episodes.sampler) for setting in settings or ()]
        _check_names(self.settings)
        self._check_model()
        # These refuse a setting now, and not behind the first epoch of a training.
        self._samplers()
        self._heads(self._model())
        self._pipeline_checked = False
        self._wall_time: dict[str, float] = {}

    def run(self) -> dict:
        """Encode, score, evaluate.

        Returns:
            The evaluator's metrics; with ``settings``, those of each behind its name.
        """
        self.evaluator.dataset_meta = dict(self.evaluator.dataset_meta or {}, notes=[])
        self.runner.call_hook(f'before_{self.stage}')
        model = self._model()
        variants, unreadable = VideoVariants(model), {}
        plans = self._plan(variants, unreadable)
        bank = FeatureBank()
        began = time.perf_counter()
        errors = self._encode(model, variants, bank, self.runner.call_hook)
        batches = self.dataloader
        while errors:  # other videos take the place of these, and may be among them themselves
            unreadable.update(errors)
            plans = self._plan(variants, unreadable)
            errors = self._encode(model, variants, bank, _no_hook)
        self.dataloader = batches  # for hooks, the epoch is the first pass
        bank.device = bank.device or torch.device(self.bank_device or model.data_preprocessor.device)
        features = bank.gather(len(variants))
        encoded = time.perf_counter()
        self._wall_time = dict(encoding=encoded - began)
        # Not before: a hook such as EMAHook exchanges the weights at the beginning of the epoch.
        heads = [_at(head, features.visual.device) for head in self._heads(model)]
        metrics = self._evaluate(heads, features, plans)
        self.runner.logger.info(
            f'Encoded {variants.num_videos - len(unreadable)} videos ({len(variants)} with their roles and prompts) in '
            f'{encoded - began:.1f} s; scored {sum(map(len, plans))} episodes in {time.perf_counter() - encoded:.1f} s.'
        )
        self.runner.call_hook(f'after_{self.stage}_epoch', metrics=metrics)
        self.dataloader = self.episodes
        self.runner.call_hook(f'after_{self.stage}')
        return metrics

    def _model(self) -> nn.Module:
        model = self.runner.model
        return model.module if is_model_wrapper(model) else model

    def _heads(self, model: nn.Module) -> list[PrototypeHead]:
        """The head of each setting, with the weights that the model has now."""
        return [setting.head_like(model.cls_head) for setting in self.settings] or [model.cls_head]

    def _plan(self, variants: VideoVariants, unreadable: Mapping[int, str]) -> list[EpisodePlan]:
        """The episodes of each setting; what they need of the videos is added to the variants."""
        dataset = self.episodes.dataset
        if not self._pipeline_checked:
            first = first_readable(dataset)
            check_deterministic(dataset.dataset.pipeline.transforms, lambda: dataset.get_data_info(first))
            self._pipeline_checked = True
        return [EpisodePlan.make(dataset, own, variants, unreadable) for own in self._samplers()]

    def _samplers(self) -> list[EpisodicSampler]:
        """The sampler of each setting, in the epoch of the dataloader's."""
        sampler = self.episodes.sampler
        return [setting.sampler(sampler) for setting in self.settings] or [sampler]

    def _rehearse(self, model: nn.Module, features: VideoFeatures) -> None:
        """Score one episode of each setting from random features like these.

        What a head cannot score is refused before all videos are encoded, not behind that.
        """
        generator = torch.Generator().manual_seed(0)
        for head, sampler in zip(self._heads(model), self._samplers()):
            shapes = (1, sampler.num_ways, sampler.num_shots), (1, sampler.num_ways)
            sides = [
                features.map(lambda x, shape=shape: torch.rand(*shape, *x.shape[1:], generator=generator).to(x))
                for shape in shapes
            ]
            _at(head, features.visual.device).episode_scores(*sides)  # a part of a setting was built on the CPU

    @torch.no_grad()
    def _encode(
        self, model: nn.Module, variants: VideoVariants, bank: FeatureBank, call_hook: Callable[..., None]
    ) -> dict[int, str]:
        """Add this process's share of the new variants to the bank.

        Returns:
            The videos that could not be loaded, of all processes, with what is wrong with each.
        """
        rows = variants.take_new()
        videos = list(rows)
        # The batches do not depend on the number of processes.
        batches = [videos[k : k + self.video_batch_size] for k in range(0, len(videos), self.video_batch_size)]
        self.dataloader = video_loader(self.episodes, batches[get_rank() :: get_world_size()])
        call_hook(f'before_{self.stage}_epoch')
        self.runner.model.eval()
        errors: dict[int, str] = {}
        for number, (loaded, batch, failed) in enumerate(self.dataloader):
            call_hook(f'before_{self.stage}_iter', batch_idx=number, data_batch=batch)
            if failed and self.episodes.dataset.on_error == 'raise':
                raise RuntimeError(f'{next(iter(failed.values()))}. {REMEDY}')
            errors.update(failed)
            if loaded:
                own = [rows[video] for video in loaded]
                with autocast(enabled=self.fp16):
                    features = encode_videos(model, batch, [[variants.stamps[row] for row in part] for part in own])
                    features = features.float()
                    if bank.device is None:  # these are the first
                        self._rehearse(model, features)
                        bank.device = self._bank_device(features, len(variants))
                bank.add([row for part in own for row in part], features)
            call_hook(f'after_{self.stage}_iter', batch_idx=number, data_batch=batch, outputs=())
        errors = {video: error for part in all_gather_object(errors) for video, error in part.items()}
        for error in errors.values():  # not before: only the first process shows warnings
            self.runner.logger.warning(f'{error}. Other videos of its class take its place.')
        return errors

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

    def _evaluate(self, heads: list[PrototypeHead], bank: VideoFeatures, plans: list[EpisodePlan]) -> dict:
        """Metrics of all settings."""
        if not self.settings:
            return self._evaluate_plan(self.evaluator, heads[0], bank, plans[0])
        metrics, table, began = {}, {}, time.perf_counter()
        for setting, head, plan in zip(self.settings, heads, plans):
            evaluator = copy_for(self.evaluator, setting.name)
            found = self._evaluate_plan(evaluator, head, bank, plan)
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

    def _check_model(self) -> None:
        model = self._model()
        if not isinstance(getattr(model, 'cls_head', None), PrototypeHead):
            raise TypeError(
                f'{type(self).__name__} needs a recognizer with a PrototypeHead, but {type(model).__name__} has '
                f"{type(getattr(model, 'cls_head', None)).__name__}. Use mmengine's ValLoop and TestLoop for it."
            )


def _no_hook(name: str, **kwargs: object) -> None:
    """Further passes over a few videos are no epochs of their own."""


def _at(head: PrototypeHead, device: torch.device) -> PrototypeHead:
    """The head on the device of the bank; a copy if it lies elsewhere."""
    tensors = [*head.parameters(), *head.buffers()]
    return head if all(tensor.device == device for tensor in tensors) else copy.deepcopy(head).to(device)


def _check_names(settings: Sequence[EvaluationSetting]) -> None:
    names = [setting.name for setting in settings]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f'Several settings of the feature bank are called {twice}; give each a name of its own.')
