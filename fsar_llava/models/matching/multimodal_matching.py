"""Visual and textual distances, fused without parameters."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from einops import rearrange
from mmaction.registry import MODELS
from torch import Tensor, nn

from fsar_llava.structures import VideoFeatures

FUSIONS = ('confidence', 'hard', 'mean', 'union', 'visual', 'textual')


@MODELS.register_module()
class MultimodalMatching(nn.Module):
    """Multimodal prototype matching of FSAR-LLaVA.

    It uses both modalities, has no parameters of its own and picks the most decisive cues [P]. How is our
    reconstruction [R]: for each query, a modality m with distances ``d_m [N]`` to the classes is as confident as its
    two best classes are apart, and the more confident modality weighs more::

        conf_m = top1 - top2 of softmax(-d_m / temperature)
        distance = sum_m w_m d_m,   w = softmax_m(conf_m / fusion_temperature), without gradient

    Args:
        matching: Config of the metric within a modality; one that takes tensors. None is Bi-MHM with means.
        fusion: ``'confidence'``, as above [R]; ``'hard'``, the more confident modality alone; ``'mean'`` of both;
            ``'union'``, one distance between the united token sets, so that the choice falls token by token;
            ``'visual'`` or ``'textual'`` alone.
        temperature: Of the softmax that confidences are taken from; as a rule the head's.
        fusion_temperature: Of the softmax over modalities. Towards 0 it becomes ``'hard'``, for large values
            ``'mean'``. To be chosen on meta-validation [R].
    """

    multimodal = True

    def __init__(
        self,
        matching: dict | None = None,
        fusion: str = 'confidence',
        *,
        temperature: float = 0.07,
        fusion_temperature: float = 0.1,
    ) -> None:
        super().__init__()
        if fusion not in FUSIONS:
            raise ValueError(f'MultimodalMatching: fusion must be one of {", ".join(FUSIONS)}, but is {fusion!r}.')
        for name, value in (('temperature', temperature), ('fusion_temperature', fusion_temperature)):
            if value <= 0:
                raise ValueError(f'MultimodalMatching: {name} must be positive, but is {value}.')
        self.matching = MODELS.build(matching or dict(type='BiMHM', reduction='mean'))
        multimodal, ordered = (getattr(self.matching, name, False) for name in ('multimodal', 'ordered'))
        if multimodal or (fusion == 'union' and ordered):
            what = 'takes both modalities itself' if multimodal else 'depends on the order of tokens'
            raise ValueError(
                f'MultimodalMatching: {type(self.matching).__name__} {what}, which fusion={fusion!r} cannot use. '
                "Choose a metric of single modalities, such as dict(type='BiMHM', reduction='mean')."
            )
        self.fusion = fusion
        self.temperature = temperature
        self.fusion_temperature = fusion_temperature

    def forward(self, query: VideoFeatures, support: VideoFeatures) -> Tensor:
        """Fused distance ``[B, Q, N]``; arguments as of :meth:`distances`."""
        return self.fuse(self.distances(query, support))

    def distances(self, query: VideoFeatures, support: VideoFeatures) -> dict[str, Tensor]:
        """The distances that the fusion needs.

        Args:
            query: Features with leading dimensions ``B, Q``.
            support: Features with leading dimensions ``B, N, K``, or ``B, Q, N, K``.

        Returns:
            ``[B, Q, N]`` by name: ``visual`` and ``textual``, one of them, or ``union``.

        Raises:
            TypeError: If the features are plain tensors.
            ValueError: If the fusion needs textual features and there are none.
        """
        self._check(query, support)
        distances = {}
        if self.fusion == 'union':
            (query_tokens, query_mask), (support_tokens, support_mask) = _united(query), _united(support)
            distances['union'] = self.matching(query_tokens, support_tokens, query_mask, support_mask)
        if self.fusion not in ('union', 'textual'):
            distances['visual'] = self.matching(query.visual, support.visual)
        if self.fusion not in ('union', 'visual'):
            distances['textual'] = self.matching(
                query.textual, support.textual, query.textual_mask, support.textual_mask
            )
        return distances

    def fuse(self, distances: Mapping[str, Tensor]) -> Tensor:
        """One distance ``[B, Q, N]`` from those of :meth:`distances`."""
        stacked = torch.stack(tuple(distances.values()))
        if len(stacked) == 1:
            return stacked[0]
        return (self.weights(stacked) * stacked).sum(0)

    def weights(self, stacked: Tensor) -> Tensor:
        """Weight of each modality for each query, constants for the gradient.

        Args:
            stacked: ``[M, B, Q, N]`` distances of M modalities.

        Returns:
            ``[M, B, Q, 1]``, sum 1 over M.
        """
        if self.fusion == 'mean':
            return torch.full_like(stacked[..., :1], 1 / len(stacked))
        probability = (-stacked.detach() / self.temperature).softmax(-1)
        # The impossible extra class makes a single way all confident, and changes nothing for more.
        first, second = F.pad(probability, (0, 1)).topk(2).values.unbind(-1)
        confidence = first - second
        if self.fusion == 'hard':  # the first modality, the visual one, where they are even
            weights = F.one_hot(confidence.argmax(0), len(stacked)).to(stacked.dtype)
            return rearrange(weights, 'b q m -> m b q 1')
        return (confidence / self.fusion_temperature).softmax(0)[..., None]

    def _check(self, query: VideoFeatures, support: VideoFeatures) -> None:
        for side, features in (('query', query), ('support', support)):
            if not isinstance(features, VideoFeatures):
                raise TypeError(
                    f'MultimodalMatching takes VideoFeatures, but {side} is a {type(features).__name__}. '
                    'For plain tensors use a metric of one modality, such as BiMHM.'
                )
            if self.fusion != 'visual' and features.textual is None:
                raise ValueError(
                    f'MultimodalMatching: fusion={self.fusion!r} needs textual features, but {side} has none. '
                    "Use a backbone that gives them, or fusion='visual'."
                )


def _united(features: VideoFeatures) -> tuple[Tensor, Tensor]:
    """Visual and textual tokens as one set ``[*, T+L, D]``, and its mask ``[*, T+L]``."""
    visible = features.visual.new_ones(features.visual.shape[:-1], dtype=torch.bool)
    tokens = torch.cat((features.visual, features.textual), dim=-2)
    return tokens, torch.cat((visible, features.textual_mask), dim=-1)
