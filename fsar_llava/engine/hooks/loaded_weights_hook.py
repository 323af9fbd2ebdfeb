"""Makes sure that a test measures what a checkpoint holds."""

from __future__ import annotations

import re
from collections.abc import Mapping

from mmaction.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from torch import nn

from fsar_llava.evaluation.notes import add_note


@HOOKS.register_module()
class LoadedWeightsHook(Hook):
    """Refuses to test parameters that the checkpoint did not fill, and puts into the result what was tested.

    mmengine loads what fits and leaves the rest as it was made: a checkpoint of another model then gives the accuracy
    of random weights. A test without any checkpoint is marked, unless the model has no parameters of its own. Config
    and checkpoint go into the metrics' ``dataset_meta``, from where :class:`FewShotMetric` writes them.

    Args:
        strict: Refuse a checkpoint that lacks parameters of the model. False marks the result instead.
    """

    def __init__(self, *, strict: bool = True) -> None:
        self.strict = strict
        self._missing: list[str] | None = None

    def before_train(self, runner) -> None:
        """Whatever is tested later has been trained."""
        self._missing = []

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Note what the checkpoint lacks; a training may begin with a part of the model."""
        self._missing = missing_parameters(runner.model, checkpoint)

    def before_test(self, runner) -> None:
        """Check and mark.

        Raises:
            ValueError: If the checkpoint lacks parameters and ``strict`` is set.
        """
        evaluator, checkpoint = runner.test_loop.evaluator, runner.cfg.get('load_from')
        evaluator.dataset_meta = dict(evaluator.dataset_meta or {}, config=runner.cfg.filename, checkpoint=checkpoint)
        own = own_parameters(runner.model)
        if self._missing is None and own:
            add_note(evaluator, 'tested without a checkpoint')
        if not self._missing:
            return
        lacking = f'{len(self._missing)} of the {len(own)} parameters of the model, such as {self._missing[0]}'
        if self.strict:
            raise ValueError(
                f'The checkpoint {checkpoint} lacks {lacking}: it is of another model. Use the config that it was '
                'trained with, or set LoadedWeightsHook(strict=False) to test random weights all the same (with the '
                'shipped configs: --cfg-options custom_hooks.3.strict=False).'
            )
        add_note(evaluator, f'the checkpoint lacks {lacking}')


def own_parameters(model: nn.Module) -> list[str]:
    """Names of the parameters that checkpoints of a (wrapped) model hold; frozen language models are not among them."""
    model = model.module if is_model_wrapper(model) else model
    state = model.state_dict()
    return [name for name, _ in model.named_parameters() if name in state]


def missing_parameters(model: nn.Module, checkpoint: Mapping) -> list[str]:
    """Those of :func:`own_parameters` that a checkpoint does not hold."""
    state = checkpoint.get('state_dict', checkpoint)
    found = {re.sub(r'^module\.', '', name) for name in state}  # as mmengine loads them
    return [name for name in own_parameters(model) if name not in found]
