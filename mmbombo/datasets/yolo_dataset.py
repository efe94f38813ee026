# Copyright (c) mmbombo contributors.
import os.path as osp
from typing import List, Optional, Sequence

import yaml
from mmdet.datasets import BaseDetDataset
from mmengine.fileio import list_dir_or_file

from mmbombo.registry import DATASETS
from .errors import MALFORMED, DatasetError
from .image_label_dataset import IMAGE_SUFFIXES
from .image_size import read_image_size

#: So far beyond 0..1 rounding takes a number.
SLACK = .01


@DATASETS.register_module()
class YOLODataset(BaseDetDataset):
    """Boxes in YOLO's text files, for :class:`PartialAnnotationDataset`.

    Each image has a file of lines ``class cx cy w h``, fractions of its width
    and height; of a polygon, ``class x1 y1 x2 y2 x3 y3 ...``, the box is read.
    As YOLO has it, an image without a file shows no object.

    Args:
        data_prefix (dict): ``img_path``, the folder of the images, with
            subfolders, and ``label_path``. Without the latter, the last
            ``images`` in ``img_path`` is replaced by ``labels``; without such
            a folder, the text files are beside the images.
        ann_file (str): ``data.yaml`` with ``names``, or ``classes.txt`` with a
            name per line. Defaults to '', ``metainfo['classes']`` in the order
            of the class numbers.
        **kwargs: Arguments of :class:`mmdet.datasets.BaseDetDataset`.

    Raises:
        DatasetError: Naming file and line of what is no box of a class.
    """

    def load_data_list(self) -> List[dict]:
        """Read the text file of each image."""
        images = self.data_prefix['img_path']
        labels = self.data_prefix.get('label_path') or _label_folder(images)
        if not osp.isdir(labels):
            raise DatasetError(f"{labels}: no such folder of labels; set "
                               "data_prefix['label_path']")
        classes = self._read_classes()
        self._metainfo['classes'] = classes
        files = list_dir_or_file(images, list_dir=False, recursive=True)
        data_list = []
        for file in sorted(files):
            stem, suffix = osp.splitext(file)
            if suffix.lower() not in IMAGE_SUFFIXES:
                continue
            path = osp.join(images, file)
            height, width = read_image_size(path)
            data_list.append(
                dict(
                    img_id=file,
                    img_path=path,
                    height=height,
                    width=width,
                    instances=read_yolo(
                        osp.join(labels, stem + '.txt'), classes, height,
                        width)))
        return data_list

    def _read_classes(self) -> Sequence[str]:
        given = tuple(self._metainfo.get('classes') or ())
        found = read_yolo_names(self.ann_file) if self.ann_file else given
        if not found:
            raise DatasetError('YOLODataset: give the names of the classes, '
                               "ann_file='data.yaml' or metainfo['classes']")
        if given and given != found:
            raise DatasetError(
                f'{self.ann_file}: the classes are {found}, but '
                f"metainfo['classes'] {given}; give them once")
        return found


def _label_folder(images: str) -> str:
    parts = images.replace('\\', '/').split('/')
    if 'images' in parts:
        last = len(parts) - 1 - parts[::-1].index('images')
        parts[last] = 'labels'
    return '/'.join(parts)


def read_yolo_names(path: str) -> Sequence[str]:
    """Names of the classes in ``data.yaml`` or ``classes.txt``, by number."""
    try:
        with open(path, encoding='utf-8-sig') as file:
            if not path.endswith(('.yaml', '.yml')):
                return tuple(x.strip() for x in file if x.strip())
            names = yaml.safe_load(file)['names']
        if isinstance(names, dict):
            names = [names[index] for index in range(len(names))]
        if isinstance(names, str):
            raise TypeError('names is no list')
        return tuple(map(str, names))
    except (*MALFORMED, yaml.YAMLError) as error:
        cause = ' '.join(str(error).split())
        raise DatasetError(f'{path}: no class names ({cause}); `names` must be'
                           ' a list, or numbers from 0 to names') from error


def read_yolo(path: str, classes: Sequence[str], height: int,
              width: int) -> List[dict]:
    """Boxes of a text file, x1, y1, x2, y2 in pixels; none without it."""
    try:
        with open(path, encoding='utf-8-sig') as file:
            lines = file.read().splitlines()
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise DatasetError(f'{path}: not a text file ({error})') from error
    instances = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            numbers = [float(x) for x in line.split()]
        except ValueError:
            numbers = []
        cause = _find_fault(numbers, len(classes))
        if cause:
            raise DatasetError(f'{path} line {number}: {cause}')
        label, *values = numbers
        if len(values) == 4:
            x, y, w, h = values
            xs, ys = (x - w / 2, x + w / 2), (y - h / 2, y + h / 2)
        else:
            xs, ys = values[::2], values[1::2]
        instances.append(
            dict(
                bbox=[
                    min(xs) * width,
                    min(ys) * height,
                    max(xs) * width,
                    max(ys) * height
                ],
                bbox_label=int(label),
                ignore_flag=0))
    return instances


def _find_fault(numbers: Sequence[float], num_classes: int) -> Optional[str]:
    """What is wrong with the numbers of a line."""
    if len(numbers) != 5 and (len(numbers) < 7 or len(numbers) % 2 == 0):
        return ('not the numbers `class cx cy w h`, nor a polygon `class x1 y1'
                ' x2 y2 x3 y3 ...`; correct the line')
    label, *values = numbers
    if label not in range(num_classes):
        return (f'class {label:g} is not one of 0..{num_classes - 1}; correct '
                'it, or add its name to the classes')
    if not all(-SLACK <= x <= 1 + SLACK for x in values):
        return ('the numbers are not all in 0..1; divide pixels by width and '
                'height of the image')
    return None
