#!/usr/bin/env python
"""Measure the speed of scoring, testing, training and extraction, each as a ratio of two times of the same run.

Usage:
    python tools/analysis/benchmark.py [--parts scoring test train extraction] [--data data/toy_motion] [--json FILE]

What the ratios should be is printed beside them. docs/performance.md holds the latest results.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from mmaction.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from fsar_llava import VideoFeatures
from fsar_llava.engine.launch import keep_freed_memory
from fsar_llava.engine.loops.episode_plan import EpisodePlan
from fsar_llava.engine.loops.episode_scorer import EpisodeScorer, gather
from fsar_llava.structures import EpisodeBatch

REPOSITORY = Path(__file__).parents[2]
CONFIG = REPOSITORY / 'configs/fsar_llava/fsar-llava_tiny_unknown_5way-1shot_toy-motion.py'
WAYS, SHOTS, QUERIES, FRAMES, WIDTH, VIDEOS = 5, 1, 5, 8, 512, 2000
SEVEN_B = dict(
    vision=dict(
        hidden_size=1024,
        intermediate_size=4096,
        num_hidden_layers=24,
        num_attention_heads=16,
        image_size=224,
        patch_size=14,
    ),
    text=dict(
        hidden_size=4096,
        intermediate_size=11008,
        num_hidden_layers=32,
        num_attention_heads=32,
        max_position_embeddings=4096,
        vocab_size=32064,
    ),
    seed=0,
)
Row = tuple[str, float, str]


def seconds(task: Callable[[], object], repeat: int = 3) -> float:
    """The shortest of some runs, after one that does not count."""
    times = []
    for _ in range(repeat + 1):
        began = time.perf_counter()
        task()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        times.append(time.perf_counter() - began)
    return min(times[1:])


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
        )
    )


def head(**matching: object) -> torch.nn.Module:
    return MODELS.build(dict(type='PrototypeHead', matching=matching)).eval()


def products(plan: EpisodePlan, bank: torch.Tensor, step: int) -> tuple[float, float]:
    """Seconds of all frame-similarity products alone, and together with gathering what they multiply."""
    alone, both = 0.0, 0.0
    for begin in range(0, len(plan), step):
        support, query = plan.indices(begin, begin + step, bank.device)
        began = time.perf_counter()
        one, other = gather(bank, query).flatten(1, 2), gather(bank, support).flatten(1, 3)
        gathered = time.perf_counter()
        torch.bmm(one, other.mT)
        alone += time.perf_counter() - gathered
        both += time.perf_counter() - began
    return alone, both


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
    """Ten thousand 5-way 1-shot episodes from a bank of 2,000 videos."""
    bank = torch.randn(VIDEOS, FRAMES, WIDTH, generator=torch.Generator().manual_seed(0))
    plan = random_plan(episodes)
    features = VideoFeatures(bank)

    otam = EpisodeScorer(head(type='OTAM'), features)
    step = otam._batch_size(plan)
    alone, both = (min(times) for times in zip(*(products(plan, bank, step) for _ in range(4))))
    rows: list[Row] = [
        ('floor: frame-similarity products alone, s', alone, ''),
        ('products and gathering their factors, s', both, ''),
    ]
    for name, limit in (('OTAM', 2.5), ('BiMHM', 1.5), ('CosineMatching', 1.5)):
        scorer = EpisodeScorer(head(type=name), features)
        taken = seconds(lambda scorer=scorer: scorer.logits(plan))
        rows.append((f'{name}, s', taken, ''))
        rows.append((f'{name} / floor', taken / alone, f'<= {limit}'))
        rows.append((f'{name} / (floor + gathering)', taken / both, ''))
        if name == 'OTAM':
            rows += measure_growth(scorer, plan, bank, taken)
    rows += measure_trx(features, plan)
    return rows


def measure_growth(
    otam: EpisodeScorer, plan: EpisodePlan, bank: torch.Tensor, taken: float, few: int = 10
) -> list[Row]:
    """OTAM against a plain loop, and how its time and memory grow with the episodes."""
    plain = seconds(lambda: plain_otam(plan, bank, few), repeat=1) * len(plan) / few
    half = random_plan(len(plan) // 2)
    ratio = taken / seconds(lambda: otam.logits(half))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    otam.logits(random_plan(2 * len(plan)))
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    return [
        ('plain loop (scaled) / OTAM', plain / taken, '>= 50'),
        ('OTAM, time of all / of half the episodes', ratio, 'about 2'),
        ('OTAM, more memory for twice the episodes, MB', grown, 'about 0'),
    ]


def measure_trx(features: VideoFeatures, plan: EpisodePlan, episodes: int = 100) -> list[Row]:
    """TRX against its own attention products, of some episodes, with the keys and values of a few hundred videos."""
    few = VideoFeatures(features.visual[:200])
    index = plan.select(list(range(episodes)))
    index = EpisodeBatch(
        **{**vars(index), 'support_index': index.support_index % 200, 'query_index': index.query_index % 200}
    )
    small = EpisodePlan(index)
    scorer = EpisodeScorer(head(type='TRX', in_channels=WIDTH, cardinalities=(2, 3)), few)
    keys = scorer._prepared

    def attention() -> float:
        alone = 0.0
        for episode in range(episodes):
            support, query = small.indices(episode, episode + 1, few.visual.device)
            for size in (2, 3):
                one, other = keys[f'key_{size}'][query].flatten(1, 2), keys[f'key_{size}'][support].flatten(1, 3)
                value = keys[f'value_{size}'][support].flatten(2, 3)
                began = time.perf_counter()
                scores = (one @ other.mT).unflatten(-1, (WAYS, -1)).transpose(1, 2)
                scores @ value
                alone += time.perf_counter() - began
        return alone

    floor = min(attention() for _ in range(3))
    taken = seconds(lambda: scorer.logits(small))
    return [
        ('TRX {2,3}, ms an episode', 1000 * taken / episodes, ''),
        ('TRX / its attention products', taken / floor, '<= 2'),
    ]


def tiny_runner(data: Path, work_dir: str, change: Callable[[Config], None]) -> Runner:
    """A runner of FSAR-LLaVA on the miniature MLLM."""
    os.environ['FSAR_DATA_ROOT'] = str(data.parent)
    cfg = Config.fromfile(CONFIG)
    cfg.work_dir, cfg.log_level, cfg.randomness = work_dir, 'WARNING', dict(seed=0)
    cfg.experiment_name = f'benchmark_{time.time_ns()}'
    cfg.custom_hooks = []
    cfg._format_python_code = False  # mmengine prints the config prettily at the start, for many seconds
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    change(cfg)
    return Runner.from_cfg(cfg)


def measure_test(data: Path, episodes: int, sample: int) -> list[Row]:
    """A full test with the feature bank against the loop over episodes, of which a part is run."""

    def run(loop: str, count: int) -> float:
        def change(cfg: Config) -> None:
            cfg.test_cfg = dict(type=loop)
            cfg.test_dataloader.dataset.num_episodes = count

        with tempfile.TemporaryDirectory() as work_dir:
            runner = tiny_runner(data, work_dir, change)
            began = time.perf_counter()
            runner.test()
            return time.perf_counter() - began

    run('FeatureBankTestLoop', 10)  # loads the libraries
    one_by_one, bank = run('TestLoop', sample), run('FeatureBankTestLoop', episodes)
    return [
        (f'loop over {sample} episodes, s', one_by_one, ''),
        (f'feature bank, {episodes} episodes, s', bank, ''),
        (f'loop (scaled) / feature bank, {episodes} episodes', one_by_one * episodes / sample / bank, '>= 100'),
    ]


def measure_training(data: Path, episodes: int) -> list[Row]:
    """Episodes a second of training from videos and from a token store."""
    from importlib.util import module_from_spec, spec_from_file_location

    spec = spec_from_file_location('extract_tokens', REPOSITORY / 'tools/extract_tokens.py')
    tool = module_from_spec(spec)
    spec.loader.exec_module(tool)

    def run(work_dir: str, store: str | None) -> float:
        def change(cfg: Config) -> None:
            cfg.test_cfg = cfg.test_dataloader = cfg.test_evaluator = None
            cfg.default_hooks.pop('checkpoint')
            cfg.train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=1)
            cfg.param_scheduler = []
            cfg.train_dataloader.dataset.num_episodes = episodes
            if store is not None:
                cfg.model.backbone = dict(type='StoredTokens', store=store)
                cfg.model.data_preprocessor = dict(type='BaseDataPreprocessor')
                cfg.train_dataloader.dataset.dataset.pipeline = [
                    dict(type='LoadVideoTokens', store=store),
                    dict(type='PackActionInputs', collect_keys=('visual', 'textual', 'prompts')),
                ]

        runner = tiny_runner(data, work_dir, change)
        began = time.perf_counter()
        runner.train()
        return episodes / (time.perf_counter() - began)

    with tempfile.TemporaryDirectory() as folder:
        os.environ['FSAR_DATA_ROOT'] = str(data.parent)
        store = f'{folder}/store'
        tool.main([str(CONFIG), '--out', store, '--split', 'train'])
        videos, tokens = run(f'{folder}/videos', None), run(f'{folder}/tokens', store)
    return [
        ('training from videos, episodes/s', videos, ''),
        ('training from the store, episodes/s', tokens, ''),
        ('store / videos', tokens / videos, '>= 10'),
    ]


@torch.no_grad()
def measure_extraction(device: torch.device, architecture: dict, layer: int, dtype: torch.dtype) -> list[Row]:
    """Our extraction against the naive way: all layers, LM head, all hidden states, one video at a time."""
    from torch.utils.flop_counter import FlopCounterMode
    from transformers import VideoLlavaForConditionalGeneration

    from fsar_llava.models.backbones.random_source import RandomSource
    from fsar_llava.models.layers import free_memory

    name = str(dtype).removeprefix('torch.')
    side = architecture['vision']['image_size']
    prompt, options = "What's the action of the video?", [f'Which of these options, {n}?' for n in range(25)]
    size = 4096 if device.type == 'cuda' else 512
    square = torch.randn(size, size, device=device, dtype=dtype)
    rate = 2 * size**3 / seconds(lambda: square @ square, repeat=10)
    backbone = MODELS.build(dict(type='VideoMLLMBackbone', architecture=architecture, layer=layer, dtype=name))
    video = torch.randn(1, FRAMES, 3, side, side, device=device)
    with FlopCounterMode(display=False) as counter:
        backbone.encode(video, [[prompt]])
    before = free_memory(device)
    if device.type == 'cuda':
        torch.cuda.reset_peak_memory_stats()
        weights = torch.cuda.memory_allocated()
        backbone.encode(video, [[prompt]])
        a_video = torch.cuda.max_memory_allocated() - weights
        count = max(1, min(64, int(0.7 * before / a_video)))
    else:
        count = 4
    videos = video.expand(count, -1, -1, -1, -1).contiguous()
    ours = count / seconds(lambda: backbone.encode(videos, [[prompt]] * count))
    known = count / seconds(lambda: backbone.encode(videos, [options] * count))
    peak = torch.cuda.max_memory_allocated() / 1e9 if device.type == 'cuda' else math.nan
    source = RandomSource(architecture)
    default = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    with torch.device(device):
        full = VideoLlavaForConditionalGeneration(source.config).eval()
    torch.set_default_dtype(default)
    patches = (side // architecture['vision']['patch_size']) ** 2 + 1
    text = f'USER: {"<video>" * (FRAMES * patches)}\n{prompt} ASSISTANT:'
    ids = torch.tensor([source.tokenizer()(text)['input_ids']], device=device)
    pixels = video.to(dtype)
    naive = 1 / seconds(lambda: full(input_ids=ids, pixel_values_videos=pixels, output_hidden_states=True))
    return [
        ('matrix products, TFLOP/s', rate / 1e12, ''),
        (f'layer {layer}, batches of {count}, videos/s', ours, ''),
        ('peak memory, GB', peak, ''),
        ('share of the rate of matrix products', ours * counter.get_total_flops() / rate, '>= 0.55'),
        ('naive way, videos/s', naive, ''),
        ('ours / naive', ours / naive, '>= 3'),
        ('25 prompts / 1 prompt, time', ours / known, '<= 2.5'),
    ]


def measure_decoding(data: Path, videos: int = 200) -> list[Row]:
    """Videos a second that the dataloader's workers decode and resize to 224, beside which the GPU computes."""
    os.environ['FSAR_DATA_ROOT'] = str(data.parent)
    from torch.utils.data import DataLoader, Subset

    from fsar_llava.datasets import EpisodicDataset
    from fsar_llava.engine.loops.video_encoder import SingleVideos

    cfg = Config.fromfile(REPOSITORY / 'configs/fsar_llava/fsar-llava_video-llava-7b_unknown_5way-1shot_toy-motion.py')
    settings = {key: value for key, value in cfg.train_dataloader.dataset.items() if key != 'type'}
    settings['dataset'] = dict(settings['dataset'], pipeline=cfg.test_dataloader.dataset.dataset.pipeline)
    dataset = SingleVideos(EpisodicDataset(**settings))
    count = min(videos, len(dataset))
    loader = DataLoader(Subset(dataset, range(count)), num_workers=os.cpu_count() or 1, collate_fn=list, batch_size=8)
    taken = seconds(lambda: sum(len(batch) for batch in loader), repeat=1)
    return [('decoding and resizing in workers, videos/s', count / taken, '>= extraction')]


def show(title: str, rows: list[Row]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title, 'measured', 'wanted')
    table.columns[1].justify = table.columns[2].justify = 'right'
    for name, value, wanted in rows:
        table.add_row(name.replace('[', r'\['), f'{value:.3g}' if abs(value) < 1000 else f'{value:.0f}', wanted)
    Console().print(table)


def measure_part(part: str, args: argparse.Namespace) -> list[Row]:
    """The figures of one part; none where the machine cannot give them."""
    if part == 'scoring':
        return measure_scoring(args.episodes)
    if part == 'test':
        return measure_test(args.data, args.episodes, args.sample)
    if part == 'train':
        return measure_training(args.data, args.sample)
    device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    if args.tiny:
        tiny = Config.fromfile(CONFIG).model.backbone.architecture.to_dict()
        return measure_extraction(device, tiny, 2, torch.float32)
    if device.type == 'cuda':
        return measure_extraction(device, SEVEN_B, 16, torch.bfloat16) + measure_decoding(args.data)
    print('Extraction with the shapes of Video-LLaVA-7B needs a CUDA GPU: skipped. (--tiny measures a miniature.)')
    return []


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description='Measure speed')
    parts = ['scoring', 'test', 'train', 'extraction']
    parser.add_argument('--parts', nargs='+', choices=parts, default=parts)
    parser.add_argument('--episodes', type=int, default=10000)
    parser.add_argument('--sample', type=int, default=200, help='episodes of what is too slow to be run in full')
    parser.add_argument('--data', type=Path, default=Path('data/toy_motion'), help='from tools/data/make_toy_videos.py')
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
        rows = measure_part(part, args)
        if rows:
            show(part, rows)
            results[part] = rows
    if args.json is not None:
        args.json.write_text(json.dumps(results, indent=2) + '\n')


if __name__ == '__main__':
    main()
