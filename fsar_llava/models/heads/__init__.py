"""The part of a model that knows episodes."""

from .prototype_head import PrototypeHead

__all__ = ['PrototypeHead']
