"""MA-FSAR's visual encoder: a frozen CLIP with adapters that see time and the class texts of supports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from einops import rearrange
from mmaction.registry import MODELS
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from fsar_llava.structures import VideoFeatures

from .clip_backbone import CLIPBackbone
from .ma_fsar_adapter import AdaptedBlock


@MODELS.register_module()
class MAFSARBackbone(CLIPBackbone):
    """Frame features of CLIP's frozen visual encoder, each block of which is adapted (see :class:`AdaptedBlock`).

    Supports, which have a prompt with their class, and queries, which have none, share every weight [P].

    Args:
        model: Hub id or local folder (see :class:`CLIPBackbone`).
        architecture: Sizes of a model without weights instead.
        adapter_channels: Width of the adapters' bottleneck, 192 in the paper.
        path: What keeps attention alive while the adapters are zero (see :class:`AdaptedBlock`).
        with_cp: Recompute activations in the backward pass instead of storing them.
        init_cfg: As for every mmengine module.
    """

    def __init__(
        self,
        model: str | None = None,
        *,
        architecture: str | Mapping | None = None,
        adapter_channels: int = 192,
        path: str = 'frozen',
        with_cp: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(model, architecture=architecture, frozen=True, init_cfg=init_cfg)
        config = self.visual.config
        self.path = path
        self.with_cp = with_cp
        self.adapters = nn.ModuleList(
            AdaptedBlock(config.hidden_size, adapter_channels, config.projection_dim, path=path)
            for _ in range(config.num_hidden_layers)
        )

    def forward(self, inputs: Tensor, prompts: Sequence[str | None] | None = None) -> VideoFeatures:
        """Encode V videos.

        Args:
            inputs: ``[V, T, C, H, W]`` normalised frames.
            prompts: V texts, None for a video without text: a query. None for no texts at all.

        Returns:
            visual ``[V, T, D]``; textual ``[V, 1, D]`` with mask ``[V, 1]``, zero and False for a video without text,
            or None if there are no texts at all.

        Raises:
            ValueError: If the frames have another size than the encoder's, or come without their videos.
        """
        self._check_size(inputs)
        if inputs.ndim != 5:
            raise ValueError(
                f'MAFSARBackbone attends over time and takes videos [V, T, C, H, W], but got {list(inputs.shape)}. Use '
                'it under FewShotRecognizer, with FormatShape(input_format="NCHW").'
            )
        textual, mask = self.embed_prompts(prompts, inputs)
        tower = self.visual.vision_model
        tokens = tower.pre_layrnorm(tower.embeddings(rearrange(inputs, 'v t c h w -> (v t) c h w')))
        tokens = rearrange(tokens, '(v t) s w -> v t s w', v=len(inputs))
        for block, adapter in zip(tower.encoder.layers, self.adapters):
            if self.with_cp and self.training:
                tokens = checkpoint(adapter, tokens, block, textual, mask, use_reentrant=False)
            else:
                tokens = adapter(tokens, block, textual, mask)
        visual = self.visual.visual_projection(tower.post_layernorm(tokens[:, :, 0]))
        return VideoFeatures(visual, textual, mask)

    def identity(self) -> dict:
        """As in :class:`CLIPBackbone`, with what the adapters stand beside."""
        return dict(super().identity(), path=self.path)
