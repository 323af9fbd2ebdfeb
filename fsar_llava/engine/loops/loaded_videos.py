"""Batches of videos, some of which cannot be loaded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from mmengine.dataset import pseudo_collate
from torch.utils.data import DataLoader, Dataset

from fsar_llava.datasets import EpisodicDataset


class LoadedVideos(NamedTuple):
    """What a loader gives for a batch of videos.

    Attributes:
        videos: Index in the dataset of each video that could be loaded.
        batch: These videos, collated; None if there is none.
        errors: Index of a video that could not be loaded -> what is wrong with it.
    """

    videos: list[int]
    batch: dict | None
    errors: dict[int, str]


class Attempts(Dataset):
    """The videos of an episodic dataset one by one: ``(index, packed video, None)`` or ``(index, None, error)``.

    Args:
        dataset: The episodic dataset.
    """

    def __init__(self, dataset: EpisodicDataset) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset.video_names)

    def __getitem__(self, index: int) -> tuple[int, dict | None, str | None]:
        try:
            return index, self.dataset.load_video(index), None
        except RuntimeError as error:
            return index, None, str(error)


def video_loader(episodes: DataLoader, batches: Sequence[Sequence[int]]) -> DataLoader:
    """A loader of :class:`LoadedVideos`.

    Args:
        episodes: The loader of episodes, whose dataset and workers it takes over.
        batches: The videos of each batch, by their index in the dataset.
    """
    workers = episodes.num_workers
    return DataLoader(
        Attempts(episodes.dataset),
        batch_sampler=batches,
        num_workers=workers,
        collate_fn=_collate,
        pin_memory=episodes.pin_memory,
        multiprocessing_context=episodes.multiprocessing_context if workers else None,
        worker_init_fn=episodes.worker_init_fn if workers else None,
    )


def first_readable(dataset: EpisodicDataset) -> int:
    """The index of a video that can be loaded.

    Raises:
        RuntimeError: If there is none.
    """
    errors = []
    for index in sorted(index for indices in dataset.class_to_indices.values() for index in indices):
        _, _, error = Attempts(dataset)[index]
        if error is None:
            return index
        errors.append(error)
    raise RuntimeError(
        f'None of the {len(errors)} videos can be loaded. Check data_root and data_prefix of the dataset. The first '
        f'error: {errors[0]}'
    )


def _collate(attempts: Sequence[tuple[int, dict | None, str | None]]) -> LoadedVideos:
    loaded = {index: video for index, video, error in attempts if error is None}
    errors = {index: error for index, _, error in attempts if error is not None}
    return LoadedVideos(list(loaded), pseudo_collate(list(loaded.values())) if loaded else None, errors)
