"""What the miniature knows, asked on fresh clips, and how far its tokens carry without any training.

From the root of the repository::

    python -m projects.mini_video_llava.evaluate

reads the weights beside this file, prints both tables and writes them to ``weights/metrics.json``.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from fsar_llava.datasets.synthetic_motion.programs import PROGRAMS, UNNAMED, Program, reverse
from fsar_llava.datasets.synthetic_motion.renderer import render
from fsar_llava.datasets.synthetic_motion.scenes import frame_times, sample_scenes
from fsar_llava.models.matching import OTAM, BiMHM, CosineMatching

from . import questions as q
from .model import FRAMES, SIDE, TOKENS_PER_FRAME
from .stream import compress, to_pixels

GROUPS: dict[str, tuple[Program, ...]] = {
    'known': PROGRAMS['train'],
    'random_compositions': UNNAMED,
    'unseen_val': PROGRAMS['val'],
    'unseen_test': PROGRAMS['test'],
}
FRESH = 10**6  # seeds from here on belong to clips that no training run draws


class Miniature:
    """A Video-LLaVA checkpoint that answers questions about normalised clips.

    Args:
        folder: Folder for ``from_pretrained``.
        dtype: Type to compute in.
    """

    def __init__(self, folder: str | Path, *, dtype: torch.dtype = torch.float32) -> None:
        from transformers import AutoTokenizer, VideoLlavaForConditionalGeneration

        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.model = VideoLlavaForConditionalGeneration.from_pretrained(folder, dtype=dtype).eval()

    def tokens(self, prompts: list[str]) -> dict[str, Tensor]:
        """Left-padded ``input_ids`` and ``attention_mask`` of prompts in Video-LLaVA's wrapper."""
        video = '<video>' * (FRAMES * TOKENS_PER_FRAME)
        texts = [f'USER: {video}\n{prompt} ASSISTANT:' for prompt in prompts]
        batch = self.tokenizer(texts, return_tensors='pt', padding=True)
        return {'input_ids': batch['input_ids'], 'attention_mask': batch['attention_mask']}

    @torch.inference_mode()
    def answer(self, frames: np.ndarray, prompts: list[str], *, words: int = 16, batch_size: int = 32) -> list[str]:
        """Greedy answers.

        Args:
            frames: RGB clips ``[V, T, H, W, 3]``, uint8.
            prompts: One a clip.
            words: Longest answer in tokens.
            batch_size: Clips answered together.
        """
        answers = []
        for i in range(0, len(prompts), batch_size):
            batch = self.tokens(prompts[i : i + batch_size])
            pixels = to_pixels(frames[i : i + batch_size]).to(self.model.dtype)
            out = self.model.generate(**batch, pixel_values_videos=pixels, max_new_tokens=words, do_sample=False)
            answers += self.tokenizer.batch_decode(out[:, batch['input_ids'].shape[1] :], skip_special_tokens=True)
        return answers

    @torch.inference_mode()
    def visual_tokens(self, frames: np.ndarray, *, batch_size: int = 32) -> dict[str, Tensor]:
        """Mean patch token of every frame ``[V, T, D]``: of the tower, as projected, and after every decoder block."""
        parts: dict[str, list[Tensor]] = {}
        for i in range(0, len(frames), batch_size):
            pixels = to_pixels(frames[i : i + batch_size]).to(self.model.dtype)
            batch = self.tokens([''] * len(pixels))
            out = self.model.model(
                **batch, pixel_values_videos=pixels, output_hidden_states=True, use_cache=False, return_dict=True
            )
            video = batch['input_ids'][0] == self.model.config.video_token_id
            names = ['tower', *(f'layer {k}' for k in range(1, len(out.hidden_states)))]
            for name, hidden in zip(names, out.hidden_states):
                by_patch = rearrange(hidden[:, video].float(), 'v (t p) d -> v t p d', t=FRAMES)[:, :, 1:]
                parts.setdefault(name, []).append(by_patch.mean(2))
        return {name: torch.cat(part) for name, part in parts.items()}


def fresh_clips(programs: list[Program], seed: int) -> np.ndarray:
    """Clips ``[V, T, H, W, 3]`` of given programs that no training run has drawn."""
    rng = np.random.default_rng([FRESH + seed])
    return compress(render(sample_scenes(programs, frame_times(FRAMES), rng), side=SIDE), rng)


def ask(miniature: Miniature, group: tuple[Program, ...], count: int, seed: int, ways: int = 5) -> dict[str, float]:
    """Accuracy in percent on ``count`` fresh clips of one group: captions, yes/no and options among ``ways`` names.

    Half of the yes/no questions name the clip's class; ``yes_no`` takes the others from the same group at random,
    ``yes_no_reversed`` asks every clip for its class and for the film played backwards.
    """
    rng = np.random.default_rng([FRESH, seed])
    programs = [group[i] for i in rng.integers(len(group), size=count)]
    frames = fresh_clips(programs, seed)
    names = [q.sentence(p) for p in programs]
    others = [[group[i] for i in rng.permutation(len(group)) if group[i] != p] for p in programs]
    truth = rng.random(count) < 0.5
    asked = [p if t else other[0] for p, t, other in zip(programs, truth, others)]
    listed = [[p, *other[: ways - 1]] for p, other in zip(programs, others)]
    listed = [[row[i] for i in rng.permutation(ways)] for row in listed]
    backwards = [reverse(p) if t or reverse(p) == p else p for p, t in zip(programs, truth)]
    return {
        'caption': _percent(miniature.answer(frames, [q.UNKNOWN] * count), names),
        'yes_no': _yes_no(miniature, frames, programs, asked),
        'yes_no_reversed': _yes_no(miniature, frames, programs, backwards),
        'options': _percent(
            miniature.answer(frames, [q.options(p, row).prompt for p, row in zip(programs, listed)]), names
        ),
        'clips': count,
    }


def _yes_no(miniature: Miniature, frames: np.ndarray, programs: list[Program], asked: list[Program]) -> float:
    said = miniature.answer(frames, [q.yes_no(p, a).prompt for p, a in zip(programs, asked)], words=1)
    return _percent(said, ['yes' if p == a else 'no' for p, a in zip(programs, asked)])


def _percent(said: list[str], expected: list[str]) -> float:
    return round(100 * float(np.mean([a.strip() == b for a, b in zip(said, expected)])), 1)


# -- training-free few-shot accuracy ----------------------------------------------------------------------------------
def distances(features: Tensor) -> dict[str, Tensor]:
    """Distances of all pairs of videos ``[V, V]`` under three metrics, from frame features ``[V, T, D]``."""
    metrics = {'ProtoNet': CosineMatching(), 'Bi-MHM': BiMHM(reduction='mean'), 'OTAM': OTAM()}
    query, support = features[None], features[None, :, None]
    return {name: metric(query, support)[0] for name, metric in metrics.items()}


def one_shot(distance: Tensor, labels: np.ndarray, *, episodes: int, seed: int, ways: int = 5) -> tuple[float, float]:
    """Accuracy and 95 % interval in percent over episodes of one shot and one query a class."""
    rng = np.random.default_rng(seed)
    classes = np.unique(labels)
    members = {c: np.flatnonzero(labels == c) for c in classes}
    right = np.empty(episodes)
    for e in range(episodes):
        drawn = [rng.choice(members[c], 2, replace=False) for c in rng.choice(classes, ways, replace=False)]
        support, query = np.array(drawn).T
        right[e] = (distance[query][:, support].argmin(1).numpy() == np.arange(ways)).mean()
    return 100 * float(right.mean()), 196 * float(right.std()) / episodes**0.5


def training_free(miniature: Miniature, split: str, *, per_class: int, episodes: int, seed: int = 1) -> dict[str, dict]:
    """5-way 1-shot accuracy of every layer's frame means, plain and centred by the meta-train mean."""
    base = miniature.visual_tokens(fresh_clips(list(PROGRAMS['train']) * 4, seed))
    programs = [p for p in PROGRAMS[split] for _ in range(per_class)]
    labels = np.repeat(np.arange(len(PROGRAMS[split])), per_class)
    found = miniature.visual_tokens(fresh_clips(programs, seed + 1))
    table: dict[str, dict] = {}
    for name, features in found.items():
        for suffix, shift in (('', 0), (' centred', base[name].mean((0, 1)))):
            for metric, distance in distances(features - shift).items():
                accuracy, interval = one_shot(distance, labels, episodes=episodes, seed=seed)
                table.setdefault(name, {})[metric + suffix] = [round(accuracy, 1), round(interval, 1)]
    return table


def tables(report: dict) -> str:
    """Both tables in Markdown."""
    answers, layers = report['answers'], report['training_free_5way_1shot']
    kinds = [kind for kind in answers['known'] if kind != 'clips']
    metrics = list(layers['tower'])
    lines = [table_row('clips of', *kinds), table_row(*['---'] * (1 + len(kinds)))]
    lines += [table_row(group, *(row[kind] for kind in kinds)) for group, row in answers.items()]
    lines += ['', table_row('tokens of', *metrics), table_row(*['---'] * (1 + len(metrics)))]
    lines += [table_row(name, *(f'{layers[name][metric][0]:.1f}' for metric in metrics)) for name in sorted(layers)]
    return '\n'.join(lines)


def table_row(*cells: object) -> str:
    """A line of a table in Markdown."""
    return '| ' + ' | '.join(str(cell) for cell in cells) + ' |'


def main() -> None:
    """Ask, measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--weights', type=Path, default=Path(__file__).parent / 'weights')
    parser.add_argument('--clips', type=int, default=200, help='fresh clips of each group')
    parser.add_argument('--per-class', type=int, default=30, help='videos of a class in the training-free table')
    parser.add_argument('--episodes', type=int, default=2000)
    parser.add_argument('--split', default='val', choices=['val', 'test'], help='split of the training-free table')
    parser.add_argument('--threads', type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    miniature = Miniature(args.weights)
    answers = {}
    for seed, (name, group) in enumerate(GROUPS.items()):
        answers[name] = ask(miniature, group, args.clips, seed)
        print(name, answers[name], flush=True)
    layers = training_free(miniature, args.split, per_class=args.per_class, episodes=args.episodes)
    report = {'answers': answers, 'training_free_split': args.split, 'training_free_5way_1shot': layers}
    print(tables(report))
    file = args.weights / 'metrics.json'
    known = json.loads(file.read_text()) if file.exists() else {}
    file.write_text(json.dumps(known | report, indent=2) + '\n')


if __name__ == '__main__':
    main()
