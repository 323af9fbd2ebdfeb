"""The part of a model that knows episodes."""

from .multiview_head import MultiviewHead
from .prototype_head import PrototypeHead
from .text_merging_head import TextMergingHead

__all__ = ['MultiviewHead', 'PrototypeHead', 'TextMergingHead']
