"""What a preparation found: which videos a number will be about."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsar_llava.datasets.list_hash import list_hash
from fsar_llava.datasets.preparation.records import Opened
from fsar_llava.datasets.preparation.selection import Selection
from fsar_llava.datasets.preparation.video_tree import VIDEO_EXTENSIONS
from fsar_llava.datasets.splits import SPLITS, ClassSplit

if TYPE_CHECKING:
    from rich.table import Table

USUAL_WAYS = 5

EMPTY = dict(
    train='nothing can be trained',
    val='no checkpoint can be chosen by it; train with --no-validate, and test the last one',
    test='nothing can be tested',
)
"""What a split without any class means."""


@dataclass
class Audit:
    """The account of a prepared data set.

    Args:
        split: Its classes.
        selection: What was found and what is left out.
        source: Where the list of videos comes from, in words.
        videos: Folder of the videos.
        num_frames: T; videos with fewer frames are named, since they will be sampled with repetition.
        opened: What the decoder said about each video; None where they were not opened.
        decoder: Which decoder that was.
        layout: Settings of ``RawframeDataset`` where the videos are folders of images.
        others: How many files are no videos by their names, by extension.
    """

    split: ClassSplit
    selection: Selection
    source: str
    videos: str
    num_frames: int
    opened: Mapping[str, Opened] | None = None
    decoder: str | None = None
    layout: Mapping[str, Any] = field(default_factory=dict)
    others: Mapping[str, int] = field(default_factory=dict)

    def hash(self, *splits: str) -> str:
        """:func:`list_hash` of what is written for some splits."""
        labels = self.split.labels
        chosen = [entry for entry in self.selection.entries if entry.split in splits]
        return list_hash((entry.path, labels[entry.class_name]) for entry in chosen)

    @property
    def short(self) -> dict[str, int] | None:
        """Frames of the videos that have fewer than ``num_frames``."""
        if self.opened is None:
            return None
        frames = {entry.path: self.opened[entry.path].frames for entry in self.selection.entries}
        return {path: number for path, number in frames.items() if number < self.num_frames}

    @property
    def duplicates(self) -> list[dict] | None:
        """Groups of videos with the same content; ``leak`` where they are in different splits."""
        if self.opened is None:
            return None
        groups: dict[str, list] = {}
        for entry in self.selection.entries:
            groups.setdefault(self.opened[entry.path].digest, []).append(entry)
        return [
            dict(
                videos=[entry.path for entry in group],
                classes=sorted({entry.class_name for entry in group}),
                leak=len({entry.split for entry in group}) > 1,
            )
            for group in groups.values()
            if len(group) > 1
        ]

    def classes(self) -> Iterator[dict]:
        """Of each class: label, split, names, and the videos expected, found and written."""
        written = Counter(entry.class_name for entry in self.selection.entries)
        found = written + Counter(
            video.class_name for video in self.selection.left_out if video.kind in ('unreadable', 'refused')
        )
        for label, class_name in enumerate(self.split.class_names):
            yield dict(
                label=label,
                split=self.split.split_of[class_name],
                class_name=class_name,
                prompt_name=self.split.names[label],
                expected=None if self.selection.expected is None else self.selection.expected[class_name],
                found=found[class_name],
                written=written[class_name],
            )

    def splits(self) -> dict[str, dict]:
        """Of each split: the videos published, listed, found and written, and the hash of its list."""
        classes = list(self.classes())
        result = {}
        for split in SPLITS:
            rows = [row for row in classes if row['split'] == split]
            listed = None if self.selection.expected is None else sum(row['expected'] for row in rows)
            result[split] = dict(
                classes=len(rows),
                published=self.split.videos.get(split),
                expected=listed,
                found=sum(row['found'] for row in rows),
                written=sum(row['written'] for row in rows),
                list_hash=self.hash(split),
            )
        return result

    def left_out(self, kind: str) -> list[dict]:
        """The videos that are left out for a kind of reason (see :class:`LeftOut`)."""
        return [
            dict(video=out.video, split=out.split, class_name=out.class_name, reason=out.reason)
            for out in self.selection.left_out
            if out.kind == kind
        ]

    def to_dict(self) -> dict:
        """Everything, for JSON. Extra videos are counted by folder; ``left_out.txt`` names them."""
        extra = Counter(out['video'].rpartition('/')[0] or '.' for out in self.left_out('extra'))
        return dict(
            dataset=self.split.name,
            provenance=self.split.provenance,
            source=self.source,
            videos=self.videos,
            list_hash=self.hash(*SPLITS),
            splits=self.splits(),
            classes=list(self.classes()),
            opened=None if self.opened is None else dict(videos=len(self.opened), decoder=self.decoder),
            num_frames=self.num_frames,
            layout=dict(self.layout) or None,
            missing=self.left_out('missing'),
            repeated=self.left_out('repeated'),
            refused=self.left_out('refused'),
            unreadable=None if self.opened is None else self.left_out('unreadable'),
            short=self.short,
            duplicates=self.duplicates,
            case_mismatches=[
                dict(mismatch._asdict(), videos=number) for mismatch, number in self.selection.case_mismatches.items()
            ],
            extra=dict(total=sum(extra.values()), by_folder=dict(sorted(extra.items()))),
            others=dict(sorted(self.others.items())),
        )

    def write(self, out: Path) -> None:
        """Write ``audit.json`` and ``left_out.txt`` (video, TAB, reason)."""
        text = json.dumps(self.to_dict(), indent=1, ensure_ascii=False) + '\n'
        (out / 'audit.json').write_text(text, encoding='utf-8', errors='backslashreplace')
        lines = [f'{_printable(video.video)}\t{video.reason}\n' for video in self.selection.left_out]
        (out / 'left_out.txt').write_text(''.join(lines), encoding='utf-8', errors='backslashreplace')

    def table(self) -> Table:
        """Splits and incomplete classes, for the terminal."""
        from rich.markup import escape
        from rich.table import Table

        table = Table('', 'published', 'expected', 'found', 'written', title=self.split.title or self.split.name)
        for split, row in self.splits().items():
            numbers = [row[key] for key in ('published', 'expected', 'found', 'written')]
            table.add_row(f'{split}, {row["classes"]} classes', *map(_number, numbers), style='bold')
            for entry in self.classes():
                wanted = entry['found'] if entry['expected'] is None else entry['expected']
                if entry['split'] == split and (entry['written'] < wanted or not entry['written']):
                    numbers = [None, entry['expected'], entry['found'], entry['written']]
                    table.add_row(escape(f'  {entry["class_name"]}'), *map(_number, numbers))
        return table

    def findings(self) -> list[str]:
        """What is wrong, a line each with the first case."""
        lines = []
        for kind in ('missing', 'repeated', 'refused', 'unreadable', 'extra'):
            if found := self.left_out(kind):
                lines.append(f'{len(found)} {kind}, such as {found[0]["video"]!r}: {found[0]["reason"]}')
        if self.others:
            kinds = ', '.join(f'{number} {kind}' for kind, number in sorted(self.others.items()))
            wanted = 'numbered images' if self.layout else ', '.join(VIDEO_EXTENSIONS)
            lines.append(f'{sum(self.others.values())} files are no videos by their names: {kinds}. Expected {wanted}')
        if mismatches := self.selection.case_mismatches:
            first = next(iter(mismatches))
            lines.append(
                f'{mismatches.total()} differ in case, such as {first.found!r} where {first.expected!r} was expected'
            )
        for path, number in list((self.short or {}).items())[:1]:
            lines.append(f'{len(self.short)} shorter than {self.num_frames} frames, such as {path!r} with {number}')
        for group in (self.duplicates or [])[:1]:
            leaks = sum(group['leak'] for group in self.duplicates)
            first, second, *_ = group['videos']  # there may be hundreds of one placeholder
            lines.append(
                f'{len(self.duplicates)} groups of the same content, {leaks} of them across splits, such as {first!r} '
                f'and {second!r}'
            )
        for split in SPLITS:
            written = {row['class_name']: row['written'] for row in self.classes() if row['split'] == split}
            if not written:
                lines.append(f'{split} is empty: {EMPTY[split]}')
                continue
            if single := [class_name for class_name, videos in written.items() if videos == 1]:
                lines.append(
                    f'{split} has classes of a single video ({len(single)}, such as {single[0]!r}), too few: '
                    f'add some, or take their lines out of {split}.txt'
                )
            ways = sum(videos >= 2 for videos in written.values())
            if ways < USUAL_WAYS:
                remedy = f'set {split}_dataloader.sampler.num_ways={ways} or less' if ways > 1 else 'add some'
                if ways < 2 and self.split.name == 'custom':
                    remedy += ', or divide the classes in another way (--ratio, --class-lists)'
                lines.append(f'{split} has {ways} classes of two videos or more, for a support and a query: {remedy}')
        if self.opened is None:
            lines.append('The videos were not opened: unreadable, short and duplicate ones are unknown')
        return lines


def _number(value: int | None) -> str:
    return '-' if value is None else str(value)


def _printable(text: str) -> str:
    """A name on one line."""
    return text if text.isprintable() else repr(text)
