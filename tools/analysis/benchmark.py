#!/usr/bin/env python
"""Measure the speed of scoring, testing, training and extraction, each as a ratio of two times of the same run.

Usage:
    python tools/analysis/benchmark.py [--parts scoring test train known extraction] [--data data/toy_motion]
        [--json FILE]

What the ratios should be is printed beside them. docs/performance.md holds the latest results.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope

from fsar_llava import VideoFeatures
from fsar_llava.engine.launch import keep_freed_memory
from fsar_llava.engine.loops.episode_plan import EpisodePlan
from fsar_llava.engine.loops.episode_scorer import EpisodeScorer
from fsar_llava.structures import EpisodeBatch, gather

sys.path.insert(0, str(Path(__file__).parent))  # also where another script loads this one
from benchmark_common import CONFIG, Row, attempt, peak_memory, seconds, tiny_runner
from benchmark_extraction import SEVEN_B, measure_extraction
from benchmark_known import measure_known
from benchmark_training import measure_training

WAYS, SHOTS, QUERIES, FRAMES, WIDTH, VIDEOS = 5, 1, 5, 8, 512, 2000
ROUNDS = 9
"""How often the floor and what is compared with it are run, in turns: the speed of a machine changes while it works."""


def random_plan(episodes: int) -> EpisodePlan:
    """Episodes of random rows of the bank."""
    generator = torch.Generator().manual_seed(0)
    rows = torch.rand(episodes, 64, generator=generator).mul(VIDEOS).long()
    empty = ('',) * episodes
    return EpisodePlan(
        EpisodeBatch(
            support_index=rows[:, : WAYS * SHOTS].view(-1, WAYS, SHOTS),
            query_index=rows[:, WAYS * SHOTS : WAYS * SHOTS + QUERIES],
            query_way=torch.zeros(episodes, QUERIES, dtype=torch.long),
            episode_ids=tuple(range(episodes)),
            class_names=(empty,) * episodes,
            class_ids=((0,) * WAYS,) * episodes,
            digests=empty,
            query_names=((),) * episodes,
            unreadable=((),) * episodes,
        )
    )


def head(**matching: object) -> torch.nn.Module:
    return MODELS.build(dict(type='PrototypeHead', matching=matching)).eval()


def plain_otam(plan: EpisodePlan, bank: torch.Tensor, episodes: int, smoothing: float = 0.1) -> torch.Tensor:
    """OTAM as it is often written: episode by episode, cell by cell, with exp and log."""

    def one_direction(distance: torch.Tensor) -> torch.Tensor:
        rows, columns = distance.shape
        padded = torch.nn.functional.pad(distance, (1, 1))
        cost = torch.zeros(rows, columns + 2)
        for m in range(1, columns + 2):
            cost[0, m] = padded[0, m] + cost[0, m - 1]
        for row in range(1, rows):
            for m in range(1, columns + 2):
                terms = [cost[row - 1, m - 1], cost[row, m - 1]]
                if m in (1, columns + 1):
                    terms.append(cost[row - 1, m])
                cost[row, m] = padded[row, m] - smoothing * torch.log(
                    sum(torch.exp(-term / smoothing) for term in terms)
                )
        return cost[-1, -1]

    result = torch.zeros(episodes, QUERIES, WAYS)
    for episode in range(episodes):
        support, query = plan.indices(episode, episode + 1, bank.device)
        for q in range(QUERIES):
            for n in range(WAYS):
                one, other = bank[query[0, q]], bank[support[0, n, 0]]
                distance = 1 - torch.nn.functional.cosine_similarity(one[:, None], other[None], dim=-1)
                result[episode, q, n] = one_direction(distance) + one_direction(distance.T)
    return result


@torch.no_grad()
def measure_scoring(episodes: int) -> list[Row]:
    """Ten thousand 5-way 1-shot episodes from a bank of 2,000 videos; medians."""
    bank = torch.randn(VIDEOS, FRAMES, WIDTH, generator=torch.Generator().manual_seed(0))
    plan = random_plan(episodes)
    features = VideoFeatures(bank)

    scorers = {name: EpisodeScorer(head(type=name), features) for name in ('OTAM', 'BiMHM', 'CosineMatching')}
    scorers['OTAM'].logits(plan)
    twice = random_plan(2 * episodes)
    memory = peak_memory(lambda: scorers['OTAM'].logits(twice))
    support, query = plan.indices(0, len(plan), bank.device)
    one, other = gather(bank, query).flatten(1, 2), gather(bank, support).flatten(1, 3)
    half = random_plan(episodes // 2)
    tasks = {
        'floor': lambda: torch.bmm(one, other.mT),
        **{name: lambda scorer=scorer: scorer.logits(plan) for name, scorer in scorers.items()},
        'half': lambda: scorers['OTAM'].logits(half),
    }
    rounds = [{name: seconds(task, repeat=1) for name, task in tasks.items()} for _ in range(ROUNDS)]

    def median(name: str, divisor: str | None = None) -> float:
        return statistics.median(times[name] / (times[divisor] if divisor else 1) for times in rounds)

    rows: list[Row] = [('floor: batched frame-similarity product alone, s', median('floor'), '')]
    for name, limit in (('OTAM', 2.5), ('BiMHM', 1.5), ('CosineMatching', 1.5)):
        rows.append((f'{name}, s', median(name), ''))
        rows.append((f'{name} / floor', median(name, 'floor'), f'<= {limit}'))
    few = 10
    plain = seconds(lambda: plain_otam(plan, bank, few), repeat=1) * episodes / few
    return [
        *rows,
        ('OTAM, time of all / of half the episodes', median('OTAM', 'half'), 'about 2'),
        ('OTAM, more memory for twice the episodes, MB', memory, 'about 0'),
        ('plain loop (scaled) / OTAM', plain / median('OTAM'), '>= 50'),
        *measure_trx(features, plan),
    ]


def measure_trx(features: VideoFeatures, plan: EpisodePlan, episodes: int = 100) -> list[Row]:
    """TRX against attention products alone, those of its definition and its own; some episodes of 200 videos."""
    few = VideoFeatures(features.visual[:200])
    index = plan.select(list(range(episodes)))
    index = EpisodeBatch(
        **{**vars(index), 'support_index': index.support_index % 200, 'query_index': index.query_index % 200}
    )
    small = EpisodePlan(index)
    scorer = EpisodeScorer(head(type='TRX', in_channels=WIDTH, cardinalities=(2, 3)), few)
    rounds = [
        (seconds(lambda: scorer.logits(small), repeat=1), tuple_attention(small), own_products(scorer, small))
        for _ in range(ROUNDS)
    ]
    return [
        ('TRX {2,3}, ms an episode', 1000 * statistics.median(taken for taken, *_ in rounds) / episodes, ''),
        (
            'TRX / the attention products of its tuples',
            statistics.median(t / textbook for t, textbook, _ in rounds),
            '',
        ),
        ('TRX / the products that it computes itself', statistics.median(t / own for t, _, own in rounds), '<= 2'),
    ]


def own_products(scorer: EpisodeScorer, plan: EpisodePlan, step: int = 10) -> float:
    """Seconds of the attention products that :class:`TRX` computes, with numbers in place of what lies between them.

    It sums the parts of queries' tuples by products as well; these do not count.
    """
    total = 0.0
    for size in (2, 3):
        tuples = math.comb(FRAMES, size)
        for begin in range(0, len(plan), step):
            sides = plan.indices(begin, begin + step, torch.device('cpu'))
            (key, asked_key), (value, asked_value) = (
                [gather(scorer._prepared[f'{name}_{size}'], rows) for rows in sides] for name in ('key', 'value')
            )
            parts, shots = key.shape[-2], value.flatten(2, 3)
            scores = torch.randn(len(key), QUERIES * tuples * WAYS, parts)
            attention, makes = torch.randn(*scores.shape[:2], tuples), torch.randn(tuples, parts)
            weights = torch.randn(len(key), WAYS, QUERIES * tuples, parts)
            began = time.perf_counter()
            for asked, answering in ((asked_key, key), (asked_value, value)):
                torch.bmm(asked.flatten(1, 2), answering.flatten(1, 3).mT)
            scores @ makes.T
            attention @ makes
            weights @ (shots @ shots.mT)
            total += time.perf_counter() - began
    return total


def tuple_attention(plan: EpisodePlan, width: int = 1152, videos: int = 200) -> float:
    """Seconds of the attention products of TRX {2,3} as in its definition, tuple by tuple, episode by episode."""
    total = 0.0
    for size in (2, 3):
        key, value = torch.randn(2, videos, math.comb(FRAMES, size), width)
        for episode in range(len(plan)):
            support, query = plan.indices(episode, episode + 1, key.device)
            one, other = key[query].flatten(1, 2), key[support].flatten(1, 3)
            mixed = value[support].flatten(2, 3)
            began = time.perf_counter()
            scores = (one @ other.mT).unflatten(-1, (WAYS, -1)).transpose(1, 2)
            scores @ mixed
            total += time.perf_counter() - began
    return total


def measure_test(data: Path, episodes: int, sample: int) -> list[Row]:
    """A full test with the feature bank against the loop over episodes, of which a part is run; medians of turns."""

    def run(loop: str, count: int) -> float:
        def change(cfg: Config) -> None:
            cfg.test_cfg = dict(type=loop)
            cfg.test_dataloader.dataset.num_episodes = count

        with tempfile.TemporaryDirectory() as work_dir:
            runner = tiny_runner(data, work_dir, change)
            began = time.perf_counter()
            runner.test()
            took = time.perf_counter() - began
        return took

    run('FeatureBankTestLoop', 10)  # loads the libraries
    rounds = [(run('TestLoop', sample), run('FeatureBankTestLoop', episodes)) for _ in range(3)]
    loop, bank = (statistics.median(times) for times in zip(*rounds))
    ratio = statistics.median(one_by_one / together for one_by_one, together in rounds) * episodes / sample
    return [
        (f'loop over {sample} episodes, s', loop, ''),
        (f'feature bank, {episodes} episodes, s', bank, ''),
        (f'loop (scaled) / feature bank, {episodes} episodes', ratio, '>= 100'),
    ]


def show(title: str, rows: list[Row]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title, 'measured', 'wanted')
    table.columns[1].justify = table.columns[2].justify = 'right'
    for name, value, wanted in rows:
        table.add_row(name.replace('[', r'\['), f'{value:.3g}' if abs(value) < 1000 else f'{value:.0f}', wanted)
    Console().print(table)


def measure_part(part: str, args: argparse.Namespace) -> Iterable[Row]:
    """The figures of one part; none where the machine cannot give them."""
    if part == 'scoring':
        return measure_scoring(args.episodes)
    if part == 'test':
        return measure_test(args.data, args.episodes, args.sample)
    if part == 'train':
        return measure_training(args.data, args.sample)
    if part == 'known':
        return measure_known(args.data.parent / 'synthetic_motion', args.known_episodes)
    device = torch.device('cuda', 0) if torch.cuda.is_available() else torch.device('cpu')
    if args.tiny:
        tiny = Config.fromfile(CONFIG).model.backbone.architecture.to_dict()
        return measure_extraction(device, tiny, 2, torch.float32)
    if device.type == 'cuda':
        return measure_extraction(device, SEVEN_B, 16, torch.bfloat16)
    print('Extraction with the shapes of Video-LLaVA-7B needs a CUDA GPU: skipped. (--tiny measures a miniature.)')
    return []


def collect(part: str, args: argparse.Namespace) -> list[Row]:
    """The figures of one part, as many as there are before an error; each is printed as soon as it is known."""
    rows = []
    for row in attempt(lambda: measure_part(part, args)):
        rows.append(row)
        print(f'{row[0]}: {row[1]:.4g}', file=sys.stderr, flush=True)
    return rows


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description='Measure speed')
    parts = ['scoring', 'test', 'train', 'known', 'extraction']
    parser.add_argument('--parts', nargs='+', choices=parts, default=parts)
    parser.add_argument('--episodes', type=int, default=10000)
    parser.add_argument('--sample', type=int, default=200, help='episodes of what is too slow to be run in full')
    parser.add_argument('--known-episodes', type=int, default=1000, help='episodes with Known prompts')
    parser.add_argument(
        '--data',
        type=Path,
        default=Path('data/toy_motion'),
        help='folder made by tools/data/make_toy_videos.py, for test and train; known reads synthetic_motion beside '
        'it, made by tools/data/make_synthetic_motion.py',
    )
    parser.add_argument('--tiny', action='store_true', help='measure extraction of a miniature, on any device')
    parser.add_argument('--json', type=Path, help='write the numbers to this file')
    args = parser.parse_args(argv)
    init_default_scope('mmaction')
    keep_freed_memory()  # as tools/train.py and tools/test.py do
    args.data = args.data.absolute()
    where = torch.cuda.get_device_name() if torch.cuda.is_available() else 'no GPU'
    print(f'{platform.machine()}, {torch.get_num_threads()} threads, {where}, torch {torch.__version__}')
    results: dict[str, list[Row]] = {}
    for part in args.parts:
        results[part] = collect(part, args)
        if results[part]:
            show(part, results[part])
        if args.json is not None:
            args.json.write_text(json.dumps(results, indent=2) + '\n')


if __name__ == '__main__':
    main()
