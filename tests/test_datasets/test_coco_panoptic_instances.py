# Copyright (c) mmbombo contributors.
"""Panoptic segments and overlapping instances, from files to a ranking."""
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.evaluator import Evaluator
from mmengine.runner import Runner
from mmengine.structures import InstanceData
from PIL import Image
from pycocotools import mask as coco_mask

from mmbombo.evaluation.metrics.order_accuracy import (OrderAccuracy,
                                                       order_pairs)
from mmbombo.models import SpatialRankingFusionHead
from mmbombo.registry import DATASETS, TRANSFORMS
from mmbombo.utils import UserError

CONFIGS = Path(__file__).resolve().parents[2] / 'configs' / 'oanet'
CLASSES = ('cat', 'dog', 'sky')
META = dict(
    classes=CLASSES,
    thing_classes=CLASSES[:2],
    stuff_classes=CLASSES[2:],
    palette=[(i, i, i) for i in range(3)])
# ids have gaps
CATEGORIES = [
    dict(id=i, name=name, isthing=int(name != 'sky'))
    for i, name in zip((3, 7, 300), CLASSES)
]
SIZE = (40, 48)
CAT, DOG = (8, 8, 24, 24), (16, 16, 40, 32)


def run_lengths(mask):
    runs = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    return dict(size=runs['size'], counts=runs['counts'].decode())


def write_files(root, num_images=4):
    """A dog on a cat under the sky, as COCO's panoptic files have it; every
    second image is empty."""
    for folder in ('JPEGImages', 'panoptic/train', 'instances'):
        (root / folder).mkdir(parents=True)
    images, segments, instances = [], [], []
    for i in range(1, num_images + 1):
        ids = np.full(SIZE, 70000)
        info = [dict(id=70000, category_id=300)]
        for number, (x1, y1, x2, y2) in enumerate((CAT, DOG) if i % 2 else ()):
            ids[y1:y2, x1:x2] = number + 1
            mask = np.zeros(SIZE, bool)
            mask[y1:y2, x1:x2] = True
            instance = dict(
                category_id=(3, 7)[number],
                bbox=[x1, y1, x2 - x1, y2 - y1],
                area=int(mask.sum()),
                iscrowd=0)
            info.append(dict(instance, id=number + 1))
            instances.append(
                dict(
                    instance,
                    id=len(instances) + 1,
                    image_id=i,
                    segmentation=run_lengths(mask)))
        for x in info:
            x.update(area=int((ids == x['id']).sum()), iscrowd=0)
            x.setdefault('bbox', [0, 0, *SIZE[::-1]])
        png = np.dstack([ids, ids >> 8, ids >> 16]).astype(np.uint8)
        Image.fromarray(png).save(root / f'panoptic/train/{i}.png')
        Image.fromarray(png).save(root / f'JPEGImages/{i}.jpg')
        images.append(
            dict(id=i, file_name=f'{i}.jpg', height=SIZE[0], width=SIZE[1]))
        segments.append(
            dict(image_id=i, file_name=f'{i}.png', segments_info=info))
    for name, annotations in (('panoptic', segments), ('instances',
                                                       instances)):
        (root / f'{name}/train.json').write_text(
            json.dumps(
                dict(
                    images=images,
                    annotations=annotations,
                    categories=CATEGORIES)))
    return root


def dataset_cfg(root, pipeline, **kwargs):
    return dict(
        dict(
            type='CocoPanopticInstanceDataset',
            data_root=str(root),
            ann_file='panoptic/train.json',
            instance_ann_file='instances/train.json',
            data_prefix=dict(img='JPEGImages/', seg='panoptic/train/'),
            metainfo=META,
            pipeline=pipeline), **kwargs)


LOAD = [
    dict(type='LoadPanopticInstances'),
    dict(type='mmdet.Resize', scale=(96, 80)),
    dict(type='mmdet.RandomFlip', prob=1.),
    dict(type='mmdet.PackDetInputs')
]


@pytest.mark.parametrize('image', [True, False])
def test_masks_overlap_and_the_map_does_not(image, tmp_path):
    first = [dict(type='LoadImageFromFile')] if image else []
    dataset = DATASETS.build(dataset_cfg(write_files(tmp_path), first + LOAD))
    data = dataset[0]
    assert data['inputs'].shape == (3 if image else 1, 80, 96)
    sample = data['data_samples']
    instances = sample.gt_instances
    assert instances.labels.tolist() == [0, 1]
    masks = instances.masks.masks.astype(bool)
    seg = sample.gt_sem_seg.sem_seg[0].numpy()
    assert masks.all(0).sum() == 4 * 8 * 8
    assert (seg[masks[1]] == 1).all()
    assert (seg[masks[0] & ~masks[1]] == 0).all()
    assert (seg[~masks.any(0)] == 2).all()
    # all of it is flipped
    assert instances.bboxes.tensor.tolist() == [[48, 16, 80, 48],
                                                [16, 32, 64, 64]]
    assert masks[0, 20, 50] and not masks[0, 20, 20]
    empty = dataset[1]['data_samples']
    assert not len(empty.gt_instances)
    assert (empty.gt_sem_seg.sem_seg == 2).all()


def test_the_instance_file_is_that_of_the_images(tmp_path):
    write_files(tmp_path)
    cfg = dataset_cfg(tmp_path, LOAD)
    path = tmp_path / 'instances/train.json'
    content = json.loads(path.read_text())
    content['images'].pop()
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match='has no image 4'):
        DATASETS.build(cfg)
    cfg.pop('instance_ann_file')
    with pytest.raises(TypeError, match='instance_ann_file'):
        DATASETS.build(cfg)


@pytest.mark.parametrize('file', ['panoptic', 'instances'])
def test_labels_go_by_name(file, tmp_path):
    """Not by the order of the categories in the files."""
    path = write_files(tmp_path) / f'{file}/train.json'
    content = json.loads(path.read_text())
    content['categories'].reverse()
    path.write_text(json.dumps(content))
    sample = DATASETS.build(dataset_cfg(tmp_path, LOAD))[0]['data_samples']
    assert sample.gt_instances.labels.tolist() == [0, 1]
    masks = sample.gt_instances.masks.masks.astype(bool)
    seg = sample.gt_sem_seg.sem_seg[0].numpy()
    assert (seg[masks[1]] == 1).all()
    assert (seg[masks[0] & ~masks[1]] == 0).all()
    assert (seg[~masks.any(0)] == 2).all()

    content['categories'][-1]['name'] = 'Cat'
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=rf"{file}.*no categories \['cat'\]"):
        DATASETS.build(dataset_cfg(tmp_path, LOAD))


def test_things_come_first(tmp_path):
    meta = dict(META, classes=CLASSES[::-1])
    with pytest.raises(UserError, match='do not begin with'):
        DATASETS.build(
            dataset_cfg(write_files(tmp_path), LOAD, metainfo=meta))


def test_more_classes_than_a_map_has_room_for(tmp_path):
    path = str(tmp_path / '1.png')
    Image.fromarray(np.ones((4, 4, 3), np.uint8)).save(path)
    load = TRANSFORMS.build(LOAD[0])
    with pytest.raises(UserError, match='1.png: class 300'):
        load._load_seg_map(
            dict(
                seg_map_path=path,
                segments_info=[dict(id=65793, category=300)]))


def test_ranking_is_trained_without_images(tmp_path):
    """By the config, where no image is."""
    root = write_files(tmp_path / 'data', num_images=16)
    for path in (root / 'JPEGImages').iterdir():
        path.unlink()
    cfg = Config.fromfile(CONFIGS / 'srm_photo-stamps.py')
    cfg.merge_from_dict(
        dict(
            work_dir=str(tmp_path / 'work'),
            train_cfg=dict(max_iters=8, val_interval=8),
            param_scheduler=[]))
    cfg.model.panoptic_fusion_head.update(
        num_things_classes=2, num_stuff_classes=1)
    for loader in (cfg.train_dataloader, cfg.val_dataloader,
                   cfg.test_dataloader):
        loader.update(num_workers=0, persistent_workers=False)
        loader.dataset = dataset_cfg(root, loader.dataset.pipeline)
    runner = Runner.from_cfg(cfg)
    runner.train()
    hub = runner.message_hub
    assert hub.get_scalar('val/order/pairs').current() == 8
    # the dog is on top in all of them
    assert hub.get_scalar('val/order/accuracy').current() == 100


@pytest.mark.parametrize('metric', [
    dict(type='PanopticQualityMetric'),
    dict(type='mmdet.CocoPanopticMetric', prefix='panoptic', nproc=1)
])
def test_quality_of_the_merge(metric, tmp_path):
    """The dog on the cat has the lower score."""
    if metric['type'].startswith('mmdet'):
        pytest.importorskip('panopticapi')
    write_files(tmp_path, num_images=1)
    dataset = DATASETS.build(dataset_cfg(tmp_path, [LOAD[0], LOAD[-1]]))
    sample = dataset[0]['data_samples']
    masks = sample.gt_instances.masks.to_tensor(torch.bool, 'cpu')
    head = SpatialRankingFusionHead(
        num_things_classes=2,
        num_stuff_classes=1,
        test_cfg=Config(dict(mask_overlap=.5, stuff_area_limit=1)))
    head.srm.scores = lambda *_: torch.tensor([.1, .8])
    quality = {}
    for mode in ('score', 'area', 'srm'):
        head.rank_mode = mode
        found = InstanceData(
            bboxes=sample.gt_instances.bboxes.tensor,
            labels=sample.gt_instances.labels,
            masks=masks,
            scores=torch.tensor([.9, .6]))
        panoptic, = head.predict([found], [torch.zeros(1, *SIZE)])
        evaluator = Evaluator(
            dict(
                metric,
                ann_file=str(tmp_path / 'panoptic/train.json'),
                seg_prefix=str(tmp_path / 'panoptic/train')))
        evaluator.dataset_meta = META
        evaluator.process(
            [dict(sample.metainfo, pred_panoptic_seg=panoptic.to_dict())])
        quality[mode] = evaluator.evaluate(1)['panoptic/PQ']
    # the cat is smaller
    assert quality['area'] == quality['score'] < 90
    assert quality['srm'] == pytest.approx(100)


def test_order_accuracy():
    """Against a loop over pairs."""
    generator = np.random.default_rng(0)
    masks = generator.random((6, 20, 20)) < .5
    masks[5] = False
    labels = np.array([0, 1, 2, 1, 0, 2])
    visible = generator.integers(0, 4, (20, 20))
    ranks = np.array([3, 0, 5, 1, 4, 2])
    right = pairs = 0
    for i in range(6):
        for j in range(i):
            both = visible[masks[i] & masks[j]]
            counts = [(both == labels[k]).sum() for k in (i, j)]
            if labels[i] != labels[j] and counts[0] != counts[1]:
                pairs += 1
                right += (counts[0] > counts[1]) == (ranks[i] < ranks[j])
    assert 0 < right < pairs
    metric = Evaluator([dict(type='OrderAccuracy')])
    sample = dict(
        gt_sem_seg=dict(sem_seg=torch.from_numpy(visible)[None]),
        pred_instances=dict(
            masks=torch.from_numpy(masks),
            labels=torch.from_numpy(labels),
            scores=torch.from_numpy(-ranks.astype(float)),
            ranks=torch.from_numpy(ranks)))
    metric.process([sample])
    found = metric.evaluate(1)
    assert OrderAccuracy().compute_metrics([])['pairs'] == 0
    by_area = order_pairs(
        torch.from_numpy(masks), torch.from_numpy(labels),
        torch.from_numpy(masks.sum((1, 2)).argsort().argsort()),
        torch.from_numpy(visible))
    assert found['order/area'] == pytest.approx(100 * by_area[0] / pairs)
    assert found['order/area'] != found['order/accuracy']
    assert found['order/pairs'] == pairs
    assert found['order/accuracy'] == found['order/score']
    assert found['order/accuracy'] == pytest.approx(100 * right / pairs)
