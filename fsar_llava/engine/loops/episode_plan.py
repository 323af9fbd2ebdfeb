"""All episodes of a test as index tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor

from fsar_llava.datasets import EpisodicDataset, EpisodicSampler
from fsar_llava.structures import EpisodeBatch

from .video_variants import VideoVariants


@dataclass(frozen=True)
class EpisodePlan:
    """E episodes, described before any video is loaded.

    Attributes:
        episodes: All of them as one batch, on the CPU; its positions are rows of the feature bank.
    """

    episodes: EpisodeBatch

    @classmethod
    def make(
        cls,
        dataset: EpisodicDataset,
        sampler: EpisodicSampler,
        variants: VideoVariants,
        unreadable: Mapping[int, str] = MappingProxyType({}),
    ) -> EpisodePlan:
        """Draw the episodes of the sampler's epoch.

        Args:
            dataset: Knows the videos.
            sampler: Draws the episodes.
            variants: Numbers what is needed of the videos; grows.
            unreadable: Videos that cannot be loaded, with what is wrong with each; the dataset replaces them.

        Raises:
            RuntimeError: If such a video must not, or cannot, be replaced.
        """
        support, query, ways, names, heads = [], [], [], [], []
        shape = (sampler.num_ways, sampler.num_shots)
        for number in range(len(dataset)):
            stamps = dataset.stamps(dataset.replace_videos(sampler.episode(number), unreadable))
            rows = [variants.row(stamp) for stamp in stamps]
            count = sampler.num_ways * sampler.num_shots  # supports come first, way by way
            support.append(rows[:count])
            query.append(rows[count:])
            ways.append([stamp['way'] for stamp in stamps[count:]])
            names.append(tuple(stamp['video_name'] for stamp in stamps[count:]))
            heads.append(stamps[0])
        return cls(
            EpisodeBatch(
                support_index=torch.tensor(support).view(-1, *shape),
                query_index=torch.tensor(query),
                query_way=torch.tensor(ways),
                episode_ids=tuple(head['episode_id'] for head in heads),
                class_names=tuple(head['class_names'] for head in heads),
                class_ids=tuple(head['class_ids'] for head in heads),
                digests=tuple(head['episode_digest'] for head in heads),
                query_names=tuple(names),
                unreadable=tuple(head['unreadable'] for head in heads),
            )
        )

    def __len__(self) -> int:
        return len(self.episodes.episode_ids)

    def select(self, numbers: list[int]) -> EpisodeBatch:
        """Some of the episodes."""
        whole = self.episodes
        index = torch.tensor(numbers)
        return EpisodeBatch(
            support_index=whole.support_index[index],
            query_index=whole.query_index[index],
            query_way=whole.query_way[index],
            episode_ids=tuple(whole.episode_ids[number] for number in numbers),
            class_names=tuple(whole.class_names[number] for number in numbers),
            class_ids=tuple(whole.class_ids[number] for number in numbers),
            digests=tuple(whole.digests[number] for number in numbers),
            query_names=tuple(whole.query_names[number] for number in numbers),
            unreadable=tuple(whole.unreadable[number] for number in numbers),
        )

    def indices(self, begin: int, end: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """Rows of supports ``[B, N, K]`` and queries ``[B, Q]`` of the episodes ``begin`` to ``end - 1``."""
        whole = self.episodes
        return whole.support_index[begin:end].to(device), whole.query_index[begin:end].to(device)
