# Copyright (c) mmbombo contributors.
"""Detectors of MMDetection and segmentors of MMSegmentation as teachers."""
import copy
from pathlib import Path
from types import SimpleNamespace

import mmdet
import mmseg
import pytest
import torch
from mmdet.registry import MODELS as MMDET_MODELS
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import DefaultScope
from mmseg.registry import MODELS as MMSEG_MODELS
from toolbox import CLASSES, SEG_CLASSES, make_sample, tiny_model_cfg
from torch import nn
from torch.utils._pytree import tree_flatten

from mmbombo.engine.hooks.teacher_hook import build_teacher
from mmbombo.engine.initializers import stock_checkpoint_as_ours
from mmbombo.registry import HOOKS, MODELS
from mmbombo.utils import UserError
from mmbombo.utils.checkpoint import load_weights

REGISTRIES = dict(mmdet=MMDET_MODELS, mmseg=MMSEG_MODELS)
CONFIGS = {
    library.__name__: Path(library.__file__).parent / '.mim/configs'
    for library in (mmdet, mmseg)
}


def build_stock(library, cfg):
    """The library's own model, with statistics unlike the initial ones."""
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope(library):
        model = REGISTRIES[library].build(copy.deepcopy(cfg))
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.running_mean.normal_(std=.1)
            module.running_var.uniform_(.5, 2.)
    return model.eval()


def head_outputs(model, image):
    """What the library's own model says about a normalized image."""
    feats = model.extract_feat(image)
    head = model.bbox_head if hasattr(model, 'bbox_head') \
        else model.decode_head
    return tree_flatten(head(feats))[0]


@pytest.mark.parametrize('library, config', [
    ('mmdet', 'retinanet/retinanet_r18_fpn_1x_coco.py'),
    ('mmdet', 'fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py'),
    ('mmdet', 'rtmdet/rtmdet_tiny_8xb32-300e_coco.py'),
    ('mmseg', 'deeplabv3plus/deeplabv3plus_r18-d8_4xb2-80k_cityscapes'
     '-512x1024.py'),
    ('mmseg', 'segformer/segformer_mit-b0_8xb2-160k_ade20k-512x512.py'),
])
@torch.no_grad()
def test_answers_are_those_of_the_library(library, config):
    cfg = Config.fromfile(CONFIGS[library] / config).model
    theirs = build_stock(library, cfg)
    num = cfg.bbox_head.num_classes if library == 'mmdet' else \
        cfg.decode_head.num_classes
    names = [f'class {i}' for i in range(num)]
    ours = build_teacher(cfg, dict(det=names, seg=names), 'teacher')
    checkpoint = stock_checkpoint_as_ours(
        dict(state_dict=theirs.state_dict()), *ours.task_heads)
    load_weights(ours, checkpoint, exact=True)
    image = torch.randn(
        1, 3, 128, 128, generator=torch.Generator().manual_seed(1))
    wanted = head_outputs(theirs, image)
    answers = tree_flatten(ours.eval()(image, mode='tensor'))[0]
    assert len(answers) == len(wanted)
    for x, y in zip(answers, wanted):
        assert torch.equal(x, y)
    for key in ('mean', 'std'):
        assert torch.equal(
            getattr(ours.data_preprocessor, key),
            getattr(theirs.data_preprocessor, key))


def stock_cfg(task):
    """A tiny stock network that has our parts."""
    cfg = tiny_model_cfg()
    neck = cfg['neck']
    head = copy.deepcopy(cfg['task_heads'][task])
    normalization = dict(cfg['data_preprocessor'])
    if task == 'det':
        normalization['type'] = 'DetDataPreprocessor'
        # a stock head takes all maps
        neck = dict(neck, start_level=1, num_outs=3)
        own = dict(
            type='GFL',
            bbox_head=head['head'],
            train_cfg=head['train_cfg'],
            test_cfg=head['test_cfg'])
    else:
        normalization['type'] = 'SegDataPreProcessor'
        normalization.pop('pad_size_divisor')
        own = dict(
            type='EncoderDecoder',
            decode_head=head['head'],
            train_cfg=dict(),
            test_cfg=dict(mode='whole'))
    return dict(
        own,
        data_preprocessor=normalization,
        backbone=cfg['backbone'],
        neck=neck)


def write_stock_teacher(folder, task, change=(), meta=None):
    """Config and checkpoint as the library writes them, and its model."""
    cfg = dict(stock_cfg(task), **dict(change))
    model = build_stock(dict(det='mmdet', seg='mmseg')[task], cfg)
    folder.mkdir()
    Config(dict(model=cfg)).dump(str(folder / 'config.py'))
    torch.save(
        dict(state_dict=model.state_dict(), meta=meta or {}),
        str(folder / 'teacher.pth'))
    return model, dict(
        type='TeacherHook',
        name=task,
        config=str(folder / 'config.py'),
        checkpoint=str(folder / 'teacher.pth'))


def train(hook, **kwargs):
    """Hand the teacher over as a runner does."""
    student = MODELS.build(tiny_model_cfg(**kwargs))
    HOOKS.build(hook).before_train(
        SimpleNamespace(model=student, logger=MMLogger.get_current_instance()))
    return student


@pytest.mark.parametrize('task, loss', [
    ('det', 'SoftDetectionLoss'),
    ('det', 'PseudoBoxLoss'),
    ('seg', 'SegmentationKLLoss'),
])
def test_stock_networks_teach(tmp_path, task, loss):
    model, hook = write_stock_teacher(tmp_path / 'stock', task)
    student = train(hook, weak_losses=[dict(type=loss, teacher=task)])
    kind = dict(det='sem_seg', seg='bbox')[task]
    batch = dict(
        inputs=[torch.randint(0, 255, (3, 64, 64)).byte() for _ in range(2)],
        data_samples=[make_sample((kind, ), seed=i, size=64)
                      for i in range(2)])
    data = student.data_preprocessor(batch, training=True)
    losses = student.loss(data['inputs'], data['data_samples'])
    student.parse_losses(losses)[0].backward()
    teacher = student.teachers.get(task)
    wanted = head_outputs(model, data['inputs'])
    for x, y in zip(
            tree_flatten(teacher(data['inputs'], mode='tensor'))[0], wanted):
        # batch normalization is folded
        assert torch.allclose(x, y, atol=1e-4)


@pytest.mark.parametrize('task, meta', [
    ('det', dict(dataset_meta=dict(classes=CLASSES[::-1]))),
    ('det', dict(CLASSES=CLASSES[::-1])),
    ('seg', dict(dataset_meta=dict(classes=SEG_CLASSES[::-1]))),
])
def test_classes_in_another_order_are_refused(tmp_path, task, meta):
    _, hook = write_stock_teacher(tmp_path / 'stock', task, meta=meta)
    with pytest.raises(ValueError, match='was trained on other classes'):
        train(hook)


def test_another_number_of_classes_is_refused(tmp_path):
    head = dict(stock_cfg('det')['bbox_head'], num_classes=80)
    _, hook = write_stock_teacher(
        tmp_path / 'stock', 'det', change=dict(bbox_head=head))
    with pytest.raises(
            ValueError, match=r'(?s)config.py\).*num_classes=80, but the'):
        train(hook)


def test_checkpoint_without_names_is_taken_as_it_is(tmp_path):
    log = tmp_path / 'log.txt'
    MMLogger.get_instance(f'log-{tmp_path.name}', log_file=str(log))
    _, hook = write_stock_teacher(tmp_path / 'stock', 'det')
    train(hook)
    assert 'names no classes' in log.read_text()


@pytest.mark.parametrize('library, config, reason', [
    ('mmdet', 'yolact/yolact_r50_1xb8-55e_coco.py', 'YOLACT'),
    ('mmdet', 'faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py', 'FasterRCNN'),
    ('mmseg', 'ocrnet/ocrnet_hr18_4xb2-80k_cityscapes-512x1024.py',
     'CascadeEncoderDecoder is no encoder-decoder with one'),
])
def test_what_has_more_stages_is_refused(library, config, reason):
    cfg = Config.fromfile(CONFIGS[library] / config).model
    names = dict(det=CLASSES, seg=SEG_CLASSES)
    with pytest.raises(UserError, match=f'the teacher.*{reason}'):
        build_teacher(cfg, names, 'the teacher')
