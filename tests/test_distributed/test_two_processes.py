# Copyright (c) mmbombo contributors.
"""Two gloo processes equal one process with the doubled batch."""
import sys
from contextlib import nullcontext
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from toolbox import (CLASSES, SEG_CLASSES, det_head_cfg, gloo_process,
                     run_local_modules, tiny_model_cfg, without_statistics,
                     write_voc)
from torch.nn.parallel import DistributedDataParallel

from mmbombo.datasets.samplers import PartialAnnotationSampler
from mmbombo.registry import DATASETS, MODELS

PAPER = str(
    Path(__file__).resolve().parents[2] /
    'configs/_base_/models/r18_cem-fpn_anchor.py')
STEPS = 2
CLASS_MAP = dict(det_classes=CLASSES, seg_classes=SEG_CLASSES)
PIPELINE = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadPartialAnnotations'),
    # most of a box is 255: ranks have very different numbers of labels; and
    # outside of boxes two classes are possible
    dict(
        type='LoadPseudoMask',
        class_map=CLASS_MAP,
        method='box_i',
        rejected='ignore'),
    dict(
        type='mmdet.RandomResize',
        scale=(96, 96),
        ratio_range=(.7, 1.4),
        resize_type='mmdet.Resize',
        keep_ratio=True),
    dict(
        type='mmdet.RandomCrop', crop_size=(64, 64), allow_negative_crop=True),
    dict(type='mmdet.RandomFlip', prob=.5),
    dict(type='LabelComponents', class_map=CLASS_MAP, min_area=10),
    dict(type='PackMultiTaskInputs')
]


def build_dataset(root, tags):
    sources = [('boxes', ('bbox', )), ('masks', ('sem_seg', ))]
    if tags:
        sources.append(('tags', ('image_label', )))
    return DATASETS.build(
        dict(
            type='MixedSourceDataset',
            datasets=[
                dict(
                    type='PartialVOCDataset',
                    data_root=root,
                    ann_file='ImageSets/Main/train.txt',
                    source=source,
                    annotation_kinds=kinds,
                    incomplete_classes=CLASSES[:1],
                    metainfo=dict(
                        classes=CLASSES,
                        seg_classes=SEG_CLASSES,
                        cls_classes=CLASSES),
                    pipeline=PIPELINE) for source, kinds in sources
            ]))


def fcos_cfg():
    """MMDetection's head that reduces most normalizers over ranks."""
    det = det_head_cfg('fcos', channels=16)
    det['head'].update(
        stacked_convs=1,
        strides=[8, 16, 32],
        regress_ranges=((-1, 32), (32, 64), (64, 1e8)))
    det['in_indices'] = (1, 2, 3)
    return det


def anchor_cfg():
    """The paper's head."""
    det = Config.fromfile(PAPER).model.task_heads.det
    det.head.update(num_classes=3, in_channels=16, feat_channels=16)
    return dict(det, in_indices=(1, 2, 3, 4))


HEADS = dict(fcos=fcos_cfg, anchor=anchor_cfg)
#: Forward mode, head and cuts of the backbone, whose modules then train
#: themselves; processes are slow to start, so they see them all.
CASES = [('joint', 'fcos', []), ('per_task', 'fcos', []),
         ('joint', 'anchor', []),
         ('per_task', 'fcos', ['layer2.0', 'layer3.0'])]
#: Local modules always train, so batch statistics would tie their images.
NORM = dict(type='GN', num_groups=4)


def learns_tags(head):
    """Whether images with tags learn. This network finds so few seeds that
    there is less than one positive a rank, by which FCOS does not divide: of
    two ranks it learns less. Without that bound the gradients are equal."""
    return head == 'anchor'


def build_model(forward_mode, head, cuts):
    """A network without statistics of a batch."""
    torch.manual_seed(0)
    cfg = tiny_model_cfg(weak_losses=[
        dict(type='BoxForMaskLoss'),
        dict(type='BoxProjectionLoss'),
        dict(type='MaskForBoxLoss', ramp=0., predictor='self', score_thr=.01)
    ])
    if learns_tags(head):
        cfg['classes'] = dict(cls=CLASSES)
        seeds = dict(type='PredictedSeeds', score_thr=.02, best_thr=0.)
        cfg['weak_losses'].append(dict(type='TagForBoxLoss', seeds=seeds))
    cfg['neck']['num_outs'] = 5
    cfg['task_heads']['det'] = HEADS[head]()
    cfg['data_preprocessor']['pad_size_divisor'] = 64
    cfg['forward_mode'] = forward_mode
    if cuts:
        cfg['backbone'] = dict(
            type='LocallySupervisedBackbone',
            backbone=cfg['backbone'],
            cuts=cuts,
            head=dict(
                type='LocalTaskHead',
                num_classes=4,
                class_map=CLASS_MAP,
                channels=8,
                norm_cfg=NORM,
                dropout_ratio=0),
            decoder=dict(type='ReconstructionDecoder', norm_cfg=NORM))
    model = MODELS.build(cfg)
    model.init_weights()
    return without_statistics(model.train())


def gradients(root, per_source, forward_mode, head, cuts, ddp):
    """Gradients of some steps, without updates in between; with cuts the sum
    of all steps, of which only the last is shared."""
    dataset = build_dataset(root, learns_tags(head))
    num_sources = len(dataset.datasets)
    batch_size = per_source * num_sources
    sampler = PartialAnnotationSampler(
        dataset, batch_size=batch_size, source_ratio=[1] * num_sources, seed=3)
    indices = iter(sampler)
    model = build_model(forward_mode, head, cuts)
    wrapped = DistributedDataParallel(model) if ddp else model
    run_local_modules(wrapped)
    steps = []
    for step in range(STEPS):
        batch = pseudo_collate(
            [dataset[next(indices)] for _ in range(batch_size)])
        data = model.data_preprocessor(batch, True)
        if not cuts:
            model.zero_grad()
        with wrapped.no_sync() if ddp and cuts and step < STEPS - 1 else (
                nullcontext()):
            losses = wrapped(**data, mode='loss')
            model.parse_losses(losses)[0].backward()
        steps.append({
            name: p.grad.clone()
            for name, p in model.named_parameters() if p.requires_grad
        })
    return steps[-1:] if cuts else steps


def worker(rank, root, out):
    with gloo_process(rank):
        steps = [gradients(root, 2, *case, ddp=True) for case in CASES]
    if rank == 0:
        torch.save(steps, out)


def test_gradients_equal_those_of_the_doubled_batch(run_two_processes,
                                                    tmp_path):
    root = str(write_voc(tmp_path / 'voc', num_images=12))
    out = str(tmp_path / 'gradients.pt')
    run_two_processes(__file__, root, out)
    for case, two in zip(CASES, torch.load(out, weights_only=True)):
        one = gradients(root, 4, *case, ddp=False)
        assert len(one) == len(two)
        assert any(g.abs().max() > 0 for g in one[0].values())
        for step_one, step_two in zip(one, two):
            assert step_one.keys() == step_two.keys()
            for name, gradient in step_one.items():
                scale = gradient.abs().max().clamp(min=1e-3)
                assert ((gradient - step_two[name]).abs().max() / scale
                        < 1e-3), (case, name)


if __name__ == '__main__':
    worker(int(sys.argv[1]), *sys.argv[2:])
