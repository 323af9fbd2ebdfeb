"""The fingerprint of a list of videos."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable


def list_hash(entries: Iterable[tuple[str, int]]) -> str:
    """SHA-256 of which videos a list holds and what they are labelled, whatever their order and wherever they lie.

    Two results are about the same videos exactly if these hashes agree. :func:`prepare_dataset` writes it into the
    audit, :class:`EpisodicDataset` into its ``metainfo``.

    Args:
        entries: ``(video_name, label)`` of each video; the name relative to the data root, with ``/``.

    Returns:
        64 hexadecimal digits.
    """
    lines = (f'{name}\t{label}' for name, label in sorted(entries))
    return hashlib.sha256('\n'.join(lines).encode('utf-8')).hexdigest()
