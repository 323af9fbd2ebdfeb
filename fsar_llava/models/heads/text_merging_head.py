"""A prototype head that merges matching with the similarity to class texts."""

from __future__ import annotations

import math

import torch
from einops import rearrange
from mmaction.registry import MODELS
from torch import Tensor

from fsar_llava.models.layers import check_class_texts, cosine, masked_mean
from fsar_llava.structures import EpisodeScores, VideoFeatures

from .prototype_head import PrototypeHead

MERGES = ('mixture', 'product')


@MODELS.register_module()
class TextMergingHead(PrototypeHead):
    """Predicts from the distance to prototypes and from the similarity to the N class texts of the episode.

    The class texts are the textual features of the supports. Similarities are cosines of time-averaged features as they
    come in, before the ``modulation`` slot::

        p_text  = softmax(text_scale * cos(mean_T F, F_T))        p_match = softmax(-distance / temperature)
        mixture: text_weight * p_text + (1 - text_weight) * p_match                                    MA-FSAR [P]
        product: p_text^text_weight * softmax(-distance / merge_temperature)^(1 - text_weight)       CLIP-FSAR [C]

    For losses, :class:`EpisodeScores` has the parts ``'matching'``, ``'query_text'`` (both ``[B, Q, N]``) and
    ``'support_text'`` (``[B, N*K, N]``, by way, then by shot), all before they are merged.

    Args:
        matching: As in :class:`PrototypeHead`.
        prototype: As in :class:`PrototypeHead`.
        text_scale: Factor of the cosines.
        text_weight: Share of the texts, 0 to 1.
        merge: ``'mixture'`` or ``'product'``.
        merge_temperature: Temperature of the distances in the product, or ``'frames'`` for the number of frames T. None
            is ``temperature``.
        **kwargs: Further arguments of :class:`PrototypeHead`.
    """

    def __init__(
        self,
        matching: dict,
        prototype: dict | None = None,
        *,
        text_scale: float = 100.0,
        text_weight: float = 0.5,
        merge: str = 'mixture',
        merge_temperature: float | str | None = None,
        **kwargs: object,
    ) -> None:
        super().__init__(matching, prototype, **kwargs)
        if merge not in MERGES or not 0 <= text_weight <= 1:
            raise ValueError(
                f'TextMergingHead: merge must be one of {MERGES} and text_weight lie in [0, 1], but they are {merge!r} '
                f'and {text_weight}.'
            )
        if merge == 'mixture' and merge_temperature is not None:
            raise ValueError(
                "TextMergingHead: merge_temperature belongs to merge='product'; a mixture uses temperature."
            )
        if isinstance(merge_temperature, str) and merge_temperature != 'frames':
            raise ValueError(
                f"TextMergingHead: merge_temperature must be a number or 'frames', not {merge_temperature!r}."
            )
        if isinstance(merge_temperature, (int, float)) and merge_temperature <= 0:
            raise ValueError(f'TextMergingHead: merge_temperature must be positive, but is {merge_temperature}.')
        self.text_scale = text_scale
        self.text_weight = text_weight
        self.merge = merge
        self.merge_temperature = merge_temperature

    def episode_scores(self, support: VideoFeatures, query: VideoFeatures) -> EpisodeScores:
        """Merged logits, and the parts they are made of.

        Raises:
            ValueError: If a class of the supports has no text.
        """
        check_class_texts('TextMergingHead', support)
        texts = class_texts(support)
        matched = super().episode_scores(support, query)
        query_text = self.text_scale * cosine(query.visual.mean(-2), texts)
        support_text = self.text_scale * cosine(rearrange(support.visual.mean(-2), 'b n k d -> b (n k) d'), texts)
        parts = dict(matched.parts, matching=matched.logits, query_text=query_text, support_text=support_text)
        return EpisodeScores(self._merge(matched.logits, query_text, query.visual.shape[-2]), parts)

    def _merge(self, matching: Tensor, text: Tensor, num_frames: int) -> Tensor:
        """Logarithms of the merged probabilities, ``[B, Q, N]``."""
        if self.merge == 'product':
            target = {None: self.temperature, 'frames': num_frames}.get(self.merge_temperature, self.merge_temperature)
            matching = (matching * (self.temperature / target)).log_softmax(-1)
            return self.text_weight * text.log_softmax(-1) + (1 - self.text_weight) * matching
        if self.text_weight in (0, 1):
            return (text if self.text_weight else matching).log_softmax(-1)
        return torch.logaddexp(
            math.log(self.text_weight) + text.log_softmax(-1), math.log(1 - self.text_weight) + matching.log_softmax(-1)
        )


def class_texts(support: VideoFeatures) -> Tensor:
    """The text of each class ``[B, N, D]``: the mean of the valid text tokens of its shots."""
    tokens = rearrange(support.textual, 'b n k l d -> b n (k l) d')
    return masked_mean(tokens, rearrange(support.textual_mask, 'b n k l -> b n (k l)'), dim=2)
