# Copyright (c) mmbombo contributors.
"""Every file of a source, opened and judged.

A training opens a file when it draws its sample, and then stops if it cannot
be used; a truncated image it does not even notice. This finds all of them.
"""
from collections import Counter
from hashlib import sha256
from io import BytesIO
from typing import Any, Dict, List, NamedTuple, Optional

import cv2
import numpy as np
from mmcv.transforms import LoadImageFromFile
from mmengine.fileio import get
from PIL import Image

from mmbombo.structures import BBOX, IGNORE_INDEX, SEM_SEG
from mmbombo.utils.processes import in_processes
from ..coco_json import read_coco_json
from ..errors import DatasetError
from ..image_size import refuse_large
from ..transforms import LoadPartialAnnotations
from ..voc_xml import parse_xml

#: Samples that a process is given at once.
CHUNK = 8
#: The source that a process of the pool looks at.
_SOURCE: Any = None


class Look(NamedTuple):
    """What one look at a sample finds."""
    problems: List[str]
    digest: str = ''  #: of the image file, if it can be read
    is_labeled: bool = True  #: whether a pixel of its mask is, as far as known


def check_source(source: Any,
                 jobs: int = 1,
                 digests: Optional[Dict[str, str]] = None) -> List[str]:
    """Judge all files of a source; a line per problem, naming its file.

    ``digests`` is told the images by the SHA-256 of their files.
    """
    cv2.setNumThreads(1)  # or processes wait for threads that are not theirs
    looks = [
        *in_processes(_look_at, range(len(source)), jobs, _take, (source, ),
                      CHUNK, f'source {source.source!r}')
    ]
    problems = [problem for look in looks for problem in look.problems]
    if SEM_SEG in source.annotation_kinds and looks and not any(
            look.is_labeled for look in looks):
        problems.insert(
            0, f'none of the {len(looks)} masks has a labeled pixel')
    if digests is not None:
        for index, look in enumerate(looks):
            digests[look.digest] = source.get_data_info(index)['img_path']
    for ann_file in getattr(source, 'coco_files', ()):
        try:
            read_coco_json(ann_file)
        except DatasetError as error:
            problems.insert(0, str(error))
    return problems


def check_sample(source: Any, index: int) -> List[str]:
    """Judge the files of a sample: the image as a whole, and its annotation as
    :class:`LoadPartialAnnotations` does. A line for each problem."""
    return look_at(source, index).problems


def find_missing_rows(path: str, backend_args: Optional[dict]) -> List[str]:
    """A PNG mask of fewer rows than its header says: Pillow fills up with 0,
    which is a class; OpenCV refuses it."""
    content = np.frombuffer(get(path, backend_args), np.uint8)
    if bytes(content[:4]) != b'\x89PNG' or cv2.imdecode(
            content, cv2.IMREAD_UNCHANGED) is not None:
        return []
    return [f'{path}: its last rows are missing, and are read as class 0; '
            'restore it']


def look_at(source: Any, index: int) -> Look:
    """See :func:`check_sample`."""
    # boxes that a training leaves out are named too
    info = dict(source.get_data_info(index), drop_bad_boxes=False)
    loader = next((step for step in source.pipeline.transforms
                   if isinstance(step, LoadImageFromFile)),
                  LoadImageFromFile())
    try:
        content = get(info['img_path'], loader.backend_args)
        refuse_large(info['img_path'])
        with Image.open(BytesIO(content)) as image:
            image.load()  # OpenCV shows a truncated one as far as it goes
        results = loader(info)
    except DatasetError as error:
        return Look([str(error)])
    except Exception as error:  # Pillow's plugins raise many types
        return Look([
            f'{info["img_path"]}: missing, truncated or not an image '
            f'({error})'
        ])
    problems, is_labeled = [], False
    try:
        if 'xml_path' in info:
            parse_xml(info['xml_path'])
    except DatasetError as error:
        problems.append(str(error))
    for kind in source.annotation_kinds:
        try:
            loaded = LoadPartialAnnotations(loader.backend_args)(
                dict(results, annotation_kinds=(kind, )))
        except (DatasetError, OSError) as error:
            problems.append(str(error))
            is_labeled = True
            continue
        if kind == SEM_SEG:
            problems += find_missing_rows(info['seg_map_path'],
                                          loader.backend_args)
            is_labeled |= bool((loaded['gt_seg_map'] != IGNORE_INDEX).any())
        if kind == BBOX:
            problems += find_duplicates(info, loaded['instances'])
    return Look(problems, sha256(content).hexdigest(), is_labeled)


def find_duplicates(info: dict, instances: List[dict]) -> List[str]:
    """A line for each box that is listed several times; all are learned."""
    counts = Counter((x['bbox_label'], *x['bbox']) for x in instances)
    place = info.get('xml_path') or info['img_path']
    return [
        f'{place}: the box {list(box)} of label {label} is listed {count} '
        'times' for (label, *box), count in counts.items() if count > 1
    ]


def _take(source: Any) -> None:
    global _SOURCE
    _SOURCE = source


def _look_at(index: int) -> Look:
    return look_at(_SOURCE, index)
