"""Random features of episodes, in float64."""

from __future__ import annotations

import torch

from fsar_llava import VideoFeatures

B, N, K, Q, T, D = 2, 3, 2, 4, 3, 8


def episode_features(
    seed: int = 0, *, text: bool = True, shape: tuple[int, ...] = (B, N, K, Q, T, D)
) -> tuple[VideoFeatures, VideoFeatures]:
    """Supports with one text for each class, and queries with none."""
    episodes, ways, shots, queries, frames, channels = shape
    generator = torch.Generator().manual_seed(seed)

    def draw(*size: int) -> torch.Tensor:
        return torch.randn(*size, generator=generator, dtype=torch.float64)

    support, query = draw(episodes, ways, shots, frames, channels), draw(episodes, queries, frames, channels)
    texts = draw(episodes, ways, 1, 1, channels).expand(-1, -1, shots, -1, -1)
    if not text:
        return VideoFeatures(support), VideoFeatures(query)
    return (
        VideoFeatures(support, texts, torch.ones(texts.shape[:-1], dtype=torch.bool)),
        VideoFeatures(
            query, torch.zeros(*query.shape[:2], 1, channels).double(), torch.zeros(*query.shape[:2], 1).bool()
        ),
    )
