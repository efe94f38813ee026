# Copyright (c) mmbombo contributors.
"""For tests: small networks, heads from stock configs, samples, processes of a
group, scripts as modules, and slow, obvious geometry."""
import copy
import importlib.util
import json
import os
import os.path as osp
import sys
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

# isort: off
import mmbombo  # noqa: F401  # has operators that MMDetection asks for
# isort: on
import mmdet
import mmseg
import numpy as np
import torch
import torch.distributed as dist
from mmdet.datasets import CocoDataset
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData, LabelData, PixelData
from PIL import Image

from mmbombo.engine.hooks import LocalSupervisionHook
from mmbombo.registry import MODELS
from mmbombo.structures import Regions, annotation_kind
from mmbombo.utils import leave_process_group

CLASSES = ('cat', 'dog', 'cow')
SEG_CLASSES = ('background', ) + CLASSES
SIZE = 128
DET_CONFIGS = dict(
    retinanet='retinanet/retinanet_r50_fpn_1x_coco.py',
    fcos='fcos/fcos_r50-caffe_fpn_gn-head-center-normbbox-centeronreg-giou'
    '_1x_coco.py',
    gfl='gfl/gfl_r50_fpn_1x_coco.py',
    atss='atss/atss_r50_fpn_1x_coco.py',
    rtmdet='rtmdet/rtmdet_tiny_8xb32-300e_coco.py')
SEG_CONFIGS = dict(
    fpn='fpn_r50.py',
    fcn='fcn_r50-d8.py',
    upernet='upernet_r50.py',
    segformer='segformer_mit-b0.py')


def det_head_cfg(name, channels=32):
    """A detection head's stock config, with 3 classes and thin layers."""
    path = osp.join(
        osp.dirname(mmdet.__file__), '.mim', 'configs', DET_CONFIGS[name])
    model = Config.fromfile(path).model
    head = copy.deepcopy(model.bbox_head)
    head.update(
        num_classes=len(CLASSES), in_channels=channels, feat_channels=channels)
    if name == 'rtmdet':
        head.norm_cfg = dict(type='BN')
    elif name != 'retinanet':
        head.norm_cfg = dict(type='GN', num_groups=4, requires_grad=True)
    return dict(
        type='DetTaskHead',
        head=head,
        train_cfg=model.get('train_cfg'),
        test_cfg=model.test_cfg)


def seg_head_cfg(name, channels=32):
    """A decode head's stock config and its auxiliary head, thin."""
    path = osp.join(
        osp.dirname(mmseg.__file__), '.mim', 'configs', '_base_', 'models',
        SEG_CONFIGS[name])
    model = Config.fromfile(path).model

    def thin(head):
        head = copy.deepcopy(head)
        many = isinstance(head.in_channels, list)
        head.update(
            num_classes=len(SEG_CLASSES),
            channels=channels,
            in_channels=[channels] * 4 if many else channels,
            norm_cfg=dict(type='BN'))
        if not many:
            head.in_index = 2
        return head

    cfg = dict(type='SegTaskHead', head=thin(model.decode_head))
    if model.get('auxiliary_head'):
        cfg['auxiliary_head'] = thin(model.auxiliary_head)
    return cfg


def make_sample(kinds, seed=0, size=SIZE, source='test', **fields):
    """A sample of ``size`` pixels with the annotation ``kinds``."""
    generator = torch.Generator().manual_seed(seed)
    sample = DetDataSample(
        metainfo=dict(
            annotation_kinds=kinds,
            source=source,
            img_id=seed,
            img_path=f'{seed}.jpg',
            img_shape=(size, size),
            ori_shape=(size, size),
            pad_shape=(size, size),
            batch_input_shape=(size, size),
            scale_factor=(1., 1.)))
    if 'bbox' in kinds:
        corner = torch.randint(0, size // 2, (2, 2), generator=generator)
        extent = torch.randint(20, size // 2, (2, 2), generator=generator)
        sample.gt_instances = InstanceData(
            bboxes=torch.cat([corner, corner + extent], dim=1).float(),
            labels=torch.randint(0, 3, (2, ), generator=generator))
        sample.ignored_instances = InstanceData(
            bboxes=torch.zeros(0, 4), labels=torch.zeros(0).long())
    if 'image_label' in kinds:
        sample.gt_image_label = LabelData(
            label=torch.randint(-1, 2, (
                3, ), generator=generator).to(torch.int8))
    if 'sem_seg' in kinds:
        ids = torch.randint(0, 4, (1, size, size), generator=generator)
        sample.gt_sem_seg = PixelData(sem_seg=ids, data=ids)
    if 'saliency' in kinds:
        saliency = torch.rand(1, size, size, generator=generator)
        sample.gt_saliency = PixelData(data=saliency)
    for key, value in fields.items():
        sample.set_field(value, key)
    return sample


def class_ids(numbers, classes):
    """The class of each pixel of a pseudo mask; 255 without or with several.

    ``numbers`` ``(..., H, W)`` are rows of ``classes`` ``(T, C)`` bool.
    """
    numbers, classes = map(np.asarray, (numbers, classes))
    ids = np.full(256, 255, np.uint8)
    for number, row in enumerate(classes):
        if row.sum() == 1:
            ids[number] = row.argmax()
    return ids[numbers]


def add_weak_labels(sample, objects):
    """Give a sample what its pipeline would add for the other task.

    A sample with boxes alone gets a pseudo mask; one with a mask alone gets
    the objects as its mask, and their components. ``objects`` are the boxes
    ``(x1, y1, x2, y2)`` by the segmentation id that fills them.
    """
    ids = torch.zeros(1, *sample.img_shape, dtype=torch.long)
    numbers = ids.clone()
    for number, (seg_id, (x1, y1, x2, y2)) in enumerate(objects.items(), 1):
        ids[:, y1:y2, x1:x2] = seg_id
        numbers[:, y1:y2, x1:x2] = number
    mask = PixelData(sem_seg=ids, data=ids)
    if sample.annotation_kinds == ('bbox', ):
        sample.pseudo_sem_seg = mask
    if sample.annotation_kinds == ('sem_seg', ):
        sample.gt_sem_seg = mask
        sample.component_map = PixelData(data=numbers)
        sample.components = InstanceData(
            bboxes=torch.tensor(list(objects.values())).float(),
            labels=torch.tensor(list(objects)),
            areas=torch.bincount(numbers.flatten())[1:].float(),
            ignored=torch.zeros(len(objects), dtype=torch.bool),
            pieces=torch.zeros(len(objects), dtype=torch.bool))
    return sample


def model_of_config(cfg, size):
    """The model of a config, without pretrained weights, for small images.

    Wide ResNet-38 and the ResNets for ImageNet have an eighth of the width,
    linear layers for proposals few channels.
    """
    backbone = cfg.model.backbone
    backbone.get('backbone', backbone).init_cfg = None
    if cfg.model.backbone.type == 'WideResNet38':
        cfg.model.backbone.width = 1 / 8
        for head in cfg.model.task_heads.values():
            head.get('head', head).in_channels = 512
    heads = cfg.model.get('task_heads', {})
    if heads.get('cls', {}).get('in_channels') == 2048:
        backbone.backbone.base_channels = 8
        heads.cls.in_channels = 256
    for head in heads.values():
        if head.type == 'ProposalTaskHead':
            head.fc_channels, head.vgg16 = 16, None
    if 'batch_resize' in cfg.model:
        cfg.model.batch_resize.sizes = (size, )
    return MODELS.build(cfg.model)


def run_local_modules(model):
    """Let the local modules of a backbone train themselves, if it has any."""
    LocalSupervisionHook().before_train(
        SimpleNamespace(
            model=model,
            optim_wrapper=OptimWrapper(
                torch.optim.SGD(model.parameters(), lr=0.1))))
    return model


def samples_of_config(cfg, size):
    """Two images of each source, with what its pipeline would add; of one that
    teaches nothing before its first stage, as that has it."""
    changes = cfg.train_cfg.get('stages', [{}])[0].get('sources', {})
    samples = []
    for source in cfg.train_dataloader.dataset.datasets:
        name = source.get('source')
        kinds = source.get('annotation_kinds', ('image_label', ))
        if not any(annotation_kind(kind).task for kind in kinds):
            kinds = changes.get(name, source).annotation_kinds
        for seed in range(2):
            sample = make_sample(
                tuple(kinds), seed=seed, size=size, source=name)
            if any(x.type == 'LoadRegions' for x in source.pipeline):
                sample.regions = Regions(
                    bboxes=torch.tensor([[0., 0, 32, 32], [8, 8, 48, 40]]),
                    pairs=torch.zeros(2, 0).long(),
                    superpixels=torch.zeros(size, size).long())
            samples.append(add_weak_labels(sample, {1: (8, 8, 48, 40)}))
    return samples


def make_feats(num_images, channels=32, levels=5, first_stride=8, seed=0):
    """Random feature maps of ``SIZE`` pixel images."""
    generator = torch.Generator().manual_seed(seed)
    sides = [max(1, SIZE // (first_stride * 2**i)) for i in range(levels)]
    return tuple(
        torch.randn(num_images, channels, side, side, generator=generator)
        for side in sides)


def tiny_model_cfg(**kwargs):
    """A network of a few thousand parameters with both tasks."""
    det = det_head_cfg('gfl', channels=16)
    det['head'].stacked_convs = 1
    det['head'].anchor_generator.strides = [8, 16, 32]
    det['in_indices'] = (1, 2, 3)
    seg = seg_head_cfg('fpn', channels=16)
    seg['head'].update(dropout_ratio=0.)
    cfg = dict(
        type='MultiTaskDetector',
        data_preprocessor=dict(
            type='MultiTaskDataPreprocessor',
            mean=[120., 120., 120.],
            std=[60., 60., 60.],
            bgr_to_rgb=True,
            pad_size_divisor=32),
        backbone=dict(
            type='mmdet.ResNet', depth=18, base_channels=8, norm_eval=True),
        neck=dict(
            type='mmdet.FPN',
            in_channels=[8, 16, 32, 64],
            out_channels=16,
            num_outs=4),
        task_heads=dict(det=det, seg=seg),
        class_map=dict(det_classes=CLASSES, seg_classes=SEG_CLASSES))
    cfg.update(kwargs)
    return cfg


def without_statistics(module):
    """Batch normalization does not couple the images of a batch."""
    for part in module.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.eval()
    return module


def tiny_model(*weak_losses, **kwargs):
    """The network of :func:`tiny_model_cfg`, in training."""
    torch.manual_seed(0)
    kwargs.setdefault('weak_losses', weak_losses)
    model = MODELS.build(tiny_model_cfg(**kwargs))
    model.init_weights()
    return without_statistics(model.train())


def write_voc(root, num_images=8, size=(80, 96), seed=0):
    """Write a small data set in VOC's layout: rectangles on noise.

    Its list is ``ImageSets/Main/train.txt``.
    """
    rng = np.random.default_rng(seed)
    for folder in ('JPEGImages', 'Annotations', 'SegmentationClass',
                   'ImageSets/Main'):
        (root / folder).mkdir(parents=True)
    ids = [f'{i:03d}' for i in range(num_images)]
    (root / 'ImageSets/Main/train.txt').write_text('\n'.join(ids))
    for image_id in ids:
        image = rng.integers(0, 120, (*size, 3), dtype=np.uint8)
        mask = np.zeros(size, dtype=np.uint8)
        objects = ''
        for _ in range(rng.integers(1, 4)):
            label = int(rng.integers(len(CLASSES)))
            y, x = (int(rng.integers(0, side - 40)) for side in size)
            h, w = (int(value) for value in rng.integers(20, 40, 2))
            image[y:y + h, x:x + w] = 120 + 40 * label
            mask[y:y + h, x:x + w] = label + 1
            objects += (
                f'<object><name>{CLASSES[label]}</name><bndbox>'
                f'<xmin>{x + 1}</xmin><ymin>{y + 1}</ymin>'
                f'<xmax>{x + w}</xmax><ymax>{y + h}</ymax></bndbox></object>')
        Image.fromarray(image).save(root / f'JPEGImages/{image_id}.jpg')
        Image.fromarray(mask).save(root / f'SegmentationClass/{image_id}.png')
        (root / f'Annotations/{image_id}.xml').write_text(
            f'<annotation><size><width>{size[1]}</width><height>{size[0]}'
            f'</height></size>{objects}</annotation>')
    return root


def coco_categories():
    """COCO's 80 categories; their ids have gaps, as in its files."""
    return [
        dict(id=1 + i + i // 9, name=name, supercategory='thing')
        for i, name in enumerate(CocoDataset.METAINFO['classes'])
    ]


def write_coco(root, num_train=12, num_val=4, size=(80, 96), seed=0):
    """Write a small data set in the layout of COCO 2017.

    Objects are rectangles with polygons; every fourth image has a crowd
    region, in run lengths; the last image of train2017 has no annotation.
    """
    rng = np.random.default_rng(seed)
    (root / 'annotations').mkdir(parents=True)
    first = 1
    for part, number in (('train2017', num_train), ('val2017', num_val)):
        (root / part).mkdir()
        images, annotations = [], []
        for i in range(first, first + number):
            image = rng.integers(0, 120, (*size, 3), dtype=np.uint8)
            if (part, i) != ('train2017', num_train):
                annotations += _coco_objects(image, i, rng)
            Image.fromarray(image).save(root / f'{part}/{i:012d}.jpg')
            images.append(
                dict(
                    id=i,
                    file_name=f'{i:012d}.jpg',
                    height=size[0],
                    width=size[1]))
        first += number
        content = dict(
            info=dict(year=2017),
            licenses=[],
            images=images,
            annotations=annotations,
            categories=coco_categories())
        (root / f'annotations/instances_{part}.json').write_text(
            json.dumps(content))
    return root


def _coco_objects(image, image_id, rng):
    """Draw objects in an image; their annotations."""
    height, width = image.shape[:2]
    categories = [category['id'] for category in coco_categories()]
    annotations = []
    for k in range(rng.integers(1, 4)):
        y, x = (int(rng.integers(0, side - 40)) for side in (height, width))
        h, w = (int(value) for value in rng.integers(20, 40, 2))
        image[y:y + h, x:x + w] = 120 + 40 * k
        annotations.append(
            dict(
                id=10 * image_id + k,
                image_id=image_id,
                category_id=categories[int(rng.integers(80))],
                bbox=[x, y, w, h],
                area=h * w,
                iscrowd=0,
                segmentation=[[x, y, x + w, y, x + w, y + h, x, y + h]]))
    if image_id % 4 == 0:
        # the ten columns at the right, read column by column
        rest = height * (width - 10)
        annotations.append(
            dict(
                id=10 * image_id + 9,
                image_id=image_id,
                category_id=1,
                bbox=[width - 10, 0, 10, height],
                area=10 * height,
                iscrowd=1,
                segmentation=dict(
                    size=[height, width], counts=[rest, 10 * height])))
    return annotations


@contextmanager
def gloo_process(rank, world_size=2):
    """A process of a group, with a thread.

    They meet in the file that ``GLOO_STORE`` names: a port that was free may
    be taken before it is used. What uses the group must be out of scope at
    the end: see :func:`~mmbombo.utils.leave_process_group`.
    """
    torch.set_num_threads(1)
    dist.init_process_group(
        'gloo',
        init_method='file://' + os.environ['GLOO_STORE'],
        rank=rank,
        world_size=world_size,
        timeout=timedelta(seconds=120))
    DefaultScope.get_instance('gloo-process', scope_name='mmbombo')
    yield
    leave_process_group()


def load_script(path):
    """A script as a module."""
    name = f'{Path(path).stem}_script'
    spec = importlib.util.spec_from_file_location(name, path)
    # worker processes find what they run by the module's name
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def box_area(box):
    """Area of one box x1, y1, x2, y2; 0 if its sides are crossed."""
    return max(0., box[2] - box[0]) * max(0., box[3] - box[1])


def box_overlap(a, b):
    """Area that two boxes share."""
    return box_area(
        (max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])))


def box_iou(a, b):
    """IoU of two boxes, slow and obvious."""
    shared = box_overlap(a, b)
    return shared / (box_area(a) + box_area(b) - shared)
