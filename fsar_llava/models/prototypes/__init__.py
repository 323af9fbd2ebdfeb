"""Prototype construction: from the supports of each class to what queries are compared with."""

from .composite_task_oriented_prototype import CompositeTaskOrientedPrototype
from .global_temporal_context import GlobalTemporalContext
from .hybrid_relation import HybridRelation
from .local_temporal_context import LocalTemporalContext
from .mean_prototype import MeanPrototype
from .multimodal_fusion_encoder import MultimodalFusionEncoder
from .probability_prompt_selector import ProbabilityPromptSelector
from .text_guided_prototype import TextGuidedPrototype
from .text_modulation import TextModulation

__all__ = [
    'CompositeTaskOrientedPrototype',
    'GlobalTemporalContext',
    'HybridRelation',
    'LocalTemporalContext',
    'MeanPrototype',
    'MultimodalFusionEncoder',
    'ProbabilityPromptSelector',
    'TextGuidedPrototype',
    'TextModulation',
]
