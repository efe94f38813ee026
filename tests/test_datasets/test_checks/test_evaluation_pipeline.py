# Copyright (c) mmbombo contributors.
"""Images of validation and test are whole and upright, maps as they are."""
import numpy as np
import pytest
from mmcv.transforms import BaseTransform

from mmbombo.datasets import PartialVOCDataset, PipelineError
from mmbombo.datasets.checks.evaluation_pipeline import \
    check_evaluation_pipeline
from mmbombo.registry import TRANSFORMS


def mmdet(name, **kwargs):
    return dict(type=f'mmdet.{name}', **kwargs)


RESIZE = mmdet('Resize', scale=(1066, 640), keep_ratio=True)
IMAGE, LOAD, PACK = (dict(type='LoadImageFromFile'),
                     dict(type='LoadPartialAnnotations'),
                     dict(type='PackMultiTaskInputs'))


def check(steps, kinds=('bbox', 'sem_seg')):
    check_evaluation_pipeline([
        TRANSFORMS.build(step) if isinstance(step, dict) else step
        for step in steps
    ], kinds)


class Noise(BaseTransform):
    """What a user may test a network with."""

    def transform(self, results):
        results['img'] = results['img'] + np.random.randint(
            0, 9, results['img'].shape, np.uint8)
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
    noise=[RESIZE, Noise()],
    test_time_augmentation=[
        dict(
            type='TestTimeAug',
            transforms=[[RESIZE], [mmdet('RandomFlip', prob=1.)], [PACK]])
    ],
    needs_more=[NeedsMore()])
BAD = dict(
    flip=([RESIZE, mmdet('RandomFlip', prob=.5)], 'mmdet.RandomFlip'),
    always_flips=([mmdet('RandomFlip', prob=1.)], 'mmdet.RandomFlip'),
    crop=([RESIZE, mmdet('RandomCrop', crop_size=(300, 300))],
          'mmdet.RandomCrop'),
    iou_crop=([RESIZE, mmdet('MinIoURandomCrop')], 'MinIoURandomCrop'),
    zoom=([RESIZE, dict(type='RandomZoomCrop', prob=.75)], 'RandomZoomCrop'),
    rotate=([mmdet('Rotate', prob=.5)], 'mmdet.Rotate'),
    letterbox=([RESIZE, Letterbox()], 'Letterbox'))


@pytest.mark.parametrize('name', GOOD)
def test_good_pipelines_pass(name):
    check([IMAGE, *GOOD[name], LOAD, PACK])


@pytest.mark.parametrize('name', BAD)
def test_bad_pipelines_are_named(name):
    steps, message = BAD[name]
    with pytest.raises(PipelineError, match=f'{message} is in a pipeline of'):
        check([IMAGE, *steps, LOAD, PACK])


def test_maps_keep_their_size():
    with pytest.raises(PipelineError, match='Resize stands behind Load'):
        check([IMAGE, LOAD, RESIZE, PACK])
    check([IMAGE, LOAD, RESIZE, PACK], ('bbox', ))


def test_set_for_evaluation_is_checked_when_it_is_built(tmp_path):
    with pytest.raises(PipelineError, match='mmdet.RandomFlip'):
        PartialVOCDataset(
            data_root=str(tmp_path), ann_file='val.txt', source='val',
            annotation_kinds=('bbox', ), test_mode=True,
            metainfo=dict(classes=('a', )),
            pipeline=[IMAGE, mmdet('RandomFlip', prob=.5), LOAD, PACK])
