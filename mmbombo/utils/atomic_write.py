# Copyright (c) mmbombo contributors.
import hashlib
import os
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator

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


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
