# Copyright (c) mmbombo contributors.
"""Small images that are published as arrays, in the files of their authors.

Nothing in them is executed: CIFAR is read from its binary version, not from
that of Python.
"""
import os.path as osp
from typing import Any, Callable, Dict, List, Sequence, Tuple

import mmcv
import numpy as np
from mmengine.dataset import BaseDataset

from mmbombo.registry import DATASETS
from mmbombo.structures import IMAGE_LABEL
from mmbombo.structures.image_labels import image_labels
from .errors import DatasetError
from .id_list import read_ids
from .source import SourceMixin
from .voc_xml import read_annotation

#: Images (N, H, W, 3) uint8 in RGB and the class of each.
Arrays = Tuple[np.ndarray, np.ndarray]


def read_cifar10(folder: str, split: str, classes: Sequence[str]) -> Arrays:
    """``cifar-10-binary.tar.gz``: records of a label and three planes."""
    names = dict(
        train=[f'data_batch_{i}.bin' for i in range(1, 6)],
        test=['test_batch.bin'])[split]
    records = np.concatenate([
        np.fromfile(osp.join(folder, name), np.uint8) for name in names
    ]).reshape(-1, 1 + 3 * 32 * 32)
    planes = records[:, 1:].reshape(-1, 3, 32, 32)
    return planes.transpose(0, 2, 3, 1), records[:, 0]


def read_svhn(folder: str, split: str, classes: Sequence[str]) -> Arrays:
    """``train_32x32.mat``, whose last dimension counts the images; the digit
    0 is labeled 10."""
    from scipy.io import loadmat
    content = loadmat(osp.join(folder, f'{split}_32x32.mat'))
    return content['X'].transpose(3, 0, 1, 2), content['y'].ravel() % 10


def read_stl10(folder: str, split: str, classes: Sequence[str]) -> Arrays:
    """``stl10_binary.tar.gz``: planes, column by column; labels from 1."""
    planes = np.fromfile(osp.join(folder, f'{split}_X.bin'), np.uint8)
    labels = np.fromfile(osp.join(folder, f'{split}_y.bin'), np.uint8)
    return planes.reshape(-1, 3, 96, 96).transpose(0, 3, 2, 1), labels - 1


def read_voc_objects(folder: str, split: str,
                     classes: Sequence[str]) -> Arrays:
    """Each object of a tree in VOC's layout that is not difficult: its box,
    made a square about its center and resized to 32 pixels."""
    label_of = {name: label for label, name in enumerate(classes)}
    ids = read_ids(osp.join(folder, f'ImageSets/Main/{split}.txt'))
    crops, labels = [], []
    for name in ids:
        image = mmcv.imread(
            osp.join(folder, f'JPEGImages/{name}.jpg'), channel_order='rgb')
        for item in read_annotation(
                osp.join(folder, f'Annotations/{name}.xml'),
                label_of)['instances']:
            if not item['ignore_flag']:
                crops.append(square_crop(image, item['bbox'], 32))
                labels.append(item['bbox_label'])
    return np.stack(crops), np.array(labels)


def square_crop(image: np.ndarray, box: Sequence[float],
                size: int) -> np.ndarray:
    """The square about the center of a box, with its longer side, resized;
    its border repeats what is outside the image."""
    x1, y1, x2, y2 = box
    side = max(round(max(x2 - x1, y2 - y1)), 1)
    rows, columns = (np.clip(
        np.arange(side) + round((low + high - side) / 2), 0,
        end - 1) for low, high, end in zip((y1, x1), (y2, x2), image.shape))
    return mmcv.imresize(
        image[rows[:, None], columns], (size, size), interpolation='area')


def check(images: np.ndarray, labels: np.ndarray, num_classes: int) -> None:
    """``ValueError`` unless they are images, and a class of each."""
    if images.dtype != np.uint8 or len(images) != len(labels):
        raise ValueError(f'{len(images)} images of {images.dtype}, '
                         f'{len(labels)} labels')
    wrong = {*labels.tolist()} - {*range(num_classes)}
    if wrong:
        raise ValueError(f'label(s) {sorted(wrong)} of {num_classes} classes')


READERS: Dict[str, Callable[..., Arrays]] = dict(
    cifar10=read_cifar10,
    svhn=read_svhn,
    stl10=read_stl10,
    voc_objects=read_voc_objects)


@DATASETS.register_module()
class ImageArrayDataset(SourceMixin, BaseDataset):
    """Small images, each of one class, that are held in memory.

    They have the kind ``image_label``; :class:`mmdet.LoadImageFromNDArray`
    loads them.

    Args:
        data_root (str): Folder of the data set.
        reader (str): 'cifar10', 'svhn' or 'stl10', files of their authors, or
            'voc_objects', crops of the objects of a tree in VOC's layout.
        split (str): Which part, 'train' or 'test' ('val', or another list,
            of VOC).
        metainfo (dict): ``cls_classes``, the names of the classes.
        source (str, optional): Name of the source. Defaults to the split.
        data_help (str): What to tell a user who lacks the files. Defaults to
            ''.
        **kwargs: Arguments of :class:`mmengine.dataset.BaseDataset`.

    Raises:
        DatasetError: If files are missing or not what the reader expects.
    """

    def __init__(self,
                 data_root: str,
                 reader: str,
                 split: str,
                 metainfo: dict,
                 source: str = '',
                 data_help: str = '',
                 **kwargs) -> None:
        self.declare((IMAGE_LABEL, ), source or split, data_help)
        self.reader = reader
        self.split = split
        super().__init__(
            metainfo=metainfo,
            data_root=data_root,
            **kwargs)

    def load_data_list(self) -> List[dict]:
        """Read the arrays; an image is listed by its number in them."""
        self.require_place(self.data_root, 'data_root')
        classes = self._metainfo['cls_classes']
        try:
            images, labels = READERS[self.reader](self.data_root, self.split,
                                                  classes)
            check(images, labels, len(classes))
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise DatasetError(
                f'source {self.source!r}: {self.data_root} does not hold the '
                f'part {self.split!r} of {self.reader!r} ({error!r}). '
                f'{self.data_help}'.rstrip()) from error
        # as MMCV reads files: BGR
        self.images = np.ascontiguousarray(images[..., ::-1])
        return [
            dict(
                img_id=f'{self.split}_{number}',
                number=number,
                image_labels=image_labels(len(classes), [int(label)]))
            for number, label in enumerate(labels)
        ]

    def get_data_info(self, idx: int) -> Dict[str, Any]:
        """What is known of an image, and the image, ``img``."""
        info = super().get_data_info(idx)
        info['img'] = self.images[info['number']]
        return info
