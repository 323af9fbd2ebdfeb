"""Recognizers for what MMAction2's own cannot do."""

from .few_shot_recognizer import FewShotRecognizer

__all__ = ['FewShotRecognizer']
