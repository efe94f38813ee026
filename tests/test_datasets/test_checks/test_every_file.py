# Copyright (c) mmbombo contributors.
"""Whatever is wrong with the files of a source is found and named."""
import json

import numpy as np
import pytest
from PIL import Image
from toolbox import write_coco

from mmbombo.datasets import (DatasetError, PartialAnnotationDataset,
                              PartialVOCDataset)
from mmbombo.datasets.checks.every_file import check_sample, check_source

LOAD = [dict(type='LoadImageFromFile'), dict(type='LoadPartialAnnotations')]


def make(root, kinds=('bbox', 'sem_seg')):
    return PartialVOCDataset(
        data_root=str(root),
        ann_file='ImageSets/Main/all.txt',
        annotation_kinds=kinds,
        source='mine',
        metainfo=dict(classes=('cat', 'dog')),
        pipeline=LOAD)


def drawn(data, index):
    """What a training says when it draws the sample."""
    with pytest.raises(DatasetError) as error:
        data[index]
    return str(error.value)


@pytest.mark.parametrize('path',
                         ['JPEGImages/im2.jpg', 'SegmentationClass/im2.png'])
@pytest.mark.parametrize('content', [None, b'', b'<html>404</html>'])
def test_files_that_are_none(voc, path, content):
    if content is None:
        (voc / path).unlink()
    else:
        (voc / path).write_bytes(content)
    data = make(voc)
    problem, = check_sample(data, 2)
    assert str(voc / path) in problem
    assert str(voc / path) in drawn(data, 2)
    assert "source 'mine'" in drawn(data, 2)


@pytest.mark.parametrize('path',
                         ['JPEGImages/im1.jpg', 'SegmentationClass/im1.png'])
@pytest.mark.parametrize('share', [.5, .9])
def test_truncated_files(voc, path, share):
    content = (voc / path).read_bytes()
    (voc / path).write_bytes(content[:int(share * len(content))])
    problem, = check_sample(make(voc), 1)
    assert str(voc / path) in problem and 'truncated' in problem


def test_bytes_after_the_end_are_tolerated(voc):
    path = voc / 'JPEGImages/im1.jpg'
    path.write_bytes(path.read_bytes() + b'\0\0camera notes')
    assert check_sample(make(voc), 1) == []


def test_mask_of_another_size(voc, voc_files):
    voc_files.write_mask(voc / 'SegmentationClass/im1.png',
                         np.zeros((41, 61)))
    problem, = check_sample(make(voc), 1)
    assert 'im1.png: the mask is 61x41 but its image is 62x41' in problem
    assert problem in drawn(make(voc), 1)


@pytest.mark.parametrize('mode', ['RGB', 'RGBA', 'LA', 'I;16', '1'])
def test_mask_without_one_byte_per_pixel(voc, mode):
    Image.new(mode, (62, 41)).save(voc / 'SegmentationClass/im1.png')
    problem, = check_sample(make(voc), 1)
    assert 'im1.png: the mask is stored as' in problem
    assert 'palette (P) or gray (L)' in problem
    assert problem in drawn(make(voc), 1)


@pytest.mark.parametrize('mode', ['P', 'L'])
def test_ids_outside_the_class_map(voc, voc_files, mode):
    ids = np.zeros((41, 62))
    ids[0, 0], ids[3, 7], ids[5, 5] = 3, 200, 255
    voc_files.write_mask(voc / 'SegmentationClass/im1.png', ids, mode)
    problem, = check_sample(make(voc), 1)
    assert 'im1.png: id(s) [3, 200] are outside the class map' in problem
    assert 'seg_id_map' in problem
    ids[ids != 255] = 255  # all ignored is fine
    voc_files.write_mask(voc / 'SegmentationClass/im1.png', ids, mode)
    assert check_sample(make(voc), 1) == []


def test_all_problems_of_a_source(voc, voc_files):
    """Boxes and masks of an image are judged apart."""
    voc_files.write_xml(voc / 'Annotations/im1.xml', [
        dict(name='dog', xmin=11, ymin=6, xmax=500, ymax=20),
        dict(name='dog', xmin=30, ymin=6, xmax=20, ymax=20)])
    for k in (1, 4):
        (voc / f'SegmentationClass/im{k}.png').write_bytes(b'')
    (voc / 'JPEGImages/im2.jpg').unlink()
    found = check_source(make(voc), jobs=2)
    assert len(found) == 4
    for problem, parts in zip(
            found, (['im1.xml: box', 'outside', 'inverted'], ['im1.png'],
                    ['im2.jpg', 'missing'], ['im4.png'])):
        assert all(part in problem for part in parts), problem
    # What is not declared is not looked at.
    assert len(check_source(make(voc, ('bbox', )))) == 2
    assert len(check_source(make(voc, ()))) == 1


def coco(root, **kwargs):
    return PartialAnnotationDataset(
        dataset=dict(
            type='mmdet.CocoDataset',
            data_root=str(root),
            ann_file='annotations/instances_train2017.json',
            data_prefix=dict(img='train2017')),
        annotation_kinds=('bbox', ),
        pipeline=LOAD,
        **kwargs)


@pytest.mark.parametrize('part, key, value, message', [
    ('annotations', 'image_id', 77,
     'annotation 10: image_id 77 is not in images'),
    ('images', 'id', 2, 'images: id 2 occurs twice'),
])
def test_references_of_a_coco_file(tmp_path, part, key, value, message):
    root = write_coco(tmp_path / 'coco')
    path = root / 'annotations/instances_train2017.json'
    assert check_source(coco(root)) == []
    content = json.loads(path.read_text())
    content[part][0][key] = value
    path.write_text(json.dumps(content))
    assert message in check_source(coco(root))[0]


def test_images_that_exif_data_turn(tmp_path):
    """The file lists the size before, in which the boxes were drawn."""
    root = write_coco(tmp_path / 'coco')
    path = root / 'train2017/000000000002.jpg'
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(path).save(path, exif=exif)
    problem, = check_source(coco(root))
    assert '000000000002.jpg' in problem and 'EXIF' in problem


def test_xml_with_a_dtd(voc):
    path = voc / 'Annotations/im1.xml'
    path.write_text('<!DOCTYPE a [<!ENTITY b "c">]>' + path.read_text())
    data = PartialAnnotationDataset(
        dataset=dict(
            type='mmdet.XMLDataset', data_root=str(voc),
            ann_file='ImageSets/Main/all.txt',
            data_prefix=dict(sub_data_root=''),
            metainfo=dict(classes=('cat', 'dog'))),
        annotation_kinds=('bbox', ), pipeline=LOAD)
    problem, = check_source(data)
    assert 'im1.xml: a DTD or entity declaration' in problem
