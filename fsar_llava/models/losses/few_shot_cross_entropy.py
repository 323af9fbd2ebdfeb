"""Cross-entropy of the queries over the ways of their episode."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from mmaction.registry import MODELS
from torch import Tensor, nn

from fsar_llava.structures import EpisodeBatch, EpisodeScores


@MODELS.register_module()
class FewShotCrossEntropy(nn.Module):
    """The query-to-support loss L_Q2S [P], optionally on single parts of the scores [R].

    Args:
        parts: Names of the parts of :class:`EpisodeScores` to supervise instead of the fused logits, such as
            ``('visual', 'textual')``. None takes the logits.
        reduction: ``'mean'`` over queries, or ``'sum'`` over the queries of an episode and mean over episodes, as the
            public code of TRX does.
        loss_weight: Factor of the loss.
    """

    def __init__(
        self, *, parts: Sequence[str] | None = None, reduction: str = 'mean', loss_weight: float = 1.0
    ) -> None:
        super().__init__()
        if reduction not in ('mean', 'sum'):
            raise ValueError(f"FewShotCrossEntropy: reduction must be 'mean' or 'sum', but is {reduction!r}.")
        if isinstance(parts, str):
            raise ValueError(
                f'FewShotCrossEntropy: parts must be a list of names, but is {parts!r}. Write [{parts!r}].'
            )
        if parts is not None and not parts:
            raise ValueError('FewShotCrossEntropy: parts names none, which leaves no loss. None takes the logits.')
        if 'support_text' in (parts or ()):
            raise ValueError(
                "FewShotCrossEntropy: the part 'support_text' is about supports, not queries. Use "
                "dict(type='SupportTextCrossEntropy') beside this loss."
            )
        self.parts = None if parts is None else tuple(parts)
        self.reduction = reduction
        self.loss_weight = loss_weight

    def forward(self, scores: EpisodeScores, batch: EpisodeBatch) -> dict[str, Tensor]:
        """Losses by name.

        Raises:
            KeyError: If the matching does not give a part that is to be supervised.
            ValueError: If a query has no label.
        """
        if self.parts is None:
            return {'loss_q2s': self._cross_entropy(scores.logits, batch.labels())}
        missing = set(self.parts) - set(scores.parts)
        if missing:
            raise KeyError(
                f'FewShotCrossEntropy: the matching gives the parts {sorted(scores.parts)}, not {sorted(missing)}. '
                "Choose among those, or a multimodal matching whose fusion keeps them (not 'union')."
            )
        return {f'loss_q2s_{part}': self._cross_entropy(scores.parts[part], batch.labels()) for part in self.parts}

    def _cross_entropy(self, logits: Tensor, labels: Tensor) -> Tensor:
        loss = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction=self.reduction)
        if self.reduction == 'sum':
            loss = loss / len(logits)
        return self.loss_weight * loss
