"""The files that MMAction2 datasets read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from fsar_llava.datasets.preparation.scan import FrameFolder
from fsar_llava.datasets.preparation.selection import Selection
from fsar_llava.datasets.splits import SPLITS, ClassSplit


def write_annotations(out: Path, split: ClassSplit, selection: Selection, frames: Mapping[str, int]) -> None:
    """Write ``train.txt``, ``val.txt``, ``test.txt`` and ``classes.txt``; each is replaced as a whole.

    Args:
        out: Folder to write to.
        split: Gives the labels and the names for prompts.
        selection: The videos.
        frames: For folders of images, how many each has: lines are then ``folder frames label``, otherwise
            ``path<TAB>label``.
    """
    texts = {'classes': ''.join(f'{name}\n' for name in split.names), **dict.fromkeys(SPLITS, '')}
    for part in SPLITS:
        lines = []
        for entry in selection.entries:
            if entry.split == part:
                fields = f'{entry.path} {frames[entry.path]} ' if frames else f'{entry.path}\t'
                lines.append(f'{fields}{split.labels[entry.class_name]}\n')
        texts[part] = ''.join(lines)
    for name, text in texts.items():
        partial = out / f'{name}.txt.partial'
        partial.write_text(text, encoding='utf-8')
        partial.replace(out / f'{name}.txt')


def leave_out_unwritable(selection: Selection, *, frames: bool) -> None:
    """Leave out videos whose names an annotation file cannot hold; all else, spaces included, it can.

    Args:
        selection: The videos.
        frames: They are folders of images.
    """
    reasons = {}
    for path in (entry.path for entry in selection.entries):
        if path[0].isspace() or set(path) & set('\t\n\r') or path != path.encode('utf-8', 'replace').decode():
            reasons[path] = (
                'refused; its name has a TAB, a line break, a space in front or no valid encoding: rename it'
            )
        elif frames and path.split() != [path]:
            reasons[path] = 'refused; RawframeDataset reads no folder whose name has spaces: put underscores'
    selection.leave_out(reasons, 'refused')


def choose_layout(selection: Selection, folders: Mapping[str, FrameFolder]) -> dict:
    """How the images are named in most folders; other folders are left out, since a config has room for one way.

    Args:
        selection: The videos.
        folders: What is known about them.

    Returns:
        ``filename_tmpl`` and ``start_index`` of ``RawframeDataset``.
    """
    chosen = [folders[entry.path] for entry in selection.entries]
    counts = Counter((folder.template, folder.first) for folder in chosen if not folder.gaps)
    if not counts:
        return {}
    (template, first), _ = counts.most_common(1)[0]
    reasons = {}
    for folder in chosen:
        if folder.gaps:
            reasons[folder.path] = 'refused; its images are not numbered one after the other under one name'
        elif (folder.template, folder.first) != (template, first):
            reasons[folder.path] = (
                f'refused; its images begin with {folder.template.format(folder.first)!r}, those of most folders with '
                f'{template.format(first)!r}'
            )
    selection.leave_out(reasons, 'refused')
    return dict(filename_tmpl=template, start_index=first)


def link_videos(link: Path, root: Path) -> None:
    """Make a link to the videos, so that configs find them beside the annotations, wherever they lie.

    Args:
        link: Path of the link; an earlier link is replaced.
        root: Folder of the videos.

    Raises:
        ValueError: If something else is in the way.
    """
    root = root.resolve()
    if link.is_symlink():
        link.unlink()
    if not link.exists():
        link.symlink_to(root, target_is_directory=True)
    elif link.resolve() != root:
        raise ValueError(f'{link} exists and is not the folder {root}. Choose another --out, or move it away.')
