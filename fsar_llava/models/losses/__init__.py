"""Losses over episodes, for the ``losses`` slot of :class:`PrototypeHead`."""

from .few_shot_cross_entropy import FewShotCrossEntropy
from .mutual_distillation import MutualDistillation
from .support_text_cross_entropy import SupportTextCrossEntropy

__all__ = ['FewShotCrossEntropy', 'MutualDistillation', 'SupportTextCrossEntropy']
