# Copyright (c) mmbombo contributors.
"""A miniature of Pascal VOC 2007 + 2012 and SBD, in their exact layouts.

Image ``n`` (the last digits of its id) has an object of class ``n % 20`` in
the box that :func:`rectangle` gives, brighter than the ground. Its mask has an
ignored border of one pixel. Images with an even number have a second object
that is difficult, a person at the right edge, which is in no mask. SBD's masks
have no border, and their object is a pixel smaller on each side.
"""
from pathlib import Path

import numpy as np
from PIL import Image

from mmbombo.datasets.voc_metainfo import VOC_CLASSES, voc_palette

WIDTH, HEIGHT = 96, 80
PERSON = VOC_CLASSES.index('person')
#: VOC2007: 000004 is validated on under its name in VOC2012, 000009 is a
#: test image.
TRAINVAL_2007 = [f'{n:06d}' for n in range(1, 9)]
SEG_2007 = ['000002', '000004', '000006']
TRAINVAL_2012 = [f'2008_{n:06d}' for n in range(1, 13)]
SEG_TRAIN_2012 = ['2007_000002', '2008_000001', '2008_000002']
#: The last one has no boxes, as in the real list.
SEG_VAL_2012 = ['2007_000004', '2007_000009', '2008_000003', '2008_000763']
#: The first two have an official mask too.
SBD = [f'2008_{n:06d}' for n in (1, 3, *range(4, 12))]

XML = """<annotation>
\t<folder>{year}</folder>
\t<filename>{name}.jpg</filename>
\t<size><width>{width}</width><height>{height}</height><depth>3</depth></size>
\t<segmented>0</segmented>
{objects}</annotation>
"""
OBJECT = """\t<object>
\t\t<name>{name}</name>
\t\t<difficult>{difficult}</difficult>
\t\t<bndbox>
\t\t\t<xmin>{0}</xmin>
\t\t\t<ymin>{1}</ymin>
\t\t\t<xmax>{2}</xmax>
\t\t\t<ymax>{3}</ymax>
\t\t</bndbox>
\t</object>
"""


def number(image_id):
    return int(image_id.split('_')[-1])


def label(image_id):
    """Detection label of the object of an image."""
    return number(image_id) % 20


def rectangle(image_id):
    """x1, y1, x2, y2 of its object, continuous."""
    shift = number(image_id) % 10
    return 8 + shift, 10 + shift, 48 + shift, 54 + shift


def is_difficult(image_id):
    """Whether it has a difficult person, in the last 16 columns."""
    return number(image_id) % 2 == 0


def official_mask(image_id):
    x1, y1, x2, y2 = rectangle(image_id)
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[y1 - 1:y2 + 1, x1 - 1:x2 + 1] = 255
    mask[y1:y2, x1:x2] = label(image_id) + 1
    return mask


def sbd_mask(image_id):
    x1, y1, x2, y2 = rectangle(image_id)
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[y1 + 1:y2 - 1, x1 + 1:x2 - 1] = label(image_id) + 1
    return mask


def write_image(folder, image_id):
    x1, y1, x2, y2 = rectangle(image_id)
    image = np.random.RandomState(number(image_id)).randint(
        20, 60, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    image[y1:y2, x1:x2] += 120
    Image.fromarray(image).save(
        folder / 'JPEGImages' / f'{image_id}.jpg', quality=95)


def write_xml(folder, image_id):
    x1, y1, x2, y2 = rectangle(image_id)
    objects = OBJECT.format(
        x1 + 1, y1 + 1, x2, y2, name=VOC_CLASSES[label(image_id)],
        difficult=0)
    if is_difficult(image_id):
        objects += OBJECT.format(
            WIDTH - 15, 1, WIDTH, HEIGHT, name='person', difficult=1)
    (folder / 'Annotations' / f'{image_id}.xml').write_text(
        XML.format(
            year=folder.name, name=image_id, width=WIDTH, height=HEIGHT,
            objects=objects))


def write_mask(folder, image_id):
    mask = Image.fromarray(official_mask(image_id))
    mask.putpalette([value for rgb in voc_palette(256) for value in rgb])
    mask.save(folder / 'SegmentationClass' / f'{image_id}.png')


def write_list(folder, name, ids):
    path = folder / 'ImageSets' / f'{name}.txt'
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(''.join(f'{i}\n' for i in ids))


def write_devkit(root):
    """Write VOC2007 and VOC2012 below ``root``; returns it."""
    root = Path(root)
    for year in ('VOC2007', 'VOC2012'):
        for name in ('JPEGImages', 'Annotations', 'SegmentationClass'):
            (root / year / name).mkdir(parents=True)
    old, new = root / 'VOC2007', root / 'VOC2012'
    for image_id in TRAINVAL_2007:
        write_image(old, image_id)
        write_xml(old, image_id)
    for image_id in SEG_2007:
        write_mask(old, image_id)
    for image_id in {*TRAINVAL_2012, *SEG_TRAIN_2012, *SEG_VAL_2012}:
        write_image(new, image_id)
        if image_id != SEG_VAL_2012[-1]:
            write_xml(new, image_id)
    for image_id in SEG_TRAIN_2012 + SEG_VAL_2012:
        write_mask(new, image_id)
    write_list(old, 'Main/trainval', TRAINVAL_2007)
    write_list(old, 'Segmentation/trainval', SEG_2007)
    write_list(new, 'Main/trainval', TRAINVAL_2012)
    write_list(new, 'Segmentation/train', SEG_TRAIN_2012)
    write_list(new, 'Segmentation/val', SEG_VAL_2012)
    return root


def write_sbd(root):
    """Write ``cls`` of SBD's ``benchmark_RELEASE/dataset``; returns it."""
    root = Path(root)
    (root / 'cls').mkdir(parents=True)
    for image_id in SBD:
        write_mat(root / 'cls' / f'{image_id}.mat', sbd_mask(image_id))
    return root


def write_mat(path, mask):
    """A file with the structure of the release."""
    from scipy.io import savemat
    from scipy.sparse import csc_matrix
    boundaries = np.empty((20, 1), object)
    for k in range(20):
        boundaries[k, 0] = csc_matrix(mask == k + 1)
    present = np.setdiff1d(np.unique(mask), 0)[:, None].astype(np.uint8)
    savemat(
        path,
        dict(
            GTcls=dict(
                Boundaries=boundaries,
                Segmentation=mask,
                CategoriesPresent=present)),
        do_compression=True)
