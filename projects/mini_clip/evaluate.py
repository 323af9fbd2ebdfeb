"""What the miniature CLIP knows, on frames that no training run has drawn.

From the root of the repository::

    python -m projects.mini_clip.evaluate

reads the weights beside this file, prints three tables beside chance and writes them to ``weights/metrics.json``.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from fsar_llava.datasets.synthetic_motion.programs import PROGRAMS, sentence
from fsar_llava.datasets.synthetic_motion.renderer import render
from fsar_llava.datasets.synthetic_motion.scenes import frame_times, sample_scenes
from projects.mini_video_llava.evaluate import FRESH, distances, fresh_clips, one_shot, table_row
from projects.mini_video_llava.model import SIDE
from projects.mini_video_llava.stream import compress, to_pixels

from .captions import caption

SPLITS = ('train', 'val')


class Miniature:
    """A CLIP checkpoint.

    Args:
        folder: Folder for ``from_pretrained``.
    """

    def __init__(self, folder: str | Path) -> None:
        from transformers import AutoTokenizer, CLIPModel

        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.model = CLIPModel.from_pretrained(folder, dtype=torch.float32).eval()

    @torch.inference_mode()
    def see(self, clips: np.ndarray, *, batch_size: int = 64) -> Tensor:
        """Embeddings ``[V, T, D]`` of RGB clips ``[V, T, H, W, 3]``, uint8."""
        parts = []
        for i in range(0, len(clips), batch_size):
            pixels = rearrange(to_pixels(clips[i : i + batch_size]), 'v t c h w -> (v t) c h w')
            parts.append(self.model.get_image_features(pixel_values=pixels).pooler_output)
        return rearrange(torch.cat(parts), '(v t) d -> v t d', v=len(clips))

    @torch.inference_mode()
    def read(self, texts: list[str]) -> Tensor:
        """Embeddings ``[len(texts), D]``."""
        words = self.tokenizer(texts, padding=True, return_tensors='pt')
        outputs = self.model.get_text_features(input_ids=words['input_ids'], attention_mask=words['attention_mask'])
        return outputs.pooler_output


def retrieval(miniature: Miniature, split: str, *, clips: int, choices: int, seed: int = 0) -> dict[str, float]:
    """Percent of frames whose own caption is the nearest, and of captions whose own frame is.

    ``clips`` is a multiple of ``choices``: told apart are frames of so many clips, or the four frames of one clip.
    """
    rng = np.random.default_rng([FRESH, seed, SPLITS.index(split)])
    programs = [PROGRAMS[split][i] for i in rng.integers(len(PROGRAMS[split]), size=clips)]
    scenes = sample_scenes(programs, frame_times(4), rng)
    seen = F.normalize(miniature.see(compress(render(scenes, side=SIDE), rng)), dim=-1)  # [V, T, D]
    # Captions of one clip are put in the same words: frames that show the same have the same caption.
    texts = [caption(scenes, v, t, np.random.default_rng([seed, v]), drop=0.0) for v in range(clips) for t in range(4)]
    told = F.normalize(miniature.read(texts), dim=-1).unflatten(0, (-1, 4))
    text = torch.from_numpy(np.unique(texts, return_inverse=True)[1]).unflatten(0, (-1, 4))  # [V, T]
    one = torch.arange(clips), torch.from_numpy(rng.integers(4, size=clips))
    frames, captions, number = (x[one].unflatten(0, (-1, choices)) for x in (seen, told, text))
    return {
        'caption of a frame': _nearest(frames, captions, number),
        'frame of a caption': _nearest(captions, frames, number),
        'caption of a frame, within a clip': _nearest(seen, told, text),
        'frame of a caption, within a clip': _nearest(told, seen, text),
        'within a clip, chance': _percent((text[:, :, None] == text[:, None]).float().numpy()),
    }


def class_names(miniature: Miniature, split: str, *, per_class: int, seed: int = 0) -> float:
    """Percent of clips of which the mean frame is nearest to the name of its class among those of its split."""
    names = miniature.read([f'a photo of {sentence(program)}' for program in PROGRAMS[split]])
    programs = [program for program in PROGRAMS[split] for _ in range(per_class)]
    clips = miniature.see(fresh_clips(programs, seed)).mean(1)
    chosen = (F.normalize(clips, dim=-1) @ F.normalize(names, dim=-1).T).argmax(1).numpy()
    return _percent(chosen == np.repeat(np.arange(len(names)), per_class))


def training_free(miniature: Miniature, split: str, *, per_class: int, episodes: int, seed: int = 1) -> dict[str, dict]:
    """5-way 1-shot accuracy and interval of frame embeddings: plain, and minus the mean of meta-train or of a clip."""
    base = miniature.see(fresh_clips(list(PROGRAMS['train']) * 4, seed)).mean((0, 1))
    found = miniature.see(fresh_clips([p for p in PROGRAMS[split] for _ in range(per_class)], seed + 1))
    labels = np.repeat(np.arange(len(PROGRAMS[split])), per_class)
    shifts = {'as they are': 0, 'minus the meta-train mean': base, 'minus the mean of each clip': found.mean(1, True)}
    return {
        name: {
            metric: [round(x, 1) for x in one_shot(distance, labels, episodes=episodes, seed=seed)]
            for metric, distance in distances(found - shift).items()
        }
        for name, shift in shifts.items()
    }


def _nearest(queries: Tensor, keys: Tensor, text: Tensor) -> float:
    """Percent of unit vectors ``[G, M, D]`` of which the nearest of the group has the same caption ``[G, M]``."""
    return _percent((text.gather(1, (queries @ keys.mT).argmax(-1)) == text).numpy())


def _percent(right: np.ndarray) -> float:
    return round(100 * float(np.mean(right)), 1)


def report(miniature: Miniature, *, clips: int, choices: int, per_class: int, episodes: int) -> dict[str, dict]:
    """Everything that is measured."""
    return {
        'retrieval_choices': choices,
        'retrieval': {split: retrieval(miniature, split, clips=clips, choices=choices) for split in SPLITS},
        'class_names': {
            split: [class_names(miniature, split, per_class=per_class), round(100 / len(PROGRAMS[split]), 1)]
            for split in SPLITS
        },
        'training_free_5way_1shot_val': training_free(miniature, 'val', per_class=per_class, episodes=episodes),
    }


def tables(found: dict[str, dict]) -> str:
    """The three tables in Markdown."""
    choices, retrieved, names, free = found.values()
    kinds = list(retrieved['train'])
    lines = [f'Among {choices} (chance {100 / choices:g} %), or among the four frames of a clip:', '']
    lines += [table_row('frames of', *kinds), table_row(*['---'] * (1 + len(kinds)))]
    lines += [table_row(group, *(row[kind] for kind in kinds)) for group, row in retrieved.items()]
    lines += ['', table_row('class name of a clip', 'right', 'chance'), table_row('---', '---', '---')]
    lines += [table_row(split, *row) for split, row in names.items()]
    metrics = list(next(iter(free.values())))
    lines += ['', table_row('5-way 1-shot, meta-val', *metrics), table_row(*['---'] * (1 + len(metrics)))]
    lines += [table_row(name, *(f'{x} ± {interval}' for x, interval in row.values())) for name, row in free.items()]
    return '\n'.join(lines)


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--weights', type=Path, default=Path(__file__).parent / 'weights')
    parser.add_argument('--clips', type=int, default=1000, help='clips of each split whose frames are retrieved')
    parser.add_argument('--choices', type=int, default=100, help='captions among which that of a frame is looked for')
    parser.add_argument('--per-class', type=int, default=30, help='clips of a class in the other tables')
    parser.add_argument('--episodes', type=int, default=2000)
    parser.add_argument('--threads', type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    found = report(
        Miniature(args.weights),
        clips=args.clips,
        choices=args.choices,
        per_class=args.per_class,
        episodes=args.episodes,
    )
    print(tables(found))
    file = args.weights / 'metrics.json'
    known = json.loads(file.read_text()) if file.exists() else {}
    file.write_text(json.dumps(known | found, indent=2) + '\n')


if __name__ == '__main__':
    main()
