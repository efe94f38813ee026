# Copyright (c) mmbombo contributors.
import json

import numpy as np
import pytest
from mmengine.dataset import Compose
from PIL import Image
from toolbox import write_coco

from mmbombo.datasets import (ConcatSource, DatasetError, ImageLabelDataset,
                              PartialAnnotationDataset, PartialVOCDataset)
from mmbombo.datasets.transforms import ImplyImageLabels
from mmbombo.registry import TRANSFORMS

PIPELINE = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadPartialAnnotations'),
    dict(type='mmdet.Resize', scale=(32, 24), keep_ratio=False),
    dict(type='mmdet.RandomFlip', prob=1.),
    dict(type='PackMultiTaskInputs')
]
CLASSES = ('cat', 'dog')


@pytest.fixture
def folder(tmp_path):
    for name in ('a.jpg', 'cat/b.jpg', 'dog/c.png', 'dog/notes.txt'):
        path = tmp_path / 'images' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == '.txt':
            path.write_text('no image')
        else:
            Image.new('RGB', (40, 30)).save(path)
    return tmp_path


def from_csv(folder, text, **kwargs):
    (folder / 'tags.csv').write_text(text)
    return ImageLabelDataset(
        data_prefix=dict(img_path='images'),
        ann_file='tags.csv',
        data_root=str(folder),
        **dict(dict(metainfo=dict(cls_classes=CLASSES)), **kwargs))


def test_csv(folder):
    data = from_csv(
        folder,
        'file,labels\na.jpg,dog;cat\ncat/b.jpg, cat \n\ndog/c.png,\n',
        pipeline=PIPELINE)
    assert data.source == 'tags' and data.annotation_kinds == ('image_label', )
    assert [x['image_labels'] for x in map(data.get_data_info, range(3))] == \
        [[1, 1], [1, 0], [0, 0]]
    sample = data[1]['data_samples']
    assert sample.gt_image_label.label.tolist() == [1, 0]
    assert sample.annotation_kinds == ('image_label', )
    assert not {'gt_instances', 'gt_sem_seg'} & set(sample.keys())


def test_one_folder_per_class(folder):
    data = ImageLabelDataset(
        data_prefix=dict(img_path='images'), data_root=str(folder))
    assert data.metainfo['cls_classes'] == CLASSES
    infos = [data.get_data_info(i) for i in range(len(data))]
    assert [(x['img_id'], x['image_labels']) for x in infos] == \
        [('cat/b.jpg', [1, 0]), ('dog/c.png', [0, 1])]


@pytest.mark.parametrize('text, message', [
    ('a.jpg,cat\nb.jpg,cow\n', r"tags.csv line 2: unknown.*\['cow'\]"),
    ('a.jpg,cat,dog\n', 'line 1: 3 columns'), ('file,labels\n', 'no image')
])
def test_bad_csv(folder, text, message):
    with pytest.raises(DatasetError, match=message):
        from_csv(folder, text)


def test_missing_places(folder):
    with pytest.raises(DatasetError, match='cls_classes'):
        from_csv(folder, 'a.jpg,cat\n', metainfo={})
    with pytest.raises(DatasetError, match='nowhere'):
        ImageLabelDataset(
            data_prefix=dict(img_path='nowhere'), data_root=str(folder))
    with pytest.raises(DatasetError, match='no folder .*cow'):
        ImageLabelDataset(
            data_prefix=dict(img_path='images'),
            data_root=str(folder),
            metainfo=dict(cls_classes=('cow', )))


def implied(kinds, crop=None, **known):
    """Labels of an image with a cat at the left and a dog at the right."""
    class_map = dict(
        det_classes=('cat', 'dog', 'cow'),
        seg_classes=('background', 'cat', 'dog'))
    seg_map = np.zeros((30, 40), np.uint8)
    seg_map[5:25, 2:12], seg_map[5:25, 28:38] = 1, 2
    results = dict(
        img=np.zeros((30, 40, 3), np.uint8),
        img_shape=(30, 40),
        ori_shape=(30, 40),
        img_path='a.jpg',
        annotation_kinds=kinds,
        **known)
    if 'bbox' in kinds:
        results.update(
            instances=[
                dict(bbox=[2, 5, 12, 25], bbox_label=0, ignore_flag=0),
                dict(bbox=[28, 5, 38, 25], bbox_label=1, ignore_flag=0)
            ])
        loaded = TRANSFORMS.build(dict(type='LoadPartialAnnotations'))
        loaded.load_boxes(results)
    if 'sem_seg' in kinds:
        results['gt_seg_map'] = seg_map
    if crop:
        np.random.seed(0)
        results = Compose([
            dict(
                type='mmdet.RandomCrop',
                crop_size=crop,
                allow_negative_crop=True)
        ])(results)
    return ImplyImageLabels(class_map)(results)


def test_boxes_and_masks_imply_tags():
    found = implied(('bbox', ))
    assert found['gt_image_labels'].tolist() == [1, 1, 0]
    assert found['annotation_kinds'] == ('bbox', 'image_label')
    # no mask shows a cow: boxes say that there is none, masks say nothing
    assert implied(('sem_seg', ))['gt_image_labels'].tolist() == [1, 1, -1]
    both = implied(('bbox', 'sem_seg'))
    assert both['gt_image_labels'].tolist() == [1, 1, 0]


def test_without_a_box_of_an_incomplete_class_nothing_is_known():
    found = implied(('bbox', ), incomplete_labels=[1, 2])
    assert found['gt_image_labels'].tolist() == [1, 1, -1]


def test_labels_are_those_of_the_crop():
    """A mask knows what is left; a box that was dropped does not."""
    found = implied(('sem_seg', ), crop=(14, 30))
    shown = set(np.unique(found['gt_seg_map'])) - {0}
    assert len(shown) < 2
    assert found['gt_image_labels'].tolist() == [
        int(1 in shown), int(2 in shown), -1
    ]
    found = implied(('bbox', ), crop=(14, 30))
    left = set(found['gt_bboxes_labels'].tolist())
    assert len(left) < 2
    assert found['gt_image_labels'].tolist() == [
        1 if 0 in left else -1, 1 if 1 in left else -1, 0
    ]


def test_images_without_boxes_and_mask_pass():
    transform = ImplyImageLabels(
        dict(det_classes=CLASSES, seg_classes=('background', *CLASSES)))
    for kinds in ((), ('image_label', )):
        results = dict(annotation_kinds=kinds)
        assert transform(dict(results)) == results


def write_xml(path, *objects):
    """Objects as (name, difficult)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('<annotation>' + ''.join(
        f'<object><name>{name}</name><difficult>{difficult}</difficult>'
        '</object>' for name, difficult in objects) + '</annotation>')


def test_voc_xml(folder):
    """Names alone are read: no object here has a box."""
    annotations = folder / 'Annotations'
    write_xml(annotations / 'a.xml', ('cat', 0), ('cat', 1), ('dog', 1))
    write_xml(annotations / 'b.xml', ('kite', 0), ('cow', 0))
    (folder / 'list.txt').write_text('a\nb\n')
    for name in 'ab':
        Image.new('RGB', (40, 30)).save(folder / 'images' / f'{name}.jpg')
    cfg = dict(
        ann_file='list.txt',
        data_root=str(folder),
        annotation_kinds=('image_label', ),
        data_prefix=dict(img_path='images'),
        metainfo=dict(classes=('cow', 'dog', 'cat'), cls_classes=CLASSES))
    data = PartialVOCDataset(**cfg, unlisted_classes=['kite'])
    assert [x['image_labels'] for x in map(data.get_data_info, range(2))] == \
        [[1, -1], [0, 0]]
    with pytest.raises(DatasetError, match="b.xml: object 1 .*'kite'.*line 2"):
        PartialVOCDataset(**cfg)


def test_coco_json(tmp_path):
    write_coco(tmp_path, num_train=8)
    path = tmp_path / 'annotations/instances_train2017.json'
    content = json.loads(path.read_text())
    names = {x['id']: x['name'] for x in content['categories']}
    classes = ('dog', 'person', 'cat')
    for i, name in enumerate(('person', 'cat', 'dog', 'zebra')):
        content['annotations'][i]['category_id'] = next(
            key for key, x in names.items() if x == name)
    path.write_text(json.dumps(content))
    data = PartialAnnotationDataset(
        dict(
            type='mmdet.CocoDataset',
            data_root=str(tmp_path),
            ann_file='annotations/instances_train2017.json',
            data_prefix=dict(img='train2017/')),
        annotation_kinds=('image_label', ),
        metainfo=dict(cls_classes=classes),
        pipeline=PIPELINE)
    for index in range(len(data)):
        info = data.get_data_info(index)
        found = [(names[x['category_id']], x['iscrowd'])
                 for x in content['annotations']
                 if x['image_id'] == info['img_id']]
        wanted = [
            1 if (name, 0) in found else -1 if (name, 1) in found else 0
            for name in classes
        ]
        assert info['image_labels'] == wanted
        assert 'instances' not in info
    assert data[0]['data_samples'].gt_image_label.label.tolist() == \
        data.get_data_info(0)['image_labels']


def test_a_file_that_is_listed_twice(folder):
    with pytest.raises(DatasetError, match='line 2: a.jpg .*already, 1;'):
        from_csv(folder, 'a.jpg,cat\na.jpg,dog\n')


def test_tags_that_nobody_reads_are_refused(tmp_path):
    """Absent on every image they would be."""
    write_coco(tmp_path, num_train=2)
    with pytest.raises(DatasetError, match=r"cls_classes.*\['dgo'\]"):
        PartialAnnotationDataset(
            dict(
                type='mmdet.CocoDataset',
                data_root=str(tmp_path),
                ann_file='annotations/instances_train2017.json',
                data_prefix=dict(img='train2017/')),
            annotation_kinds=('image_label', ),
            metainfo=dict(classes=('cat', ), cls_classes=('cat', 'dgo')))


def test_joined_tags_have_one_order(folder):
    part = dict(
        type='ImageLabelDataset',
        data_root=str(folder),
        data_prefix=dict(img_path='images'))
    parts = [part, dict(part, metainfo=dict(cls_classes=('dog', 'cat')))]
    with pytest.raises(DatasetError, match="metainfo.'cls_classes'."):
        ConcatSource(parts, ('image_label', ), 'joined')


def test_declared_tags_stand_for_what_boxes_do_not_know():
    results = implied(('bbox', ))
    results.update(
        annotation_kinds=('bbox', 'image_label'),
        gt_image_labels=np.array([0, 1, 1], np.int8),
        gt_bboxes_labels=np.array([0]),
        gt_ignore_flags=np.array([False]))
    # of the dog no box is left, though one was there
    found = ImplyImageLabels(
        dict(
            det_classes=('cat', 'dog', 'cow'),
            seg_classes=('background', 'cat', 'dog')))(results)
    assert found['gt_image_labels'].tolist() == [1, 1, 0]
    assert found['annotation_kinds'] == ('bbox', 'image_label')
