"""What the head says about the queries of a batch of episodes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor


@dataclass(frozen=True)
class EpisodeScores:
    """Scores of every query for every way.

    Attributes:
        logits: ``[B, Q, N]``, larger is more similar; their argmax over N is the prediction.
        parts: Further logits by name, for auxiliary losses: ``[B, Q, N]``, such as ``'visual'`` and ``'textual'``, and
            ``'support_text' [B, N*K, N]`` of :class:`TextMergingHead`.
    """

    logits: Tensor
    parts: Mapping[str, Tensor] = field(default_factory=dict)
