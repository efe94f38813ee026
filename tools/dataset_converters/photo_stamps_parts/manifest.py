# Copyright (c) mmbombo contributors.
"""The record of how a data set was made and what its files must be."""
import hashlib
import json
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Dict, List, Optional

import cv2
import numpy as np

from .items import PhotoStampsError

MANIFEST = 'manifest.json'
PROVENANCE = 'provenance.json'
HASHES = 'files.sha256'


def package_versions() -> Dict[str, str]:
    """Versions of what decides the pixels."""
    return dict(
        python='.'.join(platform.python_version_tuple()[:2]),
        numpy=np.__version__,
        opencv=cv2.__version__,
        pillow=version('pillow'))


def hash_files(root: Path) -> str:
    """The lines of ``sha256sum`` for every file under ``root`` but the
    records themselves, sorted by path."""
    lines = []
    for path in sorted(p for p in root.rglob('*') if p.is_file()):
        name = path.relative_to(root).as_posix()
        if name not in (MANIFEST, HASHES):
            lines.append(f'{_sha256(path.read_bytes())}  {name}\n')
    return ''.join(lines)


def write_records(root: Path, manifest: dict) -> str:
    """Write the hash list and, as the last file, the manifest.

    Returns:
        The digest of the whole tree.
    """
    hashes = hash_files(root)
    (root / HASHES).write_text(hashes, encoding='utf-8')
    digest = _sha256(hashes.encode())
    manifest = dict(manifest, digest=digest)
    (root / MANIFEST).write_text(dump(manifest), encoding='utf-8')
    return digest


def read_manifest(root: Path) -> Optional[dict]:
    """The manifest of a finished tree; None where there is none.

    Raises:
        PhotoStampsError: If the file is not a manifest of this tool.
    """
    path = root / MANIFEST
    if not path.is_file():
        return None
    try:
        manifest = json.loads(path.read_text(encoding='utf-8'))
        manifest['options'], manifest['digest'], manifest['libraries']
    except (ValueError, KeyError, TypeError) as error:
        raise PhotoStampsError(
            f'{path} is damaged or not of this tool ({error!r}). Remove '
            f'{root} or choose another --out.') from error
    return manifest


def find_damage(root: Path, digest: str) -> List[str]:
    """Names of recorded files that are missing or changed.

    Args:
        root: The tree.
        digest: Digest of its manifest.
    """
    path = root / HASHES
    if not path.is_file():
        return [HASHES]
    hashes = path.read_bytes()
    if _sha256(hashes) != digest:
        return [HASHES]
    damaged = []
    for line in hashes.decode().splitlines():
        wanted, name = line.split('  ', 1)
        file = root / name
        if not file.is_file() or _sha256(file.read_bytes()) != wanted:
            damaged.append(name)
    return damaged


def dump(value) -> str:
    """JSON text with a fixed order."""
    return json.dumps(value, indent=1, sort_keys=True) + '\n'


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
