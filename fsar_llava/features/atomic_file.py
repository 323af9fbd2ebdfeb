"""Files that are there completely or not at all."""

from __future__ import annotations

import errno
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

TEMPORARY = '.writing-'
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Error numbers of a disk, a quota or a file system that takes no more."""
NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)


@contextmanager
def open_atomically(path: Path, *, exclusive: bool = False) -> Iterator[BinaryIO]:
    """Open a file so that neither a kill, a power cut nor a full disk leaves a part of it under its name.

    What is written appears at the end of the ``with`` block; after an error in it, the file is as it was before.

    Args:
        path: The file. Its folder exists.
        exclusive: Never replace a file that is there. Where the file system has no hard links, one that appears at the
            very moment may be replaced all the same.

    Raises:
        FileExistsError: If the file is there and ``exclusive`` is set.
        OSError: If it cannot be written, with a remedy if the disk is full; nothing is left behind.
    """
    temporary = path.with_name(f'{TEMPORARY}{uuid.uuid4().hex}')
    try:
        with temporary.open('wb') as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if not (exclusive and _link(temporary, path)):
            os.replace(temporary, path)
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise OSError(
            error.errno,
            f'{os.strerror(error.errno)}: this file could not be written; nothing of it is left and whatever was there '
            'before still is. Free some space on its disk and run the same command again',
            str(path),
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
    _sync_folder(path.parent)


def write_atomically(path: Path, content: bytes, *, exclusive: bool = False) -> None:
    """Write a whole file as :func:`open_atomically` does."""
    with open_atomically(path, exclusive=exclusive) as file:
        file.write(content)


def _link(source: Path, target: Path) -> bool:
    """Give a file a second name that is not taken; False where the file system has no links, such as exFAT."""
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        if target.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target)) from error
        return False
    return True


def _sync_folder(folder: Path) -> None:
    """Make the file's name last as well, where the system can."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError:
        pass
    finally:
        os.close(descriptor)
