"""What prompts that list an episode's classes cost beside one fixed prompt."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import torch
from benchmark_common import CONFIGS, FIXED_PROMPT, KNOWN_PROMPTS, REPOSITORY, Row, seconds, tiny_runner
from mmaction.registry import MODELS
from mmengine.config import Config

SEVEN_B = dict(width=4096, inner=11008, layers=16, video=2056, vision=8 * 257 * 24 * 2 * 12 * 1024**2)
"""Video-LLaVA-7B at layer 16: sizes of the decoder, tokens of a video, operations of the vision tower."""
PROMPT, FIXED, SHARED = 60, 15, 18
"""Tokens of a Known query prompt with five short class names, of an Unknown prompt, and that all Known ones share."""
QUERY_PROMPTS = {'Kinetics-100 and SSv2-Small, 2,400 test videos': 50000 / 2400, 'HMDB51': 50000 / 1300}
"""Query prompts of a video in 10,000 episodes of five queries each."""


def measure_known(data: Path, episodes: int) -> list[Row]:
    """A test of the miniature Video-LLaVA with Known and with Unknown prompts, both with the feature bank.

    The miniature's video is as short as a few prompts, that of Video-LLaVA-7B as long as 34 of them. So the prompts
    have a far greater share in the former; that in the latter is counted in operations of the encoding.

    Args:
        data: Folder of synthetic_motion.
        episodes: Of each test.
    """
    test(data, 'unknown', 5)  # loads the libraries
    unknown, fixed, _ = test(data, 'unknown', episodes)
    known, listed, asked = test(data, 'known', episodes)
    rows: list[Row] = [
        (f'miniature, {episodes} episodes, Unknown, s', unknown, ''),
        (f'miniature, {episodes} episodes, Known, {asked:.1f} query prompts a video, s', known, ''),
        ('miniature (136 tokens a video), Known / Unknown', known / unknown, '<= 2.5'),
        ('miniature, encoding alone, Known / Unknown', listed / fixed, ''),
    ]
    rows.append(
        ('narrow 7B (2056 tokens a video), encoding, 21 query prompts, Known / Unknown', narrow_ratio(21), '<= 2.5')
    )
    for name, prompts in dict(miniature=asked, **QUERY_PROMPTS).items():
        title = f'7B (2056 tokens a video), operations, {prompts:.1f} query prompts as {name}, Known / Unknown'
        rows.append((title, operations_ratio(prompts), '<= 2.5'))
    return rows


def test(data: Path, kind: str, episodes: int) -> tuple[float, float, float]:
    """Seconds of the whole test and of the encoding; distinct query prompts of a video on average."""

    def change(cfg: Config) -> None:
        cfg.model.backbone.model = str(REPOSITORY / cfg.model.backbone.model)
        cfg.test_dataloader.dataset.num_episodes = episodes
        cfg.test_cfg = dict(type='FeatureBankTestLoop')
        cfg.test_evaluator = dict(type='FewShotMetric', out_file=f'{folder}/result.json')

    with tempfile.TemporaryDirectory() as folder:
        runner = tiny_runner(data, folder, change, CONFIGS / f'fsar-llava_mini_{kind}_5way-1shot_synthetic-motion.py')
        began = time.perf_counter()
        runner.test()
        taken = time.perf_counter() - began
        encoding = json.loads(Path(folder, 'result.json').read_text())['wall_time']['encoding']
    dataset, sampler = runner.test_dataloader.dataset, runner.test_dataloader.sampler
    stamps = [stamp for number in range(episodes) for stamp in dataset.stamps(sampler.episode(number))]
    asked = {(stamp['video_index'], stamp['class_names']) for stamp in stamps if stamp['role'] == 'query'}
    return taken, encoding, len(asked) / len({stamp['video_index'] for stamp in stamps})


@torch.no_grad()
def narrow_ratio(asked: int) -> float:
    """Time of encoding a video as long as Video-LLaVA-7B's with Known prompts over that with the fixed prompt.

    Two layers of an eighth of the width: what a CPU can run.
    """
    vision = dict(hidden_size=128, intermediate_size=512, num_hidden_layers=3, num_attention_heads=2)
    text = dict(hidden_size=512, intermediate_size=1376, num_hidden_layers=2, num_attention_heads=4)
    architecture = dict(
        vision=dict(vision, image_size=224, patch_size=14), text=dict(text, max_position_embeddings=4096)
    )
    backbone = MODELS.build(dict(type='VideoMLLMBackbone', architecture=architecture, layer=2, dtype='float32'))
    video = torch.randn(1, 8, 3, 224, 224)
    known = [FIXED_PROMPT, *KNOWN_PROMPTS[:asked]]
    return seconds(lambda: backbone.encode(video, [known])) / seconds(lambda: backbone.encode(video, [known[:1]]))


def operations_ratio(asked: float, shape: Mapping = SEVEN_B, *, per_pass: int = 1024 // PROMPT) -> float:
    """Operations of encoding a video with Known prompts over those with the fixed prompt, where the video is long.

    Args:
        asked: Query prompts of a video; the support prompt comes on top.
        shape: Sizes.
        per_pass: Prompts of a pass, whose common words run once.
    """

    def decoder(tokens: float, seen: float) -> float:
        linear = 2 * tokens * (4 * shape['width'] ** 2 + 3 * shape['width'] * shape['inner'])
        return shape['layers'] * (linear + 4 * tokens * seen * shape['width'])

    video = shape['vision'] + decoder(shape['video'], shape['video'] / 2)
    known = asked * (PROMPT - SHARED) + SHARED * asked / per_pass + 2 * FIXED
    return (video + decoder(known, shape['video'] + 1024)) / (video + decoder(FIXED, shape['video']))
