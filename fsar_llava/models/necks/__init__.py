"""Necks: from a backbone's tokens of one video to its features, without knowledge of other videos."""

from .centering import Centering
from .class_text_supervision import ClassTextSupervision
from .linear_projection import LinearProjection
from .multimodal_feature_enhancement import MultimodalFeatureEnhancement

__all__ = ['Centering', 'ClassTextSupervision', 'LinearProjection', 'MultimodalFeatureEnhancement']
