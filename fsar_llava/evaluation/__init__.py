"""What a test of episodes amounts to."""

from .few_shot_metric import FewShotMetric

__all__ = ['FewShotMetric']
