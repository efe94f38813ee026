# Copyright (c) mmbombo contributors.
"""Files of YOLO and LabelMe, and masks of colors, as sources."""
import json

import numpy as np
import pytest
from PIL import Image

from mmbombo.datasets import (DatasetError, MixedSourceDataset,
                              PartialAnnotationDataset)
from mmbombo.datasets.checks.every_file import check_source

LOAD = [dict(type='LoadImageFromFile'), dict(type='LoadPartialAnnotations')]
SEG_CLASSES = ('background', 'cat', 'dog')
COLORS = [(0, 0, 0), (255, 0, 0), (0, 128, 7)]


def source(dataset, kind, metainfo=None, **kwargs):
    return dict(
        type='PartialAnnotationDataset',
        dataset=dataset,
        annotation_kinds=(kind, ),
        metainfo=metainfo,
        pipeline=LOAD,
        **kwargs)


def make(config):
    config = dict(config)
    config.pop('type')
    return PartialAnnotationDataset(**config)


@pytest.fixture
def yolo(tmp_path):
    """Image a/1.jpg (40 high, 80 wide) with two objects, 2.png with none."""
    images, labels = tmp_path / 'images/train', tmp_path / 'labels/train'
    (images / 'a').mkdir(parents=True)
    (labels / 'a').mkdir(parents=True)
    Image.new('RGB', (80, 40)).save(images / 'a/1.jpg')
    Image.new('RGB', (80, 40)).save(images / '2.png')
    (labels / 'a/1.txt').write_text('1 .5 .5 .25 .5\n\n'
                                    '0 .1 .2 .3 .2 .3 .9 .25 1\n')
    (tmp_path / 'data.yaml').write_text('names: {0: cat, 1: dog}\n')
    return tmp_path


def yolo_set(root, **kwargs):
    return dict(
        type='YOLODataset',
        data_root=str(root),
        data_prefix=dict(img_path='images/train'),
        **{
            'ann_file': 'data.yaml',
            **kwargs
        })


def shape(label, points, kind='polygon'):
    return dict(label=label, points=points, shape_type=kind)


def write_labelme(root, shapes, **kwargs):
    (root / 'json').mkdir()
    (root / 'photos').mkdir()
    Image.new('RGB', (30, 20)).save(root / 'photos/1.png')
    content = dict(
        imagePath='..\\photos\\1.png', imageData='x', shapes=shapes, **kwargs)
    path = root / 'json/1.json'
    path.write_text(json.dumps(content))
    return path, dict(
        type='LabelMeDataset', data_prefix=dict(img_path=str(root / 'json')))


def color_set(root, mask):
    for name in ('img', 'seg'):
        (root / name).mkdir()
    Image.new('RGB', mask.size).save(root / 'img/1.jpg')
    mask.save(root / 'seg/1.png')
    return source(
        dict(
            type='mmseg.BaseSegDataset',
            data_root=str(root),
            data_prefix=dict(img_path='img', seg_map_path='seg')), 'sem_seg',
        dict(seg_classes=SEG_CLASSES))


def test_yolo_boxes_are_pixels_and_no_file_means_no_object(yolo):
    dataset = make(source(yolo_set(yolo), 'bbox'))
    assert dataset.metainfo['classes'] == ('cat', 'dog')
    empty, full = dataset[0], dataset[1]
    assert len(empty['gt_bboxes']) == 0
    np.testing.assert_allclose(
        full['gt_bboxes'].tensor, [[30, 10, 50, 30], [8, 8, 24, 40]],
        atol=1e-4)
    assert full['gt_bboxes_labels'].tolist() == [1, 0]
    assert check_source(dataset) == []


def test_yolo_size_is_that_of_the_turned_image(yolo):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new('RGB', (80, 40)).save(yolo / 'images/train/a/1.jpg', exif=exif)
    dataset = make(source(yolo_set(yolo), 'bbox'))
    assert dataset[1]['ori_shape'] == (80, 40)
    np.testing.assert_allclose(dataset[1]['gt_bboxes'].tensor[0],
                               [15, 20, 25, 60])


def test_yolo_names_of_a_text_file(yolo):
    (yolo / 'classes.txt').write_text('cat\ndog\n')
    dataset = make(source(yolo_set(yolo, ann_file='classes.txt'), 'bbox'))
    assert dataset.metainfo['classes'] == ('cat', 'dog')


@pytest.mark.parametrize('line, message', [
    ('0 .5 .5 .2', 'correct the line'),
    ('0 .5 .5 .2 x', 'correct the line'),
    ('0 .1 .1 .2 .2 .3 .3 .4', 'correct the line'),
    ('2 .5 .5 .2 .2', 'class 2 is not one of 0..1'),
    ('nan .5 .5 .2 .2', 'class nan is not one of'),
    ('0.5 .5 .5 .2 .2', 'class 0.5 is not one of'),
    ('0 nan .5 .2 .2', 'not all in 0..1'),
    ('0 40 20 10 10', 'divide pixels'),
])
def test_wrong_yolo_lines_are_named(yolo, line, message):
    (yolo / 'labels/train/2.txt').write_text('0 .5 .5 .2 .2\n' + line)
    with pytest.raises(DatasetError, match=r'2\.txt line 2: .*' + message):
        make(source(yolo_set(yolo), 'bbox'))


@pytest.mark.parametrize('content', ['names: cat', 'a: 1', '{', 'names: 3'])
def test_yolo_names_must_be_a_list(yolo, content):
    (yolo / 'data.yaml').write_text(content)
    with pytest.raises(DatasetError, match=r'data\.yaml: no class names'):
        make(source(yolo_set(yolo), 'bbox'))


def test_yolo_classes_in_another_order_are_refused(yolo):
    with pytest.raises(DatasetError, match='give them once'):
        make(source(yolo_set(yolo), 'bbox', dict(classes=('dog', 'cat'))))


def test_broken_image_and_missing_labels_are_named(yolo):
    (yolo / 'images/train/2.png').write_bytes(b'')
    with pytest.raises(DatasetError, match=r'2\.png: missing or not an image'):
        make(source(yolo_set(yolo), 'bbox'))
    (yolo / 'labels').rename(yolo / 'other')
    with pytest.raises(DatasetError, match='no such folder of labels'):
        make(source(yolo_set(yolo), 'bbox'))


def test_labelme_shapes_are_boxes(tmp_path):
    _, config = write_labelme(tmp_path, [
        shape('dog', [[20, 15], [10, 5]], 'rectangle'),
        shape('cat', [[1, 2], [9, 4], [3, 8]]),
        shape('cat', [[20, 10], [20, 14]], 'circle'),
        shape('__ignore__', [[0, 0], [4, 4]], 'rectangle'),
    ])
    dataset = make(source(config, 'bbox'))
    assert dataset.metainfo['classes'] == ('cat', 'dog')
    sample = dataset[0]
    np.testing.assert_allclose(
        sample['gt_bboxes'].tensor,
        [[10, 5, 20, 15], [1, 2, 9, 8], [16, 6, 24, 14], [0, 0, 4, 4]],
        atol=1e-4)
    assert sample['gt_bboxes_labels'].tolist()[:3] == [1, 0, 0]
    assert sample['gt_ignore_flags'].tolist() == [False] * 3 + [True]
    assert check_source(dataset) == []


def test_labelme_later_shapes_are_painted_over_earlier_ones(tmp_path):
    _, config = write_labelme(tmp_path, [
        shape('cat', [[2, 2], [12, 12]], 'rectangle'),
        shape('dog', [[8, 2], [18, 2], [18, 8], [8, 8]]),
        shape('__ignore__', [[25, 15], [30, 20]], 'rectangle'),
    ])
    dataset = make(source(config, 'sem_seg', dict(seg_classes=SEG_CLASSES)))
    seg_map = dataset[0]['gt_seg_map']
    assert seg_map.shape == (20, 30) and 'gt_bboxes' not in dataset[0]
    expected = np.zeros((20, 30), np.uint8)
    expected[2:12, 2:12] = 1
    expected[2:8, 8:18] = 2
    expected[15:, 25:] = 255
    np.testing.assert_array_equal(seg_map, expected)
    assert check_source(dataset) == []


def test_without_a_background_class_what_no_shape_covers_is_ignored(tmp_path):
    _, config = write_labelme(tmp_path,
                              [shape('cat', [[2, 2], [12, 12]], 'rectangle')])
    dataset = make(source(config, 'sem_seg', dict(seg_classes=('cat', ))))
    assert np.unique(dataset[0]['gt_seg_map']).tolist() == [0, 255]


@pytest.mark.parametrize('text, message', [
    ('{', 'not a JSON file of LabelMe'),
    ('[]', 'not a JSON file of LabelMe'),
    ('{"imagePath": "../photos/1.png"}', "KeyError: 'shapes'"),
    ('{"imagePath": "none.png", "shapes": []}', r'none\.png: missing'),
])
def test_broken_labelme_files_are_named(tmp_path, text, message):
    path, config = write_labelme(tmp_path, [])
    path.write_text(text)
    with pytest.raises(DatasetError, match=message):
        make(source(config, 'bbox'))


@pytest.mark.parametrize('wrong, message', [
    (dict(label='cat'), 'label or points are missing'),
    (shape('cat', [[1, 2]], 'point'), 'a point has no area'),
    (shape('cat', [[1, 2], [3, 4]]), 'needs at least 3 points'),
    (shape('cat', [[1, 2], [3, float('nan')]], 'circle'), 'needs at least 2'),
    (shape('cat', [1, 2, 3]), 'needs at least 3'),
    (shape('cow', [[1, 2], [9, 9]], 'rectangle'), "label 'cow' is not one of"),
])
def test_wrong_labelme_shapes_are_named(tmp_path, wrong, message):
    _, config = write_labelme(tmp_path, [wrong])
    with pytest.raises(DatasetError, match=r'1\.json: .*' + message):
        make(source(config, 'bbox', dict(classes=('cat', ))))


def test_colors_are_ids(tmp_path):
    ids = np.arange(12).reshape(3, 4) % 4
    colors = np.array([*COLORS, (9, 9, 9)], np.uint8)
    config = color_set(tmp_path, Image.fromarray(colors[ids]))
    with pytest.raises(DatasetError, match='`seg_colors`'):
        make(config)
    with pytest.raises(
            DatasetError, match=r'1\.png: the color \(9, 9, 9\) at x 3, y 0'):
        make(dict(config, seg_colors=COLORS))
    dataset = make(
        dict(config, seg_colors=[*COLORS, (9, 9, 9)], seg_ignore_ids=(3, )))
    expected = np.where(ids == 3, 255, ids)
    np.testing.assert_array_equal(dataset[0]['gt_seg_map'], expected)
    assert check_source(dataset) == []


@pytest.mark.parametrize('colors',
                         [[(0, 0)], [(0, 0, 256)], [(1, 2, 3)] * 2, 5])
def test_colors_must_be_distinct_triples(tmp_path, colors):
    config = color_set(tmp_path, Image.new('RGB', (4, 3)))
    with pytest.raises(DatasetError, match='seg_colors'):
        make(dict(config, seg_colors=colors))


def test_all_of_them_are_mixed(yolo):
    _, labelme = write_labelme(yolo,
                               [shape('dog', [[2, 2], [12, 12]], 'rectangle')])
    colors = color_set(yolo, Image.new('RGB', (4, 3), (0, 128, 7)))
    classes = dict(classes=('cat', 'dog'), seg_classes=SEG_CLASSES)
    mixed = MixedSourceDataset([
        source(yolo_set(yolo), 'bbox', classes, source='yolo'),
        source(labelme, 'sem_seg', classes, source='labelme'),
        dict(colors, metainfo=classes, seg_colors=COLORS, source='colors')
    ])
    assert len(mixed) == 4
    assert len(mixed[1]['gt_bboxes']) == 2 and 'gt_seg_map' not in mixed[1]
    assert mixed[2]['gt_seg_map'][5, 5] == 2
    assert mixed[3]['gt_seg_map'].tolist() == [[2] * 4] * 3
