"""Distillation between two views of the same queries, from the more confident one to the other."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from mmaction.registry import MODELS
from torch import Tensor, nn

from fsar_llava.structures import EpisodeBatch, EpisodeScores

DIRECTIONS = ('both', 'local', 'global')


@MODELS.register_module()
class MutualDistillation(nn.Module):
    """CLIP-M2DF's mutual distillation of its local and global view.

    A view is the teacher of a query where it is at least as confident as the other [C]: visually, by the largest
    ``softmax(-distance)``, and textually, by the largest softmax of the cosines of text parts. Local where both hold,
    global where both fail; other queries are left out. For the queries i that a view teaches::

        sum_i w_i KL(teacher_i || student_i) / sum_i w_i         w_i = teacher's visual + textual confidence

    within each episode, then the mean over episodes [R], so that accumulating episodes equals a larger batch. A view
    without a query to teach adds zero. Neither weights nor the teacher's scores pass on a gradient [R].

    Args:
        direction: Which view may teach: ``'both'``, ``'local'`` or ``'global'``.
        visual_condition: Whether the visual comparison counts.
        textual_condition: Whether the textual comparison counts. With neither, both views teach every query.
        loss_weight: Factor of the loss.
    """

    def __init__(
        self,
        *,
        direction: str = 'both',
        visual_condition: bool = True,
        textual_condition: bool = True,
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__()
        if direction not in DIRECTIONS:
            raise ValueError(f'MutualDistillation: direction must be one of {DIRECTIONS}, but is {direction!r}.')
        self.direction = direction
        self.visual_condition = visual_condition
        self.textual_condition = textual_condition
        self.loss_weight = loss_weight

    def forward(self, scores: EpisodeScores, batch: EpisodeBatch) -> dict[str, Tensor]:
        """Losses by name; labels are not read.

        Raises:
            KeyError: If the head has no views ``'local'`` and ``'global'``.
        """
        parts = scores.parts
        if not {'local', 'global', 'text_local', 'text_global'} <= set(parts):
            raise KeyError(
                "MutualDistillation needs the views 'local' and 'global' of MultiviewHead, but the head gives the "
                f'parts {sorted(parts)}.'
            )
        local_teaches, global_teaches = self.teachers(scores)
        loss = parts['local'].new_zeros(())
        if self.direction in ('both', 'local'):
            loss = loss + _distill(parts['local'], parts['global'], parts['text_local'], local_teaches)
        if self.direction in ('both', 'global'):
            loss = loss + _distill(parts['global'], parts['local'], parts['text_global'], global_teaches)
        return {'loss_distill': self.loss_weight * loss}

    def teachers(self, scores: EpisodeScores) -> tuple[Tensor, Tensor]:
        """``[B, Q]`` where the local and where the global view teaches."""
        parts = scores.parts
        local = torch.ones_like(parts['local'][..., 0], dtype=torch.bool)
        other = local.clone()
        for counts, prefix in ((self.visual_condition, ''), (self.textual_condition, 'text_')):
            if counts:
                holds = _confidence(parts[f'{prefix}local']) >= _confidence(parts[f'{prefix}global'])
                local, other = local & holds, other & ~holds
        return local, other


def _confidence(logits: Tensor) -> Tensor:
    """Largest probability ``[B, Q]``."""
    return logits.detach().softmax(-1).amax(-1)


def _distill(teacher: Tensor, student: Tensor, teacher_text: Tensor, teaches: Tensor) -> Tensor:
    """Weighted mean of the divergences of the queries that are taught; ``teaches [B, Q]``."""
    divergence = F.kl_div(
        student.log_softmax(-1), teacher.detach().log_softmax(-1), reduction='none', log_target=True
    ).sum(-1)
    weights = (_confidence(teacher) + _confidence(teacher_text)) * teaches
    # An episode without such a query has weights of zero; the confidences of one are at least 2/N.
    return ((weights * divergence).sum(-1) / weights.sum(-1).clamp(min=1e-6)).mean()
