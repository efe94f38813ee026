# Copyright (c) mmbombo contributors.
"""Defaults that decide a result: recorded figures were made with them."""
import inspect

import pytest

from mmbombo.models.losses.kl_divergence import segmentation_kl, temperature_kl
from mmbombo.models.losses.soft_detection_loss import soft_score_loss
from mmbombo.models.weak_losses import DistillationLoss
from mmbombo.registry import (DATA_SAMPLERS, HOOKS, MODELS, TASK_UTILS,
                              TRANSFORMS, VISUALIZERS)
from mmbombo.weak_labels import (boxes_to_mask, label_components,
                                 propose_regions, refine_boxes)
from mmbombo.weak_labels.grabcut import grabcut_foreground
from mmbombo.weak_labels.region_proposals import distinct_first

REGISTRIES = (MODELS, TASK_UTILS, HOOKS, TRANSFORMS, DATA_SAMPLERS,
              VISUALIZERS)
BN = dict(type='BN')

#: Registered name to those of its defaults that decide.
CLASSES = dict(
    BoxForMaskLoss=dict(
        loss_weight=1., ramp=0., stride=1, start=0.),
    BoxProjectionLoss=dict(loss_weight=1., ramp=0., outside=True),
    DenseEnergyLoss=dict(
        source_kind='image_label', loss_weight=1e-7, sigma_xy=100.,
        sigma_rgb=15., scale_factor=.25, gate='labeled', exact_grad=False),
    MaskForBoxLoss=dict(
        loss_weight=1., ramp=.1, predictor='self', score_thr=.3,
        max_predictions=30, iou_thr=.5, containment_thr=.7, rest_thr=.2,
        min_area=80, supervise='both'),
    SoftDetectionLoss=dict(
        weigh_by='teacher', score_weight=1., box_weight=1., temperature=1.),
    PDFLoss=dict(adapt=None, feature_weight=5.),
    DeFeatLoss=dict(score_thr=.3, max_predictions=30),
    PseudoBoxLoss=dict(score_thr=.3, doubt_thr=.15, max_predictions=30),
    SegmentationKLLoss=dict(temperature=1.),
    MultiTaskDetector=dict(weak_losses=(), forward_mode='joint'),
    DetBatchResize=dict(until=.8),
    ContextPyramid=dict(
        out_channels=256, num_levels=4, fusion='fpn', norm_cfg=BN),
    PyramidSumHead=dict(
        channels=128, refine_stride=1, norm_cfg=BN, dropout_ratio=0.,
        loss_decode=dict(type='mmseg.CrossEntropyLoss')),
    PerLevelAnchorHead=dict(
        feat_channels=256,
        norm_cfg=BN,
        anchor_generator=dict(
            type='mmbombo.ClampedAnchorGenerator', strides=[8, 16, 32, 64],
            octave_base_scale=3, scales_per_octave=2, ratios=[1., .5, 2.],
            scale_major=False, center_offset=.5),
        bbox_coder=dict(
            type='mmdet.DeltaXYWHBBoxCoder', target_means=[0.] * 4,
            target_stds=[.1, .1, .2, .2]),
        loss_cls=dict(
            type='mmdet.FocalLoss', use_sigmoid=True, alpha=.25, gamma=1.),
        loss_bbox=dict(
            type='mmdet.BalancedL1Loss', alpha=.5, gamma=1.5, beta=.11),
        init_cfg=dict(
            type='Normal', std=.01, override=[
                dict(type='Normal', name='conv_reg', std=.01),
                dict(type='Normal', name='conv_cls', std=.01, bias_prob=.01)
            ])),
    IoUAssigner=dict(pos_iou_thr=.5, neg_iou_thr=.4),
    MutualGuideAssigner=dict(topk=15),
    PseudoLabelQualityHook=dict(interval=100, num_images=64, batch_size=8),
    LoadPseudoMask=dict(
        method='grabcut_ignore', rejected='candidates', hard_labels=False,
        cache_dir=None),
    LabelComponents=dict(min_area=80),
    LoadRegions=dict(min_area=16),
    AddGTRegions=dict(min_iou=.1, min_cover=.5),
    RandomZoomCrop=dict(prob=.75),
    PartialAnnotationSampler=dict(
        source_ratio=None, infinite=True, shuffle=True),
    MultiTaskLocalVisualizer=dict(alpha=.5, min_size=448))

#: What is not registered: all its defaults.
OTHERS = {
    DistillationLoss: dict(
        on='unannotated', loss_weight=1., ramp=0., start=0.),
    boxes_to_mask: dict(method='grabcut_ignore', rejected='candidates'),
    grabcut_foreground: dict(
        iterations=1, margin=.15, max_side=128, min_extent=.5),
    label_components: dict(max_components=100),
    propose_regions: dict(
        k=50, sigma=.8, min_size=25, color_space='lab',
        cues=('lab', 'hsv', 'texture', 'none'), max_regions=2000,
        max_side=640),
    distinct_first: dict(max_iou=.8),
    refine_boxes: dict(
        iou_thr=.5, containment_thr=.7, rest_thr=.2, min_area=0, rounds=4,
        max_splits=8),
    soft_score_loss: dict(alpha=.25, gamma=1.),
    segmentation_kl: dict(temperature=1.),
    temperature_kl: dict(temperature=1., dim=1),
}


def registered(name):
    return next(filter(None, (x.get(name) for x in REGISTRIES)))


@pytest.mark.parametrize('name', CLASSES)
def test_defaults_of_registered_classes(name):
    wanted = CLASSES[name]
    parameters = inspect.signature(registered(name)).parameters
    assert {key: parameters[key].default for key in wanted} == wanted


@pytest.mark.parametrize('function', OTHERS, ids=lambda x: x.__name__)
def test_defaults_of_others(function):
    found = {
        key: parameter.default
        for key, parameter in inspect.signature(function).parameters.items()
        if parameter.default is not parameter.empty
    }
    assert found == OTHERS[function]
