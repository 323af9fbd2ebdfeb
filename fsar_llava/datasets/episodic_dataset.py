"""Makes episodes of the videos of any MMAction2 dataset."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, TypeVar

import numpy as np
from mmaction.registry import DATASETS
from mmengine.dataset import BaseDataset
from mmengine.logging import print_log
from torch.utils.data import Dataset

from fsar_llava.checks import check_integers
from fsar_llava.structures import Episode, EpisodeItem

from .annotations import build_dataset, name_classes, read_videos, video_path
from .list_hash import list_hash

Video = TypeVar('Video')

REMEDY = (
    "Restore the file, or remove its line from the annotation file, or set on_error='replace' in the EpisodicDataset "
    'to use another video of the class.'
)
"""What to do about a video that cannot be loaded."""


@DATASETS.register_module()
class EpisodicDataset(Dataset):
    """A dataset of episodes that are drawn from the videos of another dataset.

    ``dataset[episode]`` lists the episode's videos in the episode's order, each as the wrapped dataset's pipeline packs
    it; ``collate_fn=dict(type='repeat_pseudo_collate')`` then lines up the V videos of a batch. Every
    ``ActionDataSample`` is stamped with ``episode_id``, ``episode_digest``, ``episode_size``, ``role``, ``way``,
    ``class_name``, ``class_id``, ``class_names`` and ``class_ids`` (N, by way), ``video_index``, ``video_name`` and
    ``unreadable`` (the names of videos that others replace in the episode).
    :class:`~fsar_llava.structures.EpisodeBatch` reads the stamps.

    Args:
        dataset: An MMAction2 dataset or its config, such as ``dict(type='VideoDataset', ...)``.
        num_episodes: Episodes of an epoch, or of a validation or test; the length of this dataset.
        classes: Class names by label, or a text file with one name a line. Defaults to ``classes`` in the metainfo of
            the wrapped dataset, else to the labels themselves.
        on_error: What to do about a video that cannot be loaded: ``'raise'`` an error, or ``'replace'`` it by another
            video of its class that the episode does not use, and log it as an error.

    Attributes:
        dataset: The wrapped dataset.
        video_names: Name of each video, relative to the ``data_prefix`` of the wrapped dataset.
        video_labels: Label of each video.
        class_names: Name of each label.
        class_to_indices: The videos of each label that has any. They are in the order of their names, so that episodes
            do not depend on the order of the lines in an annotation file.
        list_hash: SHA-256 of the sorted names and labels: which list of videos a result belongs to.

    Raises:
        ValueError: If an argument or the annotations cannot be used; names file and line where it can.
        TypeError: If ``dataset`` is a wrapper that hides its videos.
    """

    def __init__(
        self,
        dataset: BaseDataset | dict,
        num_episodes: int = 10000,
        classes: str | Sequence[str] | None = None,
        on_error: Literal['raise', 'replace'] = 'raise',
    ) -> None:
        check_integers(self, num_episodes=num_episodes)
        if on_error not in ('raise', 'replace'):
            raise ValueError(f"EpisodicDataset: on_error must be 'raise' or 'replace', but is {on_error!r}.")
        self.num_episodes, self.on_error = num_episodes, on_error
        self.dataset = build_dataset(dataset) if isinstance(dataset, dict) else dataset
        if not isinstance(self.dataset, BaseDataset):
            raise TypeError(
                f'EpisodicDataset wraps a dataset such as VideoDataset or RawframeDataset, but got a '
                f'{type(self.dataset).__name__}. Put the dataset itself here, not a wrapper around it.'
            )
        self.dataset.full_init()
        self.video_names, self.video_labels = read_videos(self.dataset)
        self.class_names = name_classes(classes or self.dataset.metainfo.get('classes'), self.video_labels)
        self.class_to_indices: dict[int, list[int]] = {label: [] for label in sorted(set(self.video_labels))}
        for index in sorted(range(len(self.video_names)), key=self.video_names.__getitem__):
            self.class_to_indices[self.video_labels[index]].append(index)
        self.list_hash = list_hash(zip(self.video_names, self.video_labels))

    @property
    def metainfo(self) -> dict[str, Any]:
        """Metainfo of the wrapped dataset, with ``classes`` (the names by label) and ``list_hash``."""
        return dict(self.dataset.metainfo, classes=self.class_names, list_hash=self.list_hash)

    def full_init(self) -> None:
        """Does nothing: mmengine's runner calls this on every dataset, and this one is complete once it is made."""

    def __len__(self) -> int:
        return self.num_episodes

    def __getitem__(self, episode: Episode) -> list[dict]:
        """The packed, stamped videos of an episode.

        Raises:
            TypeError: If ``episode`` is a number; only :class:`EpisodicSampler` knows which episode it stands for.
            RuntimeError: If a video cannot be loaded and must not, or cannot, be replaced.
        """
        if not isinstance(episode, Episode):
            raise TypeError(
                f'EpisodicDataset takes an Episode as its index, but got {episode!r}. Put '
                "sampler=dict(type='EpisodicSampler', ...) into the config of the dataloader, or write "
                'dataset[EpisodicSampler(dataset, ...).episode(0)].'
            )
        played, videos, notes = self._cast(episode, self.load_video)
        for note in notes:
            print_log(note, 'current', logging.ERROR)  # of several processes, all but the first hide warnings
        for video, stamp in zip(videos, self.stamps(played)):
            for name, value in stamp.items():  # set_metainfo() would copy what cannot change
                video['data_samples'].set_field(value, name, field_type='metainfo')
        return videos

    def replace_videos(self, episode: Episode, unreadable: Mapping[int, str]) -> Episode:
        """The episode that ``dataset[episode]`` becomes if some videos cannot be loaded. Loads no video.

        Args:
            episode: As it was drawn.
            unreadable: Index of a video -> what is wrong with it.

        Raises:
            RuntimeError: If a video must not, or cannot, be replaced.
        """
        if all(item.index not in unreadable for item in episode.items):
            return episode

        def load(index: int) -> None:
            if index in unreadable:
                raise RuntimeError(unreadable[index])

        return self._cast(episode, load)[0]

    def get_data_info(self, index: int) -> dict:
        """What the pipeline starts from: what the wrapped dataset says about a video, and ``video_name``."""
        return dict(self.dataset.get_data_info(index), video_name=self.video_names[index])

    def load_video(self, index: int) -> dict:
        """One video as the wrapped pipeline packs it. Unlike ``dataset[index]`` it never answers with another video.

        Raises:
            RuntimeError: If the video cannot be loaded.
        """
        info = self.get_data_info(index)
        video = f'{video_path(info)} (class {self.class_names[self.video_labels[index]]!r})'
        try:
            packed = self.dataset.pipeline(info)
        except Exception as error:  # decoders raise whatever they like
            raise RuntimeError(f'Cannot load the video {video}: {type(error).__name__}: {error}'.rstrip()) from error
        if packed is None:
            raise RuntimeError(f'Cannot load the video {video}: its pipeline gave None.')
        return packed

    def stamps(self, episode: Episode) -> list[dict[str, Any]]:
        """What the data sample of each video of an episode is told about it. Loads no video."""
        label_of_way = {item.way: self.video_labels[item.index] for item in episode.items if item.role == 'support'}
        class_ids = tuple(label for _, label in sorted(label_of_way.items()))
        common = dict(
            episode_id=episode.id,
            episode_digest=self.digest(episode),
            episode_size=len(episode.items),
            unreadable=tuple(self.video_names[index] for index in episode.unreadable),
            class_names=tuple(self.class_names[label] for label in class_ids),
            class_ids=class_ids,
        )
        return [
            dict(
                common,
                role=item.role,
                way=item.way,
                class_name=self.class_names[self.video_labels[item.index]],
                class_id=self.video_labels[item.index],
                video_index=item.index,
                video_name=self.video_names[item.index],
            )
            for item in episode.items
        ]

    def digest(self, episode: Episode) -> str:
        """Fingerprint of an episode: equal wherever the same videos play the same parts."""
        parts = (f'{item.role}\t{item.way}\t{self.video_names[item.index]}' for item in episode.items)
        return hashlib.sha256('\n'.join(parts).encode()).hexdigest()[:16]

    def _cast(self, episode: Episode, load: Callable[[int], Video]) -> tuple[Episode, list[Video], list[str]]:
        """The episode with the videos that play its parts, what ``load`` gives for them, and who replaces whom why."""
        used = {item.index for item in episode.items}
        items, videos, notes, unreadable = [], [], [], {}
        for item in episode.items:
            index, video, failures = self._load_or_replace(item, episode.id, used, load)
            if failures:
                cause = failures[item.index]
                notes.append(f'Episode {episode.id}: {cause}. {self.video_names[index]} takes its place.')
            unreadable.update(failures)
            used.add(index)
            items.append(item._replace(index=index))
            videos.append(video)
        return Episode(episode.id, tuple(items), tuple(unreadable)), videos, notes

    def _load_or_replace(
        self, item: EpisodeItem, episode_id: int, used: set[int], load: Callable[[int], Video]
    ) -> tuple[int, Video, dict[int, RuntimeError]]:
        """Index and content of the video that plays the part of ``item``, and why others do not."""
        failures = {}
        for index in self._candidates(item, episode_id, used):
            try:
                return index, load(index), failures
            except RuntimeError as error:
                failures[index] = error
        first = failures[item.index]
        remedy = REMEDY
        if self.on_error == 'replace':
            remedy = f'Nor can any of the {len(failures) - 1} videos of the class that the episode does not use.'
        raise RuntimeError(f'Episode {episode_id}: {first}. {remedy}') from first

    def _candidates(self, item: EpisodeItem, episode_id: int, used: set[int]) -> Iterator[int]:
        """The video itself, then those that may replace it, in an order that only the episode and the video decide."""
        yield item.index
        if self.on_error == 'replace':
            spare = [index for index in self.class_to_indices[self.video_labels[item.index]] if index not in used]
            seed = int.from_bytes(hashlib.sha256(self.video_names[item.index].encode()).digest()[:4], 'big')
            yield from np.random.RandomState([episode_id, seed]).permutation(spare).tolist()
