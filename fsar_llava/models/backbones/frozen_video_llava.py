"""The part of Video-LLaVA that is run: video tower, projector and the first decoder blocks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from typing import TYPE_CHECKING

import torch
from einops import rearrange, repeat
from torch import Tensor, nn

from .layer_taps import LayerTaps
from .prompt_tokenizer import PromptTokenizer
from .shared_prefix import run_suffixes

if TYPE_CHECKING:
    from transformers import Cache, VideoLlavaConfig, VideoLlavaModel

    from .pretrained_source import PretrainedSource
    from .random_source import RandomSource

SUFFIX_TOKENS_PER_PASS = 1024
"""Prompts of one video that share a decoder pass, counted in tokens, at most. Their attention grows with its square."""

MIN_SUFFIX_TOKENS = 256
"""Their tokens where the video itself is shorter: a smaller pass costs no less."""


class FrozenVideoLlava:
    """Runs a Video-LLaVA up to a hidden layer, first the video, then the prompts behind it.

    The decoder is causal and the video comes first, so all prompts of a video share its pass: its keys and values are
    kept, and the prompts follow in one sequence in which none sees another.

    No :class:`torch.nn.Module` on purpose: as an attribute of one it stays out of ``state_dict``, ``parameters``,
    ``to``, DDP and EMA. Copies share the weights, pickles leave them out, and they are loaded when first needed.

    Args:
        source: Where configuration, tokenizer and weights come from.
        layer: Number of decoder blocks that are allocated and run. A decoder without any gives back what enters it.
        dtype: Type of weights and computation.
        quantization: None, ``'8bit'`` or ``'4bit'``.
        attn_implementation: None (transformers' choice), ``'sdpa'`` or ``'eager'``.
    """

    def __init__(
        self,
        source: PretrainedSource | RandomSource,
        layer: int,
        *,
        dtype: torch.dtype,
        quantization: str | None,
        attn_implementation: str | None,
    ) -> None:
        self.source = source
        self.layer = layer
        self.dtype = dtype
        self.quantization = quantization
        self.attn_implementation = attn_implementation
        self._model: VideoLlavaModel | None = None
        self._prompt_tokenizer: PromptTokenizer | None = None

        if source.local:
            self.check_depth()

    def check_depth(self) -> None:
        """Refuse a layer that the model does not have.

        Raises:
            ValueError: If there are fewer decoder blocks.
        """
        depth = self.source.config.text_config.num_hidden_layers
        if self.layer > depth:
            raise ValueError(
                f'layer={self.layer} is beyond the {depth} decoder layers of {self.source.name}; choose 0 to {depth}.'
            )

    @property
    def frame_tokens(self) -> int:
        """Tokens of a frame as the decoder reads it: its patches and the CLS token."""
        vision = self.source.config.vision_config
        return (vision.image_size // vision.patch_size) ** 2 + 1

    def check_size(self, pixels: Tensor, suffix_length: int = 0) -> None:
        """Refuse frames of another size than the vision tower's, and more tokens than the decoder has positions for.

        Raises:
            ValueError: If either is the case.
        """
        vision, name = self.source.config.vision_config, self.source.name
        size = vision.image_size
        if pixels.ndim != 5 or tuple(pixels.shape[2:]) != (vision.num_channels, size, size):
            raise ValueError(
                f'{name} takes frames [V, T, C, H, W] of {vision.num_channels} x {size} x {size}, but got '
                f"{list(pixels.shape)}. Put dict(type='MLLMResizeCrop', size={size}) and dict(type='FormatShape', "
                "input_format='NCHW') into the pipeline."
            )
        video = pixels.shape[1] * self.frame_tokens
        limit = self.source.config.text_config.max_position_embeddings
        if len(self.prompt_tokenizer.prefix) + video + suffix_length > limit:
            raise ValueError(
                f'{pixels.shape[1]} frames ({video} tokens) and a prompt of {suffix_length} tokens exceed the '
                f'{limit} positions of {name}. Sample fewer frames, or shorten the prompt.'
            )

    def __deepcopy__(self, memo: dict) -> FrozenVideoLlava:
        return self

    def __getstate__(self) -> dict:
        return {**self.__dict__, '_model': None, '_prompt_tokenizer': None}

    @property
    def prompt_tokenizer(self) -> PromptTokenizer:
        """The model's tokenizer, in the wrapper it expects."""
        if self._prompt_tokenizer is None:
            self._prompt_tokenizer = PromptTokenizer(self.source.tokenizer(), self.source.config.video_token_id)
        return self._prompt_tokenizer

    def model(self, device: torch.device) -> VideoLlavaModel:
        """The frozen model on a device; loaded at the first call."""
        if self._model is None:
            # Parameters made in inference mode could not be used outside of it.
            with torch.inference_mode(False):
                self._model = self._load(device)
        if self._model.device != device:
            self._model.to(device)
        return self._model

    def _load(self, device: torch.device) -> VideoLlavaModel:
        self.check_depth()
        config = cut(self.source.config, self.layer)
        if self.attn_implementation is not None:
            config._attn_implementation = self.attn_implementation
        model = self.source.load(config, self.dtype, device=device, quantization=self.quantization)
        del model.image_tower
        # The hidden state of a layer is what its last block leaves, before the norm that precedes the LM head.
        model.language_model.norm = nn.Identity()
        return model.eval().requires_grad_(False)

    def __call__(self, pixels: Tensor, suffixes: Tensor) -> tuple[Tensor, Tensor]:
        """Hidden states of videos and of the texts that follow each of them.

        Args:
            pixels: ``[V, T, C, H, W]`` normalised frames.
            suffixes: ``[V, n, L]`` token ids of n texts per video, padded on the right. Causality keeps the padding
                out of what stands before it. Fastest, if texts that begin alike are neighbours.

        Returns:
            ``[V, T, 1+P, D]`` visual tokens, the first of each frame being the CLS token, and ``[V, n, L, D]``.
        """
        model = self.model(pixels.device)
        with _plain(pixels.device):
            visual, cache = self._run_videos(model, pixels)
            # Prompts of a pass are compared in vain; no more of that than of what is compared with the video.
            limit = min(SUFFIX_TOKENS_PER_PASS, max(MIN_SUFFIX_TOKENS, cache.get_seq_length()))
            parts = suffixes.split(max(1, limit // suffixes.shape[-1]), dim=1)
            textual = [run_suffixes(model, cache, part) for part in parts]
        return visual, torch.cat(textual, dim=1)

    def frames_of_layers(self, pixels: Tensor, layers: Sequence[int]) -> dict[int, Tensor]:
        """The mean patch of every frame, ``[V, T, D]``, behind each of some blocks, from one pass over the videos."""
        model = self.model(pixels.device)
        taps = LayerTaps(
            model.language_model,
            layers,
            prefix=len(self.prompt_tokenizer.prefix),
            tokens=self.frame_tokens,
        )
        with _plain(pixels.device), taps:
            self._run_videos(model, pixels)
        return taps.frames

    def _run_videos(self, model: VideoLlavaModel, pixels: Tensor) -> tuple[Tensor, Cache]:
        """``[V, T, 1+P, D]`` hidden states of the videos, and the keys and values of all blocks up to them."""
        words = torch.tensor(self.prompt_tokenizer.prefix, device=pixels.device)
        frames = model.get_video_features(pixel_values_videos=pixels.to(self.dtype), return_dict=True).pooler_output
        embeddings = torch.cat(
            [
                repeat(model.get_input_embeddings()(words), 'l d -> v l d', v=len(pixels)),
                rearrange(frames, '(v t) p d -> v (t p) d', v=len(pixels)),
            ],
            dim=1,
        )
        output = model.language_model(inputs_embeds=embeddings, use_cache=True)
        states = output.last_hidden_state[:, len(words) :]
        return rearrange(states, 'v (t p) d -> v t p d', t=pixels.shape[1]), output.past_key_values


@contextmanager
def _plain(device: torch.device) -> Iterator[None]:
    """Plain tensors without a graph, whatever mode the caller is in: trained layers can keep them for backward.

    And no autocast: the features must not depend on how the layers behind them are trained.
    """
    with torch.inference_mode(False), torch.no_grad(), torch.autocast(device.type, enabled=False):
        yield


def cut(config: VideoLlavaConfig, layer: int) -> VideoLlavaConfig:
    """A configuration without the decoder blocks behind ``layer`` and the vision blocks whose output nobody reads."""
    config = deepcopy(config)
    config.text_config.num_hidden_layers = layer
    wanted = config.vision_feature_layer
    if isinstance(wanted, int):
        depth = config.vision_config.num_hidden_layers
        blocks = wanted if wanted >= 0 else depth + 1 + wanted
        # What enters the first block is seen only where that runs.
        config.vision_config.num_hidden_layers = max(1, blocks)
        config.vision_feature_layer = -1 if blocks else -2
    return config
