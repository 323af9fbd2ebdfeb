"""Remarks on a result."""

from __future__ import annotations

import logging

from mmengine.evaluator import Evaluator
from mmengine.logging import print_log


def add_note(evaluator: Evaluator, note: str) -> None:
    """Hand a remark to the metrics, in ``notes`` of their ``dataset_meta``, and to the log, once.

    :class:`FewShotMetric` writes it into the result.
    """
    meta = evaluator.dataset_meta or {}
    notes = meta.get('notes', [])
    if note not in notes:
        print_log(f'The result will be marked: {note}.', logger='current', level=logging.WARNING)
        evaluator.dataset_meta = dict(meta, notes=[*notes, note])
