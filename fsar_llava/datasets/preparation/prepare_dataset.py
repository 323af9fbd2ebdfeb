"""From a folder of videos to annotation files and an audit."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from fsar_llava.datasets.preparation.annotation_files import (
    choose_layout,
    leave_out_unwritable,
    link_videos,
    write_annotations,
)
from fsar_llava.datasets.preparation.audit import Audit
from fsar_llava.datasets.preparation.custom_split import split_by_lists, split_by_ratio
from fsar_llava.datasets.preparation.list_files import check_official, read_lists, read_official
from fsar_llava.datasets.preparation.records import LeftOut
from fsar_llava.datasets.preparation.scan import scan_frames, scan_videos
from fsar_llava.datasets.preparation.selection import Selection, select_folders, select_listed
from fsar_llava.datasets.preparation.video_opener import VideoOpener
from fsar_llava.datasets.preparation.video_tree import VideoTree
from fsar_llava.datasets.splits import ClassSplit, load_split

# What says which videos a data set has, where no list does.
NEEDS = dict(hmdb51='folders', ucf101='folders', custom='folders', ssv2_full='official', ssv2_small='lists')
NEEDS['kinetics100'] = 'lists'

RATIO = (2, 1, 1)
"""Shares of the classes for train, val and test, where none are given."""


def prepare_dataset(
    dataset: str,
    videos: str | Path,
    out: str | Path,
    *,
    lists: Sequence[str | Path] = (),
    official: Sequence[str | Path] = (),
    class_lists: Sequence[str | Path] = (),
    ratio: Sequence[float] = RATIO,
    seed: int = 0,
    frames: bool = False,
    num_frames: int = 8,
    open_videos: bool = True,
    decoder: str = 'decord',
    workers: int = 1,
) -> Audit:
    """Write ``train.txt``, ``val.txt``, ``test.txt``, ``classes.txt``, ``audit.json`` and ``left_out.txt``.

    A line of an annotation file is ``path<TAB>label``, for ``VideoDataset`` with TAB as delimiter; with ``frames`` it
    is ``folder frames label``, for ``RawframeDataset``. Labels count the classes through all splits; a class' line in
    ``classes.txt`` is its label. ``out/videos`` is made a link to the videos.

    Args:
        dataset: A benchmark of :func:`split_names`, or ``'custom'`` for a folder a class.
        videos: Folder of the videos.
        out: Folder to write to.
        lists: List files of the benchmark (see :func:`read_lists`).
        official: Annotations of Something-Something V2 (see :func:`read_official`).
        class_lists: For ``'custom'``: files with the classes of each split (see :func:`split_by_lists`).
        ratio: For ``'custom'`` without ``class_lists``: shares of the classes (see :func:`split_by_ratio`).
        seed: Likewise.
        frames: The videos are folders of images.
        num_frames: T, below which a video is reported as short.
        open_videos: Open every video, to leave out what cannot be read.
        decoder: ``'decord'`` or ``'pyav'``.
        workers: Processes that open videos.

    Raises:
        ValueError: If the arguments do not fit together, a list is faulty, or no video is found.
    """
    root, out = Path(videos), Path(out)
    if not root.is_dir():
        raise ValueError(f'The folder of the videos, {videos}, does not exist. Give the folder you unpacked into.')
    _check_source(dataset, lists, official)
    if dataset != 'custom' and (class_lists or tuple(ratio) != RATIO or seed):
        raise ValueError(
            f'--ratio, --seed and --class-lists divide the classes of custom; those of {dataset} are divided already.'
        )
    scan = scan_frames(root) if frames else scan_videos(root)
    folders = {folder.path: folder for folder in scan.videos} if frames else {}
    shown = list(folders) if frames else scan.videos
    split = load_split(dataset) if dataset != 'custom' else _custom_split(shown, class_lists, ratio, seed)
    tree = VideoTree(shown, split, youtube=dataset == 'kinetics100', by_top_folder=dataset == 'custom')
    selection, source = _select(tree, lists, official)
    selection.left_out += [LeftOut(path, 'extra', f'extra; {reason}') for path, reason in scan.passed_over.items()]
    leave_out_unwritable(selection, frames=frames)
    layout = choose_layout(selection, folders) if frames else {}
    if not selection.entries:
        raise ValueError(_nothing_found(root, len(shown), split, frames))

    out.mkdir(parents=True, exist_ok=True)
    selection.entries.sort(key=lambda entry: (split.labels[entry.class_name], entry.path))
    audit = Audit(split, selection, source, str(root.resolve()), num_frames, layout=layout, others=scan.others)
    if open_videos:
        audit.decoder = 'frames' if frames else decoder
        opener = VideoOpener(root, out / 'opened.jsonl', decoder=audit.decoder, workers=workers)
        audit.opened = opener.open([entry.path for entry in selection.entries])
        errors = {path: opened.error for path, opened in audit.opened.items() if opened.error}
        selection.leave_out({path: f'unreadable; {error}' for path, error in errors.items()}, 'unreadable')
    link_videos(out / 'videos', root)
    write_annotations(out, split, selection, {path: folder.frames for path, folder in folders.items()})
    audit.write(out)
    return audit


def _check_source(dataset: str, lists: Sequence, official: Sequence) -> None:
    """Say which files a data set needs before a big folder is looked through."""
    if dataset == 'custom' and (lists or official):
        raise ValueError('custom takes its videos from class folders; --lists and --official do not apply.')
    if official and not dataset.startswith('ssv2'):
        raise ValueError(f'--official reads the annotations of Something-Something V2; {dataset} has none.')
    if dataset != 'custom':
        load_split(dataset)
    if NEEDS.get(dataset) == 'official' and not (official or lists):
        raise ValueError(
            f'{dataset} needs --official something-something-v2-train.json something-something-v2-validation.json, '
            'which come with the data set, or --lists with the public lists.'
        )
    if NEEDS.get(dataset) == 'lists' and not lists:
        raise ValueError(
            f'{dataset} needs --lists with the three public list files (train, val, test): its videos are a choice '
            'that only they name. The formats of CMN/TRX and of CLIP-FSAR are understood.'
        )


def _custom_split(paths: Sequence[str], class_lists: Sequence, ratio: Sequence[float], seed: int) -> ClassSplit:
    class_names = sorted({path.partition('/')[0] for path in paths if '/' in path})
    if not class_names:
        raise ValueError('Found no folder with videos. Put the videos of each class into a folder of its own.')
    return split_by_lists(class_names, class_lists) if class_lists else split_by_ratio(class_names, ratio, seed=seed)


def _select(tree: VideoTree, lists: Sequence, official: Sequence) -> tuple[Selection, str]:
    """The videos, and in words where their list comes from."""
    if not lists and not official:
        return select_folders(tree), 'folders of the classes'
    listed = read_lists(lists, tree.split) if lists else read_official(official, tree.split)
    selection = select_listed(tree, listed)
    if lists and official:
        check_official(listed, official, tree.split)
    return selection, ', '.join(Path(file).name for file in (*lists, *official))


def _nothing_found(root: Path, number: int, split: ClassSplit, frames: bool) -> str:
    message = (
        f'Of the {number} {"folders of images" if frames else "videos"} below {root} none belongs to {split.name}.'
    )
    archives = [name for name in sorted(os.listdir(root)) if name.endswith(('.rar', '.zip', '.tar', '.gz'))]
    if archives:
        return f'{message} There are archives, such as {archives[0]}: unpack them first.'
    if NEEDS.get(split.name, 'folders') == 'folders':
        return f'{message} Expected a folder for each class, such as {root / split.class_names[0]}.'
    return f'{message} Expected files that are named like the videos in the lists.'
