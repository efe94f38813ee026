# Copyright (c) mmbombo contributors.
"""Parts of a source: the images that a text file names."""
import os.path as osp
from typing import Dict, List

from .errors import DatasetError, list_problems, reading


def keep_listed(data_list: List[dict], path: str) -> List[dict]:
    """Keep the images of a source that a text file names, in their order.

    A line is the path of an image, or the end of it from a folder on, such as
    ``night/0001.jpg``; one that is no image, or several, is a
    ``DatasetError``.
    """
    if not osp.isfile(path):
        raise DatasetError(f"filter_cfg['image_list'] {path!r} does not exist")
    with reading(path, 'a list of images'), \
            open(path, encoding='utf-8') as file:
        lines = [line.strip() for line in file if line.strip()]
    found: Dict[str, List[dict]] = {line: [] for line in lines}
    for info in data_list:
        for tail in _tails(info['img_path']):
            if tail in found:
                found[tail].append(info)
                break  # the longest
    problems = [
        f'{line}: {len(infos)} images' for line, infos in found.items()
        if len(infos) != 1
    ]
    if problems:
        raise DatasetError(
            list_problems(
                f'{path}: lines that are not one image of the source',
                problems))
    kept = {id(infos[0]) for infos in found.values()}
    return [info for info in data_list if id(info) in kept]


def _tails(path: str) -> List[str]:
    parts = osp.normpath(path).replace(osp.sep, '/').split('/')
    return ['/'.join(parts[k:]) for k in range(len(parts))]
