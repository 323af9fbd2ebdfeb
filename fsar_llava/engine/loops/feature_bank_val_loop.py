"""Validation with every video encoded once."""

from __future__ import annotations

from mmaction.registry import LOOPS

from .feature_bank_loop import FeatureBankLoop


@LOOPS.register_module()
class FeatureBankValLoop(FeatureBankLoop):
    """``val_cfg=dict(type='FeatureBankValLoop')``; see :class:`FeatureBankLoop`."""

    stage = 'val'
