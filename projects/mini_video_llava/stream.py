"""The training stream: step ``i`` of a stage is a pure function of the seed; a resumed run sees the same clips."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from fsar_llava.datasets.synthetic_motion.programs import PRIMITIVES, Program, sample_training_programs
from fsar_llava.datasets.synthetic_motion.renderer import render
from fsar_llava.datasets.synthetic_motion.scenes import Scenes, frame_times, sample_scenes

from . import questions as q
from .model import FRAMES, MEAN, SIDE, STD


def to_pixels(frames: np.ndarray) -> torch.Tensor:
    """Normalise RGB frames ``[V, T, H, W, 3]`` (uint8) as CLIP does to ``[V, T, 3, H, W]``."""
    mean, std = torch.tensor(MEAN), torch.tensor(STD)
    return ((torch.from_numpy(frames).float() - mean) / std).permute(0, 1, 4, 2, 3).contiguous()


def compress(frames: np.ndarray, rng: np.random.Generator, *, share: float = 0.6) -> np.ndarray:
    """Pass a share of the clips through lossy compression, since real clips come out of video files."""
    frames = frames.copy()
    for v in np.flatnonzero(rng.random(len(frames)) < share):
        tall = frames[v].reshape(-1, frames.shape[3], 3)
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(60, 96))]
        _, data = cv2.imencode('.jpg', tall, quality)
        frames[v] = cv2.imdecode(data, cv2.IMREAD_COLOR).reshape(frames[v].shape)
    return frames


class Stream(Dataset):
    """Batches of one stage.

    Args:
        stage: ``'see'`` (single frames with the place of both shapes) or ``'talk'`` (clips with questions).
        steps: Number of batches.
        clips: Clips a batch.
        seed: Seed of the run.
        tokenizer: Needed to talk.
        warmup: Steps over which the programs grow from single primitives to compositions.
    """

    def __init__(self, stage: str, steps: int, *, clips: int, seed: int, tokenizer=None, warmup: int = 225) -> None:
        self.stage, self.steps, self.clips, self.seed = stage, steps, clips, seed
        self.warmup = warmup
        self.packer = q.Packer(tokenizer) if tokenizer is not None else None

    def __len__(self) -> int:
        return self.steps

    def rng(self, step: int) -> np.random.Generator:
        """Source of randomness of one step."""
        return np.random.default_rng([self.seed, ('see', 'talk').index(self.stage), step])

    def programs(self, step: int, rng: np.random.Generator) -> list[Program]:
        """Programs shown at a step: the curriculum starts with single primitives."""
        if self.stage == 'see':
            return sample_training_programs(self.clips, rng)
        done = min(1.0, step / self.warmup)
        singles = 0.7 * (1 - done)
        triples = 0.25 * done
        lengths = (0.1 * (1 - singles) + singles, (1 - singles) * (0.9 - triples), (1 - singles) * triples)
        return sample_training_programs(self.clips, rng, known=0.45 * done, lengths=lengths)

    def __getitem__(self, step: int) -> dict[str, torch.Tensor]:
        rng = self.rng(step)
        programs = self.programs(step, rng)
        scenes = sample_scenes(programs, frame_times(FRAMES if self.stage == 'talk' else 4), rng)
        frames = compress(render(scenes, side=SIDE), rng)
        batch = {'frames': torch.from_numpy(frames), **places(scenes)}
        if self.stage == 'talk':
            asked = [self.ask(step, program, scenes, v, rng) for v, program in enumerate(programs)]
            batch |= {k: torch.from_numpy(a) for k, a in self.packer.pack(asked, programs).items()}
            batch |= motions(programs, scenes)
        return batch

    def ask(self, step: int, program: Program, scenes: Scenes, v: int, rng: np.random.Generator) -> list[q.Question]:
        """Questions about one clip: its caption, and in turns options, or a yes, a no and a detail."""
        asked = [q.caption(program)]
        if step % 2:
            kind = list(q.DENSE)[int(rng.integers(len(q.DENSE)))]
            asked.append(q.yes_no(program, program))
            asked.append(q.yes_no(program, q.negative(program, rng)))
            asked.append(q.dense(program, kind, scenes.shape[v, 0], scenes.color[v, 0]))
        else:
            wrong = {q.negative(program, rng, hard=0.4) for _ in range(int(rng.integers(1, 5)))}
            named = [program, *sorted(wrong)]
            asked.append(q.options(program, [named[i] for i in rng.permutation(len(named))]))
        return [asked[i] for i in rng.permutation(len(asked))]

    def loader(self, start: int = 0) -> DataLoader:
        """Batches from step ``start`` on, made ahead of time by one worker."""
        return DataLoader(self, batch_size=None, sampler=range(start, self.steps), num_workers=1, prefetch_factor=6)


def places(scenes: Scenes) -> dict[str, torch.Tensor]:
    """Where both shapes are in every frame, the one of lower hue first.

    Returns:
        ``place`` ``[V, T, 2, 4]`` (x, y, size, opacity, scaled to about unit variance), ``color`` and ``shape``
        ``[V, 2]``, ``heat`` ``[V, T, 2, P]`` (a bump over the patches around each centre), ``actor`` ``[V]`` (which of
        them acts).
    """
    order = np.argsort(scenes.color, axis=1)  # [V, 2]
    take = order[:, None, :]
    shake = np.rint(scenes.shake * SIDE) / SIDE
    xy = np.take_along_axis(scenes.position, take[..., None], axis=2) + shake[:, :, None]
    size, opacity = (np.take_along_axis(a, take, axis=2) for a in (scenes.size, scenes.opacity))
    place = np.concatenate([(xy - 0.5) * 5, (size - 0.27)[..., None] * 12, (opacity - 0.65)[..., None] * 4], axis=-1)
    grid = (
        np.stack(np.meshgrid(np.arange(4), np.arange(4)), -1).reshape(-1, 2) + 0.5
    ) / 4  # [P, 2] as (x, y), row-major
    heat = np.exp(-((xy[:, :, :, None] - grid) ** 2).sum(-1) / (2 * 0.15**2))
    arrays = {
        'place': place,
        'heat': heat,
        'color': np.take_along_axis(scenes.color, order, axis=1),
        'shape': np.take_along_axis(scenes.shape, order, axis=1),
        'actor': order.argmin(1),
    }
    return {k: torch.from_numpy(a.astype(np.float32 if a.dtype.kind == 'f' else np.int64)) for k, a in arrays.items()}


def motions(programs: list[Program], scenes: Scenes) -> dict[str, torch.Tensor]:
    """What the acting shape does between each frame and the one before it.

    Returns:
        ``motion`` ``[V, T, 5]`` (change of x, y, size, opacity and distance to the other shape, scaled) and
        ``primitive`` ``[V, T]`` (index into ``PRIMITIVES``, or their count where nothing happens); frame 0 has neither.
    """
    actor, other = scenes.position[:, :, 0], scenes.position[:, :, 1]
    distance = np.linalg.norm(actor - other, axis=-1, keepdims=True)
    state = np.concatenate(
        [actor * 10, scenes.size[:, :, :1] * 20, scenes.opacity[:, :, :1] * 6, distance * 10], axis=-1
    )
    motion = np.diff(state, axis=1, prepend=state[:, :1])
    done = np.diff(scenes.progress, axis=1, prepend=scenes.progress[:, :1])  # [V, T, 3]
    names = np.array([[PRIMITIVES.index(p) for p in program] + [0] * (3 - len(program)) for program in programs])
    primitive = np.take_along_axis(names, done.argmax(-1), axis=1)
    primitive = np.where(done.max(-1) > 0.08, primitive, len(PRIMITIVES))
    return {'motion': torch.from_numpy(motion.astype(np.float32)), 'primitive': torch.from_numpy(primitive)}
