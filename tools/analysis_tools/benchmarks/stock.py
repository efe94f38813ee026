# Copyright (c) mmbombo contributors.
"""MMDetection's and MMSegmentation's network with the parts of one of ours.

Made from configs of ``configs/_base_/models``, without an import of mmbombo.
"""
from pathlib import Path

from mmdet.models import SingleStageDetector
from mmdet.registry import MODELS
from mmengine.config import Config, ConfigDict

CONFIGS = Path(__file__).resolve().parents[3] / 'configs' / '_base_'
#: Detection classes; segmentation has one more.
NUM_CLASSES = 20


def network_cfg(name: str, num_classes: int = NUM_CLASSES) -> ConfigDict:
    """``model`` of a config, with random weights."""
    model = Config.fromfile(CONFIGS / 'models' / f'{name}.py').model
    for part in (model.backbone, model.neck):
        part.pop('init_cfg', None)
        if '.' not in part.type:
            part.type = f'mmbombo.{part.type}'
    model.task_heads.det.head.num_classes = num_classes
    model.task_heads.seg.head.num_classes = num_classes + 1
    return model


@MODELS.register_module()
class LevelsDetector(SingleStageDetector):
    """A detector whose head reads the last levels of a pyramid."""

    def extract_feat(self, batch_inputs):
        """Run backbone and neck; the levels that the head reads."""
        levels = len(self.bbox_head.prior_generator.strides)
        return super().extract_feat(batch_inputs)[-levels:]


def detector_cfg(model: ConfigDict) -> dict:
    """The part of a network that detects, for MMDetection."""
    task = model.task_heads.det
    return dict(
        _scope_='mmdet',
        type='mmdet.LevelsDetector',
        data_preprocessor=dict(
            model.data_preprocessor, type='DetDataPreprocessor'),
        backbone=model.backbone,
        neck=model.neck,
        bbox_head=task.head,
        train_cfg=task.train_cfg,
        test_cfg=task.test_cfg)


def segmentor_cfg(model: ConfigDict) -> dict:
    """The part of a network that segments, for MMSegmentation."""
    task = model.task_heads.seg
    preprocessor = dict(model.data_preprocessor, type='SegDataPreProcessor')
    preprocessor['size_divisor'] = preprocessor.pop('pad_size_divisor')
    return dict(
        _scope_='mmseg',
        type='mmseg.EncoderDecoder',
        data_preprocessor=preprocessor,
        backbone=model.backbone,
        neck=model.neck,
        decode_head=task.head,
        test_cfg=task.test_cfg)
