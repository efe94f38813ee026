# Copyright (c) mmbombo contributors.
import hashlib
import os
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator, Optional

#: End of the names of files that are being written.
UNFINISHED = '.tmp'


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Write a file that appears under its name only when it is complete.

    What is yielded is to be written instead. It takes the place of ``path``
    when the block ends, and is removed when the block fails.
    """
    unfinished = path.with_name(f'.{uuid.uuid4().hex}{UNFINISHED}')
    try:
        yield unfinished
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def atomic_write(path: Path, data: bytes) -> None:
    """Write a file that appears under its name only when it is complete.

    Its folder is made, and a file that is there is replaced.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as unfinished:
        unfinished.write_bytes(data)


def write_with_checksum(path: Path, title: str, content: bytes) -> None:
    """Write a whole file whose first line says what the rest is."""
    atomic_write(path, _first_line(title, content) + b'\n' + content)


def read_with_checksum(path: Path, title: str) -> Optional[bytes]:
    """The content of a file of :func:`write_with_checksum`.

    None where the file is absent, or half written, damaged, foreign, or
    something else.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    first_line, _, content = data.partition(b'\n')
    return content if first_line == _first_line(title, content) else None


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _first_line(title: str, content: bytes) -> bytes:
    return f'mmbombo {title} {hashlib.sha256(content).hexdigest()}'.encode()
