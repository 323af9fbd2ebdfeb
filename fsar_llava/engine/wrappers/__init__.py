"""Wrappers of a model in a multi-process run."""

from .evaluation_wrapper import EvaluationWrapper

__all__ = ['EvaluationWrapper']
