# Copyright (c) mmbombo contributors.
"""The tables of heads in ``coming_from_openmmlab.md`` say what is.

Each head of MMDetection and MMSegmentation is built from a stock config,
trained for a step on images with an object, without, and with nothing but what
is ignored, by a weak loss too, and asked for predictions. Renew the tables:

    python tests/test_models/test_stock_heads.py
"""
import copy
import logging
import re
import sys
from pathlib import Path

import mmdet
import mmseg
import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.registry import DefaultScope
from toolbox import CLASSES, SEG_CLASSES, SIZE, add_weak_labels, make_sample
from torch import nn

from mmbombo.models.weak_losses.distillation.dense_outputs import regression_of
from mmbombo.registry import MODELS
from mmbombo.utils import UserError

PAGE = Path(__file__).resolve().parents[2].joinpath(
    'docs/en/user_guides/coming_from_openmmlab.md')
# A stock config of each head.
DET_HEADS = dict(
    ATSSHead='atss/atss_r50_fpn_1x_coco',
    AutoAssignHead='autoassign/autoassign_r50-caffe_fpn_1x_coco',
    CenterNetHead='centernet/centernet_r18_8xb16-crop512-140e_coco',
    CenterNetUpdateHead='centernet/centernet-update_r50-caffe_fpn_ms-1x_coco',
    CornerHead='cornernet/cornernet_hourglass104_8xb6-210e-mstest_coco',
    DDODHead='ddod/ddod_r50_fpn_1x_coco',
    DETRHead='detr/detr_r18_8xb2-500e_coco',
    DINOHead='dino/dino-4scale_r50_8xb2-12e_coco',
    FCOSHead='fcos/fcos_r50-caffe_fpn_gn-head_1x_coco',
    FSAFHead='fsaf/fsaf_r50_fpn_1x_coco',
    FoveaHead='foveabox/fovea_r50_fpn_4xb4-1x_coco',
    FreeAnchorRetinaHead='free_anchor/freeanchor_r50_fpn_1x_coco',
    GARetinaHead='guided_anchoring/ga-retinanet_r50_fpn_1x_coco',
    GFLHead='gfl/gfl_r50_fpn_1x_coco',
    LADHead='lad/lad_r101-paa-r50_fpn_2xb8_coco_1x',
    LDHead='ld/ld_r18-gflv1-r101_fpn_1x_coco',
    NASFCOSHead='nas_fcos/nas-fcos_r50-caffe_fpn_nashead-gn-head_4xb4-1x_coco',
    PAAHead='paa/paa_r50_fpn_1x_coco',
    PISARetinaHead='pisa/retinanet-r50_fpn_pisa_1x_coco',
    RTMDetSepBNHead='rtmdet/rtmdet_l_8xb32-300e_coco',
    RepPointsHead='reppoints/reppoints-moment_r50_fpn_1x_coco',
    RetinaHead='retinanet/retinanet_r50_fpn_1x_coco',
    RetinaSepBNHead='fpg/retinanet_r50_fpg_crop640_50e_coco',
    SABLRetinaHead='sabl/sabl-retinanet_r50_fpn_1x_coco',
    SSDHead='ssd/ssd300_coco',
    TOODHead='tood/tood_r50_fpn_1x_coco',
    VFNetHead='vfnet/vfnet_r50_fpn_1x_coco',
    YOLACTHead='yolact/yolact_r50_1xb8-55e_coco',
    YOLOFHead='yolof/yolof_r50-c5_8xb8-1x_coco',
    YOLOV3Head='yolo/yolov3_d53_8xb8-320-273e_coco',
    YOLOXHead='yolox/yolox_l_8xb8-300e_coco')
SEG_HEADS = dict(
    ANNHead='_base_/models/ann_r50-d8',
    APCHead='_base_/models/apcnet_r50-d8',
    ASPPHead='_base_/models/deeplabv3_r50-d8',
    CCHead='_base_/models/ccnet_r50-d8',
    DAHead='_base_/models/danet_r50-d8',
    DDRHead='ddrnet/ddrnet_23_in1k-pre_2xb6-120k_cityscapes-1024x1024',
    DMHead='_base_/models/dmnet_r50-d8',
    DNLHead='_base_/models/dnl_r50-d8',
    DepthwiseSeparableASPPHead='_base_/models/deeplabv3plus_r50-d8',
    DepthwiseSeparableFCNHead='_base_/models/fast_scnn',
    EMAHead='_base_/models/emanet_r50-d8',
    EncHead='_base_/models/encnet_r50-d8',
    FCNHead='_base_/models/fcn_r50-d8',
    FPNHead='_base_/models/fpn_r50',
    GCHead='_base_/models/gcnet_r50-d8',
    ISAHead='_base_/models/isanet_r50-d8',
    IterativeDecodeHead='knet/knet-s3_r50-d8_fcn_8xb2-adamw-80k_'
    'ade20k-512x512',
    LRASPPHead='_base_/models/lraspp_m-v3-d8',
    LightHamHead='segnext/segnext_mscan-b_1xb16-adamw-160k_ade20k-512x512',
    Mask2FormerHead='mask2former/mask2former_r50_8xb2-160k_ade20k-512x512',
    MaskFormerHead='maskformer/maskformer_r50-d32_8xb2-160k_ade20k-512x512',
    NLHead='_base_/models/nonlocal_r50-d8',
    OCRHead='_base_/models/ocrnet_hr18',
    PIDHead='pidnet/pidnet-l_2xb6-120k_1024x1024-cityscapes',
    PSAHead='_base_/models/psanet_r50-d8',
    PSPHead='_base_/models/pspnet_r50-d8',
    PointHead='_base_/models/pointrend_r50',
    SETRMLAHead='_base_/models/setr_mla',
    SETRUPHead='_base_/models/setr_pup',
    SegformerHead='_base_/models/segformer_mit-b0',
    SegmenterMaskTransformerHead='_base_/models/segmenter_vit-b16_mask',
    UPerHead='_base_/models/upernet_r50')
# Heads that smaller images are too small for.
SIZES = dict(DDODHead=384, LRASPPHead=512)
# Modules of these files need MMCV's compiled operators.
OPERATORS = ('modulated_deform_conv', 'psa_mask')
YES = 'yes'
YES_COMPILED = 'yes, with compiled operators'


@MODELS.register_module()
class StockMaps(nn.Module):
    """Maps (N, C_l, H / S_l, W / S_l) of an image, one linear layer each."""

    def __init__(self, channels, strides):
        super().__init__()
        self.strides = strides
        self.layers = nn.ModuleList(nn.Conv2d(3, c, 1) for c in channels)

    def forward(self, x):
        return tuple(
            layer(F.avg_pool2d(x, stride))
            for layer, stride in zip(self.layers, self.strides))


def stock_model(library, path):
    """``model`` of a stock config, read without what it imports."""
    root = Path(library.__file__).parent / '.mim' / 'configs'
    return Config.fromfile(
        root / f'{path}.py', import_custom_modules=False).model


def det_task_head(name):
    """A head's task head, and channels and strides of its maps."""
    model = stock_model(mmdet, DET_HEADS[name])
    head = copy.deepcopy(model.bbox_head)
    assert head.type == name
    head.num_classes = len(CLASSES)
    cfg = dict(
        type='DetTaskHead',
        head=head,
        train_cfg=model.get('train_cfg'),
        test_cfg=model.test_cfg)
    built = MODELS.build(cfg).head
    strides = [stride[0] for stride in built.prior_generator.strides]
    return cfg, [built.in_channels] * len(strides), strides


def seg_task_head(name):
    """A head's task head, and channels and strides of its maps."""
    heads = stock_model(mmseg, SEG_HEADS[name]).decode_head
    head = copy.deepcopy(heads[-1] if isinstance(heads, list) else heads)
    assert head.type == name
    head.get('kernel_generate_head', head).num_classes = len(SEG_CLASSES)
    if 'norm_cfg' in head:
        head.norm_cfg = dict(type='BN')
    cfg = dict(type='SegTaskHead', head=head)
    built = MODELS.build(cfg).head
    channels, indices = built.in_channels, built.in_index
    if isinstance(indices, int):
        indices, channels = [indices], [channels]
    # what DeepLabV3+ adds to the map that it says it reads
    by_index = {0: head.get('c1_in_channels', 1)}
    by_index.update(zip((i % 4 for i in indices), channels))
    count = 1 + max(by_index)
    strides = [8 if name == 'LRASPPHead' else 16] * count
    if 'feature_strides' in head or name == 'UPerHead':
        strides = [4, 8, 16, 32]
    return cfg, [by_index.get(i, 1) for i in range(count)], strides


def draw_samples(task, size):
    """Of a task: an object, nothing, unknown; then one of the other task."""
    own, other = dict(det=('bbox', 'sem_seg'), seg=('sem_seg', 'bbox'))[task]
    samples = [make_sample((own, ), seed=i, size=size) for i in range(3)]
    samples.append(make_sample((other, ), seed=3, size=size))
    if task == 'det':
        samples[1].gt_instances = samples[1].gt_instances[:0]
        samples[2].ignored_instances = samples[2].gt_instances
        samples[2].gt_instances = samples[2].gt_instances[:0]
    else:
        samples[1].gt_sem_seg.data[:] = 0
        samples[2].gt_sem_seg.data[:] = 255
        samples[2].gt_sem_seg.sem_seg[:] = 255
    add_weak_labels(samples[3], {1: (8, 8, 72, 64)})
    return samples


def outcome(task, name):
    """'yes', or why not; and what of the head a teacher can teach."""
    make = det_task_head if task == 'det' else seg_task_head
    weak = 'MaskForBoxLoss' if task == 'det' else 'BoxForMaskLoss'
    torch.manual_seed(0)
    try:
        cfg, channels, strides = make(name)
        model = MODELS.build(
            dict(
                type='MultiTaskDetector',
                data_preprocessor=dict(
                    type='MultiTaskDataPreprocessor',
                    mean=[120.] * 3,
                    std=[60.] * 3),
                backbone=dict(
                    type='StockMaps', channels=channels, strides=strides),
                task_heads={task: cfg},
                weak_losses=[dict(type=weak)],
                class_map=dict(det_classes=CLASSES, seg_classes=SEG_CLASSES)))
    except UserError as error:
        return reason(str(error)), ''
    head = model.task_heads[task].head
    compiled = any(
        type(x).__module__.rpartition('.')[2] in OPERATORS
        for x in head.modules())
    if compiled and is_stand_in():
        pytest.skip('needs compiled operators')
    head.init_weights()
    step(model.train(), task, SIZES.get(name, SIZE))
    return YES_COMPILED if compiled else YES, raw_outputs(task, head)


def is_stand_in():
    """Whether the operators are those of :mod:`mmbombo.ops`."""
    return hasattr(sys.modules['mmcv._ext'], 'get_source')


def raw_outputs(task, head):
    """What the losses of distillation can compare."""
    if task == 'seg':
        return 'class logits'
    try:
        return regression_of(head)
    except UserError:
        return 'decoded boxes only'


def step(model, task, size):
    """Train and predict; all is finite, and every parameter is reached."""
    samples = draw_samples(task, size)
    inputs = torch.randint(256, (len(samples), 3, size, size)).byte()
    data = model.data_preprocessor(
        dict(inputs=list(inputs), data_samples=samples), True)
    total, log = model.parse_losses(model(**data, mode='loss'))
    assert torch.isfinite(total) and total > 0, log
    weak, = model.weak_losses
    assert any(re.match(f'{weak.name}/.*loss', key) for key in log), log
    total.backward()
    untrained = [
        name for name, x in model.named_parameters() if x.requires_grad and (
            x.grad is None or not torch.isfinite(x.grad).all())
    ]
    assert untrained == []
    field = dict(det='pred_instances', seg='pred_sem_seg')[task]
    predictions = model.eval().test_step(
        dict(inputs=list(inputs), data_samples=draw_samples(task, size)))
    assert all(field in sample for sample in predictions)


def reason(error):
    """What a refusal says after the name of the head, in short."""
    text = re.search(r'cannot use \w+:? (.*)', error)[1]
    return 'no: ' + re.sub(r' \(.*?\)', '', text).split('. ')[0]


def row_of(task, name):
    """A line of a table."""
    return f'| `{name}` | {" | ".join(outcome(task, name))} |'


def all_heads():
    return [
        *(('det', name) for name in DET_HEADS),
        *(('seg', name) for name in SEG_HEADS)
    ]


@pytest.fixture(scope='module')
def rows():
    """Lines of the page, by task and head."""
    parts = PAGE.read_text().split('<!-- heads: ')[1:]
    return {
        (part[:3], line.split('`')[1]): line
        for part in parts
        for line in part.splitlines() if line.startswith('| `')
    }


@pytest.mark.parametrize('task, name', all_heads())
def test_table_says_what_is(rows, task, name):
    assert rows[task, name] == row_of(task, name)


def test_table_names_no_other_head(rows):
    assert {*rows} == {*all_heads()}


def write_tables():
    """Replace the rows of the page, each table after its comment."""
    logging.disable(logging.INFO)
    DefaultScope.get_instance('heads', scope_name='mmbombo')
    text = PAGE.read_text()
    for task, heads in (('det', DET_HEADS), ('seg', SEG_HEADS)):
        table = '\n'.join(row_of(task, name) for name in heads)
        text = re.sub(
            rf'(<!-- heads: {task} -->\n\n(?:\|.*\n){{2}})(?:\| `.*\n)*',
            lambda match: f'{match[1]}{table}\n', text)
    PAGE.write_text(text)


if __name__ == '__main__':
    write_tables()
