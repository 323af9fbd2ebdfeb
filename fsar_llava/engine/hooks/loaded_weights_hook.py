"""Makes sure that a test measures what a checkpoint holds."""

from __future__ import annotations

import re
from collections.abc import Mapping

from mmaction.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.model import BaseTTAModel, is_model_wrapper
from torch import Tensor, nn

from fsar_llava.evaluation.notes import add_note


@HOOKS.register_module()
class LoadedWeightsHook(Hook):
    """Refuses to test weights that the checkpoint did not fill, and puts into the result what was tested.

    mmengine loads what fits and leaves the rest as it was made: a checkpoint of another model then gives the accuracy
    of random weights. A test without any checkpoint is marked, unless the model has no weights of its own. Config and
    checkpoint go into the metrics' ``dataset_meta``, from where :class:`FewShotMetric` writes them.

    Args:
        strict: Refuse a checkpoint that does not have all weights of the model. False marks the result instead.
    """

    def __init__(self, *, strict: bool = True) -> None:
        self.strict = strict
        self._missing: list[str] | None = None
        self._trained = False

    def before_train(self, runner) -> None:
        """Whatever is tested later has been trained."""
        self._missing, self._trained = [], True

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Note what the checkpoint lacks; a training may begin with a part of the model."""
        self._missing, self._trained = missing_weights(runner.model, checkpoint), False

    def before_test(self, runner) -> None:
        """Check and mark.

        Raises:
            ValueError: If the checkpoint lacks weights and ``strict`` is set.
        """
        evaluator = runner.test_loop.evaluator
        checkpoint = None if self._trained else runner.cfg.get('load_from')
        evaluator.dataset_meta = dict(evaluator.dataset_meta or {}, config=runner.cfg.filename, checkpoint=checkpoint)
        own = own_weights(runner.model)
        if self._missing is None and own:
            add_note(evaluator, 'tested without a checkpoint')
        if not self._missing:
            return
        lacking = (
            f'{len(self._missing)} of the {len(own)} weights of the model in their shape, such as {self._missing[0]}'
        )
        if self.strict:
            raise ValueError(
                f'The checkpoint {checkpoint or ""} lacks {lacking}: it is of another model. Use the config that it '
                'was trained with, or set LoadedWeightsHook(strict=False) to test random weights all the same (with '
                'the shipped configs: --cfg-options custom_hooks.3.strict=False).'
            )
        add_note(evaluator, f'the checkpoint lacks {lacking}')


def own_weights(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and averages that checkpoints of a (wrapped) model hold; frozen language models are not among them."""
    while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
        model = model.module
    return {name: tensor for name, tensor in model.state_dict().items() if tensor.is_floating_point()}


def missing_weights(model: nn.Module, checkpoint: Mapping) -> list[str]:
    """Names of those of :func:`own_weights` that a checkpoint does not hold in their shape."""
    state = checkpoint.get('state_dict', checkpoint)
    found = {re.sub(r'^module\.', '', name): tensor.shape for name, tensor in state.items()}  # as mmengine loads them
    return [name for name, tensor in own_weights(model).items() if found.get(name) != tensor.shape]
