# Copyright (c) mmbombo contributors.
"""A tiny VOC-layout data set with values that tests can predict."""
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from PIL import Image

CLASSES = ('cat', 'dog')
SEG_CLASSES = ('background', 'cat', 'dog')
XML_OBJECT = ('<object><name>{name}</name><difficult>{difficult}</difficult>'
              '<bndbox><xmin>{xmin}</xmin><ymin>{ymin}</ymin>'
              '<xmax>{xmax}</xmax><ymax>{ymax}</ymax></bndbox></object>')


def write_xml(path, objects):
    body = ''.join(
        XML_OBJECT.format(**{
            'difficult': 0,
            **values
        }) for values in objects)
    path.write_text(f'<annotation>{body}</annotation>')


def write_mask(path, ids, mode='P'):
    mask = Image.fromarray(ids.astype(np.uint8))
    if mode == 'P':
        mask.putpalette(sum(([i, 255 - i, i] for i in range(256)), []))
    mask.save(path)


def write_voc(root, num_images=6):
    """Image ``k`` is (40 + k, 60 + 2k); its object is a ``CLASSES[k % 2]``
    in columns 10..29 and rows 5..(19 + k)."""
    root = Path(root)
    for folder in ('JPEGImages', 'Annotations', 'SegmentationClass',
                   'ImageSets/Main'):
        (root / folder).mkdir(parents=True)
    names = [f'im{k}' for k in range(num_images)]
    for k, name in enumerate(names):
        shape = (40 + k, 60 + 2 * k)
        rows, columns = slice(5, 20 + k), slice(10, 30)
        image = np.random.RandomState(k).randint(
            20, 60, (*shape, 3)).astype(np.uint8)
        image[rows, columns] += 120
        cv2.imwrite(str(root / 'JPEGImages' / f'{name}.jpg'), image)
        ids = np.zeros(shape, np.uint8)
        ids[rows, columns] = 1 + k % 2
        write_mask(root / 'SegmentationClass' / f'{name}.png', ids)
        write_xml(root / 'Annotations' / f'{name}.xml', [
            dict(name=CLASSES[k % 2], xmin=11, ymin=6, xmax=30, ymax=20 + k)
        ])
    half = num_images // 2
    for list_name, ids in (('all', names), ('det', names[:half]),
                           ('seg', names[half:])):
        (root / f'ImageSets/Main/{list_name}.txt').write_text(
            '\n'.join(ids) + '\n')
    return root


@pytest.fixture
def voc(tmp_path):
    return write_voc(tmp_path / 'voc')


@pytest.fixture(scope='session')
def voc_files():
    """What writes the files, for tests that change some."""
    return SimpleNamespace(
        CLASSES=CLASSES,
        SEG_CLASSES=SEG_CLASSES,
        write_xml=write_xml,
        write_mask=write_mask,
        write_voc=write_voc)
