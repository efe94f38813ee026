# Copyright (c) mmbombo contributors.
"""COCO's instance files as a source: crowd regions and wrong files."""
import json

import numpy as np
import pytest
import torch
from PIL import Image
from toolbox import (CLASSES, coco_categories, det_head_cfg, make_feats,
                     write_coco)

from mmbombo.datasets import DatasetError, PartialAnnotationDataset
from mmbombo.datasets.boxes import fit_instances
from mmbombo.registry import MODELS

PIPELINE = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadPartialAnnotations'),
    dict(type='PackMultiTaskInputs')
]


def make(root, part='train2017', kinds=('bbox', ), folder=None, **kwargs):
    return PartialAnnotationDataset(
        dataset=dict(
            type='mmdet.CocoDataset',
            data_root=str(root),
            ann_file=f'annotations/instances_{part}.json',
            data_prefix=dict(img=folder or part),
            **kwargs),
        annotation_kinds=kinds,
        source='coco',
        pipeline=PIPELINE)


@pytest.fixture
def coco(tmp_path):
    return write_coco(tmp_path / 'coco')


def change(root, function, part='train2017'):
    path = root / f'annotations/instances_{part}.json'
    content = json.loads(path.read_text())
    function(content)
    path.write_text(json.dumps(content))


def crowd_set(root, iscrowd):
    """A cat on the left, and on the right a crowd (or one) of dogs."""
    (root / 'annotations').mkdir(parents=True)
    (root / 'x').mkdir()
    Image.fromarray(np.full((128, 128, 3), 90,
                            np.uint8)).save(root / 'x/1.jpg')
    boxes = [[8, 40, 40, 40], [72, 40, 48, 48]]
    content = dict(
        images=[dict(id=1, file_name='1.jpg', height=128, width=128)],
        annotations=[
            dict(
                id=1 + k,
                image_id=1,
                category_id=1 + k,
                bbox=box,
                area=box[2] * box[3],
                iscrowd=iscrowd * k) for k, box in enumerate(boxes)
        ],
        categories=[dict(id=1 + k, name=n) for k, n in enumerate(CLASSES)])
    (root / 'annotations/instances_x.json').write_text(json.dumps(content))
    return make(root, 'x', metainfo=dict(classes=CLASSES))


@pytest.mark.parametrize('name', ['retinanet', 'gfl'])
def test_a_crowd_is_neither_positive_nor_negative(tmp_path, name):
    head = MODELS.build(det_head_cfg(name))
    grads = {}
    for iscrowd in (0, 1):
        packed = crowd_set(tmp_path / str(iscrowd), iscrowd)[0]
        sample = packed['data_samples']
        assert len(sample.gt_instances) == 2 - iscrowd
        assert len(sample.ignored_instances) == iscrowd
        sample.set_metainfo(
            dict(pad_shape=(128, 128), batch_input_shape=(128, 128)))
        for instances in (sample.gt_instances, sample.ignored_instances):
            instances.bboxes = instances.bboxes.tensor
        targets, ignore = head.targets('det', [sample])
        outputs = head(make_feats(1))
        for level in (*outputs[0], *outputs[1]):
            level.retain_grad()
        losses = head.loss_on_targets('det', outputs, targets,
                                      [sample.metainfo], ignore)
        sum(sum(v) if isinstance(v, list) else v
            for v in losses.values()).backward()
        # stride 8: the crowd covers the cells 5 to 10 by 9 to 14
        cls, box = (outputs[i][0].grad[0] for i in (0, 1))
        grads[iscrowd] = cls.unflatten(0, (-1, 3)), box
    region = (slice(6, 10), slice(10, 14))
    dog = CLASSES.index('dog')
    cls, box = grads[1]
    assert (cls[:, dog][:, region[0], region[1]] == 0).all()
    assert (box[:, region[0], region[1]] == 0).all()
    # Other classes are negatives there, and dogs are elsewhere.
    assert (cls[:, dog - 1][:, region[0], region[1]] != 0).all()
    assert (cls[:, dog, 0, 0] != 0).all()
    # Without the flag it is an object like any other.
    cls, box = grads[0]
    assert (cls[:, dog][:, region[0], region[1]] != 0).any()
    assert not all(torch.equal(a, b) for a, b in zip(grads[0], grads[1]))


def test_ids_with_gaps_become_labels_by_name(coco):
    labels = {c['id']: k for k, c in enumerate(coco_categories())}
    content = json.loads(
        (coco / 'annotations/instances_train2017.json').read_text())
    data = make(coco)
    assert len(data) == 12  # the image without annotations too
    found = sorted((info['img_id'], i['bbox_label'], i['ignore_flag'])
                   for info in map(data.get_data_info, range(12))
                   for i in info['instances'])
    assert found == sorted(
        (a['image_id'], labels[a['category_id']], a['iscrowd'])
        for a in content['annotations'])
    assert data.get_data_info(11)['instances'] == []


def test_images_of_another_year_or_folder(coco):
    """The first image is looked for; of which file it is, is said."""
    with pytest.raises(DatasetError, match='val2017/000000000001.jpg.*_train'):
        make(coco, folder='val2017', kinds=())

    def of_2014(content):
        for image in content['images']:
            image['file_name'] = f'COCO_train2014_{image["file_name"]}'

    change(coco, of_2014)
    with pytest.raises(DatasetError) as error:
        make(coco)
    for part in ('instances_train2017.json', 'train2017/COCO_train2014_'):
        assert part in str(error.value)


def set_item(part, key, value):

    def function(content):
        content[part][0][key] = value

    return function


@pytest.mark.parametrize('function, message', [
    (set_item('annotations', 'category_id',
              1000), 'annotation 10: category_id 1000 is not in categories'),
    (set_item('annotations', 'id', 20), 'annotations: id 20 occurs twice'),
    (set_item('categories', 'name', 'human'),
     r"has no category \['person'\]; it has \['human', 'bicycle'"),
    (lambda content: content.pop('annotations'),
     "no 'annotations' in it, so it is not a file of COCO instances"),
    (lambda content: content.update(images=[]), 'lists none'),
    (lambda content: content['annotations'][0].pop('bbox'),
     r"annotations\[0\] has no \['bbox'\]"),
])
def test_parts_that_do_not_fit(coco, function, message):
    change(coco, function)
    with pytest.raises(DatasetError, match=message) as error:
        make(coco)
    assert 'instances_train2017.json' in str(error.value)


def test_not_json(coco):
    (coco / 'annotations/instances_train2017.json').write_text('{"images": [')
    with pytest.raises(DatasetError, match='2017.json: not a JSON file'):
        make(coco)


@pytest.mark.parametrize('bbox', [[1, 2, 3], None, ['a', 1, 2, 3]])
def test_a_box_is_four_numbers(tmp_path, bbox):
    write_coco(tmp_path, num_train=2)
    path = tmp_path / 'annotations/instances_train2017.json'
    content = json.loads(path.read_text())
    content['annotations'][0]['bbox'] = bbox
    path.write_text(json.dumps(content))
    number = content['annotations'][0]['id']
    with pytest.raises(DatasetError,
                       match=f'train2017.json: annotation {number} .*four'):
        PartialAnnotationDataset(
            dict(
                type='mmdet.CocoDataset',
                data_root=str(tmp_path),
                ann_file='annotations/instances_train2017.json',
                data_prefix=dict(img='train2017/')),
            annotation_kinds=('bbox', ))


def test_most_boxes_of_an_image_are_not_left_out():
    """Then it is the image that has another size."""
    results = dict(
        img_path='a.jpg', ori_shape=(50, 50), drop_bad_boxes=True,
        instances=[dict(bbox=box) for box in ([0, 0, 9, 9], [90, 0, 99, 9],
                                              [80, 0, 99, 9])])
    with pytest.raises(DatasetError, match='a.jpg: box .90, 0, 99, 9.'):
        fit_instances(results)
    del results['instances'][2]
    assert fit_instances(results) == results['instances'][:1]
