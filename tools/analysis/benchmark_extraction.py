"""How fast tokens are extracted, beside the naive way of getting the same tokens."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from benchmark_common import CONFIGS, FIXED_PROMPT, KNOWN_PROMPTS, REPOSITORY, Row, attempt, load_tool, seconds
from mmaction.registry import MODELS
from mmengine.config import Config
from torch import Tensor, nn

from fsar_llava.features import TokenWriter
from fsar_llava.features.extraction_job import ExtractionJob, make_jobs
from fsar_llava.features.token_extractor import TokenExtractor
from fsar_llava.models.backbones.random_source import RandomSource, build_on

CONFIG = CONFIGS / 'fsar-llava_video-llava-7b_unknown_5way-1shot_toy-motion.py'
FRAMES = 8
OURS = 'videos/s'
WHOLE = 'with decoding and writing, videos/s'
NAIVE = 'naive way, videos/s'
NAIVE_WHOLE = 'naive way with decoding, videos/s'
LARGE = {'--num-classes': 24, '--videos-per-class': 5, '--size': 256, '--frames': 64}
SMALL = {'--num-classes': 6, '--videos-per-class': 2, '--size': 64, '--frames': 16}
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
)


def measure_extraction(device: torch.device, architecture: Mapping, layer: int, dtype: torch.dtype) -> Iterator[Row]:
    """Our extraction against the naive way: all layers, LM head, all hidden states, one video at a time.

    The weights are random ones, made on the device, and the videos generated ones. Both ways read the same files.
    """
    rate = matrix_rate(device, dtype)
    yield 'matrix products, TFLOP/s', rate / 1e12, ''
    with tempfile.TemporaryDirectory() as folder:
        cfg, jobs = make_videos(Path(folder), architecture['vision']['image_size'], large=device.type == 'cuda')
        found: dict[str, float] = {}
        for measure in (
            lambda: measure_ours(device, architecture, layer, dtype, cfg, jobs, rate, Path(folder)),
            lambda: measure_naive(device, architecture, layer, dtype, cfg, jobs),
        ):
            clear(device)
            for row in attempt(measure):
                found[row[0]] = row[1]
                yield row
    if {OURS, NAIVE} <= found.keys():
        yield 'ours / naive way', found[OURS] / found[NAIVE], '>= 3'
    if {WHOLE, NAIVE_WHOLE} <= found.keys():
        yield 'ours / naive way, both with decoding', found[WHOLE] / found[NAIVE_WHOLE], '>= 3'


def matrix_rate(device: torch.device, dtype: torch.dtype, products: int = 20) -> float:
    """Operations a second of products of large matrices, one after another."""
    size = 8192 if device.type == 'cuda' else 512
    one, other = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    result = torch.empty_like(one)

    def multiply() -> None:
        for _ in range(products):
            torch.mm(one, other, out=result)

    return products * 2 * size**3 / seconds(multiply)


def make_videos(folder: Path, side: int, *, large: bool) -> tuple[Config, list[ExtractionJob]]:
    """A config and the videos to extract: 120 files of 256 x 256 pixels, or few small ones."""
    options = LARGE if large else SMALL
    command = [sys.executable, str(REPOSITORY / 'tools/data/make_toy_videos.py'), '--out', str(folder / 'toy_motion')]
    subprocess.run([*command, *(str(word) for pair in options.items() for word in pair)], check=True)
    os.environ['FSAR_DATA_ROOT'] = str(folder)
    cfg = Config.fromfile(CONFIG)
    for step in cfg.test_dataloader.dataset.dataset.pipeline:
        if step.type == 'MLLMResizeCrop':
            step.size = side
    datasets, _ = load_tool('tools/extract_tokens.py').build_datasets(cfg, ('train', 'val', 'test'))
    return cfg, make_jobs(datasets, lambda name: [FIXED_PROMPT])


@torch.no_grad()
def measure_ours(
    device: torch.device,
    architecture: Mapping,
    layer: int,
    dtype: torch.dtype,
    cfg: Config,
    jobs: Sequence[ExtractionJob],
    rate: float,
    folder: Path,
) -> Iterator[Row]:
    """The backbone alone, the loader alone, and the whole extraction."""
    kind = str(dtype).removeprefix('torch.')
    backbone = MODELS.build(
        dict(type='VideoMLLMBackbone', architecture=dict(architecture, seed=None), layer=layer, dtype=kind)
    )
    extractor = TokenExtractor(
        backbone,
        MODELS.build(cfg.model.data_preprocessor).to(device),
        TokenWriter(folder / 'store', dict(backbone=backbone.identity(), prompts=[FIXED_PROMPT], dtype=kind)),
        num_workers=(os.cpu_count() or 1) if device.type == 'cuda' else 1,
    )
    count = extractor.find_batch_size(jobs)  # this loads the model
    yield 'videos at a time, from the free memory', count, ''
    side = architecture['vision']['image_size']
    videos = torch.randn(count, FRAMES, 3, side, side, device=device)
    operations = operations_of_a_video(backbone, videos[:1], architecture, layer)
    yield 'operations of a video, TFLOP', operations / 1e12, ''

    reset_peak(device)
    alone = count / seconds(lambda: backbone.encode(videos, [[FIXED_PROMPT]] * count))
    yield OURS, alone, ''
    yield from peak('peak memory, GB', device)
    yield 'share of the rate of matrix products', alone * operations / rate, '>= 0.55'
    # What prompts need beside the video counts as well: half the videos.
    few = max(1, count // 2)
    known = [FIXED_PROMPT, *KNOWN_PROMPTS]
    one, many = (
        seconds(lambda asked=asked: backbone.encode(videos[:few], [asked] * few)) for asked in ([FIXED_PROMPT], known)
    )
    yield f'{len(known)} prompts / 1 prompt, time', many / one, '<= 2.5'

    # The same files again and again: enough of them that starting and ending do not count.
    todo = [jobs[number % len(jobs)] for number in range(2048 if device.type == 'cuda' else 256)]
    loading = len(todo) / seconds(lambda: sum(map(len, extractor.loader(todo, count))), repeat=1)
    yield f'decoding and resizing alone, {extractor.num_workers} workers, videos/s', loading, '>= videos/s'
    together = overlapped(extractor, todo, count)
    yield WHOLE, together, ''
    yield 'with decoding and writing / the slower of both', together / min(alone, loading), '>= 0.9'


def overlapped(extractor: TokenExtractor, jobs: Sequence[ExtractionJob], batch_size: int) -> float:
    """Videos a second of the whole extraction, from starting the workers to the last file."""
    extractor.batch_size = batch_size
    began = time.perf_counter()
    failures = extractor.run(jobs)
    if failures:
        raise RuntimeError(f'{len(failures)} videos could not be loaded: {next(iter(failures.values()))}')
    return len(jobs) / (time.perf_counter() - began)


@torch.no_grad()
def measure_naive(
    device: torch.device,
    architecture: Mapping,
    layer: int,
    dtype: torch.dtype,
    cfg: Config,
    jobs: Sequence[ExtractionJob],
    videos: int = 10,
) -> Iterator[Row]:
    """The whole model with its LM head, all hidden states, a video at a time, decoded when it is needed."""
    from transformers import VideoLlavaForConditionalGeneration

    source = RandomSource(architecture)
    full = build_on(device, dtype, lambda: VideoLlavaForConditionalGeneration(source.config)).eval()
    tokens = (architecture['vision']['image_size'] // architecture['vision']['patch_size']) ** 2 + 1
    text = f'USER: {"<video>" * (FRAMES * tokens)}\n{FIXED_PROMPT} ASSISTANT:'
    ids = torch.tensor([source.tokenizer()(text)['input_ids']], device=device)
    preprocessor = MODELS.build(cfg.model.data_preprocessor).to(device)

    def forward(pixels: Tensor) -> Tensor:
        return full(input_ids=ids, pixel_values_videos=pixels.to(dtype), output_hidden_states=True).hidden_states[layer]

    def extract() -> None:
        for job in jobs[:videos]:
            packed = job.dataset.load_video(job.index)
            forward(preprocessor({key: [value] for key, value in packed.items()}, False)['inputs']).cpu()

    side = architecture['vision']['image_size']
    pixels = torch.randn(1, FRAMES, 3, side, side, device=device)
    reset_peak(device)
    yield NAIVE, 1 / seconds(lambda: forward(pixels), repeat=10), ''
    yield from peak('naive way, peak memory, GB', device)
    yield NAIVE_WHOLE, min(videos, len(jobs)) / seconds(extract, repeat=1), ''


def operations_of_a_video(backbone: nn.Module, video: Tensor, architecture: Mapping, layer: int) -> float:
    """Floating point operations of one video and its prompt; of the decoder's attention, the half that is needed."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        backbone.encode(video, [[FIXED_PROMPT]])
    # Not all kinds of attention are counted, and those that are, as if each token saw all others.
    counted = sum(value for name, value in counter.get_flop_counts()['Global'].items() if 'attention' not in str(name))
    vision, text = architecture['vision'], architecture['text']
    patches = (vision['image_size'] // vision['patch_size']) ** 2 + 1
    frames = 4 * FRAMES * patches**2 * vision['hidden_size'] * (vision['num_hidden_layers'] - 1)
    return counted + frames + 2 * (FRAMES * patches) ** 2 * text['hidden_size'] * layer


def reset_peak(device: torch.device) -> None:
    """Forget what was allocated so far."""
    if device.type == 'cuda':
        clear(device)
        torch.cuda.reset_peak_memory_stats(device)


def peak(name: str, device: torch.device) -> Iterator[Row]:
    """GB that were allocated at most since the last reset, weights included; a CPU does not tell."""
    if device.type == 'cuda':
        yield name, torch.cuda.max_memory_allocated(device) / 1e9, ''


def clear(device: torch.device) -> None:
    """Give back what nobody refers to."""
    gc.collect()
    if device.type == 'cuda':
        torch.cuda.synchronize(device)
        torch.cuda.empty_cache()
