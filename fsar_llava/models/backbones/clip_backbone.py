"""CLIP's visual encoder as a backbone, with the texts of its prompts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from einops import rearrange
from mmaction.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor

from fsar_llava.structures import VideoFeatures

from .clip_architecture import vision_config
from .clip_text_encoder import CLIPTextEncoder, check_source, explained


@MODELS.register_module()
class CLIPBackbone(BaseModule):
    """Frame features by CLIP's visual encoder; one text token for each video that has a prompt.

    Under :class:`FewShotRecognizer` it takes videos and prompts. Under MMAction2's ``Recognizer2D`` it takes a batch of
    frames and gives one vector a frame, like any 2D backbone.

    Args:
        model: Hub id, such as ``'openai/clip-vit-base-patch16'``, or a local folder.
        architecture: Sizes of a model without weights instead: ``'ViT-B/32'``, ``'ViT-B/16'``, ``'ViT-L/14'``,
            ``'tiny'`` or a dict (see :func:`clip_sizes`).
        frozen: Whether the visual encoder is kept as it is. The text encoder always is.
        text: Whether there is a text encoder. False for methods without text; prompts are then passed over.
        with_cp: Recompute activations in the backward pass instead of storing them.
        init_cfg: As for every mmengine module.

    Attributes:
        channels: D, the width of frame and text features.
    """

    def __init__(
        self,
        model: str | None = None,
        *,
        architecture: str | Mapping | None = None,
        frozen: bool = False,
        text: bool = True,
        with_cp: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        from transformers import CLIPVisionModelWithProjection

        super().__init__(init_cfg=init_cfg)
        check_source(type(self).__name__, model, architecture)
        if model is not None:
            with explained(model):
                self.visual = CLIPVisionModelWithProjection.from_pretrained(model, dtype=torch.float32)
        else:
            self.visual = CLIPVisionModelWithProjection(vision_config(architecture))
        self.visual.is_init = True  # for mmengine: transformers' own init_weights must not run again
        self.text_encoder = CLIPTextEncoder(model, architecture=architecture) if text else None
        self.channels = self.visual.config.projection_dim
        self.frozen = frozen
        self.visual.requires_grad_(not frozen)
        if with_cp and not frozen:
            self.visual.gradient_checkpointing_enable(dict(use_reentrant=False))

    def train(self, mode: bool = True) -> CLIPBackbone:
        """As for every module; a frozen encoder stays in evaluation mode."""
        super().train(mode)
        if self.frozen:
            self.visual.eval()
        return self

    def forward(self, inputs: Tensor, prompts: Sequence[str | None] | None = None) -> VideoFeatures | Tensor:
        """Encode V videos, or frames.

        Args:
            inputs: ``[V, T, C, H, W]`` normalised frames of videos, or ``[V*T, C, H, W]`` without prompts.
            prompts: V texts, None for a video without text. None for no texts at all.

        Returns:
            visual ``[V, T, D]``; textual ``[V, 1, D]`` with mask ``[V, 1]``, zero and False for a video without text,
            or None if there are no texts at all. For frames without videos, ``[V*T, D]``.

        Raises:
            ValueError: If the frames have another size than the encoder's.
        """
        self._check_size(inputs)
        if inputs.ndim == 4:
            return self._encode_frames(inputs)
        visual = self._encode_frames(rearrange(inputs, 'v t c h w -> (v t) c h w'))
        visual = rearrange(visual, '(v t) d -> v t d', v=len(inputs))
        return VideoFeatures(visual, *self.embed_prompts(prompts, visual))

    def embed_prompts(
        self, prompts: Sequence[str | None] | None, like: Tensor
    ) -> tuple[Tensor, Tensor] | tuple[None, None]:
        """Textual features ``[V, 1, D]`` and mask ``[V, 1]`` on the device of ``like``, or two Nones without texts."""
        if prompts is None or self.text_encoder is None:
            return None, None
        texts = [prompt for prompt in prompts if prompt is not None]
        mask = torch.tensor([prompt is not None for prompt in prompts])
        textual = torch.zeros(len(prompts), 1, self.channels)
        if texts:
            textual[mask, 0] = self.text_encoder(texts)
        return textual.to(like.device), mask[:, None].to(like.device)

    def identity(self) -> dict:
        """What the tuned parts were tuned for.

        Of the visual encoder, whose weights are in the checkpoint, the sizes; of the text encoder, whose are not, a
        fingerprint.
        """
        config = self.visual.config
        sizes = f'{config.num_hidden_layers} x {config.hidden_size}, {config.patch_size} of {config.image_size} pixels'
        text = {} if self.text_encoder is None else self.text_encoder.identity()
        return dict(type=type(self).__name__, visual=sizes, **text)

    def _encode_frames(self, frames: Tensor) -> Tensor:
        """``[M, C, H, W]`` to ``[M, D]``."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            return self.visual(pixel_values=frames).image_embeds

    def _check_size(self, inputs: Tensor) -> None:
        size = self.visual.config.image_size
        if tuple(inputs.shape[-2:]) != (size, size):
            raise ValueError(
                f'{type(self).__name__} takes frames of {size} x {size} pixels, but got {list(inputs.shape[-2:])}. Set '
                "the crop size of the config's pipelines accordingly."
            )
