"""Losses over episodes, for the ``losses`` slot of :class:`PrototypeHead`."""

from .few_shot_cross_entropy import FewShotCrossEntropy

__all__ = ['FewShotCrossEntropy']
