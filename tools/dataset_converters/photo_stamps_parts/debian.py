# Copyright (c) mmbombo contributors.
"""Fetching and unpacking of Debian packages without root."""
import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Tuple
from urllib.parse import unquote

from .items import PhotoStampsError

_RECORD = 'package.json'
_OTHERWISE = ('Without apt, give your own pictures: --stamps-dir and '
              '--backgrounds-dir; or draw shapes: --data shapes.')


def fetch_package(name: str, folder: Path) -> Tuple[Path, dict]:
    """Download a package and unpack it, unless that is done already.

    Args:
        name: Package name.
        folder: Where unpacked packages are kept.

    Returns:
        Root of the unpacked files, and ``name``, ``version`` and
        ``sha256`` of the package.

    Raises:
        PhotoStampsError: If the tools or the package are missing, or the
            download fails.
    """
    target = folder / name
    record = target / _RECORD
    if record.is_file():
        return target, json.loads(record.read_text(encoding='utf-8'))
    for tool in ('apt-get', 'dpkg'):
        if shutil.which(tool) is None:
            raise PhotoStampsError(
                f'{tool} is not on this machine, so the Debian package '
                f'{name} cannot be fetched. {_OTHERWISE}')
    partial = folder / f'{name}.partial'
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        print(f'fetching {name} ...', flush=True)
        package = _download(name, partial)
        source = dict(
            name=name,
            # name_version_architecture.deb
            version=unquote(package.name.split('_')[1]),
            sha256=hashlib.sha256(package.read_bytes()).hexdigest())
        _run(['dpkg', '-x', package.name, '.'], partial,
             f'{package} could not be unpacked; is the disk full?')
        package.unlink()
        (partial / _RECORD).write_text(json.dumps(source), encoding='utf-8')
        shutil.rmtree(target, ignore_errors=True)
        partial.replace(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return target, source


def _download(name: str, folder: Path) -> Path:
    command = ['apt-get', 'download', name]
    if hasattr(os, 'geteuid') and os.geteuid() == 0:
        # root would hand the download to a user who cannot write here.
        command[1:1] = ['-o', 'APT::Sandbox::User=root']
    _run(
        command, folder, f'The Debian package {name} could not be fetched. '
        'If apt does not know it or its version is outdated: sudo apt-get '
        'update (on Ubuntu it is in "universe"). Otherwise look at the '
        f'network. {_OTHERWISE}')
    found = list(folder.glob('*.deb'))
    if len(found) != 1:
        raise PhotoStampsError(
            f'apt-get download {name} left {len(found)} packages in {folder}, '
            f'one was expected. {_OTHERWISE}')
    return found[0]


def _run(command: list, folder: Path, remedy: str) -> None:
    result = subprocess.run(
        command,
        cwd=folder,
        env=dict(os.environ, LC_ALL='C'),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding='utf-8',
        errors='replace')
    if result.returncode:
        raise PhotoStampsError(
            f'{remedy}\n{" ".join(command)} said:\n{result.stdout.strip()}')
