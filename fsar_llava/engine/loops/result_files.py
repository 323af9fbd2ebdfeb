"""What the feature bank adds to the result files of an evaluator."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from pathlib import Path

from mmengine.dist import master_only
from mmengine.evaluator import Evaluator

from fsar_llava.evaluation.report import write_json


def copy_for(evaluator: Evaluator, name: str) -> Evaluator:
    """A fresh evaluator whose files carry the name of a setting."""
    fresh = copy.deepcopy(evaluator)
    for metric in fresh.metrics:
        metric.results.clear()
        for attribute in ('out_file', 'out_file_path'):
            if getattr(metric, attribute, None) is not None:
                path = Path(getattr(metric, attribute))
                setattr(metric, attribute, str(path.with_name(f'{path.stem}_{name}{path.suffix}')))
    return fresh


@master_only
def add_to_results(evaluator: Evaluator, extra: Mapping[str, object]) -> None:
    """Add some fields to the JSON files that the metrics have written."""
    for path in _json_files(evaluator):
        write_json(path, {**json.loads(path.read_text(encoding='utf-8')), **extra})


@master_only
def write_overview(evaluator: Evaluator, settings: Mapping[str, Mapping], wall_time: Mapping[str, float]) -> None:
    """Write the metrics of all settings where an evaluator without settings writes its result."""
    for metric in evaluator.metrics:
        if getattr(metric, 'out_file', None) is not None:
            write_json(metric.out_file, dict(settings=settings, wall_time=wall_time))


def _json_files(evaluator: Evaluator) -> list[Path]:
    files = [Path(metric.out_file) for metric in evaluator.metrics if getattr(metric, 'out_file', None) is not None]
    return [path for path in files if path.suffix == '.json' and path.exists()]
