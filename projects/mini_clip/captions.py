"""What one frame shows, in words. A caption knows nothing of what happens before or after its frame."""

from __future__ import annotations

import numpy as np

from fsar_llava.datasets.synthetic_motion.programs import PROGRAMS, sentence
from fsar_llava.datasets.synthetic_motion.scenes import SHAPES, Scenes
from projects.mini_video_llava.questions import COLORS

HEIGHTS = ('at the top', 'up', 'halfway', 'down', 'at the bottom')
SIDES = ('far left', 'left', 'in the middle', 'right', 'far right')
SIZES = ('small', 'medium', 'big')
STRENGTHS = ('faint', 'pale', 'bright')
CLASS_SENTENCES: tuple[str, ...] = tuple(sentence(program) for program in PROGRAMS['train'])
"""Names of the meta-train classes, the only ones that training reads."""

_PLACE_EDGES = (0.28, 0.43, 0.57, 0.72)  # five equal parts of what a centre can reach
_SIZE_EDGES, _STRENGTH_EDGES = (0.23, 0.3), (0.5, 0.75)
_NEAR, _FAR = 0.33, 0.5


def caption(scenes: Scenes, clip: int, frame: int, rng: np.random.Generator, *, drop: float = 0.2) -> str:
    """Describe both shapes of one frame, for example *a big faint red star up, left and a small bar down, far right*.

    Args:
        scenes: True state of the clips.
        clip: Which clip.
        frame: Which of its frames.
        rng: Chooses the order of both shapes and what is left out.
        drop: Chance that an adjective is left out, that a shape is only called *shape*, and that the caption starts
            with *a photo of*; near and far are told as often as not.
    """
    first, second = (int(i) for i in rng.permutation(2))
    gap = np.linalg.norm(scenes.position[clip, frame, 0] - scenes.position[clip, frame, 1])
    told = rng.random() < 0.5
    link = ' near ' if told and gap < _NEAR else ' far from ' if told and gap > _FAR else ' and '
    start = 'a photo of ' if rng.random() < drop else ''
    one, other = (describe(scenes, clip, frame, i, rng, drop=drop) for i in (first, second))
    return f'{start}a {one}{link}{"another" if other.startswith("shape") else "a"} {other}'


def describe(scenes: Scenes, clip: int, frame: int, i: int, rng: np.random.Generator, *, drop: float) -> str:
    """Size, strength, colour, shape and place of one shape, without an article."""
    x, y = scenes.position[clip, frame, i] + scenes.shake[clip, frame]
    looks = [
        SIZES[np.searchsorted(_SIZE_EDGES, scenes.size[clip, frame, i])],
        STRENGTHS[np.searchsorted(_STRENGTH_EDGES, scenes.opacity[clip, frame, i])],
        COLORS[scenes.color[clip, i]],
    ]
    kept = [word for word, left in zip(looks, rng.random(3) < drop) if not left]
    noun = 'shape' if rng.random() < drop else SHAPES[scenes.shape[clip, i]]
    place = f'{HEIGHTS[np.searchsorted(_PLACE_EDGES, y)]}, {SIDES[np.searchsorted(_PLACE_EDGES, x)]}'
    return ' '.join([*kept, noun, place])


def all_texts() -> list[str]:
    """Every text the tokenizer must be able to read: captions and the names of all classes.

    It takes the words of held-out classes, which are those of the others; their sentences are read nowhere.
    """
    from fsar_llava.datasets.synthetic_motion import CLASSES

    words = [*HEIGHTS, *SIDES, *SIZES, *STRENGTHS, *COLORS, *SHAPES]
    return [*words, 'a photo of a shape and another, near another, far from another', *CLASSES]
