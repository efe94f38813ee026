# Copyright (c) mmbombo contributors.
"""Every file of a source, opened and judged.

A training opens a file when it draws its sample, and then stops if it cannot
be used; a truncated image it does not even notice. This finds all of them.
"""
from io import BytesIO
from typing import Any, List

import cv2
from mmcv.transforms import LoadImageFromFile
from mmengine.fileio import get
from PIL import Image

from mmbombo.utils.processes import in_processes
from ..coco_json import read_coco_json
from ..errors import DatasetError
from ..transforms import LoadPartialAnnotations
from ..voc_xml import parse_xml

#: Samples that a process is given at once.
CHUNK = 8
#: The source that a process of the pool looks at.
_SOURCE: Any = None


def check_source(source: Any, jobs: int = 1) -> List[str]:
    """Judge all files of a source; a line per problem, naming its file."""
    cv2.setNumThreads(1)  # or processes wait for threads that are not theirs
    found = in_processes(_check_drawn, range(len(source)), jobs, _take,
                         (source, ), CHUNK, f'source {source.source!r}')
    problems = [problem for some in found for problem in some]
    for ann_file in getattr(source, 'coco_files', ()):
        try:
            read_coco_json(ann_file)
        except DatasetError as error:
            problems.insert(0, str(error))
    return problems


def check_sample(source: Any, index: int) -> List[str]:
    """Judge the files of a sample: the image as a whole, and its annotation as
    :class:`LoadPartialAnnotations` does. A line for each problem."""
    # boxes that a training leaves out are named too
    info = dict(source.get_data_info(index), drop_bad_boxes=False)
    loader = next((step for step in source.pipeline.transforms
                   if isinstance(step, LoadImageFromFile)),
                  LoadImageFromFile())
    try:
        content = get(info['img_path'], loader.backend_args)
        with Image.open(BytesIO(content)) as image:
            image.load()  # OpenCV shows a truncated one as far as it goes
        results = loader(info)
    except Exception as error:  # Pillow's plugins raise many types
        return [
            f'{info["img_path"]}: missing, truncated or not an image '
            f'({error})'
        ]
    problems = []
    try:
        if 'xml_path' in info:
            parse_xml(info['xml_path'])
    except DatasetError as error:
        problems.append(str(error))
    for kind in source.annotation_kinds:
        try:
            LoadPartialAnnotations(loader.backend_args)(
                dict(results, annotation_kinds=(kind, )))
        except (DatasetError, OSError) as error:
            problems.append(str(error))
    return problems


def _take(source: Any) -> None:
    global _SOURCE
    _SOURCE = source


def _check_drawn(index: int) -> List[str]:
    return check_sample(_SOURCE, index)
