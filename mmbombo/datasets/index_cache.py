# Copyright (c) mmbombo contributors.
"""The index of a large source, kept beside its data.

To list and check a source, each of its files is opened; to see that none has
changed since takes a hundredth of that.
"""
import gc
import hashlib
import json
import os
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Iterator, List, Mapping, Optional, Sequence, Union

from mmengine.logging import print_log

from mmbombo.utils.atomic_write import read_with_checksum, write_with_checksum
from mmbombo.version import __version__

#: To be raised whenever a source comes to list or check its files
#: differently within a version of the package.
FORMAT_VERSION = 3
#: In the data root; safe to delete.
FOLDER = 'mmbombo_index'
#: Sources of fewer files are read anew: that takes half a second or less.
MIN_FILES = 1000
#: A file that changed so shortly before it was read may have changed once
#: more within the clock tick of the file system, unseen.
SETTLED_NS = 2 * 10**9


class IndexCache:
    """One index under a key of the config that it was read with.

    It counts as absent if any file that was read, or looked for, has another
    size, or time of modification or of change, than then; so does what is half
    written, damaged or foreign. Files appear under their name only when they
    are complete, so that no process needs a lock. Where the data root cannot
    be written to nothing is kept.

    Args:
        root (str | Path): Data root.
        recipe (Mapping): All that the index depends on beside the files.
    """

    def __init__(self, root: Union[str, Path],
                 recipe: Mapping[str, Any]) -> None:
        text = json.dumps([FORMAT_VERSION, __version__, recipe],
                          sort_keys=True,
                          default=repr)
        key = hashlib.sha256(text.encode()).hexdigest()
        self._title = f'index {key}'
        self.path = Path(root) / FOLDER / f'{key[:32]}.json'
        self._asked_at = time.time_ns()

    def load(self) -> Any:
        """The index, or None if there is no good one."""
        try:
            body = read_with_checksum(self.path, self._title)
        except OSError:
            return None
        if body is None:
            return None
        with _no_garbage():
            entry = json.loads(body)
        if _digest(_stamps(entry['files'])) != entry['stamps']:
            return None
        return entry['index']

    def store(self, index: Any, files: Sequence[str]) -> None:
        """Keep an index that was read after this object was made.

        Args:
            index: Of JSON's types.
            files (Sequence[str]): Files that were read, or looked for.
        """
        if len(files) < MIN_FILES:
            return
        stamps = _stamps(files)
        newest = max(stamp[-1] for stamp in stamps if stamp is not None)
        if newest > self._asked_at - SETTLED_NS:
            return
        body = json.dumps(
            dict(files=files, stamps=_digest(stamps), index=index),
            separators=(',', ':')).encode()
        try:
            write_with_checksum(self.path, self._title, body)
        except OSError as error:
            print_log(
                f'the index of the data is not kept, and read anew each time '
                f'({error})',
                logger='current')


@contextmanager
def _no_garbage() -> Iterator[None]:
    """Do not look for garbage among a million new objects: there is none,
    and it would take longer than to read them."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _stamps(files: Sequence[str]) -> List[Optional[tuple]]:
    """Size and times of each file, None where there is none."""
    stamps: List[Optional[tuple]] = []
    for path in files:
        try:
            found = os.stat(path)
        except OSError:
            stamps.append(None)
        else:
            stamps.append(
                (found.st_size, found.st_mtime_ns, found.st_ctime_ns))
    return stamps


def _digest(stamps: Sequence[Optional[tuple]]) -> str:
    return hashlib.sha256(repr(stamps).encode()).hexdigest()
