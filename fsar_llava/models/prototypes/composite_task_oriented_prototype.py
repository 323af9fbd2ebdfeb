"""Composite task-oriented prototypes of FSAR-LLaVA."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from mmaction.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from fsar_llava.models.layers import fill_padding, free_memory
from fsar_llava.structures import VideoFeatures

from .chunking import Result, map_queries
from .global_enhancement import GlobalEnhancement
from .local_enhancement import LocalEnhancement
from .mean_prototype import MeanPrototype

_MODALITIES = ('visual', 'textual')
# Without gradients larger chunks are no faster, on a CPU even slower (its caches), and chunks of a fixed size make
# results independent, to the last bit, of what else uses the machine.
_MOST_WORKSPACE = {'cpu': 1 << 24, 'cuda': 1 << 30}


@MODELS.register_module()
class CompositeTaskOrientedPrototype(BaseModule):
    """Class prototypes that each query enhances, in a local and a global part.

    For each query every class prototype is enhanced by that query, in two parts; the query itself is not changed [P].
    The equations are a reconstruction [R], with weights per modality, M = T or L tokens, padded text masked::

        P_c   = mean over shots of the supports of class c                              [B, N, M, D]
        P_loc = P_c + CrossAttn(q = LN P_c, kv = LN [P_c ; F^q])                        [B, Q, N, M, D]
        P_glo = P_c + broadcast g'_c                                                    [B, Q, N, M, D]
                g = [mean_M P_1 .. mean_M P_N, mean_M F^q],  g' = g + SelfAttn(LN g)    [B, Q, N + 1, D]
        P~_c  = P_c + W [P_loc ; P_glo]                                                 [B, Q, N, M, D]

    W starts at zero, so that the module starts as :class:`MeanPrototype`. W also maps P_c itself, and so treats a
    prototype differently from the query that it is compared with, whatever the query is. With few training classes that
    overfits; ``merge='sum'`` has no W and adds up what the two attentions read, which start at zero as well::

        P~_c  = P_c + (P_loc - P_c) + broadcast (g'_c - g_c)                            [B, Q, N, M, D]

    Episodes and queries do not see each other.
    A part or modality that is left out has no parameters. DDP refuses parameters that get no gradient: it needs
    ``modalities=['visual']`` without text and for the ``'visual'`` fusion of :class:`MultimodalMatching`, and
    ``['textual']`` for its ``'textual'`` fusion. See also the switches of :class:`MultimodalFeatureEnhancement`.

    Args:
        channels: D.
        num_heads: h of every attention, a divisor of D.
        use_local: Whether there is a local part.
        use_global: Whether there is a global part.
        merge: How the parts come to the class mean: ``'linear'``, by W, or ``'sum'`` [R].
        modalities: What is enhanced; another modality keeps its class means.
        chunk_size: Number of queries, of all episodes together, that are worked on at a time; it changes memory and
            speed, and results by rounding alone. None: what fits into a quarter of the free memory (see
            :func:`free_memory`); at most 16 MiB on a CPU and 1 GiB on a GPU while no gradients are recorded.
        init_cfg: As for every mmengine module.

    Raises:
        ValueError: If nothing is left to enhance, a modality or ``merge`` is unknown or ``chunk_size`` is not positive.
    """

    def __init__(
        self,
        channels: int,
        num_heads: int = 8,
        *,
        use_local: bool = True,
        use_global: bool = True,
        merge: str = 'linear',
        modalities: Sequence[str] = _MODALITIES,
        chunk_size: int | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        if not (use_local or use_global):
            raise ValueError("use_local and use_global are both off; use dict(type='MeanPrototype') for class means.")
        if isinstance(modalities, str) or not modalities or not set(modalities) <= set(_MODALITIES):
            raise ValueError(f'modalities must be some of {list(_MODALITIES)} in a list, but is {modalities!r}.')
        if merge not in ('linear', 'sum'):
            raise ValueError(f"merge must be 'linear' or 'sum', but is {merge!r}.")
        if chunk_size is not None and chunk_size < 1:
            raise ValueError(f'chunk_size must be at least 1, or None to choose it, but is {chunk_size}.')
        self.channels, self.num_heads, self.chunk_size = channels, num_heads, chunk_size
        kinds = {'local': LocalEnhancement} if use_local else {}
        kinds |= {'global': GlobalEnhancement} if use_global else {}
        self.class_mean = MeanPrototype()
        self.parts = nn.ModuleDict(
            {
                modality: nn.ModuleDict(
                    {name: kind(channels, num_heads, merge=merge == 'linear') for name, kind in kinds.items()}
                )
                for modality in modalities
            }
        )

    def forward(self, support: VideoFeatures, query: VideoFeatures) -> VideoFeatures:
        """Prototypes of every class for every query.

        The result grows with Q: where only distances are needed, :meth:`map_queries` needs far less memory.

        Args:
            support: visual ``[B, N, K, T, D]``; textual ``[B, N, K, L, D]`` or None.
            query: visual ``[B, Q, T, D]``; textual ``[B, Q, L, D]`` or None. T and L may differ from the supports'.

        Returns:
            Features with leading dimensions ``B, Q, N, 1``, textual ones zero at padded positions.

        Raises:
            ValueError: If the features have another width, or only one side has text.
        """
        return self.map_queries(lambda query, prototypes: prototypes, support, query)

    def map_queries(
        self, function: Callable[[VideoFeatures, VideoFeatures], Result], support: VideoFeatures, query: VideoFeatures
    ) -> Result:
        """``function(query, self(support, query))`` without ever holding all prototypes at once.

        Args:
            function: Called as ``function(query, prototypes)`` with some episodes and some of their queries, such as a
                matching metric; its result, a tensor or mapping of tensors ``[B, Q, *]``, is joined again.
            support: As for :meth:`forward`.
            query: As for :meth:`forward`.
        """
        self._check(support, query)
        classes = self.class_mean(support).map(lambda tensor: tensor[:, :, 0])
        padded = query.textual is not None and not (query.textual_mask.all() and classes.textual_mask.all())
        if padded:
            query = query.replace(textual=fill_padding(query.textual, query.textual_mask))
        return map_queries(
            lambda classes, query: function(query, self._construct(classes, query, padded)),
            classes,
            query,
            chunk_size=self.chunk_size or self._fitting_chunk(classes, query),
        )

    def _construct(self, classes: VideoFeatures, query: VideoFeatures, padded: bool) -> VideoFeatures:
        """P~ with leading dimensions ``B, Q, N, 1`` from P_c (``B, N``) and F^q (``B, Q``)."""
        visual = self._enhance('visual', classes.visual, query.visual)
        if classes.textual is None:
            return VideoFeatures(visual)
        masks = (classes.textual_mask, query.textual_mask) if padded else ()
        textual = self._enhance('textual', classes.textual, query.textual, *masks)
        mask = classes.textual_mask[:, None, :, None].expand(textual.shape[:-1])
        return VideoFeatures(visual, fill_padding(textual, mask) if padded else textual, mask)

    def _enhance(self, modality: str, prototype: Tensor, query: Tensor, *masks: Tensor) -> Tensor:
        """P~ ``[B, Q, N, 1, M, D]`` of one modality."""
        parts = self.parts[modality].values() if modality in self.parts else ()
        own, conditioned = zip((prototype, None), *(part(prototype, query, *masks) for part in parts))
        enhanced = sum(part for part in own if part is not None)[:, None].expand(-1, query.shape[1], -1, -1, -1)
        for addition in conditioned[1:]:
            enhanced = enhanced + addition
        return enhanced[:, :, :, None]

    def _fitting_chunk(self, classes: VideoFeatures, query: VideoFeatures) -> int:
        """How many queries fit into the workspace that the device can spare."""
        device = query.visual.device
        budget = free_memory(device) // 4
        if not torch.is_grad_enabled():
            budget = min(budget, _MOST_WORKSPACE.get(device.type, 1 << 30))
        numbers = 0
        for own, other in ((classes.visual, query.visual), (classes.textual, query.textual)):
            if own is not None:
                ways, tokens, width = own.shape[1:]
                # Up to 6 tensors of the prototypes' size and 4 of the scores' live at the same time.
                numbers += ways * tokens * (6 * width + 4 * self.num_heads * other.shape[2])
        return max(1, budget // (numbers * query.visual.element_size()))

    def _check(self, support: VideoFeatures, query: VideoFeatures) -> None:
        widths = {support.visual.shape[-1], query.visual.shape[-1]}
        if widths != {self.channels}:
            raise ValueError(
                f'Prototypes were built with channels={self.channels}, but features are {sorted(widths)} wide. '
                "Set channels to the neck's."
            )
        if (support.textual is None) != (query.textual is None):
            raise ValueError('Supports and queries must both have textual features, or neither.')
