"""Small objects that many tests need."""

from __future__ import annotations

import torch
from mmaction.structures import ActionDataSample

from fsar_llava import VideoFeatures


def episode_samples(
    num_ways: int = 3, num_shots: int = 2, num_queries: int = 2, *, episode_id: int = 0, first_class: int = 0
) -> list[ActionDataSample]:
    """The stamped samples of one episode; ``num_queries`` is per way."""
    names = tuple(f'class {first_class + way}' for way in range(num_ways))
    roles = [('support', way) for way in range(num_ways) for _ in range(num_shots)]
    roles += [('query', way) for way in range(num_ways) for _ in range(num_queries)]
    samples = []
    for index, (role, way) in enumerate(roles):
        samples.append(
            ActionDataSample(
                metainfo=dict(
                    episode_id=episode_id,
                    episode_digest=f'digest{episode_id}',
                    episode_size=len(roles),
                    role=role,
                    way=way,
                    class_name=names[way],
                    class_id=first_class + way,
                    class_names=names,
                    class_ids=tuple(range(first_class, first_class + num_ways)),
                    video_index=index,
                    video_name=f'{names[way]}/{index}.mp4',
                )
            )
        )
    return samples


def random_features(
    num_videos: int, *, frames: int = 4, words: int = 5, channels: int = 8, seed: int = 0
) -> VideoFeatures:
    """Random features; the text of every second video is one token shorter."""
    generator = torch.Generator().manual_seed(seed)
    mask = torch.ones(num_videos, words, dtype=torch.bool)
    mask[1::2, -1] = False
    return VideoFeatures(
        torch.randn(num_videos, frames, channels, generator=generator),
        torch.randn(num_videos, words, channels, generator=generator),
        mask,
    )
