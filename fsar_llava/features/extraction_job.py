"""Which tokens are to be made of which video."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from .fingerprint import Fingerprint
from .token_store import TokenStore


class NamedVideos(Protocol):
    """What is needed of a dataset; :class:`EpisodicDataset` has it."""

    dataset: object
    video_names: Sequence[str]
    video_labels: Sequence[int]
    class_names: Mapping[int, str]

    def load_video(self, index: int) -> dict:
        """One video as its pipeline packs it."""


@dataclass(frozen=True)
class ExtractionJob:
    """One video with its prompts.

    Attributes:
        video: Its name, relative to its dataset's prefix.
        path: The file, or the folder of frames.
        prompts: What it is asked; at least one.
        dataset: Loads it.
        index: Its place in the dataset.
        total_frames: Of a folder of frames, as the dataset's list has it.
    """

    video: str
    path: str
    prompts: tuple[str, ...]
    dataset: NamedVideos
    index: int
    total_frames: int | None = None

    def lacking(self, store: TokenStore) -> tuple[str, ...]:
        """The prompts to run so that the store has all the video's tokens, of the content that it has now.

        Empty where nothing is lacking. Prompts that the store has already are among them as long as the content is the
        same: the latest entry of a video replaces those before.
        """
        entry = store.videos.get(self.video)
        try:
            if entry is None or not entry.fingerprint.matches(self.path, self.total_frames):
                return self.prompts
        except OSError:  # loading the video reports it
            return self.prompts
        return () if set(self.prompts) <= set(entry.textual) else tuple(dict.fromkeys((*self.prompts, *entry.textual)))


def make_jobs(datasets: Sequence[NamedVideos], prompts_of_class: Callable[[str], Iterable[str]]) -> list[ExtractionJob]:
    """The videos of some datasets, each once.

    Args:
        datasets: Such as those of training, validation and test.
        prompts_of_class: The prompts of a video, from the name of its class.

    Raises:
        ValueError: If two different files go by one name, or two lists disagree about the frames of one.
    """
    jobs: dict[str, ExtractionJob] = {}
    for dataset in datasets:
        for index, (video, label) in enumerate(zip(dataset.video_names, dataset.video_labels)):
            info = dataset.dataset.get_data_info(index)
            path = info.get('filename') or info['frame_dir']
            prompts = tuple(dict.fromkeys(prompts_of_class(dataset.class_names[label])))
            frames = info.get('total_frames')
            job = jobs.setdefault(video, ExtractionJob(video, path, prompts, dataset, index, frames))
            if job.path != path:
                raise ValueError(
                    f'Two different files are called {video!r} in their datasets: {job.path} and {path}. Extract these '
                    'datasets into stores of their own.'
                )
            if job.total_frames != frames:
                raise ValueError(
                    f'One list gives {path} {job.total_frames} frames and another one {frames}. Correct the number in '
                    'one of them.'
                )
            jobs[video] = replace(job, prompts=tuple(dict.fromkeys(job.prompts + prompts)))
    return list(jobs.values())


class JobVideos:
    """A dataset of the videos of some jobs, for a dataloader.

    Its items are ``(number, fingerprint, packed video, None)``, or ``(number, None, None, error)`` where a video cannot
    be loaded: one broken file must not end the extraction of thousands.

    Args:
        jobs: The jobs.
    """

    def __init__(self, jobs: Sequence[ExtractionJob]) -> None:
        self.jobs = jobs

    def __len__(self) -> int:
        return len(self.jobs)

    def __getitem__(self, number: int) -> tuple[int, Fingerprint | None, dict | None, str | None]:
        job = self.jobs[number]
        try:
            return number, Fingerprint.of(job.path, job.total_frames), job.dataset.load_video(job.index), None
        except (RuntimeError, OSError) as error:
            return number, None, None, str(error)
