# Copyright (c) mmbombo contributors.
"""Hostile annotation files: each is a valid one with one mutation.

A case is (id, reader, mutation, what the message says); None where the file
is rightly accepted.
"""
import json

import numpy as np
import pytest
from PIL import Image

from mmbombo.datasets import (DatasetError, PartialAnnotationDataset,
                              PartialVOCDataset)
from mmbombo.datasets.boxes import MAX_BOXES
from mmbombo.datasets.coco_json import read_coco_json

NAN, INF = float('nan'), float('inf')
BOX, SQUARE = [4, 4, 20, 16], [[4, 4, 24, 4, 24, 20, 4, 20]]
OBJECT = ('<object><name>cat</name><difficult>0</difficult><bndbox>'
          '<xmin>5</xmin><ymin>5</ymin><xmax>24</xmax><ymax>20</ymax>'
          '</bndbox></object>')
XML = ('<annotation><size><width>60</width><height>40</height></size>' +
       OBJECT + '</annotation>')


def coco():
    """A valid file of one image (40 high, 60 wide) and one object."""
    return dict(
        images=[dict(id=1, file_name='1.png', height=40, width=60)],
        annotations=[
            dict(
                id=7,
                image_id=1,
                category_id=3,
                bbox=BOX,
                area=320,
                iscrowd=0,
                segmentation=SQUARE)
        ],
        categories=[dict(id=3, name='cat')])


def _values(key, message, *values):
    return [(f'{key}={str(x)[:24]}', ('annotations', key, x), message)
            for x in values]


#: COCO: (part, key, value) replaces a value of the first entry of a part.
COCO = [
    *_values('bbox', 'annotation 7 has the bbox', None, 'x', {}, [], [1],
             [1, 2, 3], [1, 2, 3, 4, 5], [[1, 2, 3, 4]], [1, 2, [3], 4],
             [1, 2, None, 4], [1, 2, '3', 4], [1, 2, True, 4], [1, 2, NAN, 4],
             [1, 2, INF, 4], [1, 2, 10**400, 4], [1, 2, 1e300, 4], 5),
    *_values('area', 'annotation 7 has the area', None, 'x', [], {}, NAN, INF,
             '320', True),
    *_values('iscrowd', 'annotation 7 has the iscrowd', '0', '1', 'no', 2, -1,
             [], [0], {}, NAN, .5),
    *_values('iscrowd', None, 0, 1, None, False, True),
    *_values('ignore', 'annotation 7 has the ignore', '0', 'false', [1], 3),
    *_values('image_id', 'is not in images', 2, '1', -1),
    *_values('image_id', 'has a image_id of the wrong', None, [1], {}, .5),
    *_values('category_id', 'is not in categories', 4, '3', 0),
    *_values('category_id', 'has a category_id of the wrong', None, [3],
             {}),
    *_values('id', 'has a id of the wrong', None, [7], {}, 1.5),
    *_values(
        'segmentation', 'annotation 7: its segmentation is wrong', 'x', 5,
        [1, 2, 3], [[NAN, 1, 2, 3, 4, 5]], [[1e9, 1, 2, 3, 4, 5]],
        [[1, 2, 3]], [['1', 2, 3, 4, 5, 6]], [[None] * 6], [[[1, 2]] * 3],
        {}, dict(size=[40, 60]), dict(counts=[2400]),
        dict(size=[40, 60], counts=[1, 2]),
        dict(size=[40, 60], counts=[-1, 2401]),
        dict(size=[40, 60], counts=['2400']),
        dict(size=[40, 60], counts=None), dict(size=[40, 60], counts='\xff'),
        dict(size=[40, 60], counts='o'), dict(size=[40, 60], counts='oooooo'),
        dict(size=[40, 60], counts='11'), dict(size=40, counts=[2400]),
        dict(size=[10**9, 10**9], counts=[10**18]),
        dict(size=[NAN, 60], counts=[2400]), True),
    *_values('segmentation', None, None, [], SQUARE,
             dict(size=[40, 60], counts=[2400]),
             dict(size=[40, 60], counts='P[2')),
    *[(f'image.{key}={x}', ('images', key, x), message)
      for key, x, message in (
          ('id', None, 'of the wrong type'), ('id', [1], 'of the wrong type'),
          ('id', 2, 'is not in images'), ('file_name', None, 'wrong type'),
          ('file_name', 5, 'wrong type'), ('file_name', [], 'wrong type'),
          ('height', '40', 'wrong type'), ('height', [], 'wrong type'),
          ('width', {}, 'wrong type'))],
    *[(f'category.{key}={x}', ('categories', key, x), message)
      for key, x, message in (
          ('id', None, 'of the wrong type'), ('id', {}, 'of the wrong type'),
          ('id', 4, 'is not in categories'), ('name', None, 'wrong type'),
          ('name', 3, 'wrong type'), ('name', ['cat'], 'wrong type'))],
    *[(f'{part}={x}', (part, None, x), message)
      for part in ('images', 'annotations', 'categories')
      for x, message in ((None, 'is not a list'), ({}, 'is not a list'),
                         ('x', 'is not a list'), ([5], 'is no object'),
                         ([None], 'is no object'), ([[]], 'is no object'),
                         ([{}], 'has no'))],
]
#: COCO: the text of the file.
COCO_TEXTS = [
    ('empty', '', 'not a JSON file'),
    ('cut', '{"images": [', 'not a JSON file'),
    ('list', '[]', "no 'images'"),
    ('null', 'null', "no 'images'"),
    ('html', '<html>', 'not a JSON file'),
    ('deep', '[' * 10**5, 'not a JSON file'),
    ('deep_object', '{"a":' * 10**5, 'not a JSON file'),
    ('digits', '1' * 5000, 'not a JSON file'),
]
#: What is said of a tag, by whom it confuses first.
MISSPELT = "did you mean|looks like an object|of VOC's layout|number is due"
#: VOC: (old, new) text of the file.
VOC = [
    ('valid', ('', ''), None),
    ('no_objects', (OBJECT, OBJECT.replace('cat', 'cat')), None),
    ('root', ('annotation', 'annotations'), 'where <annotation> is due'),
    ('html', ('annotation', 'html'), 'where <annotation> is due'),
    ('prefix', ('annotation', 'v:annotation'), 'where <annotation> is due'),
    ('twice', ('</annotation>', '</annotation><annotation/>'), 'not well-'),
    ('cut', ('</annotation>', ''), 'not well-formed'),
    ('scaled', ('>60<', '>120<'), 'the image is 60x40, not 120x40'),
    ('turned', ('<width>60</width><height>40<',
                '<width>40</width><height>60<'), 'swapped'),
    ('unknown_size', ('>60<', '>0<'), None),
    ('no_size', ('>60<', '>x<'), 'a number is due'),
    *[(f'tag_{old}_{new}', (f'{old}>', f'{new}>'), MISSPELT)
      for old, new in (('object', 'Object'), ('object', 'objects'),
                       ('object', 'obj'), ('object', 'v:object'),
                       ('object', 'ojbect'), ('bndbox', 'bbox'),
                       ('bndbox', 'bndBox'), ('bndbox', 'bndbx'),
                       ('name', 'Name'), ('difficult', 'dificult'),
                       ('xmin', 'Xmin'), ('ymax', 'YMAX'),
                       ('width', 'Width'), ('size', 'Size'))],
    *[(f'xmin={x}', ('<xmin>5<', f'<xmin>{x}<'), message)
      for x, message in (('', 'a number is due'), ('x', 'a number is due'),
                         ('5,0', 'a number is due'), ('nan', 'inverted'),
                         ('inf', 'inverted'), ('-50', 'outside'),
                         ('30', 'inverted'), ('25', 'degenerate'),
                         ('1e999', 'inverted'))],
    *[(f'difficult={x}', ('<difficult>0<', f'<difficult>{x}<'), message)
      for x, message in (('2', 'where 0 or 1'), ('yes', 'where 0 or 1'),
                         ('True', 'where 0 or 1'), ('', None))],
    *[(f'name={x}', ('>cat<', f'>{x}<'), 'is not one of the classes')
      for x in ('', 'Cat', 'cow', 'c a t')],
    ('entity', ('<annotation>', '<!DOCTYPE a [<!ENTITY b "c">]><annotation>'),
     'DTD or entity'),
    ('zero_byte', ('cat', 'c\0t'), 'not well-formed'),
]
YOLO = [
    *[(repr(x)[:24], x, message) for x, message in (
        ('0 .5 .5 .2 .2', None), ('0 .5 .5 .2', 'correct the line'),
        ('0', 'correct the line'), ('x', 'correct the line'),
        ('0 nan .5 .2 .2', 'not all in 0..1'),
        ('0 inf .5 .2 .2', 'not all in 0..1'),
        ('0 50 50 20 20', 'not all in 0..1'),
        ('0 .5 .5 -.2 .2', 'not all in 0..1'),
        ('9 .5 .5 .2 .2', 'class 9'), ('-1 .5 .5 .2 .2', 'class -1'),
        ('1e999 .5 .5 .2 .2', 'class inf'), ('nan .5 .5 .2 .2', 'class nan'),
        ('0 .5 .5 .2 .2 .1 .1', None), ('0 .5 .5 .2 .2 .1', 'correct the'),
        ('\0', 'correct the line'), ('[0, 1]', 'correct the line'),
        ('', None), ('\n\n', None))],
]
LABELME = [
    *[(f'points={str(x)[:24]}', ('points', x), message) for x, message in (
        ([[2, 2], [12, 12]], None), (None, 'needs at least'),
        ([], 'needs at least'), ('x', 'points are missing'),
        ([[2, 2]], 'needs at least'), ([[NAN, 2], [3, 3]], 'needs at least'),
        ([[INF, 2], [3, 3]], 'needs at least'),
        ([[1e400, 2], [3, 3]], 'needs at least'),
        ([[10**400, 2], [3, 3]], 'points are missing'),
        ([[2, 2, 2], [3, 3, 3]], 'needs at least'),
        ([[2, 2], [3]], 'points are missing'), ({}, 'points are missing'),
        ([[[2, 2]], [[3, 3]]], 'needs at least'), (5, 'needs at least'))],
    *[(f'label={x}', ('label', x), message) for x, message in (
        (None, 'has no area'), (5, 'has no area'), ([], 'has no area'),
        ('cow', 'is not one of'), ('', 'is not one of'))],
    *[(f'type={x}', ('shape_type', x), message) for x, message in (
        ('point', 'has no area'), ('line', 'has no area'),
        (5, 'has no area'), ([], 'at least 3'), ({'a': 1}, 'has no area'),
        ('polygon', 'at least 3'))],
]
LOAD = [dict(type='LoadImageFromFile'), dict(type='LoadPartialAnnotations')]


def cases(table):
    return pytest.mark.parametrize(
        'mutation, message', [x[1:] for x in table], ids=[x[0] for x in table])


def expect(message, path, build):
    """Accepted, or refused with one short message that names the file."""
    if message is None:
        assert len(build()) > 0
        return
    with pytest.raises(DatasetError, match=message) as error:
        build()
    assert str(path) in str(error.value) and len(str(error.value)) < 2000


def wrap(**dataset):
    return PartialAnnotationDataset(
        dataset=dataset,
        annotation_kinds=('bbox', ),
        metainfo=dict(classes=('cat', )),
        pipeline=LOAD)


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp('hostile')
    Image.fromarray(np.zeros((40, 60, 3), np.uint8)).save(root / '1.png')
    (root / 'list.txt').write_text('1\n')
    return root


def read_coco(root):
    return wrap(
        type='mmdet.CocoDataset',
        ann_file=str(root / 'coco.json'),
        data_prefix=dict(img=str(root)))


@cases(COCO)
def test_coco(root, mutation, message):
    content, (part, key, value) = coco(), mutation
    if key is None:
        content[part] = value
    else:
        content[part][0][key] = value
    path = root / 'coco.json'
    path.write_text(json.dumps(content))
    expect(message, path, lambda: read_coco_json(str(path)))
    # a training reads no polygon; what it does read is refused at its start
    if message and key in ('bbox', 'area', 'iscrowd', 'ignore'):
        expect(message, path, lambda: read_coco(root))


@cases(COCO_TEXTS)
def test_coco_texts(root, mutation, message):
    path = root / 'coco.json'
    path.write_text(mutation)
    expect(message, path, lambda: read_coco(root))


def test_a_file_of_two_images(root):
    content = coco()
    content['images'].append(dict(content['images'][0], id=2))
    path = root / 'coco.json'
    path.write_text(json.dumps(content))
    expect('1.png. is the file of the images 1 and 2', path,
           lambda: read_coco(root))


@pytest.mark.parametrize('number, message', [
    (MAX_BOXES, None),
    (MAX_BOXES + 1, '5001 boxes, more than 5000'),
])
def test_number_of_boxes(root, number, message):
    content = coco()
    box = content['annotations'].pop()
    content['annotations'] = [dict(box, id=k) for k in range(number)]
    (root / 'coco.json').write_text(json.dumps(content))
    if message is None:
        assert len(read_coco(root)[0]['gt_bboxes']) == number
        return
    with pytest.raises(DatasetError, match=message):
        read_coco(root)


@pytest.mark.parametrize('kind', ['PartialVOCDataset', 'mmdet.XMLDataset'])
@cases(VOC)
def test_voc(root, kind, mutation, message):
    path = root / '1.xml'
    path.write_text(XML.replace(*mutation) if mutation[0] else XML)
    if kind == 'PartialVOCDataset':
        expect(
            message, path, lambda: PartialVOCDataset(
                data_root=str(root),
                ann_file='list.txt',
                annotation_kinds=('bbox', ),
                data_prefix=dict(img_path='', ann_path=''),
                img_suffix='.png',
                metainfo=dict(classes=('cat', )),
                pipeline=LOAD))
        return
    # MMDetection's reader minds prefixes itself, and opens images
    its_own = mutation[1][:2] == 'v:' or mutation[0] in ('width>', 'size>',
                                                         'annotation')
    if message and not its_own and (message == MISSPELT
                                    or 'where <' in message):
        expect(
            message, path, lambda: wrap(
                type='mmdet.XMLDataset',
                data_root=str(root),
                ann_file='list.txt',
                ann_subdir='',
                img_subdir='',
                data_prefix=dict(sub_data_root='')))


@cases(YOLO)
def test_yolo(root, mutation, message):
    path = root / '1.txt'
    path.write_text(mutation)
    expect(
        message, path, lambda: wrap(
            type='YOLODataset',
            data_prefix=dict(img_path=str(root), label_path=str(root)),
            metainfo=dict(classes=('cat', ))))


@cases(LABELME)
def test_labelme(root, tmp_path, mutation, message):
    shape = dict(
        label='cat', points=[[2, 2], [9, 9]], shape_type='rectangle')
    shape[mutation[0]] = mutation[1]
    path = tmp_path / '1.json'
    path.write_text(
        json.dumps(dict(imagePath=str(root / '1.png'), shapes=[shape])))
    expect(
        message, path, lambda: wrap(
            type='LabelMeDataset',
            data_prefix=dict(img_path=str(tmp_path))))
