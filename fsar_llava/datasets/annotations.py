"""Reads names, labels and class names out of MMAction2 datasets, and says in words what is wrong with them."""

from __future__ import annotations

import os.path as osp
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from mmaction.datasets import RawframeDataset, VideoDataset
from mmaction.registry import DATASETS
from mmengine.dataset import BaseDataset
from mmengine.fileio import exists, join_path, list_from_file
from mmengine.utils import is_abs

NAME_KEYS = ('filename', 'frame_dir', 'audio_path')  # where MMAction2's datasets keep the path of a video


def build_dataset(config: dict) -> BaseDataset:
    """Build a dataset, and turn what a faulty annotation file makes it raise into a message.

    Raises:
        ValueError: If a line of the annotation file is to blame.
    """
    try:
        return DATASETS.build(config)
    except Exception as error:
        kind, ann_file = config.get('type'), config.get('ann_file') or ''
        if config.get('data_root') and not is_abs(ann_file):
            ann_file = join_path(config['data_root'], ann_file)
        fault = explain_annotations(DATASETS.get(kind) if isinstance(kind, str) else kind, ann_file, config)
        if fault is None:
            raise
        raise ValueError(fault) from error


def explain_annotations(kind: type | None, ann_file: str, settings: Mapping[str, Any]) -> str | None:
    """Find the first line of a text annotation file that carries no readable label.

    ``VideoDataset`` answers such a line with "too many values to unpack" or takes it for a video of the class -1.

    Args:
        kind: Class of the dataset. Only the text formats of ``VideoDataset`` and ``RawframeDataset`` are known here.
        ann_file: Path of the file.
        settings: The dataset's arguments; ``delimiter`` and ``with_offset`` matter.

    Returns:
        File, line, what was expected and the remedy; None where nothing is wrong or the format is another one.
    """
    explain = {
        VideoDataset.load_data_list: _explain_video_line,
        RawframeDataset.load_data_list: _explain_rawframe_line,
    }.get(getattr(kind, 'load_data_list', None))
    if explain is None:
        return None
    if not exists(ann_file):
        return f'The annotation file {ann_file} does not exist. Check ann_file and data_root of the dataset.'
    lines = list_from_file(ann_file)
    if not lines:
        return f'The annotation file {ann_file} is empty. It needs a line for every video.'
    for number, line in enumerate(lines, start=1):
        if fault := explain(line.strip(), settings):
            return f'{ann_file}, line {number}: {line!r}. {fault}'
    return None


def _explain_video_line(line: str, settings: Mapping[str, Any]) -> str | None:
    delimiter = settings.get('delimiter', ' ')
    fields = line.split(delimiter)
    if len(fields) == 2 and fields[1].isdecimal():
        return None
    wanted = f'Expected a file name, {delimiter!r} and a label (0, 1, 2 ...), but'
    if not line:
        return f'{wanted} the line is empty. Remove it.'
    if len(fields) == 1:
        return (
            f'{wanted} there is no {delimiter!r}. Add the label, or set delimiter in the config of the dataset to what '
            r"stands before the labels in this file (for a TAB: delimiter='\t')."
        )
    if len(fields) == 2:
        return f'{wanted} the label is {fields[1]!r}. Number the classes; their names have a place in `classes`.'
    return (
        f'{wanted} there is more than one {delimiter!r}. If it belongs to the file name, put a TAB before the label on '
        r"every line and delimiter='\t' into the config of the dataset."
    )


def _explain_rawframe_line(line: str, settings: Mapping[str, Any]) -> str | None:
    fields = line.split()
    numbers = ['offset', 'number of frames', 'label'] if settings.get('with_offset') else ['number of frames', 'label']
    if len(fields) == 1 + len(numbers) and all(field.isdecimal() for field in fields[1:]):
        return None
    return (
        f'Expected a folder, {", ".join(numbers)}, with spaces between them. RawframeDataset reads no folder whose '
        'name holds spaces: rename such folders.'
    )


def read_videos(dataset: BaseDataset) -> tuple[list[str], list[int]]:
    """Names, relative to the dataset's ``data_prefix``, and labels of all videos of a dataset.

    Raises:
        ValueError: If a video has no label, several labels, no name, or the name of another video.
    """
    if getattr(dataset, 'multi_class', False):
        raise ValueError('Episodes need one label a video, but the dataset has multi_class=True. Remove it.')
    if not len(dataset):
        fault = explain_annotations(type(dataset), dataset.ann_file, vars(dataset))
        raise ValueError(fault or f'{dataset.ann_file} leaves no video, perhaps because of filter_cfg or indices.')
    prefix = osp.join(next(iter(dataset.data_prefix.values()), None) or '', '')
    names, labels = [], []
    for index in range(len(dataset)):
        info = dataset.get_data_info(index)
        path, label = video_path(info), int(info.get('label', -1))
        if label < 0:
            raise ValueError(
                explain_annotations(type(dataset), dataset.ann_file, vars(dataset))
                or f'The video {path} in {dataset.ann_file} has no label, but episodes need one.'
            )
        names.append(path.removeprefix(prefix) + segment(info))
        labels.append(label)
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise ValueError(
            f'{len(repeated)} videos appear more than once in {dataset.ann_file}, first {repeated[0]!r}. A video that '
            'is support and query of the same episode would falsify the accuracy: remove the repeated lines.'
        )
    return names, labels


def video_path(info: Mapping[str, Any]) -> str:
    """Path of a video, from what a dataset's ``get_data_info`` says about it."""
    for key in NAME_KEYS:
        if key in info:
            return info[key]
    raise ValueError(f'Expected one of {list(NAME_KEYS)} in the information about a video, but it has {sorted(info)}.')


def segment(info: Mapping[str, Any]) -> str:
    """What a video's name has behind its path: segments of one file are videos of their own."""
    return f'@{info["offset"]}' if 'offset' in info else ''


def name_classes(classes: str | Sequence[str] | None, labels: Sequence[int]) -> tuple[str, ...]:
    """Class names by label.

    Args:
        classes: The names, or a text file with one name a line; without either the labels serve as names.
        labels: Labels of all videos.

    Raises:
        ValueError: If a name is missing, empty or given twice.
    """
    if not classes:
        return tuple(map(str, range(max(labels) + 1)))
    source = 'classes'
    if isinstance(classes, str):
        source = classes
        if not exists(classes):
            raise ValueError(
                f'The file of class names {classes} does not exist. Check `classes` of the EpisodicDataset.'
            )
        classes = '\n'.join(list_from_file(classes)).lstrip('\ufeff').rstrip().splitlines()
    names = tuple(name.strip() for name in classes)
    if '' in names:
        raise ValueError(f'{source} has an empty name for label {names.index("")}. Give every label a name.')
    if max(labels) >= len(names):
        raise ValueError(
            f'{source} names {len(names)} classes, labels 0 to {len(names) - 1}, but there are videos of label '
            f'{max(labels)}. Add the missing names, one for every label in order, or correct the annotation file.'
        )
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ValueError(f'{source} gives {twice[0]!r} to several labels. Prompts tell classes apart by their names.')
    return names
