"""From trajectories to frames."""

from __future__ import annotations

import cv2
import numpy as np

from .scenes import NUM_COLORS, SHAPES, Scenes

_SUBPIXEL = 8  # fractional bits of polygon corners


def render(scenes: Scenes, *, side: int = 64) -> np.ndarray:
    """Draw clips.

    Colours, textures, angles, the order of depth and the background come from ``scenes.seed``, clip by clip, so that a
    clip looks the same whichever others are drawn with it.

    Args:
        scenes: State of ``V`` clips at ``T`` times.
        side: Height and width of a frame in pixels.

    Returns:
        RGB frames ``[V, T, side, side, 3]``, uint8.
    """
    return np.stack([_render_clip(scenes, i, side) for i in range(len(scenes))])


def _render_clip(scenes: Scenes, clip: int, side: int) -> np.ndarray:
    rng = np.random.default_rng(scenes.seed[clip])
    shake = np.rint(scenes.shake[clip] * side).astype(int)  # whole pixels, [T, 2]
    frames = _background(shake, side, rng)  # channels first, [T, 3, side, side]
    colors = _paint(scenes.color[clip], rng)
    angles, textured = rng.uniform(0, 2 * np.pi, 2), rng.random(2) < 0.5
    center = scenes.position[clip] * side + shake[:, None]  # [T, 2, 2]
    for i in rng.permutation(2):
        outline = _polygon(SHAPES[scenes.shape[clip, i]], angles[i])
        opacity = scenes.opacity[clip, :, i, None, None] / np.float32(255)
        for scale, color in ((1.0, colors[i]), (0.5, colors[i] * np.float32(0.45)))[: 1 + textured[i]]:
            corners = outline * scale * scenes.size[clip, :, i, None, None] * side / 2 + center[:, i, None]  # [T, C, 2]
            alpha = (_fill(corners, side) * opacity)[:, None]
            frames += alpha * (color[:, None, None] - frames)
    return frames.clip(0, 255, out=frames).astype(np.uint8).transpose(0, 2, 3, 1)


def _fill(corners: np.ndarray, side: int) -> np.ndarray:
    """Anti-aliased masks ``[T, side, side]`` of one polygon a frame ``[T, C, 2]``."""
    masks = np.zeros((len(corners), side, side), np.uint8)
    points = np.rint((corners - 0.5) * 2**_SUBPIXEL).astype(np.int32)
    for mask, polygon in zip(masks, points):
        cv2.fillPoly(mask, [polygon], 255, cv2.LINE_AA, _SUBPIXEL)
    return masks


def _background(shake: np.ndarray, side: int, rng: np.random.Generator) -> np.ndarray:
    """A smooth greyish texture that moves with the camera ``[T, 3, side, side]``, float32."""
    pad = 4
    cells = int(rng.integers(2, 7))
    level, contrast = rng.uniform(50, 150), rng.uniform(5, 30)
    coarse = level + rng.normal(0, contrast, (cells, cells, 1)) + rng.normal(0, 8, (cells, cells, 3))
    wide = cv2.resize(coarse.astype(np.float32), (side + 2 * pad,) * 2, interpolation=cv2.INTER_CUBIC)
    wide = np.ascontiguousarray(wide.transpose(2, 0, 1))
    x, y = pad - np.clip(shake, -pad, pad).T
    return np.stack([wide[:, b : b + side, a : a + side] for a, b in zip(x, y)])


def _paint(hues: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """RGB colours ``[2, 3]`` of hue indices, each with its own tint."""
    hue = (hues + rng.uniform(-0.25, 0.25, 2)) * 180 / NUM_COLORS % 180
    hsv = np.stack([hue, rng.uniform(170, 255, 2), rng.uniform(210, 255, 2)], axis=1)
    return cv2.cvtColor(hsv[None].astype(np.uint8), cv2.COLOR_HSV2RGB)[0].astype(np.float32)


def _polygon(shape: str, angle: float) -> np.ndarray:
    """Corners ``[C, 2]`` of a shape of diameter 2 or a little less, turned by ``angle``."""
    if shape == 'cross':
        x = np.array([1, 1, 0.35, 0.35, -0.35, -0.35, -1, -1, -1, -0.35, -0.35, 0.35, 0.35, 1])
        y = np.array([-0.35, 0.35, 0.35, 1, 1, 0.35, 0.35, 0, -0.35, -0.35, -1, -1, -0.35, -0.35])
        corners = x + 1j * y
    elif shape == 'bar':
        corners = np.array([1 + 0.5j, -1 + 0.5j, -1 - 0.5j, 1 - 0.5j])
    else:
        count = {'circle': 20, 'square': 4, 'triangle': 3, 'diamond': 4, 'hexagon': 6, 'star': 10}[shape]
        radius = np.where(np.arange(count) % 2, 0.5, 1.0) if shape == 'star' else np.full(count, 1.0)
        corners = (
            radius * np.exp(2j * np.pi * np.arange(count) / count) * (1.1 if shape in ('square', 'triangle') else 1)
        )
        corners = corners.real * (0.65 if shape == 'diamond' else 1) + 1j * corners.imag
    corners = corners * np.exp(1j * angle)
    return np.stack([corners.real, corners.imag], axis=-1)
