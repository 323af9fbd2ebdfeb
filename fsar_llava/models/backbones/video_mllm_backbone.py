"""A frozen video MLLM as a knowledge base: visual and textual tokens from one hidden layer of its decoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from mmaction.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor

from fsar_llava.checks import check_integers
from fsar_llava.structures import VideoFeatures

from .frozen_video_llava import FrozenVideoLlava
from .pretrained_source import PretrainedSource
from .prompt_tokenizer import TEXT_SPANS, WRAPPER
from .random_source import RandomSource
from .token_layout import pad_texts, pool_patches, select_spans
from .video_tokens import VideoTokens

CHOICES = {
    'text_span': TEXT_SPANS,
    'dtype': ('auto', 'bfloat16', 'float16', 'float32'),
    'quantization': (None, '8bit', '4bit'),
    'attn_implementation': (None, 'sdpa', 'eager'),
}


@MODELS.register_module()
class VideoMLLMBackbone(BaseModule):
    """Hidden states of a frozen Video-LLaVA, as visual tokens ``[V,T,P,D]`` and textual tokens ``[V,L,D]``.

    The features are the hidden state of one decoder layer, split by token position [P]; nothing is generated. Which
    layer, the pooling and the span of textual tokens are not published [R].

    The model has no parameters, buffers or submodules: the MLLM is held aside, is loaded when the first video comes, on
    that video's device, and is never trained, copied or saved. Features carry no gradient.

    Args:
        model: Folder or hub id of the weights, such as ``'LanguageBind/Video-LLaVA-7B-hf'``.
        layer: Number of decoder blocks that run; later blocks and the LM head are never allocated. 0: none, the tokens
            are those that enter the decoder, frames from the video tower and its projector, words from the embedding.
        revision: Branch, tag or commit of a hub model.
        architecture: Instead of ``model``: ``dict(vision=dict(...), text=dict(...), seed=0)``, the arguments of
            transformers' ``CLIPVisionConfig`` and ``LlamaConfig``, for a model with random weights.
        grid: Patches of a frame are averaged to ``grid x grid``; None keeps them all.
        keep_cls: Keep the CLS token of each frame, in front of its patches.
        text_span: Textual tokens: ``'prompt'``, ``'prompt+assistant'`` (what follows the prompt has seen all of it) or
            ``'last'`` (the last one only).
        dtype: ``'bfloat16'``, ``'float16'``, ``'float32'``, or ``'auto'``: bfloat16 where CUDA is available, else
            float32. The features have this type.
        quantization: None, ``'8bit'`` or ``'4bit'`` (needs bitsandbytes).
        max_batch_size: Videos that run at a time; None for all of a batch.
        attn_implementation: None (transformers' choice), ``'sdpa'`` or ``'eager'``.
        init_cfg: Not used; for mmengine's base class.

    Raises:
        ValueError: If an argument is out of its range, or the layer is beyond the model's depth. For a hub model the
            latter is found out at the first use.
        FileNotFoundError: If the folder or one of its files is missing.
    """

    def __init__(
        self,
        model: str | None = None,
        layer: int | None = None,
        *,
        revision: str | None = None,
        architecture: Mapping | None = None,
        grid: int | None = 4,
        keep_cls: bool = False,
        text_span: str = 'prompt+assistant',
        dtype: str = 'auto',
        quantization: str | None = None,
        max_batch_size: int | None = None,
        attn_implementation: str | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        chosen = dict(
            text_span=text_span, dtype=dtype, quantization=quantization, attn_implementation=attn_implementation
        )
        _check_choices(chosen)
        if layer is None:
            raise ValueError('VideoMLLMBackbone needs layer, the number of decoder blocks to run (from 0).')
        check_integers(self, 0, layer=layer)
        check_integers(self, optional=True, grid=grid, max_batch_size=max_batch_size)
        if (model is None) == (architecture is None):
            raise ValueError(
                'VideoMLLMBackbone needs either model (a folder or a hub id) or architecture (for random weights), but '
                f'got model={model!r} and architecture={architecture!r}.'
            )
        if dtype == 'auto':
            dtype = 'bfloat16' if torch.cuda.is_available() else 'float32'
        self.layer = layer
        self.grid = grid
        self.keep_cls = keep_cls
        self.text_span = text_span
        self.dtype = dtype
        self.max_batch_size = max_batch_size
        self._source = RandomSource(architecture) if model is None else PretrainedSource(model, revision)
        self._mllm = FrozenVideoLlava(
            self._source,
            layer,
            dtype=getattr(torch, dtype),
            quantization=quantization,
            attn_implementation=attn_implementation,
        )
        if self._source.local:
            self._check_grid()

    @property
    def out_channels(self) -> int:
        """D, the width of the features."""
        return self._source.config.text_config.hidden_size

    @property
    def tokens_per_frame(self) -> int:
        """P, the visual tokens of a frame."""
        side = self.grid or self._patches_per_side
        return side * side + self.keep_cls

    @property
    def depth(self) -> int:
        """Decoder blocks of the whole model, of which ``layer`` run."""
        return self._source.config.text_config.num_hidden_layers

    def text_length(self, prompt: str) -> int:
        """L, the textual tokens of a prompt."""
        start, stop = self._mllm.prompt_tokenizer(prompt).span(self.text_span)
        return stop - start

    @property
    def _patches_per_side(self) -> int:
        vision = self._source.config.vision_config
        return vision.image_size // vision.patch_size

    def identity(self) -> dict[str, str | int | bool | None]:
        """Everything that changes the numbers (``model`` is there for people only)."""
        return dict(
            family='video_llava',
            model=self._source.name,
            fingerprint=self._source.fingerprint,
            layer=self.layer,
            grid=self.grid,
            keep_cls=self.keep_cls,
            text_span=self.text_span,
            wrapper=WRAPPER,
            dtype=self.dtype,
            quantization=self._mllm.quantization,
        )

    def forward(self, inputs: Tensor, prompts: Sequence[str | None] | None = None) -> VideoFeatures:
        """Features of V videos with one prompt each.

        Args:
            inputs: ``[V, T, C, H, W]`` normalised frames.
            prompts: V texts.

        Returns:
            ``visual [V, T, P, D]``, ``textual [V, L, D]`` (zero where masked), ``textual_mask [V, L]``.

        Raises:
            ValueError: If a prompt is missing, or the frames do not have the size that the model was made for.
        """
        prompts = [None] * len(inputs) if prompts is None else prompts
        tokens = self.encode(inputs, [[prompt] for prompt in prompts])
        return VideoFeatures(tokens.visual, tokens.textual, tokens.textual_mask)

    def encode(self, inputs: Tensor, prompts: Sequence[Sequence[str]]) -> VideoTokens:
        """Features of V videos with any number of prompts each; a video runs once, and so does each of its prompts.

        Args:
            inputs: ``[V, T, C, H, W]`` normalised frames.
            prompts: For each video at least one text.

        Raises:
            ValueError: As :meth:`forward`.
        """
        self._check_grid()
        self._check_prompts(inputs, prompts)
        distinct = [sorted(set(asked)) for asked in prompts]  # in this order, neighbours begin alike
        tokens = [[self._mllm.prompt_tokenizer(prompt) for prompt in asked] for asked in distinct]
        suffixes = pad_texts([[token.ids for token in asked] for asked in tokens])
        self._mllm.check_size(inputs, suffixes.shape[-1])
        visual, textual = self._run(inputs, suffixes)

        places = [{prompt: place for place, prompt in enumerate(asked)} for asked in distinct]
        rows = [(video, places[video][prompt]) for video, asked in enumerate(prompts) for prompt in asked]
        video_index, place = torch.tensor(rows, device=inputs.device).unbind(1)
        spans = torch.tensor([tokens[video][k].span(self.text_span) for video, k in rows], device=inputs.device)
        return VideoTokens(visual, *select_spans(textual[video_index, place], spans), video_index)

    def frames_of_layers(self, inputs: Tensor, layers: Sequence[int]) -> dict[int, Tensor]:
        """What several layers make of the frames of V videos, from one pass and without a prompt.

        Args:
            inputs: ``[V, T, C, H, W]`` normalised frames.
            layers: Numbers of decoder blocks, up to ``layer``; 0 is what enters the first.

        Returns:
            Layer -> ``[V, T, D]``, the mean of each frame's patches, in float32.

        Raises:
            ValueError: If a layer does not run, or the frames do not have the size that the model was made for.
        """
        if not layers or not 0 <= min(layers) <= max(layers) <= self.layer:
            raise ValueError(f'layers must lie between 0 and layer={self.layer}, but are {list(layers)}.')
        self._mllm.check_size(inputs)
        parts = [
            self._mllm.frames_of_layers(pixels, layers) for pixels in inputs.split(self.max_batch_size or len(inputs))
        ]
        return {layer: torch.cat([part[layer] for part in parts]) for layer in layers}

    def _run(self, inputs: Tensor, suffixes: Tensor) -> tuple[Tensor, Tensor]:
        """``[V, T, P, D]`` and ``[V, n, L, D]``; the patches are pooled before the next videos run."""
        step = self.max_batch_size or len(inputs)
        visual, textual = [], []
        for pixels, ids in zip(inputs.split(step), suffixes.split(step)):
            frames, texts = self._mllm(pixels, ids)
            visual.append(pool_patches(frames, self.grid, keep_cls=self.keep_cls))
            textual.append(texts)
        return torch.cat(visual), torch.cat(textual)

    def _check_grid(self) -> None:
        side = self._patches_per_side
        if self.grid is not None and side % self.grid:
            raise ValueError(
                f'grid={self.grid} does not divide the {side} x {side} patches of a frame of {self._source.name}; '
                f'choose one of {[size for size in range(1, side + 1) if side % size == 0]}, or None for all patches.'
            )

    def _check_prompts(self, inputs: Tensor, prompts: Sequence[Sequence[str]]) -> None:
        if len(prompts) != len(inputs):
            raise ValueError(f'Got prompts for {len(prompts)} videos, but {len(inputs)} videos; each needs its own.')
        for video, asked in enumerate(prompts):
            if not asked or not all(isinstance(prompt, str) for prompt in asked):
                raise ValueError(
                    f'Video {video} of the batch needs a prompt that is a text, but has {list(asked)}. Use '
                    "FewShotRecognizer and set its prompts, for example prompts='unknown'."
                )

    def extra_repr(self) -> str:
        """Shown by ``print``; the MLLM itself is no submodule."""
        return f'{self._source.name}, layer={self.layer}, grid={self.grid}, text_span={self.text_span!r}'


def _check_choices(chosen: Mapping) -> None:
    for name, value in chosen.items():
        if value not in CHOICES[name]:
            raise ValueError(f'{name} must be one of {CHOICES[name]}, but is {value!r}.')
