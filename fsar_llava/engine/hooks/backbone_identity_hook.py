"""Ties a checkpoint of tuned parameters to the frozen backbone and prompts it was tuned for."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from mmaction.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from torch import nn

from fsar_llava.features.identity import differences

META_KEY = 'fsar_llava'


@HOOKS.register_module()
class BackboneIdentityHook(Hook):
    """Writes the identity of a frozen backbone into every checkpoint and checks it when one is loaded.

    Checkpoints hold the tuned parameters only, a few million of them. They fit one frozen model, layer, pooling and
    prompt set; with another they would silently give worse numbers.

    Args:
        strict: Refuse a checkpoint that was made with another identity. False warns instead.
    """

    def __init__(self, *, strict: bool = True) -> None:
        self.strict = strict

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Store the identity in the checkpoint's ``meta``."""
        identity = model_identity(runner.model)
        if identity:
            checkpoint['meta'][META_KEY] = identity

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Compare the checkpoint's identity with the model's.

        Raises:
            ValueError: If they differ and ``strict`` is set.
        """
        check_identity(runner.model, checkpoint, strict=self.strict)


def model_identity(model: nn.Module) -> dict | None:
    """The identity of a (wrapped) model, or of its backbone; None where neither has one."""
    model = model.module if is_model_wrapper(model) else model
    owner = model if hasattr(model, 'identity') else getattr(model, 'backbone', None)
    return owner.identity() if hasattr(owner, 'identity') else None


def check_identity(model: nn.Module, checkpoint: Mapping, *, strict: bool = True) -> None:
    """Refuse a checkpoint that was tuned for another frozen backbone or other prompts.

    Args:
        model: The model that the checkpoint is loaded into.
        checkpoint: The checkpoint, as :class:`BackboneIdentityHook` saved it.
        strict: False logs a warning instead of raising.

    Raises:
        ValueError: If the identities differ; every differing field is named with both values.
    """
    expected = model_identity(model)
    if not expected:
        return
    found = checkpoint.get('meta', {}).get(META_KEY)
    if found is None:
        print_log(
            'The checkpoint does not say which frozen backbone it was tuned for, so that this cannot be checked.',
            logger='current',
            level=logging.WARNING,
        )
        return
    differing = [
        f'{field}: checkpoint {theirs!r}, config {ours!r}' for field, ours, theirs in differences(expected, found)
    ]
    if not differing:
        return
    message = (
        'The checkpoint was tuned for another frozen backbone or other prompts than this config has:\n  '
        + '\n  '.join(differing)
        + '\nUse the config that the checkpoint was trained with, or set BackboneIdentityHook(strict=False) to load it '
        'all the same (with the shipped configs: --cfg-options custom_hooks.0.strict=False).'
    )
    if strict:
        raise ValueError(message)
    print_log(message, logger='current', level=logging.WARNING)
