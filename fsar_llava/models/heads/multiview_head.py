"""A prototype head that compares two views of each video, with a prompt chosen for the queries."""

from __future__ import annotations

import torch
from einops import rearrange
from mmaction.registry import MODELS
from mmengine.model import ModuleDict

from fsar_llava.models.layers import check_class_texts, cosine
from fsar_llava.structures import EpisodeScores, VideoFeatures

from .prototype_head import PrototypeHead
from .text_merging_head import class_texts


@MODELS.register_module()
class MultiviewHead(PrototypeHead):
    """Sums the logits of a local and a global view of the same videos, as CLIP-M2DF does [C].

    A view turns :class:`VideoFeatures` (frames and the prompt of a video) into others. A support's prompt is its class
    text, a query's is chosen by the ``selector`` from the texts of the episode's classes.

    For losses, :class:`EpisodeScores` has the parts ``'local'`` and ``'global'`` (logits of the distances),
    ``'text_local'`` and ``'text_global'`` (cosines of the text parts), all ``[B, Q, N]``.

    Args:
        matching: As in :class:`PrototypeHead`; used for every view.
        prototype: As in :class:`PrototypeHead`.
        selector: Config of the selector: ``selector(query [B, Q, T, D], texts [B, N, D]) -> [B, Q, D]``.
        local_view: Config of the local view; None leaves it out.
        global_view: Config of the global view; None leaves it out.
        **kwargs: Further arguments of :class:`PrototypeHead`.
    """

    def __init__(
        self,
        matching: dict,
        prototype: dict | None = None,
        *,
        selector: dict,
        local_view: dict | None = None,
        global_view: dict | None = None,
        **kwargs: object,
    ) -> None:
        super().__init__(matching, prototype, **kwargs)
        views = {'local': local_view, 'global': global_view}
        self.views = ModuleDict({name: MODELS.build(view) for name, view in views.items() if view is not None})
        if not self.views:
            raise ValueError('MultiviewHead needs local_view or global_view, but has neither.')
        self.selector = MODELS.build(selector)

    def episode_scores(self, support: VideoFeatures, query: VideoFeatures) -> EpisodeScores:
        """Summed logits, and those of each view.

        Raises:
            ValueError: If a class of the supports has no text.
        """
        check_class_texts('MultiviewHead', support)
        prompt = rearrange(self.selector(query.visual, class_texts(support)), 'b q d -> b q 1 d')
        query = VideoFeatures(query.visual, prompt, torch.ones_like(prompt[..., 0], dtype=torch.bool))
        parts = {}
        for name, view in self.views.items():
            view_support, view_query = view(support), view(query)
            parts[name] = super().episode_scores(view_support, view_query).logits
            parts[f'text_{name}'] = cosine(view_query.textual.mean(2), class_texts(view_support))
        return EpisodeScores(sum(parts[name] for name in self.views), parts)
