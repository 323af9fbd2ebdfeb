"""Write a training run's model as a folder that ``from_pretrained`` reads like any other."""

from __future__ import annotations

import datetime
import hashlib
import json
import platform
import sys
from copy import deepcopy
from pathlib import Path

import torch


def export(model: torch.nn.Module, tokenizer, folder: Path, record: dict) -> Path:
    """Save weights in bf16, tokenizer and the record of how they were made.

    The architecture has a tower for images beside the one for videos. The miniature is trained on videos alone: its
    image tower is a copy of the video tower.

    Args:
        model: The trained ``VideoLlavaForConditionalGeneration``.
        tokenizer: Its tokenizer.
        folder: Where to save.
        record: As in :func:`write`.
    """
    model = deepcopy(model)
    model.model.image_tower = deepcopy(model.model.video_tower)
    return write(model, tokenizer, folder, record)


def write(model: torch.nn.Module, tokenizer, folder: Path, record: dict) -> Path:
    """Save a transformers model of images and text: weights in bf16, tokenizer and the record of how they were made.

    Args:
        model: The trained model; it stays as it is.
        tokenizer: Its tokenizer.
        folder: Where to save.
        record: What made the weights (command, seed, steps, seconds); versions, date and hash are added to it.

    Returns:
        The file of the record.
    """
    import transformers

    model = deepcopy(model).cpu()
    for config in (model.config, model.config.text_config, model.config.vision_config):
        config._attn_implementation = 'sdpa'
    model.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    weights = folder / 'model.safetensors'
    record = {
        **record,
        'parameters': sum(p.numel() for p in model.parameters()),
        'bytes': weights.stat().st_size,
        'sha256': hashlib.sha256(weights.read_bytes()).hexdigest(),
        'date': datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        'python': platform.python_version(),
        'torch': torch.__version__,
        'transformers': transformers.__version__,
    }
    file = folder / 'metrics.json'
    file.write_text(json.dumps({'training': record}, indent=2) + '\n')
    return file


def command(module: str) -> str:
    """The command line of this process."""
    return ' '.join(['python', '-m', module, *sys.argv[1:]])
