# Copyright (c) mmbombo contributors.
"""A data set that no code of ours knows, by config and command line alone.

COCO JSON with gaps between its category ids, PNG masks with ids of their
own, three classes in different orders, no background class, and images with
boxes, masks, both and neither.
"""
import json
from textwrap import dedent
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from PIL import Image

CLASSES = ('tram', 'kiosk', 'lorry')
# MMDetection's reader numbers the classes in the order of this file, whatever
# the order of its `metainfo` is.
CATEGORY_IDS = dict(kiosk=3, tram=40, lorry=90)
MASK_IDS = dict(lorry=11, tram=26, kiosk=33)
#: BGR; the noise on top is weaker than the difference.
COLORS = dict(tram=(40, 40, 220), kiosk=(40, 200, 60), lorry=(210, 70, 40))
ITERS = 50
CONFIG = '''
    _base_ = '{repo}/configs/_base_/default_runtime.py'

    classes = ('tram', 'kiosk', 'lorry')
    # the masks' own order; nothing says what is between the objects
    seg_classes = ('lorry', 'tram', 'kiosk')
    masks = dict(seg_id_map={{11: 0, 26: 1, 33: 2}}, seg_ignore_ids=[0])
    metainfo = dict(classes=classes, seg_classes=seg_classes)
    class_map = dict(
        det_classes=classes, seg_classes=seg_classes, background=None)

    train_pipeline = [
        dict(type='LoadImageFromFile'),
        dict(type='LoadPartialAnnotations'),
        dict(type='LoadPseudoMask', class_map=class_map,
             method='grabcut_ignore'),
        dict(type='mmdet.RandomFlip', prob=0.5),
        dict(type='LabelComponents', class_map=class_map, min_area=20),
        dict(type='PackMultiTaskInputs')]
    test_pipeline = [
        dict(type='LoadImageFromFile'),
        dict(type='mmdet.Resize', scale=(96, 64), keep_ratio=True),
        dict(type='LoadPartialAnnotations'),
        dict(type='PackMultiTaskInputs')]

    boxes = dict(
        type='PartialAnnotationDataset', source='boxes',
        annotation_kinds=('bbox', ), metainfo=metainfo,
        pipeline=train_pipeline,
        dataset=dict(
            type='mmdet.CocoDataset', data_root='{data}',
            ann_file='boxes.json', data_prefix=dict(img='photos'),
            metainfo=dict(classes=classes)))
    only_masks = dict(
        type='PartialAnnotationDataset', source='masks',
        annotation_kinds=('sem_seg', ), metainfo=metainfo,
        pipeline=train_pipeline, **masks,
        dataset=dict(
            type='mmseg.BaseSegDataset', data_root='{data}',
            ann_file='masks.txt', img_suffix='.jpg', seg_map_suffix='.png',
            data_prefix=dict(img_path='photos', seg_map_path='labels'),
            metainfo=dict(classes=seg_classes)))
    both = dict(
        type='PartialAnnotationDataset', source='both',
        annotation_kinds=('bbox', 'sem_seg'), metainfo=metainfo,
        pipeline=train_pipeline, **masks,
        dataset=dict(
            type='mmdet.CocoDataset', data_root='{data}',
            ann_file='both.json',
            data_prefix=dict(img='photos', seg='labels'),
            seg_map_suffix='.png', metainfo=dict(classes=classes)))
    neither = dict(
        type='PartialAnnotationDataset', source='neither',
        annotation_kinds=(), metainfo=metainfo, pipeline=train_pipeline,
        dataset=dict(
            type='mmdet.CocoDataset', data_root='{data}',
            ann_file='neither.json', data_prefix=dict(img='photos'),
            metainfo=dict(classes=classes)))

    train_dataloader = dict(
        batch_size=8, num_workers=2, persistent_workers=True,
        sampler=dict(type='PartialAnnotationSampler', batch_size=8,
                     source_ratio=[3, 3, 1, 1]),
        dataset=dict(type='MixedSourceDataset',
                     datasets=[boxes, only_masks, both, neither]))
    val_dataloader = dict(
        batch_size=4, num_workers=0, drop_last=False,
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=dict(
            type='MixedSourceDataset',
            datasets=[
                dict(boxes, source='val_boxes', test_mode=True,
                     pipeline=test_pipeline,
                     dataset=dict(boxes['dataset'],
                                  ann_file='val_boxes.json')),
                dict(only_masks, source='val_masks', test_mode=True,
                     pipeline=test_pipeline,
                     dataset=dict(only_masks['dataset'],
                                  ann_file='val_masks.txt'))]))
    test_dataloader = val_dataloader
    val_evaluator = dict(
        type='MultiTaskEvaluator',
        metrics=dict(det=dict(type='BoxAPMetric'),
                     seg=dict(type='SegIoUMetric', iou_metrics=['mIoU'])))
    test_evaluator = val_evaluator

    norm_cfg = dict(type='GN', num_groups=4)
    model = dict(
        type='MultiTaskDetector',
        data_preprocessor=dict(
            type='MultiTaskDataPreprocessor', mean=[120, 120, 120],
            std=[60, 60, 60], bgr_to_rgb=True, pad_size_divisor=32),
        backbone=dict(
            type='mmdet.ResNet', depth=18, base_channels=8,
            norm_cfg=norm_cfg, norm_eval=False),
        neck=dict(
            type='mmdet.FPN', in_channels=[8, 16, 32, 64], out_channels=16,
            num_outs=4),
        task_heads=dict(
            det=dict(
                type='DetTaskHead', in_indices=(1, 2, 3),
                head=dict(
                    type='FCOSHead', num_classes=3, in_channels=16,
                    feat_channels=16, stacked_convs=1, strides=[8, 16, 32],
                    regress_ranges=((-1, 32), (32, 64), (64, 1e8)),
                    norm_cfg=norm_cfg, center_sampling=True,
                    loss_cls=dict(type='FocalLoss', use_sigmoid=True,
                                  gamma=2.0, alpha=0.25, loss_weight=1.0),
                    loss_bbox=dict(type='GIoULoss', loss_weight=1.0),
                    loss_centerness=dict(type='CrossEntropyLoss',
                                         use_sigmoid=True, loss_weight=1.0)),
                test_cfg=dict(
                    nms_pre=100, min_bbox_size=0, score_thr=0.01,
                    nms=dict(type='nms', iou_threshold=0.5),
                    max_per_img=20)),
            seg=dict(
                type='SegTaskHead',
                head=dict(
                    type='FPNHead', in_channels=[16] * 4,
                    in_index=[0, 1, 2, 3], feature_strides=[4, 8, 16, 32],
                    channels=16, num_classes=3, norm_cfg=norm_cfg,
                    align_corners=False,
                    loss_decode=dict(type='CrossEntropyLoss')),
                test_cfg=dict(mode='whole'))),
        class_map=class_map,
        weak_losses=[
            dict(type='BoxForMaskLoss'),
            dict(type='MaskForBoxLoss', predictor='self', min_area=20)])

    optim_wrapper = dict(
        type='OptimWrapper', optimizer=dict(type='AdamW', lr=5e-3),
        clip_grad=dict(max_norm=10))
    train_cfg = dict(
        type='IterBasedTrainLoop', max_iters={iters}, val_interval={iters})
    val_cfg = dict(type='ValLoop')
    test_cfg = dict(type='TestLoop')
    default_hooks = dict(
        logger=dict(type='LoggerHook', interval=1),
        checkpoint=dict(interval={iters}))
    log_processor = dict(window_size=1)
'''


def draw(seed):
    """A photograph, its boxes (x, y, w, h) by class, and its mask.

    Two objects side by side; classes take turns.
    """
    random = np.random.RandomState(seed)
    image = random.randint(90, 130, (64, 96, 3))
    mask = np.zeros((64, 96), np.uint8)
    objects = []
    for side in (0, 1):
        name = CLASSES[(seed + side) % 3]
        width, height = random.randint(24, 40), random.randint(24, 50)
        x = 48 * side + random.randint(0, 48 - width)
        y = random.randint(0, 64 - height)
        place = slice(y, y + height), slice(x, x + width)
        image[place] = np.array(COLORS[name]) + random.randint(
            -20, 20, (height, width, 3))
        mask[place] = MASK_IDS[name]
        objects.append((name, [x, y, width, height]))
    return image.clip(0, 255).astype(np.uint8), objects, mask


def write_coco(path, parts):
    images, annotations = [], []
    for name, objects in parts.items():
        images.append(
            dict(id=1000 + len(images), file_name=f'{name}.jpg', width=96,
                 height=64))
        for label, box in objects:
            x, y, width, height = map(int, box)
            annotations.append(
                dict(id=len(annotations) + 1, image_id=images[-1]['id'],
                     category_id=CATEGORY_IDS[label], iscrowd=0,
                     bbox=[x, y, width, height], area=width * height))
    categories = [dict(id=number, name=name)
                  for name, number in CATEGORY_IDS.items()]
    path.write_text(
        json.dumps(dict(images=images, annotations=annotations,
                        categories=categories)))


@pytest.fixture(scope='module')
def foreign(tmp_path_factory):
    """The data set and the config for it."""
    root = tmp_path_factory.mktemp('foreign')
    data = root / 'city'
    (data / 'photos').mkdir(parents=True)
    (data / 'labels').mkdir()
    seed = 0
    for part, count in dict(boxes=12, masks=12, both=4, neither=4,
                            val_boxes=6, val_masks=6).items():
        listed = {}
        for _ in range(count):
            name = f'street{seed}'
            image, objects, mask = draw(seed)
            cv2.imwrite(str(data / f'photos/{name}.jpg'), image,
                        [cv2.IMWRITE_JPEG_QUALITY, 95])
            if part in ('masks', 'both', 'val_masks'):
                Image.fromarray(mask).save(data / f'labels/{name}.png')
            listed[name] = objects
            seed += 1
        if 'masks' in part:
            (data / f'{part}.txt').write_text('\n'.join(listed))
        elif part == 'neither':
            write_coco(data / f'{part}.json', dict.fromkeys(listed, ()))
        else:
            write_coco(data / f'{part}.json', listed)
    return SimpleNamespace(root=root, data=data)


@pytest.fixture(scope='module')
def trained(foreign, train, repo):
    config = foreign.root / 'city_config.py'
    config.write_text(
        dedent(CONFIG).format(repo=repo, data=foreign.data, iters=ITERS))
    run = train(config, fresh=True)
    run.config = config
    run.checkpoint = run.work_dir / f'iter_{ITERS}.pth'
    return run


def test_it_learns_from_all_kinds(trained):
    rows = trained.scalars.train
    assert len(rows) == ITERS
    # Mask-for-Box is ramped up over the first 5 steps
    for part, first in {'det/loss_cls': 0, 'seg/loss_ce': 0,
                        'b4m/loss_ce': 0, 'm4b/loss_cls': 5}.items():
        before = np.mean([row[part] for row in rows[first:first + 8]])
        after = np.mean([row[part] for row in rows[-8:]])
        assert after < 0.8 * before, part
    assert 'boxes' in trained.output and 'neither' in trained.output


def test_each_metric_has_its_own_classes(trained):
    metrics, = trained.scalars.val
    for name in CLASSES:
        assert 0 <= metrics[f'det/{name}_AP'] <= 1
        assert 0 <= metrics[f'seg/{name}_IoU'] <= 100
    # Plain colors are learned within seconds, unless boxes and masks call
    # the same thing different names.
    assert metrics['seg/mIoU'] > 60
    assert metrics['joint/score'] == pytest.approx(
        (metrics['det/bbox_mAP'] + metrics['seg/mIoU'] / 100) / 2)


def test_evaluation_by_command_line(trained, commands, tmp_path):
    out = tmp_path / 'metrics.json'
    done = commands.run('tools/test.py', trained.config, trained.checkpoint,
                        '--work-dir', tmp_path / 'work', '--out', out)
    assert done.returncode == 0, done.output[-5000:]
    metrics = json.loads(out.read_text())
    trained_metrics, = trained.scalars.val
    for name, value in trained_metrics.items():
        if name.startswith(('det/', 'seg/', 'joint/')):
            assert metrics[name] == pytest.approx(
                value, rel=1e-6, nan_ok=True), name


def test_prediction_by_command_line(trained, foreign, commands, tmp_path):
    out = tmp_path / 'predicted'
    done = commands.run(
        'demo/image_demo.py', foreign.data / 'photos/street0.jpg',
        trained.config, '--weights', trained.checkpoint, '--out-dir', out,
        '--pred-score-thr', 0.01)
    assert done.returncode == 0, done.output[-5000:]
    prediction, = [json.loads(path.read_text())
                   for path in out.rglob('*.json')]
    assert (prediction['height'], prediction['width']) == (64, 96)
    assert prediction['scores'] == sorted(prediction['scores'], reverse=True)
    assert set(prediction['class_names']) <= set(CLASSES)
    shown = {label for label, _ in draw(0)[1]}
    # both objects are found, under the names of the foreign set
    assert shown <= set(prediction['class_names'])
    assert shown <= {x['class_name'] for x in prediction['segments']} <= set(
        CLASSES)
    assert sum(x['area'] for x in prediction['segments']) == 64 * 96
    assert list(out.rglob('*.jpg')) or list(out.rglob('*.png'))
