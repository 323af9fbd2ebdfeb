"""The preprocessing that video MLLMs were trained with."""

from __future__ import annotations

import numpy as np
import torch
from einops import rearrange
from mmaction.registry import TRANSFORMS
from mmcv.transforms import BaseTransform
from torch.nn import functional as F


@TRANSFORMS.register_module()
class MLLMResizeCrop(BaseTransform):
    """Resize the short side with an antialiased bicubic filter, then crop the centre.

    Gives the pixels of the model's own processor in transformers. OpenCV's bicubic filter, which MMAction2's ``Resize``
    uses, does not antialias, so that the features of large videos change.

    Required keys: ``imgs`` (T images ``[H, W, C]`` of uint8). Modified or added keys: ``imgs``, ``img_shape``,
    ``keep_ratio``, ``scale_factor``, ``crop_bbox``.

    Args:
        size: Short side after resizing, and both sides of the crop, in pixels.

    Raises:
        ValueError: If ``size`` is no positive integer.
    """

    def __init__(self, size: int = 224) -> None:
        if not isinstance(size, int) or size < 1:
            raise ValueError(f'size must be a positive integer, but is {size!r}.')
        self.size = size

    def transform(self, results: dict) -> dict:
        """Resize and crop all frames of one video.

        Raises:
            TypeError: If the frames are not of type uint8.
        """
        frames = torch.from_numpy(np.stack(results['imgs']))
        if frames.dtype != torch.uint8:
            raise TypeError(
                f'MLLMResizeCrop takes decoded frames of type uint8, but got {frames.dtype}. Put it right behind the '
                'decoding.'
            )
        height, width = frames.shape[1:3]
        short = min(height, width)
        new_height, new_width = self.size * height // short, self.size * width // short
        if (new_height, new_width) != (height, width):
            pixels = rearrange(frames, 't h w c -> t c h w')
            pixels = F.interpolate(pixels, (new_height, new_width), mode='bicubic', antialias=True)
            frames = rearrange(pixels, 't c h w -> t h w c')
        top, left = (new_height - self.size) // 2, (new_width - self.size) // 2
        frames = frames[:, top : top + self.size, left : left + self.size]

        scale = np.array([new_width / width, new_height / height], dtype=np.float32)
        results['imgs'] = list(frames.contiguous().numpy())
        results['img_shape'] = (self.size, self.size)
        results['keep_ratio'] = True
        results['scale_factor'] = results.get('scale_factor', np.ones(2, dtype=np.float32)) * scale
        results['crop_bbox'] = np.array([left, top, left + self.size, top + self.size])
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(size={self.size})'
