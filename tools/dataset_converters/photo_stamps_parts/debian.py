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

from .material import PhotoStampsError

RECORD = 'package.json'


def fetch_package(name: str, folder: Path) -> Tuple[Path, dict]:
    """Download a package and unpack it into a folder, unless that is done.

    Gives the root of the unpacked files, and ``name``, ``version`` and
    ``sha256`` of the package; the name alone if a user unpacked it.
    """
    target = folder / name
    if target.is_dir():
        record = target / RECORD
        return target, json.loads(
            record.read_text()) if record.is_file() else dict(name=name)
    partial = folder / f'{name}.partial'
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        package = _download(name, partial)
        source = dict(
            name=name,
            # name_version_architecture.deb
            version=unquote(package.name.split('_')[1]),
            sha256=hashlib.sha256(package.read_bytes()).hexdigest())
        subprocess.run(['dpkg', '-x', package.name, '.'],
                       cwd=partial,
                       check=True)
        package.unlink()
        (partial / RECORD).write_text(json.dumps(source))
        partial.replace(target)
    except (OSError, subprocess.CalledProcessError) as error:
        raise PhotoStampsError(
            f'the Debian package {name} could not be fetched ({error}). If '
            'apt does not know it or its version is outdated: sudo apt-get '
            'update (on Ubuntu it is in "universe"). Without apt, unpack it '
            f'by hand into {target}, or draw shapes: --data shapes') from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return target, source


def _download(name: str, folder: Path) -> Path:
    command = ['apt-get', 'download', name]
    if os.geteuid() == 0:
        # root would hand the download to a user who cannot write here.
        command[1:1] = ['-o', 'APT::Sandbox::User=root']
    subprocess.run(command, cwd=folder, check=True)
    package, = folder.glob('*.deb')
    return package
