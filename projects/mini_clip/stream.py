"""The training stream: frames of the clips that teach the miniature Video-LLaVA to see, with captions."""

from __future__ import annotations

import torch

from fsar_llava.datasets.synthetic_motion.programs import PROGRAMS
from fsar_llava.datasets.synthetic_motion.renderer import render
from fsar_llava.datasets.synthetic_motion.scenes import frame_times, sample_scenes
from projects.mini_video_llava.model import SIDE
from projects.mini_video_llava.stream import Stream, compress, places

from .captions import caption

FRAMES_PER_CLIP = 4


class CaptionStream(Stream):
    """Batches of frames, each with a caption; step ``i`` is a pure function of the seed.

    The clips show meta-train classes and random compositions, never a held-out program.

    Args:
        steps: Number of batches.
        clips: Clips a batch, of four frames each.
        seed: Seed of the run.
        tokenizer: The miniature's tokenizer.
    """

    def __init__(self, steps: int, *, clips: int, seed: int, tokenizer) -> None:
        super().__init__('see', steps, clips=clips, seed=seed)
        self.tokenizer = tokenizer

    def __getitem__(self, step: int) -> dict[str, torch.Tensor]:
        """One batch.

        Returns:
            ``frames`` ``[V, T, H, W, 3]``, the tokens ``words`` ``[V*T, L]`` of a caption of each, ``label`` ``[V]``
            (the meta-train class, -1 for a random composition) and what :func:`places` gives.
        """
        rng = self.rng(step)
        programs = self.programs(step, rng)
        scenes = sample_scenes(programs, frame_times(FRAMES_PER_CLIP), rng)
        frames = compress(render(scenes, side=SIDE), rng)
        texts = [caption(scenes, v, t, rng) for v in range(self.clips) for t in range(FRAMES_PER_CLIP)]
        labels = [PROGRAMS['train'].index(p) if p in PROGRAMS['train'] else -1 for p in programs]
        return {
            'frames': torch.from_numpy(frames),
            'words': self.tokenizer(texts, padding=True, return_tensors='pt')['input_ids'],
            'label': torch.tensor(labels),
            **places(scenes),
        }
