"""Cross-entropy of the supports over the class texts of their episode."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from mmaction.registry import MODELS
from torch import Tensor, nn

from fsar_llava.structures import EpisodeBatch, EpisodeScores


@MODELS.register_module()
class SupportTextCrossEntropy(nn.Module):
    """The support-to-text loss L_S2T of MA-FSAR [P], over the part ``'support_text'`` of :class:`TextMergingHead`.

    Args:
        loss_weight: Factor of the loss.
    """

    def __init__(self, *, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.loss_weight = loss_weight

    def forward(self, scores: EpisodeScores, batch: EpisodeBatch) -> dict[str, Tensor]:
        """Losses by name.

        Raises:
            KeyError: If the head does not compare supports with texts.
        """
        if 'support_text' not in scores.parts:
            raise KeyError(
                f"SupportTextCrossEntropy needs the part 'support_text', but the head gives {sorted(scores.parts)}. "
                'Use TextMergingHead.'
            )
        logits = scores.parts['support_text']
        num_episodes, num_supports, num_ways = logits.shape
        ways = torch.arange(num_ways, device=logits.device).repeat_interleave(num_supports // num_ways)
        loss = F.cross_entropy(logits.flatten(0, 1), ways.repeat(num_episodes))
        return {'loss_s2t': self.loss_weight * loss}
