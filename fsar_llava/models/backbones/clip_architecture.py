"""CLIP models built from sizes alone, for counting parameters and for tests without a download."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import CLIPTextConfig, CLIPTokenizer, CLIPVisionConfig


def _sizes(width: int, layers: int, heads: int, patch: int, text_width: int, text_heads: int) -> dict[str, dict]:
    return dict(
        vision=dict(
            hidden_size=width,
            intermediate_size=4 * width,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            patch_size=patch,
            projection_dim=text_width,
        ),
        text=dict(
            hidden_size=text_width,
            intermediate_size=4 * text_width,
            num_attention_heads=text_heads,
            projection_dim=text_width,
        ),
    )


ARCHITECTURES = {
    'ViT-B/32': _sizes(768, 12, 12, 32, 512, 8),
    'ViT-B/16': _sizes(768, 12, 12, 16, 512, 8),
    'ViT-L/14': _sizes(1024, 24, 16, 14, 768, 12),
    'tiny': dict(
        vision=dict(
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            patch_size=16,
            image_size=64,
            projection_dim=32,
        ),
        text=dict(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, projection_dim=32),
    ),
}


def clip_sizes(architecture: str | Mapping) -> dict[str, dict]:
    """Sizes of the visual and textual encoder.

    Args:
        architecture: A name in ``ARCHITECTURES``, or ``dict(vision=..., text=...)`` with arguments of transformers'
            ``CLIPVisionConfig`` and ``CLIPTextConfig``. A key ``base`` names the architecture that is changed.

    Raises:
        ValueError: If the name or a key is unknown.
    """
    if isinstance(architecture, str):
        architecture = dict(base=architecture)
    unknown = set(architecture) - {'base', 'vision', 'text'}
    base = architecture.get('base')
    if unknown or (base is not None and base not in ARCHITECTURES):
        raise ValueError(
            f'CLIP architecture {dict(architecture)!r}: expected one of {sorted(ARCHITECTURES)}, or '
            'dict(base=<one of these>, vision=dict(...), text=dict(...)), each key of which may be left out.'
        )
    start = ARCHITECTURES.get(base, dict(vision={}, text={}))
    return {tower: {**start[tower], **architecture.get(tower, {})} for tower in ('vision', 'text')}


def vision_config(architecture: str | Mapping) -> CLIPVisionConfig:
    """Configuration of the visual encoder (see :func:`clip_sizes`)."""
    from transformers import CLIPVisionConfig

    return CLIPVisionConfig(**clip_sizes(architecture)['vision'])


def text_config(architecture: str | Mapping, tokenizer: CLIPTokenizer) -> CLIPTextConfig:
    """Configuration of the textual encoder over the tokens of ``tokenizer`` (see :func:`clip_sizes`)."""
    from transformers import CLIPTextConfig

    special = dict(bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id)
    return CLIPTextConfig(**clip_sizes(architecture)['text'], vocab_size=len(tokenizer), **special)


def character_tokenizer() -> CLIPTokenizer:
    """A tokenizer with one token for each byte, inside and at the end of a word: for models without weights."""
    from tokenizers import pre_tokenizers
    from transformers import CLIPTokenizer

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = [*alphabet, *(f'{character}</w>' for character in alphabet), '<|startoftext|>', '<|endoftext|>']
    return CLIPTokenizer(vocab={token: index for index, token in enumerate(tokens)}, merges=[])
