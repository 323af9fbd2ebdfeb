"""Which videos on disk are the benchmark's."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from fsar_llava.datasets.preparation.records import CaseMismatch, Entry, LeftOut, ListedVideo
from fsar_llava.datasets.preparation.video_tree import VideoTree
from fsar_llava.datasets.splits import fold_name

# UCF101's file names say their class, one of them in another case than the folder: v_HandStandPushups_g01_c01.avi
UCF_FILE = re.compile(r'v_(\w+?)_g\d+_c\d+')


@dataclass
class Selection:
    """What goes into the annotation files, and what does not.

    Attributes:
        entries: The videos found.
        left_out: Those that are not used.
        case_mismatches: Names in another spelling than expected, with the number of videos.
        expected: Listed videos by class, or None where the folders alone say what there is.
    """

    entries: list[Entry] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    case_mismatches: Counter[CaseMismatch] = field(default_factory=Counter)
    expected: Counter[str] | None = None

    def leave_out(self, reasons: dict[str, str], kind: str) -> None:
        """Move videos from the entries to those left out.

        Args:
            reasons: By path.
            kind: See :class:`LeftOut`.
        """
        for entry in self.entries:
            if entry.path in reasons:
                self.left_out.append(LeftOut(entry.path, kind, reasons[entry.path], entry.split, entry.class_name))
        self.entries = [entry for entry in self.entries if entry.path not in reasons]


def select_listed(tree: VideoTree, videos: Iterable[ListedVideo]) -> Selection:
    """Find the videos of a list.

    Args:
        tree: The videos on disk.
        videos: The list.
    """
    selection = Selection(expected=Counter())
    taken: dict[str, ListedVideo] = {}
    for video in videos:
        match = tree.find(video)
        out = LeftOut(
            video.name, 'missing', f'{match.reason} (listed at {video.source})', video.split, video.class_name
        )
        if match.path in taken:
            first = taken[match.path]
            reason = f'repeated; {match.path!r} is at {video.source} and as {first.class_name!r} at {first.source}'
            selection.left_out.append(out._replace(kind='repeated', reason=reason))
            continue
        selection.expected[video.class_name] += 1
        if match.path is None:
            selection.left_out.append(out)
            continue
        taken[match.path] = video
        selection.entries.append(Entry(match.path, video.split, video.class_name))
        if match.mismatch:
            selection.case_mismatches[CaseMismatch(match.mismatch, match.path)] += 1
        _compare_folder(selection, match.path, video.class_name)
    selection.left_out += [
        LeftOut(path, 'extra', 'extra; not in the lists') for path in tree.paths if path not in taken
    ]
    return selection


def select_folders(tree: VideoTree) -> Selection:
    """Take every video that lies in the folder of a class.

    Args:
        tree: The videos on disk.
    """
    selection = Selection()
    for path in tree.paths:
        class_name = tree.class_of(path)
        if class_name is None:
            selection.left_out.append(LeftOut(path, 'extra', 'extra; in no folder that is named after a class'))
            continue
        entry = Entry(path, tree.split.split_of[class_name], class_name)
        said = UCF_FILE.match(path.rpartition('/')[2]) if tree.split.name == 'ucf101' else None
        if said and fold_name(said[1]) != fold_name(class_name):
            reason = f'refused; its name says class {said[1]!r}, its folder {class_name!r}'
            selection.left_out.append(LeftOut(path, 'refused', reason, entry.split, class_name))
            continue
        selection.entries.append(entry)
        if said and said[1] != class_name:
            selection.case_mismatches[CaseMismatch(f'v_{class_name}_*', f'v_{said[1]}_*')] += 1
        _compare_folder(selection, path, class_name)
    return selection


def _compare_folder(selection: Selection, path: str, class_name: str) -> None:
    """Note a class folder whose name differs from the class in case."""
    for folder in path.split('/')[:-1]:
        if folder != class_name and folder.casefold() == class_name.casefold():
            selection.case_mismatches[CaseMismatch(class_name, folder)] += 1
