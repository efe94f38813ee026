# Copyright (c) mmbombo contributors.
"""One network as ours, and as MMDetection and MMSegmentation alone.

Everything is made from a config of ``configs/_base_/models``, so that either
side has the same backbone, neck and heads. Nothing here imports mmbombo, but
for networks that have parts of it: a baseline may run in a process without.
"""
from argparse import Namespace
from pathlib import Path
from typing import Dict, Optional, Tuple, Union

from mmengine.config import Config, ConfigDict
from torch import nn

CONFIGS = Path(__file__).resolve().parents[3] / 'configs'
NETWORKS = {
    'mobilenetv2': 'mobilenetv2_fpn-gfl',
    'r50-gfl': 'r50_fpn-gfl',
    'paper': 'r18_cem-fpn_anchor',
    'paper-light': 'r18_cem-fpn_anchor-light'
}
#: Their backbone, neck and heads are mmbombo's, whoever builds them.
WITH_PARTS_OF_OURS = ('paper', 'paper-light')
NUM_CLASSES = 20


def network_cfg(name: str, num_classes: int = NUM_CLASSES) -> ConfigDict:
    """``model`` of a config, with random weights.

    Args:
        name (str): One of :data:`NETWORKS`.
        num_classes (int): Detection classes; segmentation has one more.
            Defaults to :data:`NUM_CLASSES`.

    Returns:
        ConfigDict: Without ``class_map`` and weak losses.
    """
    path = CONFIGS / '_base_' / 'models' / f'{NETWORKS[name]}.py'
    model = Config.fromfile(path).model
    for part in (model.backbone, model.neck):
        part.pop('init_cfg', None)
        if '.' not in part.type:
            part.type = f'mmbombo.{part.type}'
    model.task_heads.det.head.num_classes = num_classes
    model.task_heads.seg.head.num_classes = num_classes + 1
    return model


def detector_cfg(model: ConfigDict) -> dict:
    """The part of a network that detects, for MMDetection."""
    task = model.task_heads.det
    preprocessor = dict(model.data_preprocessor, type='DetDataPreprocessor')
    return dict(
        _scope_='mmdet',
        type=f'mmdet.{registered_detector()}',
        data_preprocessor=preprocessor,
        backbone=model.backbone,
        neck=model.neck,
        bbox_head=task.head,
        in_indices=task.get('in_indices'),
        train_cfg=task.train_cfg,
        test_cfg=task.test_cfg)


def segmentor_cfg(model: ConfigDict) -> dict:
    """The part of a network that segments, for MMSegmentation."""
    task = model.task_heads.seg
    preprocessor = dict(model.data_preprocessor, type='SegDataPreProcessor')
    preprocessor['size_divisor'] = preprocessor.pop('pad_size_divisor')
    return dict(
        _scope_='mmseg',
        type='EncoderDecoder',
        data_preprocessor=preprocessor,
        backbone=model.backbone,
        neck=model.neck,
        decode_head=task.head,
        train_cfg=dict(),
        test_cfg=task.test_cfg)


def registered_detector() -> str:
    """Name of MMDetection's detector whose head reads some of the levels.

    A pyramid for both tasks has a level more than the detection head reads;
    a neck without it would be another, cheaper neck.
    """
    from mmdet.models import SingleStageDetector
    from mmdet.registry import MODELS
    if 'LevelsDetector' in MODELS:
        return 'LevelsDetector'

    @MODELS.register_module()
    class LevelsDetector(SingleStageDetector):

        def __init__(self, in_indices=None, **kwargs) -> None:
            super().__init__(**kwargs)
            self.in_indices = in_indices

        def extract_feat(self, batch_inputs):
            feats = super().extract_feat(batch_inputs)
            if self.in_indices is None:
                return feats
            return tuple(feats[i] for i in self.in_indices)

    return 'LevelsDetector'


def build_detector(model: ConfigDict) -> nn.Module:
    """MMDetection's part of a network."""
    from mmdet.registry import MODELS
    return MODELS.build(detector_cfg(model))


def build_segmentor(model: ConfigDict) -> nn.Module:
    """MMSegmentation's part of a network."""
    from mmseg.registry import MODELS
    return MODELS.build(segmentor_cfg(model))


def build_both(name: str,
               weights: Dict[str, dict]) -> Tuple[nn.Module, nn.Module]:
    """MMDetection's and MMSegmentation's network.

    Args:
        name (str): One of :data:`NETWORKS`.
        weights (dict[str, dict]): States of 'backbone', 'neck', 'det' and
            'seg', the heads.
    """
    if name in WITH_PARTS_OF_OURS:
        import mmbombo.models  # noqa: F401
    cfg = network_cfg(name)
    det, seg = build_detector(cfg), build_segmentor(cfg)
    for model in (det, seg):
        model.backbone.load_state_dict(weights['backbone'])
        model.neck.load_state_dict(weights['neck'])
    det.bbox_head.load_state_dict(weights['det'])
    seg.decode_head.load_state_dict(weights['seg'])
    return det, seg


def sizes(options: Namespace, images: Optional[int] = None) -> dict:
    """What is measured, for the figures of a row.

    Args:
        options (Namespace): The command's.
        images (int, optional): How many at once. Defaults to None: those of
            a training step, half of them with boxes, half with masks.

    Returns:
        dict: Figures.
    """
    return {
        'network': NETWORKS[options.model],
        'images, side': (images or 2 * options.batch, pixels(options.size)),
        'threads': options.threads
    }


def pixels(size: Tuple[int, int]) -> Union[int, str]:
    """Height and width for people: a side if they are equal."""
    height, width = size
    return height if height == width else f'{height} x {width}'
