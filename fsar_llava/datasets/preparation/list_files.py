"""The public lists of the videos of a benchmark, in the formats of CMN/TRX and of CLIP-FSAR."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from fsar_llava.datasets.preparation.records import ListedVideo
from fsar_llava.datasets.preparation.video_tree import stem
from fsar_llava.datasets.splits import SPLITS, ClassSplit

# `train8/78687`, `test0//videos/fencing/x.avi`: split, number of the class within the split, video.
NUMBERED = re.compile(r'(train|val|test)(\d+)/(/?)(.+)')


def read_lists(files: Sequence[str | Path], split: ClassSplit) -> list[ListedVideo]:
    """Read list files; each tells its format by its first line.

    - CMN, TRX: ``class name/video`` with the split in the file's name (``trainlist03.txt``).
    - CLIP-FSAR, and SSv2 in TRX: ``test0//folder/class/video.avi`` or ``train8/78687``, where the number is that of
      the class within its split.

    Args:
        files: One for each split, in any order.
        split: The classes that may occur.

    Raises:
        ValueError: If a line cannot be understood or leads out of the data's folder, naming file and line.
    """
    return [video for file in files for video in _read_list(Path(file), split)]


def read_official(files: Sequence[str | Path], split: ClassSplit) -> list[ListedVideo]:
    """Read the train and validation files of Something-Something V2.

    Meta-train classes take the videos of the official train file; meta-val and meta-test classes those of the
    official validation file.

    Args:
        files: ``something-something-v2-train.json`` and ``...-validation.json``, or ``train.json`` and
            ``validation.json``.
        split: The classes; videos of others are passed over.

    Raises:
        ValueError: If a file is missing or is no such file.
    """
    by_role = {split_of_file(Path(file)): Path(file) for file in files}
    if sorted(by_role) != ['train', 'val'] or len(files) != 2:
        raise ValueError(
            "The official annotations are two files, one with 'train' and one with 'validation' in its name, but got "
            f'{[str(file) for file in files]}.'
        )
    videos = []
    for role, file in by_role.items():
        for number, (name, template) in enumerate(_read_templates(file)):
            class_name = split.find(template)
            if class_name is not None and (split.split_of[class_name] == 'train') == (role == 'train'):
                source = f'{file.name}:{number}'
                videos.append(ListedVideo(split.split_of[class_name], class_name, inside(name, source), source))
    return videos


def check_official(listed: Sequence[ListedVideo], files: Sequence[str | Path], split: ClassSplit) -> None:
    """Compare lists with the official annotations of Something-Something V2, whose videos may be more or fewer.

    Args:
        listed: Videos of :func:`read_lists`.
        files: As of :func:`read_official`.
        split: The classes.

    Raises:
        ValueError: If a listed video has another template there, be it of the split's classes or not.
    """
    templates = {name: template for file in files for name, template in _read_templates(Path(file))}
    wrong = [
        video
        for video in listed
        if stem(video.name) in templates and split.find(templates[stem(video.name)]) != video.class_name
    ]
    if wrong:
        raise ValueError(
            f'{len(wrong)} videos have another class in the official annotations than in the lists, first '
            f'{wrong[0].name!r} at {wrong[0].source}: {wrong[0].class_name!r} in the list, '
            f'{templates[stem(wrong[0].name)]!r} officially. Check that the lists belong to {split.name}.'
        )


def split_of_file(file: Path) -> str:
    """Which split a file is about, from its name.

    Raises:
        ValueError: If the name holds none or several of ``train``, ``val`` and ``test``.
    """
    found = [split for split in SPLITS if split in file.name.lower()]
    if len(found) != 1:
        raise ValueError(
            f"The name of {file} must hold one of 'train', 'val' and 'test', to say which split it is about; it holds "
            f'{found or "none"}. Rename the file.'
        )
    return found[0]


def inside(name: str, source: str) -> str:
    """The name, if it cannot lead out of the folder of the data.

    Raises:
        ValueError: If it is absolute or goes upwards.
    """
    parts = re.split(r'[/\\]', name)
    if not name or '\0' in name or parts[0] == '' or '..' in parts or re.match(r'[A-Za-z]:[/\\]', name):
        raise ValueError(
            f'{source}: {name!r} leads out of the folder of the videos. Paths in lists must be relative to it, without '
            "'..'; correct the line."
        )
    return name


def _read_list(file: Path, split: ClassSplit) -> Iterator[ListedVideo]:
    """The videos of one file."""
    numbered = None
    for number, line in enumerate(read_text(file).split('\n'), start=1):
        line = line.strip()
        if not line:
            continue
        source = f'{file.name}:{number}'
        if numbered is None:
            numbered = NUMBERED.fullmatch(line) is not None
        yield _numbered(line, source, split) if numbered else _named(line, source, split, split_of_file(file))
    if numbered is None:
        raise ValueError(f'{file} is empty. Expected a line for each video.')


def _numbered(line: str, source: str, split: ClassSplit) -> ListedVideo:
    """``test0//videos/fencing/x.avi``."""
    found = NUMBERED.fullmatch(line)
    if not found:
        raise ValueError(f"{source}: expected a line like 'train8/78687', as the first line is, got {line!r}.")
    part, index, name = found[1], int(found[2]), inside(found[4], source)
    class_names = list(split.classes[part])
    if index >= len(class_names):
        raise ValueError(
            f'{source}: {line!r} names class {index} of {part}, but {split.name} has {len(class_names)} of them. '
            'Is this the list of another data set?'
        )
    folder = split.find(PurePosixPath(name).parent.name)
    if folder not in (None, class_names[index]):
        raise ValueError(
            f'{source}: {line!r} names class {index} of {part}, which is {class_names[index]!r}, and a folder of class '
            f'{folder!r}. Is this the list of another split?'
        )
    return ListedVideo(part, class_names[index], name, source)


def _named(line: str, source: str, split: ClassSplit, part: str) -> ListedVideo:
    """``baking cookies/-514AQUrSow_000058_000068``."""
    path = PurePosixPath(inside(line, source))
    class_name = split.find(path.parent.name)
    if class_name is None or split.split_of[class_name] != part:
        where = 'no class' if class_name is None else f'a {split.split_of[class_name]} class'
        raise ValueError(
            f"{source}: expected '<{part} class of {split.name}>/<video>', got {line!r}; {path.parent.name!r} is "
            f'{where} of {split.name}. Is this the list of another data set?'
        )
    return ListedVideo(part, class_name, line, source)


def _read_templates(file: Path) -> Iterator[tuple[str, str]]:
    """Ids and templates, without brackets, of an official file."""
    for number, record in enumerate(_read_json(file)):
        try:
            yield str(record['id']), re.sub(r'[\[\]]', '', record['template'])
        except (KeyError, TypeError) as error:
            raise ValueError(
                f"{file}, record {number}: expected an object with 'id' and 'template', got {record!r}."
            ) from error


def read_text(file: Path) -> str:
    """A list's text.

    Raises:
        ValueError: If it cannot be read.
    """
    try:
        return file.read_text(encoding='utf-8-sig')
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f'The list {file} cannot be read: {error}.') from error


def _read_json(file: Path) -> list:
    try:
        records = json.loads(read_text(file))
    except json.JSONDecodeError as error:
        raise ValueError(f'{file} is no JSON file: {error}.') from error
    if not isinstance(records, list):
        raise ValueError(f'{file} must hold a list of videos, but holds {type(records).__name__}.')
    return records
