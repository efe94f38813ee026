# Copyright (c) mmbombo contributors.
"""Reading of Qt's binary resource files (``.rcc``).

Layout, big-endian (Qt's ``rcc`` tool, formats 1 to 3): a header ``qres``,
format, and the offsets of the tree, the data and the names. A tree node is
a name offset, flags, and either (folder) the number and index of its
children or (file) a locale and a data offset; from format 2 on, a time
stamp follows. Data are a length and the bytes, names a length, a hash and
UTF-16.
"""
import struct
import zlib
from typing import Iterator, Tuple

from .items import PhotoStampsError

_COMPRESSED, _FOLDER, _ZSTD = 1, 2, 4
# No picture of interest is larger; guards against a broken length.
_MAX_FILE = 64 << 20


def read_rcc(content: bytes, name: str) -> Iterator[Tuple[str, bytes]]:
    """Files inside a resource file, in the order of its tree.

    Files compressed with zstd are left out.

    Args:
        content: The resource file.
        name: Its name, for errors.

    Yields:
        Path inside the resource file, without a leading slash, and bytes.

    Raises:
        PhotoStampsError: If the content is not a sound resource file.
    """
    try:
        yield from _Reader(content).walk()
    except (struct.error, ValueError, zlib.error) as error:
        raise PhotoStampsError(
            f'{name} is not a sound Qt resource file ({error}). Delete the '
            'download folder and run again.') from error


class _Reader:

    def __init__(self, content: bytes) -> None:
        self.content = content
        magic, version, self.tree, self.data, self.names = struct.unpack_from(
            '>4s4I', content)
        if magic != b'qres' or not 1 <= version <= 3:
            raise ValueError(f'magic {magic!r}, format {version}')
        self.node_size = 14 if version == 1 else 22

    def walk(self) -> Iterator[Tuple[str, bytes]]:
        # Node 0 is the root. Each node may be entered once: a broken tree
        # must not send the reader in circles.
        stack, seen = [(0, '')], set()
        while stack:
            index, parent = stack.pop()
            if index in seen:
                raise ValueError('a node is entered twice')
            seen.add(index)
            position = self.tree + index * self.node_size
            name_at, flags = struct.unpack_from('>IH', self.content, position)
            path = parent + self._name(name_at) if index else ''
            if flags & _FOLDER:
                count, first = struct.unpack_from('>2I', self.content,
                                                  position + 6)
                if count > len(self.content):
                    raise ValueError('a folder is larger than the file')
                below = f'{path}/' if path else ''
                stack += [(i, below)
                          for i in range(first + count - 1, first - 1, -1)]
            elif not flags & _ZSTD:
                offset, = struct.unpack_from('>I', self.content,
                                             position + 10)
                yield path, self._file(offset, flags)

    def _name(self, offset: int) -> str:
        start = self.names + offset
        length, = struct.unpack_from('>H', self.content, start)
        return self.content[start + 6:start + 6 + 2 * length].decode(
            'utf-16-be')

    def _file(self, offset: int, flags: int) -> bytes:
        start = self.data + offset
        length, = struct.unpack_from('>I', self.content, start)
        raw = self.content[start + 4:start + 4 + length]
        if len(raw) != length:
            raise ValueError('a file reaches past the end')
        if flags & _COMPRESSED:
            # Four bytes of the plain length, then a zlib stream.
            return zlib.decompressobj().decompress(raw[4:], _MAX_FILE)
        return raw
