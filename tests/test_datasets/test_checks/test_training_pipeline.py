# Copyright (c) mmbombo contributors.
"""The start-up probe passes what is right and catches what is wrong."""
import random

import cv2
import numpy as np
import pytest
import torch
from mmcv.transforms import BaseTransform
from mmdet.structures.bbox import HorizontalBoxes

from mmbombo.datasets import PartialVOCDataset, PipelineError
from mmbombo.datasets.checks.training_pipeline import check_training_pipeline
from mmbombo.registry import TRANSFORMS

BOX, SEG = ('bbox', ), ('sem_seg', )
BOTH = BOX + SEG
ALL_KINDS = [BOX, SEG, BOTH]
SALIENCY = ('saliency', )
CLASS_MAP = dict(det_classes=('a', ), seg_classes=('background', 'a'))
PSEUDO = dict(type='LoadPseudoMask', class_map=CLASS_MAP, method='box')


def check(steps, kinds, pseudo=False):
    loading = [
        dict(type='LoadImageFromFile'),
        dict(type='LoadPartialAnnotations')
    ] + [PSEUDO] * pseudo
    packing = [
        dict(type='LabelComponents', class_map=CLASS_MAP),
        dict(type='PackMultiTaskInputs')
    ]
    transforms = [
        TRANSFORMS.build(step) if isinstance(step, dict) else step
        for step in (*loading, *steps, *packing)
    ]
    check_training_pipeline(transforms, kinds)


def mmdet(name, **kwargs):
    return dict(type=f'mmdet.{name}', **kwargs)


FLIP = mmdet('RandomFlip', prob=0.5)
GOOD = dict(
    nothing=[],
    stock_coco=[mmdet('Resize', scale=(1333, 800), keep_ratio=True), FLIP],
    shrink=[mmdet('Resize', scale=(90, 64), keep_ratio=True), FLIP],
    squash=[mmdet('Resize', scale=(96, 200), keep_ratio=False)],
    jitter=[
        mmdet(
            'RandomResize',
            resize_type='mmdet.Resize',
            scale=(320, 320),
            ratio_range=(0.4, 2.),
            keep_ratio=True),
        mmdet(
            'RandomCrop', crop_size=(200, 200), allow_negative_crop=True),
        FLIP,
        mmdet('PhotoMetricDistortion'),
        mmdet('Pad', size=(320, 320), pad_val=dict(img=114, seg=255)),
    ],
    positive_crop=[mmdet('RandomCrop', crop_size=(100, 100))],
    relative_crop=[
        mmdet(
            'RandomCrop',
            crop_size=(0.4, 0.4),
            crop_type='relative_range',
            allow_negative_crop=True)
    ],
    choice=[
        mmdet(
            'RandomChoiceResize',
            resize_type='mmdet.Resize',
            scales=[(256, 200), (512, 300)],
            keep_ratio=True)
    ],
    diagonal=[
        mmdet(
            'RandomFlip',
            prob=[0.3, 0.3, 0.3],
            direction=['horizontal', 'vertical', 'diagonal'])
    ],
    expand=[
        mmdet(
            'Expand',
            mean=[123.675, 116.28, 103.53],
            ratio_range=(1, 4),
            seg_ignore_label=255)
    ],
    erase=[
        mmdet('RandomErasing', n_patches=(1, 5), ratio=(0, 0.3)),
        mmdet('CutOut', n_holes=3, cutout_shape=(30, 30))
    ],
    colors=[
        mmdet('YOLOXHSVRandomAug'),
        mmdet('AutoContrast', prob=0.5),
        mmdet('Invert', prob=0.3),
        mmdet('Equalize', prob=0.3),
        mmdet('Sharpness', prob=0.5),
    ],
    geometry=[
        mmdet('Rotate', prob=0.7, seg_ignore_label=255),
        mmdet('ShearX', prob=0.5),
        mmdet('TranslateY', prob=0.5)
    ],
    wrapped=[
        dict(
            type='RandomApply',
            prob=0.5,
            transforms=[mmdet('RandomFlip', prob=1.)]),
        dict(
            type='RandomChoice',
            transforms=[[mmdet('PhotoMetricDistortion')], [FLIP]])
    ],
    mmseg_photometric=[dict(type='mmseg.PhotoMetricDistortion'),
                       dict(type='mmseg.CLAHE')],
)


@pytest.mark.parametrize('kinds', ALL_KINDS + [SALIENCY])
@pytest.mark.parametrize('name', GOOD)
def test_good_pipelines_pass(name, kinds):
    if kinds == SALIENCY and name == 'expand':  # says not where it puts it
        return
    check(GOOD[name], kinds)
    check(GOOD[name], kinds, pseudo=True)


@pytest.mark.parametrize('kinds', [BOX, BOTH])
def test_min_iou_crop_passes_with_boxes_and_not_without(kinds):
    steps = [mmdet('MinIoURandomCrop', min_crop_size=0.5)]
    check(steps, kinds)
    with pytest.raises(PipelineError, match='MinIoURandomCrop.*RandomCrop'):
        check(steps, SEG)


class FlipsImageOnly(BaseTransform):

    def transform(self, results):
        if random.random() < 0.5:
            results['img'] = results['img'][:, ::-1].copy()
        return results


class FlipsMapOnly(BaseTransform):

    def transform(self, results):
        if 'gt_seg_map' in results:
            results['gt_seg_map'] = results['gt_seg_map'][::-1].copy()
        return results


class ShiftsImage(BaseTransform):

    def transform(self, results):
        results['img'] = np.roll(results['img'], 20, axis=1)
        return results


class ScalesWithoutTelling(BaseTransform):

    def transform(self, results):
        results['img'] = cv2.resize(results['img'], (100, 80))
        return results


class ScalesWithoutMap(BaseTransform):

    def transform(self, results):
        results['img'] = cv2.resize(results['img'], (100, 80))
        results['img_shape'] = (80, 100)
        return results


class ForgetsBoxes(BaseTransform):
    """Moves image and map alike, and not the box."""

    def transform(self, results):
        results['img'] = results['img'][:, ::-1].copy()
        if 'gt_seg_map' in results:
            results['gt_seg_map'] = results['gt_seg_map'][:, ::-1].copy()
        return results


class InventsBoxes(BaseTransform):

    def transform(self, results):
        results.setdefault('gt_bboxes', HorizontalBoxes(torch.zeros(0, 4)))
        return results


BAD = [(FlipsImageOnly, ALL_KINDS + [SALIENCY]), (FlipsMapOnly, [SEG, BOTH]),
       (ShiftsImage, ALL_KINDS + [SALIENCY]),
       (ScalesWithoutTelling, ALL_KINDS), (ScalesWithoutMap, ALL_KINDS),
       (ForgetsBoxes, [BOX, BOTH]), (InventsBoxes, [SEG])]


@pytest.mark.parametrize('bad, kinds',
                         [(bad, k) for bad, kinds in BAD for k in kinds])
def test_bad_transforms_are_caught_and_named(bad, kinds):
    steps = [mmdet('PhotoMetricDistortion'), FLIP, bad(), FLIP]
    with pytest.raises(PipelineError, match=f'after .*{bad.__name__}'):
        check(steps, kinds)


def test_a_pseudo_mask_is_probed_too():
    # Image and box move alike; only the map that comes from boxes stays.
    class LeavesMap(BaseTransform):

        def transform(self, results):
            results['img'] = results['img'][:, ::-1].copy()
            results['gt_bboxes'].flip_(results['img'].shape[:2])
            return results

    check([LeavesMap()], BOX)
    with pytest.raises(PipelineError, match='LeavesMap'):
        check([LeavesMap()], BOX, pseudo=True)


@pytest.mark.parametrize('step, advice', [
    (dict(type='mmseg.RandomCrop', crop_size=(9, 9)), 'mmdet.RandomCrop'),
    (dict(type='mmseg.RandomFlip', prob=0.5), 'mmdet.RandomFlip'),
    (dict(type='mmseg.Resize', scale=(9, 9)), 'mmdet.Resize'),
    (dict(type='mmseg.LoadAnnotations'), 'LoadPartialAnnotations'),
    (dict(type='mmseg.PackSegInputs'), 'PackMultiTaskInputs'),
    (mmdet('LoadAnnotations', with_bbox=True), 'LoadPartialAnnotations'),
    (mmdet('PackDetInputs'), 'PackMultiTaskInputs'),
    (mmdet('Mosaic'), 'does not move segmentation maps'),
    (mmdet('CachedMosaic'), 'does not move segmentation maps'),
    (mmdet('MixUp'), 'does not move segmentation maps'),
    (mmdet('CopyPaste'), 'does not move segmentation maps'),
    (mmdet('RandomAffine'), 'mmdet.RandomResize'),
    (mmdet('RandomShift'), 'mmdet.TranslateX'),
    (mmdet('RandomResize', scale=(9, 9), ratio_range=(1, 2)),
     "resize_type='mmdet.Resize'"),
    (dict(type='RandomFlip', prob=0.5), 'mmdet.RandomFlip'),
    (dict(type='RandomApply', transforms=[mmdet('Mosaic')]), 'mmdet.Mosaic'),
])
@pytest.mark.parametrize('kinds', ALL_KINDS)
def test_known_offenders_are_refused_by_name(step, advice, kinds):
    with pytest.raises(PipelineError) as error:
        check([step], kinds)
    assert advice in str(error.value)


IMAGE, ANNOTATIONS, LABEL, PACK, RESIZE = (
    dict(type='LoadImageFromFile'), dict(type='LoadPartialAnnotations'),
    dict(type='LabelComponents', class_map=CLASS_MAP),
    dict(type='PackMultiTaskInputs'), mmdet('Resize', scale=(64, 64)))


@pytest.mark.parametrize('steps, message', [
    ([IMAGE, RESIZE, ANNOTATIONS, PACK],
     'mmdet.Resize stands before mmbombo.LoadPartialAnnotations'),
    ([IMAGE, ANNOTATIONS, LABEL, FLIP, PACK],
     'mmbombo.LabelComponents stands before mmdet.RandomFlip')
])
def test_annotation_is_read_first_and_labeled_last(steps, message):
    with pytest.raises(PipelineError, match=message):
        check_training_pipeline(
            [TRANSFORMS.build(step) for step in steps], ('sem_seg', ))


def test_expand_without_ignore_label_is_caught():
    step = mmdet('Expand', ratio_range=(2, 3), prob=1.)
    check([step], BOX)
    with pytest.raises(PipelineError, match='Expand fails on an image'):
        check([step], SEG)


def test_a_transform_with_needs_of_its_own_is_not_judged():

    class NeedsDepth(BaseTransform):

        def transform(self, results):
            results['depth'] += 1
            return results

    check([NeedsDepth()], BOTH)


def test_the_probe_leaves_the_generators_alone():
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    check(GOOD['jitter'], BOTH)
    assert random.getstate() == states[0]
    assert np.array_equal(np.random.get_state()[1], states[1][1])
    assert torch.get_rng_state().equal(states[2])


def test_data_sets_probe_for_training_only(voc):
    common = dict(
        data_root=str(voc),
        ann_file='ImageSets/Main/det.txt',
        annotation_kinds=('bbox', ),
        metainfo=dict(classes=('cat', 'dog')))
    # The usual order of a test pipeline: annotations stay as they are.
    pipeline = [
        dict(type='LoadImageFromFile'),
        mmdet('Resize', scale=(90, 90), keep_ratio=True),
        dict(type='LoadPartialAnnotations'),
        dict(type='PackMultiTaskInputs')
    ]
    data = PartialVOCDataset(pipeline=pipeline, test_mode=True, **common)
    sample = data[0]['data_samples']
    assert sample.img_shape == (60, 90)
    assert sample.gt_instances.bboxes.tensor.tolist() == [[10, 5, 30, 20]]
    with pytest.raises(PipelineError, match='Mosaic'):
        PartialVOCDataset(
            pipeline=[mmdet('Mosaic')], test_mode=True, **common)
    with pytest.raises(PipelineError, match='FlipsImageOnly'):
        PartialVOCDataset(pipeline=[FlipsImageOnly()], **common)
