"""Test with every video encoded once."""

from __future__ import annotations

from mmaction.registry import LOOPS

from .feature_bank_loop import FeatureBankLoop


@LOOPS.register_module()
class FeatureBankTestLoop(FeatureBankLoop):
    """``test_cfg=dict(type='FeatureBankTestLoop')``; see :class:`FeatureBankLoop`."""

    stage = 'test'
