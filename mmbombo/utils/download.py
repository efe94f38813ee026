# Copyright (c) mmbombo contributors.
"""Files of the network, each fetched once."""
import hashlib
import os
import os.path as osp
from urllib.parse import urlparse

import torch
from mmengine.dist import barrier, get_rank
from mmengine.logging import print_log

from .user_errors import UserError


def download(url: str, name: str) -> str:
    """Fetch a file once into torch's cache; rank 0 does it for its machine.

    Each URL has a folder of its own: files of two URLs may share their name.
    ``name`` is what a config says for it.
    """
    folder = hashlib.sha256(url.encode()).hexdigest()[:16]
    path = osp.join(torch.hub.get_dir(), 'checkpoints', folder,
                    osp.basename(urlparse(url).path))
    try:
        if get_rank() == 0:
            _fetch(url, path)
        barrier()
        # A rank on another machine may not see the file of rank 0.
        _fetch(url, path)
    except OSError as error:  # urllib's and the sockets' errors are such
        raise UserError(
            f'{url} cannot be downloaded ({error}). Download it on a machine '
            f'that can, and copy it to {path}, or name the copy in the config '
            f'instead of {name!r}') from error
    return path


def _fetch(url: str, path: str) -> None:
    if osp.exists(path):
        return
    os.makedirs(osp.dirname(path), exist_ok=True)
    print_log(f"downloading '{url}' to '{path}'", logger='current')
    torch.hub.download_url_to_file(url, path, progress=os.isatty(2))
