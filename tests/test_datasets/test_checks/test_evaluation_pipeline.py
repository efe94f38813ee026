# Copyright (c) mmbombo contributors.
"""Images of validation and test are whole, upright and always alike."""
import logging
import random
from unittest import mock

import numpy as np
import pytest
from mmcv.transforms import BaseTransform

from mmbombo.datasets import PartialVOCDataset, PipelineError
from mmbombo.datasets.checks import evaluation_pipeline
from mmbombo.datasets.checks.evaluation_pipeline import \
    check_evaluation_pipeline
from mmbombo.datasets.checks.extreme_draws import generator_states
from mmbombo.registry import TRANSFORMS


def mmdet(name, **kwargs):
    return dict(type=f'mmdet.{name}', **kwargs)


RESIZE = mmdet('Resize', scale=(1066, 640), keep_ratio=True)
PACK = dict(type='PackMultiTaskInputs')


def check(*steps):
    transforms = [
        TRANSFORMS.build(step) if isinstance(step, dict) else step
        for step in (dict(type='LoadImageFromFile'), *steps,
                     dict(type='LoadPartialAnnotations'), PACK)
    ]
    check_evaluation_pipeline(transforms, 'val')


class Noise(BaseTransform):
    """What a user may test a network with."""

    def transform(self, results):
        results['img'] = results['img'] + np.random.randint(
            0, 9, results['img'].shape, np.uint8)
        return results


class Mirror(BaseTransform):

    def transform(self, results):
        if random.random() < .02:
            results['img'] = results['img'][:, ::-1]
        return results


class Letterbox(BaseTransform):
    """Keeps to itself where it put the image."""

    def transform(self, results):
        results['img'] = np.pad(results['img'], ((40, 40), (0, 0), (0, 0)))
        return results


class NeedsMore(BaseTransform):

    def transform(self, results):
        return dict(results, depth=results['depth_map'] / 2)


GOOD = dict(
    original_size=[],
    keep_ratio=[RESIZE],
    small=[mmdet('Resize', scale=(64, 48), keep_ratio=True)],
    squash=[mmdet('Resize', scale=(320, 320), keep_ratio=False)],
    padded=[
        RESIZE,
        mmdet('Pad', size=(1100, 1100), pad_val=dict(img=(114, 114, 114)))
    ],
    never_flips=[mmdet('RandomFlip', prob=0.)],
    test_time_augmentation=[
        dict(
            type='TestTimeAug',
            transforms=[[RESIZE], [mmdet('RandomFlip', prob=1.)], [PACK]])
    ],
    needs_more=[NeedsMore()])
BAD = dict(
    flip=([RESIZE, mmdet('RandomFlip', prob=.5)], 'mmdet.RandomFlip.*moved'),
    always_flips=([mmdet('RandomFlip', prob=1.)], 'mmdet.RandomFlip.*moved'),
    crop=([RESIZE, mmdet('RandomCrop', crop_size=(300, 300))],
          'mmdet.RandomCrop part of the image is missing'),
    iou_crop=([RESIZE, mmdet('MinIoURandomCrop')], 'MinIoURandomCrop'),
    zoom=([RESIZE, dict(type='RandomZoomCrop', prob=.75)], 'RandomZoomCrop'),
    rotate=([mmdet('Rotate', prob=.5)], 'mmdet.Rotate.*moved'),
    scale=([
        mmdet(
            'RandomResize',
            scale=(320, 320),
            ratio_range=(.5, 2.),
            keep_ratio=True,
            resize_type='mmdet.Resize')
    ], 'RandomResize makes images of random size'),
    color=([RESIZE, mmdet('PhotoMetricDistortion')],
           'PhotoMetricDistortion makes random images'),
    rare=([Mirror()], 'Mirror.*moved'),
    letterbox=([RESIZE, Letterbox()], 'Letterbox.*moved'),
    noise_hides_nothing=([Noise(), mmdet('RandomFlip',
                                         prob=.5)], 'RandomFlip.*moved'))


@pytest.mark.parametrize('name', GOOD)
def test_good_pipelines_pass(name):
    before = generator_states()
    check(*GOOD[name])
    assert generator_states() == before


@pytest.mark.parametrize('name', BAD)
def test_bad_pipelines_are_named(name):
    steps, message = BAD[name]
    before = generator_states()
    with pytest.raises(PipelineError, match=f"'val' is for eval.*{message}"):
        check(*steps)
    assert generator_states() == before


def test_noise_of_a_user_is_warned_of():
    with mock.patch.object(evaluation_pipeline, 'print_log') as log:
        check(RESIZE, Noise())
    (message, ), kwargs = log.call_args
    assert 'Noise makes random images' in message
    assert kwargs['level'] == logging.WARNING


def test_set_for_evaluation_is_checked_when_it_is_built(tmp_path):
    with pytest.raises(PipelineError, match="'val'.*mmdet.RandomFlip"):
        PartialVOCDataset(
            data_root=str(tmp_path), ann_file='val.txt', source='val',
            annotation_kinds=('bbox', ), test_mode=True,
            metainfo=dict(classes=('a', )),
            pipeline=[
                dict(type='LoadImageFromFile'),
                mmdet('RandomFlip', prob=.5),
                dict(type='LoadPartialAnnotations'), PACK
            ])
