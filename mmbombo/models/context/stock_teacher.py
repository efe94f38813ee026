# Copyright (c) mmbombo contributors.
"""Networks of MMDetection and MMSegmentation, read as one of ours."""
from mmdet.models.detectors import SingleStageDetector
from mmdet.registry import MODELS as MMDET_MODELS
from mmengine.config import ConfigDict
from mmseg.models.segmentors import CascadeEncoderDecoder, EncoderDecoder
from mmseg.registry import MODELS as MMSEG_MODELS

from mmbombo.structures.class_names import TaskClasses
from mmbombo.utils import UserError

#: What a preprocessor may say about the input of the network.
NORMALIZATION = ('mean', 'std', 'bgr_to_rgb', 'rgb_to_bgr')


def is_stock_model(model: ConfigDict) -> bool:
    """Whether a model's config is none of a :class:`MultiTaskDetector`."""
    return 'task_heads' not in model


def from_stock_model(model: ConfigDict, classes: TaskClasses) -> ConfigDict:
    """Write a stock network as the config of a :class:`MultiTaskDetector`.

    Backbone, neck and heads are as they were, and answer alike. ``model``, a
    single-stage detector or an encoder-decoder, is not changed; its only task
    is 'det' or 'seg', and of ``classes`` it speaks of that one's.
    """
    if 'decode_head' in model:
        library, task, head = 'mmseg', 'seg', segmentation_head(model)
    else:
        library, task, head = 'mmdet', 'det', detection_head(model)
    preprocessor = model.get('data_preprocessor') or {}
    parts = {
        part: dict(_scope_=library, **model[part])
        for part in ('backbone', 'neck') if model.get(part)
    }
    return ConfigDict(
        type='MultiTaskDetector',
        data_preprocessor=dict(
            {
                key: preprocessor[key]
                for key in NORMALIZATION if key in preprocessor
            },
            type='MultiTaskDataPreprocessor'),
        task_heads={task: head},
        classes={task: classes[task]},
        **parts)


def detection_head(model: ConfigDict) -> dict:
    """The head of a single-stage detector, as one of our task heads."""
    network = MMDET_MODELS.get(base_name(model))
    if not (network and issubclass(network, SingleStageDetector)
            and network.extract_feat is SingleStageDetector.extract_feat):
        raise UserError(
            f"{model['type']} is neither a MultiTaskDetector, nor a "
            'single-stage detector or an encoder-decoder, and cannot be asked '
            'for dense outputs')
    return dict(
        type='DetTaskHead',
        head=model.bbox_head,
        train_cfg=model.get('train_cfg'),
        test_cfg=model.get('test_cfg'))


def segmentation_head(model: ConfigDict) -> dict:
    """The heads of an encoder-decoder, as one of our task heads."""
    network = MMSEG_MODELS.get(base_name(model))
    if not (network and issubclass(network, EncoderDecoder)
            and network.extract_feat is EncoderDecoder.extract_feat
            and not issubclass(network, CascadeEncoderDecoder)):
        raise UserError(
            f"{model['type']} is no encoder-decoder with one decode head")
    return dict(
        type='SegTaskHead',
        head=model.decode_head,
        auxiliary_head=model.get('auxiliary_head'),
        test_cfg=model.get('test_cfg'))


def base_name(model: ConfigDict) -> str:
    """Type of a model without its library's prefix."""
    return str(model['type']).rpartition('.')[2]
