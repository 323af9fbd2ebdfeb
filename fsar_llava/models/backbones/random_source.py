"""A Video-LLaVA of any size with random weights, made without downloading anything."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast, VideoLlavaConfig, VideoLlavaModel

SPECIAL_TOKENS = ('<s>', '</s>', '<pad>', '<image>', '<video>')


class RandomSource:
    """Configuration, byte-level tokenizer and random weights of a Video-LLaVA, all a function of ``architecture``.

    For tests, examples and measurements of speed. The weights of a layer do not depend on how many layers are built.

    Args:
        architecture: ``dict(vision=dict(...), text=dict(...), seed=0)`` with the arguments of transformers'
            ``CLIPVisionConfig`` and ``LlamaConfig``; further keys are arguments of ``VideoLlavaConfig``. With
            ``seed=None`` the weights are different ones each time, but are made on the device, in seconds.

    Attributes:
        local: True: nothing is ever downloaded.
        name: For messages.

    Raises:
        ValueError: If ``vision`` or ``text`` is missing, or the vocabulary is smaller than the tokenizer's.
    """

    local = True
    name = 'a random Video-LLaVA'

    def __init__(self, architecture: Mapping) -> None:
        missing = {'vision', 'text'} - set(architecture)
        if missing:
            raise ValueError(
                f'architecture needs dict(vision=dict(...), text=dict(...), seed=0), but lacks {sorted(missing)}.'
            )
        # A plain dict, whatever kind of mapping the config is made of, so that equal architectures hash equally.
        self._architecture = {'seed': 0, **json.loads(json.dumps(architecture, default=dict))}

    @cached_property
    def config(self) -> VideoLlavaConfig:
        """The configuration of the whole model."""
        from transformers import CLIPVisionConfig, LlamaConfig, VideoLlavaConfig

        further = {key: value for key, value in self._architecture.items() if key not in ('vision', 'text', 'seed')}
        ids = byte_vocabulary()
        text = {'vocab_size': len(ids), **self._architecture['text']}
        if text['vocab_size'] < len(ids):
            raise ValueError(f'text=dict(vocab_size=...) must be at least {len(ids)}, but is {text["vocab_size"]}.')
        return VideoLlavaConfig(
            vision_config=CLIPVisionConfig(**self._architecture['vision']),
            text_config=LlamaConfig(bos_token_id=ids['<s>'], eos_token_id=ids['</s>'], **text),
            image_token_index=ids['<image>'],
            video_token_index=ids['<video>'],
            **further,
        )

    @cached_property
    def fingerprint(self) -> str:
        """A hash of the architecture, its seed included."""
        text = json.dumps(self._architecture, sort_keys=True)
        return f'architecture:{hashlib.sha256(text.encode()).hexdigest()}'

    def tokenizer(self) -> PreTrainedTokenizerFast:
        """A tokenizer with a token for each byte."""
        return byte_tokenizer()

    def load(
        self,
        config: VideoLlavaConfig,
        dtype: torch.dtype,
        *,
        device: torch.device,
        quantization: str | None,
    ) -> VideoLlavaModel:
        """Build the layers that ``config`` has, on the CPU if they depend on a seed; see :meth:`PretrainedSource.load`.

        Raises:
            ValueError: If ``quantization`` is asked for.
        """
        if quantization is not None:
            raise ValueError(
                f'quantization={quantization!r} needs pretrained weights (model=...), not an architecture.'
            )
        from transformers import VideoLlavaModel

        if self._architecture['seed'] is None:
            return build_on(device, dtype, lambda: VideoLlavaModel(config))
        with torch.random.fork_rng(devices=[]):
            model = VideoLlavaModel(config)
        fill_randomly(model, self._architecture['seed'], dtype)
        return model


def build_on(device: torch.device, dtype: torch.dtype, build: Callable[[], nn.Module]) -> nn.Module:
    """What ``build`` makes, with its parameters allocated and initialised where they are needed."""
    default = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.random.fork_rng(devices=[device] if device.type == 'cuda' else []), device:
            return build()
    finally:
        torch.set_default_dtype(default)


@torch.no_grad()
def fill_randomly(model: nn.Module, seed: int, dtype: torch.dtype) -> None:
    """Set every weight to a function of the seed and its name, so that layers left out do not change the others.

    Weights are normal with variance 1 / fan-in; biases and the weights of norms keep their initial values. Buffers keep
    their type.
    """
    for name, parameter in model.named_parameters():
        if parameter.ndim > 1 or name.endswith('class_embedding'):
            # Releases of transformers differ in whether the towers have this level.
            key = f'{seed}:{name.replace(".vision_model.", ".")}'
            number = int.from_bytes(hashlib.sha256(key.encode()).digest()[:6], 'big')
            values = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(number))
            parameter.data = values.mul_(parameter[0].numel() ** -0.5)
        parameter.data = parameter.data.to(dtype)


def byte_vocabulary() -> dict[str, int]:
    """Token ids of the 256 bytes and the special tokens."""
    from tokenizers.pre_tokenizers import ByteLevel

    return {token: number for number, token in enumerate([*sorted(ByteLevel.alphabet()), *SPECIAL_TOKENS])}


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """A tokenizer that knows any text without having been trained."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    ids = byte_vocabulary()
    tokenizer = Tokenizer(models.BPE(vocab=ids, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.TemplateProcessing(
        single='<s> $A', pair='<s> $A $B', special_tokens=[('<s>', ids['<s>'])]
    )
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL_TOKENS])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token='<s>',
        eos_token='</s>',
        pad_token='<pad>',
        clean_up_tokenization_spaces=False,
    )
