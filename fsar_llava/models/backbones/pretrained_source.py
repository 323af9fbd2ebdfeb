"""Video-LLaVA weights from a local folder or the Hugging Face hub."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase, VideoLlavaConfig, VideoLlavaModel

HUB_ID = 'LanguageBind/Video-LLaVA-7B-hf'
HUB_PATTERN = re.compile(r'[\w-][\w.-]*/[\w.-]+')
MEBIBYTE = 2**20


class PretrainedSource:
    """Where the configuration, the tokenizer and the weights of a pretrained Video-LLaVA come from.

    A folder is checked at once; the hub is not asked before something is needed from it.

    Args:
        model: A local folder as ``save_pretrained`` or ``hf download`` leave it, or a hub id ``owner/name``.
        revision: Branch, tag or commit of a hub model.

    Attributes:
        local: Whether it is a folder.
        name: The folder or hub id, for messages.

    Raises:
        FileNotFoundError: If the folder, its configuration, its tokenizer or one of its weight files is missing.
    """

    def __init__(self, model: str, revision: str | None = None) -> None:
        folder = Path(model).expanduser()
        self.local = folder.is_dir()
        self.name = str(folder) if self.local else model
        self.revision = revision
        if self.local:
            self._check_folder()
        elif not HUB_PATTERN.fullmatch(model):
            place = '' if folder.is_absolute() else f'A relative path counts from {Path.cwd()}. '
            raise FileNotFoundError(f'There is no folder {folder} with Video-LLaVA weights. {place}{_remedy(folder)}')

    @cached_property
    def config(self) -> VideoLlavaConfig:
        """The configuration of the whole model.

        Raises:
            ValueError: If it is no Video-LLaVA.
            OSError: If the hub cannot be reached or does not have the model.
        """
        from transformers import AutoConfig

        with self._explained():
            config = AutoConfig.from_pretrained(self.name, revision=self.revision)
        if config.model_type != 'video_llava':
            raise ValueError(
                f'{self.name} holds a model of type {config.model_type!r}, but VideoMLLMBackbone runs '
                f"'video_llava', such as {HUB_ID}."
            )
        return config

    @cached_property
    def fingerprint(self) -> str:
        """A text that changes with the weights or the tokenizer.

        For a folder, a hash over its JSON and tokenizer files and over name, size, first and last MiB of each weight
        file; for the hub, the id and the commit.
        """
        if not self.local:
            return f'{self.name}@{getattr(self.config, "_commit_hash", None) or self.revision or "main"}'
        folder, digest = Path(self.name), hashlib.sha256()
        for path in [folder / 'config.json', *sorted(path for path in folder.glob('*token*') if path.is_file())]:
            digest.update(f'{path.name}:'.encode() + path.read_bytes())
        for path in self._weight_files():
            size = path.stat().st_size
            with path.open('rb') as file:
                digest.update(f'{path.name}:{size}:'.encode() + file.read(MEBIBYTE))
                file.seek(max(0, size - MEBIBYTE))
                digest.update(file.read())
        return f'sha256:{digest.hexdigest()}'

    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The model's own tokenizer.

        Raises:
            OSError: If it cannot be read, or the hub cannot be reached.
        """
        from transformers import AutoTokenizer

        with self._explained():
            return AutoTokenizer.from_pretrained(self.name, revision=self.revision)

    def load(
        self,
        config: VideoLlavaConfig,
        dtype: torch.dtype,
        *,
        device: torch.device,
        quantization: str | None,
    ) -> VideoLlavaModel:
        """Load the weights that ``config`` has a place for; the checkpoint may hold more.

        Args:
            config: The configuration, with fewer layers than :attr:`config` if not all are wanted.
            dtype: Type of the weights (of the computation, where they are quantised).
            device: Where a quantised model is put; others are left on the CPU.
            quantization: None, ``'8bit'`` or ``'4bit'``.

        Raises:
            RuntimeError: If the checkpoint lacks a weight, or holds one of another shape.
            ImportError: If ``quantization`` is asked for and bitsandbytes is not installed.
        """
        from transformers import VideoLlavaModel

        options = {} if quantization is None else _quantization_options(quantization, dtype, device)
        with self._explained(), _quiet_transformers():
            model, report = VideoLlavaModel.from_pretrained(
                self.name,
                config=config,
                revision=self.revision,
                dtype=dtype,
                use_safetensors=True,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # reported below, by name
                **options,
            )
        absent = sorted(set(report['missing_keys']) | {str(key) for key in report['mismatched_keys']})
        if absent or report['error_msgs']:
            raise RuntimeError(
                f'The weights in {self.name} do not fit its configuration: {len(absent)} missing or of another shape, '
                f'for example {absent[:3]} {report["error_msgs"][:1] or ""}. {_remedy(self.name)}'
            )
        return model

    def _weight_files(self) -> list[Path]:
        """The weight files that a folder should have, by name."""
        folder = Path(self.name)
        index = folder / 'model.safetensors.index.json'
        if not index.is_file():
            return [folder / 'model.safetensors']
        return sorted({folder / name for name in json.loads(index.read_text())['weight_map'].values()})

    def _check_folder(self) -> None:
        folder = Path(self.name)
        names = ['config.json', *(path.name for path in self._weight_files())]
        if not (folder / 'tokenizer.model').is_file():
            names.append('tokenizer.json')
        for name in names:
            if not (folder / name).is_file():
                raise FileNotFoundError(f'The folder {folder} holds no {name}. {_remedy(folder)}')

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Say what to do where transformers cannot read the model."""
        from safetensors import SafetensorError

        try:
            yield
        except (OSError, ValueError, SafetensorError) as error:
            where = 'the folder' if self.local else 'the Hugging Face hub (there is no such folder) as'
            raise OSError(
                f'Video-LLaVA could not be loaded from {where} {self.name!r}. {_remedy(self.name)} ({error})'
            ) from error


def _remedy(name: str | Path) -> str:
    if HUB_PATTERN.fullmatch(str(name)) and not Path(name).is_dir():
        return f"Download it with: hf download {name} --local-dir FOLDER, and set model='FOLDER'."
    return f'Give a complete folder; that of Video-LLaVA-7B comes with: hf download {HUB_ID} --local-dir {name}'


def _quantization_options(quantization: str, dtype: torch.dtype, device: torch.device) -> dict:
    """Arguments of ``from_pretrained`` for 4 or 8 bit weights."""
    missing = [name for name in ('bitsandbytes', 'accelerate') if importlib.util.find_spec(name) is None]
    if missing:
        raise ImportError(
            f'quantization={quantization!r} needs {" and ".join(missing)}. Run: pip install {" ".join(missing)}'
        )
    from transformers import BitsAndBytesConfig

    if quantization == '4bit':
        config = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type='nf4', bnb_4bit_compute_dtype=dtype)
    else:
        config = BitsAndBytesConfig(load_in_8bit=True)
    return dict(quantization_config=config, device_map={'': device})


@contextmanager
def _quiet_transformers() -> Iterator[None]:
    """Hide the report on unused weights: most of the checkpoint is left out on purpose."""
    from transformers.utils import logging

    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
