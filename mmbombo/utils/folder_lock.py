# Copyright (c) mmbombo contributors.
import errno
import os
from pathlib import Path
from typing import IO, Optional

from .user_errors import UserError

#: File in a work directory that belongs to the training that writes there.
LOCK = '.lock'


def lock_folder(folder: str) -> Optional[IO]:
    """Keep other trainings from writing to a folder.

    The lock is of this process, not of its forks, and dies with it. It is
    released when what is returned is closed. Where the file system knows no
    locks (some of NFS) there is none.

    Raises:
        UserError: If another process has the lock.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        return None
    Path(folder).mkdir(parents=True, exist_ok=True)
    file = open(Path(folder) / LOCK, 'a+')
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EAGAIN):
            return None
        file.seek(0)
        raise UserError(
            f'{folder}: another training writes there ({file.read()}). Wait '
            'for its end, give another --work-dir, or, if you know better, '
            '--share-work-dir') from None
    file.truncate(0)
    file.write(f'process {os.getpid()} of {os.uname().nodename}')
    file.flush()
    return file
