"""Accuracy over episodes, with everything needed to compare and to repeat a result."""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from mmaction.registry import METRICS
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log

from .report import class_table, versions, write_json


@dataclass(frozen=True)
class EpisodeResult:
    """What the metric keeps of an episode: plain numbers and names, cheap to gather from all ranks.

    Attributes:
        id: Number of the episode.
        digest: Fingerprint of its videos.
        class_ids: Label of each way.
        class_names: Name of each way.
        pred: Way predicted for each of the Q queries.
        truth: Way of each of the Q queries.
        finite: Whether its scores are numbers; the predictions of others mean nothing.
        unreadable: Names of videos that could not be loaded, and in whose place others are.
        num_shots: Support videos of each way; None if the result does not say.
    """

    id: int
    digest: str
    class_ids: tuple[int, ...]
    class_names: tuple[str, ...]
    pred: tuple[int, ...]
    truth: tuple[int, ...]
    finite: bool = True
    unreadable: tuple[str, ...] = ()
    num_shots: int | None = None


@METRICS.register_module()
class FewShotMetric(BaseMetric):
    """Mean accuracy over episodes and its 95 % interval, in percent.

    An episode's accuracy is the share of its queries that are classified correctly. Episodes are summed in the order of
    their ids, so a result does not depend, to the last bit, on how many processes measured it. ``ci95`` is the half
    width ``1.96 * std / sqrt(episodes)`` with the population standard deviation (``ddof=0``) over the episodes, as the
    public code of the field computes it [C].

    :meth:`evaluate` returns ``few_shot/acc``, ``few_shot/ci95`` and ``few_shot/episodes``. The accuracy of every class
    and the fingerprints of episodes and list go into the log, and with the confusion matrix into ``out_file``. So does
    the task, ``num_ways``, ``num_shots`` and ``num_queries`` (of each class), as the episodes had it; a number is null
    where they, or the classes of one, differ in it.

    Args:
        collect_device: ``'cpu'`` or ``'gpu'``; where the results of all ranks are brought together.
        prefix: Stands before the names of the returned values instead of ``few_shot``.
        collect_dir: Shared folder for ``collect_device='cpu'``.
        out_file: JSON file for the full result. Not written by default.
    """

    default_prefix = 'few_shot'

    def __init__(
        self,
        collect_device: str = 'cpu',
        prefix: str | None = None,
        collect_dir: str | None = None,
        out_file: str | Path | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix, collect_dir=collect_dir)
        self.out_file = out_file
        self._size: int | None = None

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep the predictions of some episodes.

        Args:
            data_batch: Not used.
            data_samples: One result an episode, as :class:`PrototypeHead` gives it.

        Raises:
            ValueError: If a result is not that of an episode or a query has no label.
        """
        self.results.extend(_read_result(sample) for sample in data_samples)

    def evaluate(self, size: int) -> dict[str, float]:
        """Gather the results of all ranks and score them.

        Args:
            size: Number of episodes; surplus results, which fill up the last round of ranks, are dropped.
        """
        self._size = size
        return super().evaluate(size)

    def compute_metrics(self, results: list[EpisodeResult]) -> dict[str, float]:
        """Score all episodes; runs on the main process.

        Raises:
            ValueError: If the results are not one of each episode.
        """
        results = sorted(results, key=lambda result: result.id)
        _check_episodes([result.id for result in results], len(results) if self._size is None else self._size)
        accuracies = [100 * sum(p == t for p, t in zip(r.pred, r.truth)) / len(r.truth) for r in results]
        mean = sum(accuracies) / len(results)
        std = math.sqrt(sum((accuracy - mean) ** 2 for accuracy in accuracies) / len(results))
        scores = dict(acc=mean, ci95=1.96 * std / math.sqrt(len(results)), episodes=len(results))

        names, counts = _confusion(results)
        meta = self.dataset_meta or {}
        found = _notes(results)
        for note in found:
            print_log(f'The result is marked: {note}.', logger='current', level=logging.WARNING)
        report = dict(
            scores,
            **_task(results),
            config=meta.get('config'),
            checkpoint=meta.get('checkpoint'),
            distinct_episodes=len({result.digest for result in results}),
            episode_hash=sha256('\n'.join(result.digest for result in results).encode()).hexdigest(),
            list_hash=meta.get('list_hash'),
            notes=[*meta.get('notes', []), *found],
            per_class=[
                dict(name=name, label=label, queries=int(row.sum()), acc=100 * int(row[i]) / max(int(row.sum()), 1))
                for i, ((label, name), row) in enumerate(zip(names.items(), counts))
            ],
            confusion=counts.tolist(),
            episode_acc=accuracies,
            versions=versions(),
            date=datetime.now().astimezone().isoformat(timespec='seconds'),
        )
        print_log(_summary(report), logger='current')
        if self.out_file is not None:
            write_json(self.out_file, report)
            print_log(f'The full result is in {self.out_file}.', logger='current')
        # mmengine writes integers into its log of a test as null.
        return {name: float(value) for name, value in scores.items()}


def _read_result(sample: dict) -> EpisodeResult:
    needed = ('episode_id', 'episode_digest', 'class_ids', 'class_names', 'pred_label', 'gt_label')
    missing = [key for key in needed if key not in sample]
    if missing:
        raise ValueError(
            f'FewShotMetric takes one result an episode, but got a sample without {missing}. Few-shot metrics go with '
            "an EpisodicDataset and cls_head=dict(type='PrototypeHead', ...)."
        )
    episode, pred, truth = sample['episode_id'], sample['pred_label'].tolist(), sample['gt_label'].tolist()
    if len(pred) != len(truth) or not truth:
        raise ValueError(f'Episode {episode} has {len(truth)} queries, but {len(pred)} predictions.')
    if min(truth) < 0:
        raise ValueError(f'Episode {episode} has a query without a label (way {min(truth)}), so it cannot be scored.')
    classes = tuple(sample['class_ids']), tuple(sample['class_names'])
    finite = 'pred_scores' not in sample or math.isfinite(float(sample['pred_scores'].sum()))
    return EpisodeResult(
        episode,
        sample['episode_digest'],
        *classes,
        tuple(pred),
        tuple(truth),
        finite,
        tuple(sample.get('unreadable', ())),
        sample.get('num_shots'),
    )


def _task(results: Sequence[EpisodeResult]) -> dict[str, int | None]:
    """Ways, shots and queries of each class; None for a number that is not the same everywhere."""
    found = dict(
        num_ways={len(result.class_ids) for result in results},
        num_shots={result.num_shots for result in results},
        num_queries={result.truth.count(way) for result in results for way in range(len(result.class_ids))},
    )
    return {name: values.pop() if len(values) == 1 else None for name, values in found.items()}


def _notes(results: Sequence[EpisodeResult]) -> list[str]:
    """What a reader of the result must know about its episodes."""
    notes = []
    if unreadable := {name for result in results for name in result.unreadable}:
        notes.append(f'{len(unreadable)} videos could not be loaded and were replaced')
    if broken := sum(not result.finite for result in results):
        notes.append(f'the scores of {broken} episodes are not finite numbers')
    return notes


def _check_episodes(ids: Sequence[int], size: int) -> None:
    """Raise unless the sorted ``ids`` are 0 to ``size - 1``."""
    if list(ids) == list(range(size)) and ids:
        return
    repeated = sorted(number for number, count in Counter(ids).items() if count > 1)
    missing = sorted(set(range(size)) - set(ids))
    beyond = sorted(number for number in set(ids) if number >= size)
    faults = [
        f'{len(numbers)} {what} ({", ".join(map(str, numbers[:10]))}{", ..." if len(numbers) > 10 else ""})'
        for what, numbers in dict(repeated=repeated, missing=missing, unexpected=beyond).items()
        if numbers
    ]
    raise ValueError(
        f'An accuracy over {size} episodes needs the episodes 0 to {size - 1} once each, but of {len(ids)} results '
        f'{" and ".join(faults) or "there are none"}. Use an EpisodicSampler and a dataloader without drop_last.'
    )


def _confusion(results: Sequence[EpisodeResult]) -> tuple[dict[int, str], np.ndarray]:
    """Names of all C classes by label, and ``[C, C]`` counts of queries by true (row) and predicted (column) class."""
    names = dict(sorted({pair for result in results for pair in zip(result.class_ids, result.class_names)}))
    position = {label: i for i, label in enumerate(names)}
    counts = np.zeros((len(names), len(names)), dtype=np.int64)
    for result in results:
        ways = np.array([position[label] for label in result.class_ids])
        np.add.at(counts, (ways[list(result.truth)], ways[list(result.pred)]), 1)
    return names, counts


def _summary(report: dict) -> str:
    return (
        f'{report["acc"]:.2f} +- {report["ci95"]:.2f} % over {report["episodes"]} episodes '
        f'({report["distinct_episodes"]} distinct)\n'
        f'hash of the episodes: {report["episode_hash"]}\n'
        f'hash of the list of videos: {report["list_hash"] or "unknown"}\n'
        f'{class_table(report["per_class"], report["confusion"])}'
    )
