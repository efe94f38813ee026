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

COMPRESSED, FOLDER, ZSTD = 1, 2, 4


def read_rcc(content: bytes) -> Iterator[Tuple[str, bytes]]:
    """Paths (without a leading slash) and bytes of the files inside a resource
    file, in the order of its tree; those compressed with zstd are left out."""
    magic, version, tree, data, names = struct.unpack_from('>4s4I', content)
    if magic != b'qres' or not 1 <= version <= 3:
        raise ValueError(f'no Qt resource file of format 1 to 3: {magic!r}, '
                         f'{version}')
    stack = [(0, '')]  # node 0 is the root
    while stack:
        index, parent = stack.pop()
        node = tree + index * (14 if version == 1 else 22)
        name_at, flags = struct.unpack_from('>IH', content, node)
        path = parent + _name(content, names + name_at) if index else ''
        if flags & FOLDER:
            count, first = struct.unpack_from('>2I', content, node + 6)
            below = f'{path}/' if path else ''
            stack += [(i, below)
                      for i in range(first + count - 1, first - 1, -1)]
        elif not flags & ZSTD:
            offset, = struct.unpack_from('>I', content, node + 10)
            yield path, _file(content, data + offset, flags)


def _name(content: bytes, start: int) -> str:
    length, = struct.unpack_from('>H', content, start)
    return content[start + 6:start + 6 + 2 * length].decode('utf-16-be')


def _file(content: bytes, start: int, flags: int) -> bytes:
    length, = struct.unpack_from('>I', content, start)
    raw = content[start + 4:start + 4 + length]
    # Four bytes of the plain length, then a zlib stream.
    return zlib.decompress(raw[4:]) if flags & COMPRESSED else raw
