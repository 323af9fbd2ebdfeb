"""The cosine between videos and texts."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def cosine(videos: Tensor, texts: Tensor) -> Tensor:
    """Cosine of every video, or frame, with every text.

    Half precision is promoted to float32, also under autocast: cosines with class texts differ little, and are
    multiplied by 100 or more.

    Args:
        videos: ``[*, M, D]``.
        texts: ``[*, N, D]``.

    Returns:
        ``[*, M, N]``.
    """
    dtype = torch.promote_types(torch.promote_types(videos.dtype, texts.dtype), torch.float32)
    with torch.autocast(videos.device.type, enabled=False):
        return F.normalize(videos.to(dtype), dim=-1) @ F.normalize(texts.to(dtype), dim=-1).mT
