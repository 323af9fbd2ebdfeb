"""Watches over the classes of training, validation and test."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from mmaction.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.logging import print_log

from fsar_llava.datasets.guards import (
    check_class_leakage,
    common_classes,
    episode_classes,
    kinetics_pretraining,
    pretraining_note,
    selection_note,
)
from fsar_llava.evaluation.notes import add_note

META_KEY = 'fsar_llava_protocol'


@HOOKS.register_module()
class ProtocolHook(Hook):
    """Refuses to evaluate on classes that were trained on, and marks results that need a remark.

    A checkpoint carries the names of the classes it was trained and chosen on, so that a test with another config (one
    of SSv2-Full, say, for a model of SSv2-Small) is noticed as well. Remarks go into ``notes`` of the metrics'
    ``dataset_meta``, from where :class:`FewShotMetric` writes them into the result: a checkpoint chosen on the test
    classes, a backbone pre-trained on them.

    Args:
        strict: Refuse evaluation on training classes. False marks the result instead.
        pretrained_on: What the backbone was pre-trained on, such as ``'Kinetics-400'``. By default it is recognised
            from the names of checkpoints in the model's config and in ``load_from``, that of the training included;
            ``''`` says that nothing needs a remark.
    """

    def __init__(self, *, strict: bool = True, pretrained_on: str | None = None) -> None:
        self.strict = strict
        self.pretrained_on = pretrained_on
        self.train_classes: list[str] = []
        self.selection_classes: list[str] = []
        self.known_pretraining: str | None = None

    def before_train(self, runner) -> None:
        """Compare the classes of training and validation."""
        self._remember(episode_classes(runner.train_dataloader.dataset), [])
        if runner.val_loop is not None:
            self._remember([], episode_classes(runner.val_dataloader.dataset))
            if note := self._leakage(episode_classes(runner.val_dataloader.dataset), 'validation'):
                print_log(note, logger='current', level=logging.WARNING)

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Store the classes, and what the backbone was pre-trained on, in the checkpoint's ``meta``."""
        checkpoint['meta'][META_KEY] = dict(
            train_classes=self.train_classes,
            selection_classes=self.selection_classes,
            pretrained_on=self._pretraining(runner.cfg),
        )

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Take up the classes that an earlier training saw, and what it began with."""
        found = checkpoint.get('meta', {}).get(META_KEY, {})
        self.known_pretraining = found.get('pretrained_on') or self.known_pretraining
        self._remember(found.get('train_classes', []), found.get('selection_classes', []))

    def before_test(self, runner) -> None:
        """Check the test classes and hand the remarks to the metrics.

        Raises:
            ValueError: If test classes were trained on and ``strict`` is set.
        """
        classes = episode_classes(runner.test_dataloader.dataset)
        remarks = [
            self._leakage(classes, 'test'),
            selection_note(self.selection_classes, classes),
            pretraining_note(self._pretraining(runner.cfg), classes),
        ]
        for remark in filter(None, remarks):
            add_note(runner.test_loop.evaluator, remark)

    def _pretraining(self, cfg: Mapping) -> str | None:
        if self.pretrained_on is not None:
            return self.pretrained_on
        loaded = Path(cfg.get('load_from') or '').name
        return kinetics_pretraining([cfg.get('model'), loaded]) or self.known_pretraining

    def _remember(self, train_classes: Sequence[str], selection_classes: Sequence[str]) -> None:
        self.train_classes = sorted({*self.train_classes, *train_classes})
        self.selection_classes = sorted({*self.selection_classes, *selection_classes})

    def _leakage(self, classes: Sequence[str], purpose: str) -> str | None:
        if self.strict:
            check_class_leakage(self.train_classes, classes, purpose=purpose)
        common = common_classes(classes, self.train_classes)
        return f'{len(common)} of the {purpose} classes were trained on' if common else None
