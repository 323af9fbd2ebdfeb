"""Embeddings of texts by a frozen CLIP text encoder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from mmaction.registry import MODELS
from torch import Tensor

from .clip_architecture import character_tokenizer, clip_sizes, text_config
from .pretrained_source import HUB_PATTERN

if TYPE_CHECKING:
    from transformers import CLIPTextModelWithProjection, PreTrainedTokenizerBase

SEED = 0


@MODELS.register_module()
class CLIPTextEncoder:
    """Turns texts into embeddings with CLIP's text encoder, which is never trained.

    It is no ``nn.Module``: neither checkpoints nor DDP nor EMA see it. It works on the CPU, on one text at a time and
    in float32, and keeps what it has found. So an embedding depends on nothing but the text and the weights (neither on
    the device nor on the other texts of a batch), and the few dozen class names of a run cost a second, once.

    Args:
        model: Hub id, such as ``'openai/clip-vit-base-patch16'``, or a local folder.
        architecture: Sizes of a model without weights instead (see :func:`clip_sizes`); it is initialised with a fixed
            seed and has a tokenizer of characters.

    Raises:
        ValueError: If not exactly one of both is given.
        FileNotFoundError: If the folder does not exist.
    """

    def __init__(self, model: str | None = None, *, architecture: str | Mapping | None = None) -> None:
        check_source('CLIPTextEncoder', model, architecture)
        self.model = model
        # The sizes as text: a key under which encoders of equal sizes share one model, whatever config they came from.
        self._sizes = None if architecture is None else json.dumps(clip_sizes(architecture)['text'], sort_keys=True)
        self._embeddings: dict[str, Tensor] = {}

    def __call__(self, texts: Sequence[str]) -> Tensor:
        """Embeddings ``[len(texts), D]`` on the CPU, as the text encoder gives them (not normalised)."""
        for text in texts:
            if text not in self._embeddings:
                self._embeddings[text] = self._embed(text)
        return torch.stack([self._embeddings[text] for text in texts])

    def identity(self) -> dict[str, str]:
        """Name of the model and fingerprint of its output projection."""
        _, model = _load(self.model, self._sizes)
        weights = model.text_projection.weight.detach().contiguous().numpy().tobytes()
        return dict(model=self.model or self._sizes, fingerprint=hashlib.sha256(weights).hexdigest()[:16])

    @torch.no_grad()
    def _embed(self, text: str) -> Tensor:
        tokenizer, model = _load(self.model, self._sizes)
        length = model.config.max_position_embeddings
        ids = tokenizer(text, truncation=True, max_length=length, return_tensors='pt')['input_ids']
        with torch.autocast('cpu', enabled=False):
            return model(input_ids=ids).text_embeds[0]


def check_source(owner: str, model: str | None, architecture: object) -> None:
    """Refuse a model that has both weights and sizes, or neither, and a folder that is not there."""
    if (model is None) == (architecture is None):
        raise ValueError(
            f"{owner} needs either model='<hub id or folder>' or architecture=<sizes, for a model without weights>, "
            f'but got model={model!r} and architecture={architecture!r}.'
        )
    if model is not None and not Path(model).is_dir() and not HUB_PATTERN.fullmatch(model):
        place = '' if Path(model).is_absolute() else f'A relative path counts from {Path.cwd()}. '
        raise FileNotFoundError(
            f"{owner}: there is no folder {model!r} with CLIP weights. {place}Give a folder written by transformers' "
            "save_pretrained, or a hub id such as 'openai/clip-vit-base-patch16'."
        )


@contextmanager
def explained(model: str) -> Iterator[None]:
    """Say what to do where transformers cannot read a CLIP model."""
    try:
        yield
    except (OSError, ValueError) as error:
        if Path(model).is_dir():
            where, remedy = 'the folder', "Give a folder written by transformers' save_pretrained, with its tokenizer."
        else:
            where = 'the Hugging Face hub (there is no such folder) as'
            remedy = f"Download it with: hf download {model} --local-dir FOLDER, and set model='FOLDER'."
        raise OSError(f'CLIP could not be loaded from {where} {model!r}. {remedy} ({error})') from error


@lru_cache(maxsize=4)
def _load(model: str | None, sizes: str | None) -> tuple[PreTrainedTokenizerBase, CLIPTextModelWithProjection]:
    """Tokenizer and frozen text encoder; one for all encoders with the same weights."""
    from transformers import AutoTokenizer, CLIPTextModelWithProjection

    if model is not None:
        with explained(model):
            tokenizer = AutoTokenizer.from_pretrained(model)
            encoder = CLIPTextModelWithProjection.from_pretrained(model, dtype=torch.float32)
    else:
        tokenizer = character_tokenizer()
        with torch.random.fork_rng(devices=[]), torch.device('cpu'):
            torch.default_generator.manual_seed(SEED)  # torch.manual_seed would seed the GPUs too
            encoder = CLIPTextModelWithProjection(text_config(dict(text=json.loads(sizes)), tokenizer))
    return tokenizer, encoder.eval().requires_grad_(False)
