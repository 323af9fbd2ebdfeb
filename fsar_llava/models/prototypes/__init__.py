"""Prototype construction: from the supports of each class to what queries are compared with."""

from .composite_task_oriented_prototype import CompositeTaskOrientedPrototype
from .mean_prototype import MeanPrototype
from .text_guided_prototype import TextGuidedPrototype

__all__ = ['CompositeTaskOrientedPrototype', 'MeanPrototype', 'TextGuidedPrototype']
