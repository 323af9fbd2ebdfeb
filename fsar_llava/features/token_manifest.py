"""What the tokens of a store were made from."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from fsar_llava.version import __version__

from .atomic_file import write_atomically
from .identity import differences, digest, plain

FORMAT = 1
FILE = 'manifest.json'


class TokenStoreMismatchError(ValueError):
    """A store was made from something else than what is asked for."""


@dataclass(frozen=True)
class TokenManifest:
    """The ``manifest.json`` of a token store.

    Attributes:
        folder: The store.
        identity: Everything that changes the numbers except the videos themselves: ``backbone`` (its ``identity()``),
            ``prompts`` (templates), ``dataset`` (how it counts and names frames), ``pipeline`` and
            ``data_preprocessor`` (configs) and ``dtype``.
    """

    folder: Path
    identity: Mapping

    @cached_property
    def store_id(self) -> str:
        """Hash of the identity. Stores of equal id can be merged, and read in place of each other."""
        return digest(self.identity)

    @classmethod
    def read(cls, folder: str | Path) -> TokenManifest:
        """The manifest of an existing store.

        Raises:
            FileNotFoundError: If the folder is no token store.
            ValueError: If the manifest is damaged or of another format.
        """
        path = Path(folder) / FILE
        try:
            content = dict(json.loads(path.read_text(encoding='utf-8')))
        except FileNotFoundError:
            raise FileNotFoundError(
                f'{folder} is no token store: it holds no {FILE}. Make one with: '
                f'python tools/extract_tokens.py CONFIG --out {folder}'
            ) from None
        except (ValueError, TypeError) as error:
            raise ValueError(
                f'{path} is damaged ({error}). Copy it from a backup, or extract the tokens anew.'
            ) from error
        if 'store_id' not in content:
            raise ValueError(f'{path} is not that of a token store. Give another folder.')
        if content.get('format') != FORMAT:
            raise ValueError(
                f'{path} is of format {content.get("format")!r}, but fsar_llava {__version__} reads format {FORMAT}. '
                'Extract the tokens anew with this version, or use the version that made them.'
            )
        manifest = cls(Path(folder), content.get('identity'))
        if manifest.store_id != content.get('store_id'):
            raise ValueError(f'{path} was edited: its store_id does not belong to its identity. Restore the file.')
        return manifest

    @classmethod
    def create(cls, folder: str | Path, identity: Mapping) -> TokenManifest:
        """Begin a store, or join the one that is there if it is of the same identity.

        Raises:
            TokenStoreMismatchError: If the store in the folder has another identity.
            OSError: If it cannot be written.
        """
        folder, identity = Path(folder), plain(identity)
        folder.mkdir(parents=True, exist_ok=True)
        content = dict(format=FORMAT, store_id=digest(identity), fsar_llava=__version__, identity=identity)
        if not (folder / FILE).exists():
            text = json.dumps(content, indent=2) + '\n'
            with contextlib.suppress(FileExistsError):  # another writer was quicker; it may mean the same
                write_atomically(folder / FILE, text.encode(), exclusive=True)
        manifest = cls.read(folder)
        manifest.check(identity)
        return manifest

    def check(self, expected: Mapping, *, partial: bool = False) -> None:
        """Refuse a store that was made from something else.

        Args:
            expected: The identity asked for.
            partial: Compare only the fields that ``expected`` has.

        Raises:
            TokenStoreMismatchError: Naming every differing field with both values.
        """
        found = differences(plain(expected), self.identity, partial=partial)
        if found:
            fields = '\n  '.join(f'{name}: store {there!r}, config {asked!r}' for name, asked, there in found)
            raise TokenStoreMismatchError(
                f'The token store {self.folder} was made from something else than the config asks for:\n  {fields}\n'
                'Use the config that the store was made with, or extract the tokens into another folder.'
            )
