"""Loops that encode each video once."""

from .feature_bank_test_loop import FeatureBankTestLoop
from .feature_bank_val_loop import FeatureBankValLoop

__all__ = ['FeatureBankTestLoop', 'FeatureBankValLoop']
