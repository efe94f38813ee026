# Copyright (c) mmbombo contributors.
import hashlib
import os
import uuid
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import Iterator, Union

from .user_errors import UserError

#: End of the names of files that are being written.
UNFINISHED = '.tmp'


@contextmanager
def atomic_file(path: Path, durable: bool = False) -> Iterator[Path]:
    """Write a file that appears under its name only when it is complete.

    What is yielded is to be written instead. It takes the place of ``path``
    when the block ends, and is removed when the block fails. If ``durable``,
    it is on the disk by then, and outlives a power cut.

    Raises:
        OSError: If it cannot be written, with its name.
    """
    unfinished = path.with_name(f'.{uuid.uuid4().hex}{UNFINISHED}')
    try:
        yield unfinished
        if durable:
            _sync(unfinished)
        os.replace(unfinished, path)
        if durable:
            _sync(path.parent)
    except OSError as error:
        if error.errno and error.filename in (None, str(unfinished)):
            # that of a full disk has no name
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
    finally:
        with suppress(OSError):
            unfinished.unlink()


def atomic_write(path: Path, data: bytes, durable: bool = False) -> None:
    """Write a file that appears under its name only when it is complete.

    Its folder is made, and a file that is there is replaced. For ``durable``
    see :func:`atomic_file`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path, durable) as unfinished:
        unfinished.write_bytes(data)


def _sync(path: Path) -> None:
    """Have a file, or the names in a folder, written to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def require_writable(path: Union[str, Path], option: str = '--out') -> None:
    """Raise ``UserError`` if the file of an option cannot be written, before
    hours of work."""
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            path.open('a').close()
        else:
            TemporaryFile(dir=path.parent).close()
    except OSError as error:
        raise UserError(f'{option} {path}: {error.strerror}') from None
