# Copyright (c) mmbombo contributors.
"""Training with a backbone that trains itself, in runners and models."""
import copy
import json
from types import SimpleNamespace

import pytest
import torch
from mmengine.optim import OptimWrapper
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from toolbox import CLASSES, SEG_CLASSES, make_sample, tiny_model_cfg
from torch.utils.data import Dataset

from mmbombo.engine.hooks import LocalSupervisionHook
from mmbombo.engine.runner.quiet_runner import QuietRunner
from mmbombo.utils import UserError

SIZE = 64
HOOK = [dict(type='LocalSupervisionHook')]
KEYS = {f'infopro/{name}_{i}' for name in ('rec', 'task') for i in range(2)}


@pytest.fixture(autouse=True)
def scope():
    with DefaultScope.overwrite_default_scope('mmbombo'):
        yield


def local(backbone, cuts=('layer2.0', 'layer3.0')):
    head = dict(
        type='LocalTaskHead',
        num_classes=4,
        num_tags=3,
        class_map=dict(det_classes=CLASSES, seg_classes=SEG_CLASSES),
        channels=8)
    return dict(
        type='LocallySupervisedBackbone',
        backbone=backbone,
        cuts=list(cuts),
        head=head)


def multi_task_cfg(**kwargs):
    cfg = tiny_model_cfg(**kwargs)
    cfg['backbone'] = local(cfg['backbone'])
    return cfg


def as_seg(sample):
    seg = SegDataSample(metainfo=dict(img_shape=(SIZE, SIZE)))
    seg.gt_sem_seg = PixelData(data=sample.gt_sem_seg.data)
    return seg


class Samples(Dataset):
    """Images of noise, each with one kind of annotation or none."""
    metainfo = dict(classes=CLASSES)

    def __init__(self, kinds, change=lambda x: x):
        self.kinds = kinds
        self.change = change

    def __len__(self):
        return 8

    def __getitem__(self, index):
        generator = torch.Generator().manual_seed(index)
        kinds = self.kinds[index % len(self.kinds)]
        return dict(
            inputs=torch.randint(
                256, (3, SIZE, SIZE), dtype=torch.uint8, generator=generator),
            data_samples=self.change(make_sample(kinds, index, SIZE)))


ALL_KINDS = [('bbox', ), ('sem_seg', ), ('image_label', ), ()]


def runner_of(folder,
              model,
              dataset=None,
              cls=QuietRunner,
              max_iters=2,
              hooks=(),
              optimizer=None,
              batch_size=4,
              **kwargs):
    return cls(
        model=copy.deepcopy(model),
        work_dir=str(folder),
        train_dataloader=dict(
            dataset=dataset or Samples(ALL_KINDS),
            batch_size=batch_size,
            num_workers=0,
            sampler=dict(type='mmengine.DefaultSampler', shuffle=False),
            collate_fn=dict(type='pseudo_collate')),
        train_cfg=dict(by_epoch=False, max_iters=max_iters),
        optim_wrapper=dict(
            type='OptimWrapper',
            optimizer=dict(type='SGD', lr=1e-3, momentum=.9),
            **(optimizer or {})),
        default_hooks=dict(
            logger=dict(type='LoggerHook', interval=1),
            checkpoint=dict(type='CheckpointHook', by_epoch=False,
                            interval=1)),
        custom_hooks=[dict(type='StepSeedHook'), *hooks],
        default_scope='mmbombo',
        randomness=dict(seed=0),
        experiment_name=folder.name,
        **kwargs)


def logged(folder):
    """The last line of the log."""
    path, = folder.glob('*/vis_data/scalars.json')
    return json.loads(path.read_text().splitlines()[-1])


@pytest.mark.parametrize('mode', ['joint', 'per_task'])
def test_partial_annotations(tmp_path, mode):
    """All that is trained gets a gradient, whatever images are annotated
    with; nothing of the local modules is frozen, and the losses are logged
    apart from the total."""
    runner = runner_of(tmp_path, multi_task_cfg(forward_mode=mode))
    assert all(x.requires_grad
               for x in runner.model.backbone.local_modules.parameters())
    runner.train()
    optimizer = runner.optim_wrapper.optimizer
    for name, x in runner.model.named_parameters():
        assert x.isfinite().all(), name
        assert not x.requires_grad or x in optimizer.state, name
    line = logged(tmp_path)
    assert KEYS <= set(line)
    parts = [x for key, x in line.items() if 'loss' in key and key != 'loss']
    assert line['loss'] == pytest.approx(sum(parts), rel=1e-4)


def test_reconstructions_are_drawn(tmp_path):
    draw = dict(type='MultiTaskVisualizationHook', draw=True, train_interval=2)
    runner = runner_of(
        tmp_path,
        multi_task_cfg(),
        hooks=[draw],
        visualizer=dict(
            type='MultiTaskLocalVisualizer',
            vis_backends=[dict(type='LocalVisBackend')]))
    runner.visualizer.dataset_meta = dict(
        classes=CLASSES, seg_classes=SEG_CLASSES, cls_classes=CLASSES)
    runner.train()
    assert {x.name
            for x in tmp_path.glob('*/vis_data/vis_image/*')} == {
                'train_test_2.png', 'train_test_rec_0_2.png',
                'train_test_rec_1_2.png'
            }


def test_resume_and_moving_average(tmp_path):
    cfg = multi_task_cfg()
    ema = [dict(type='PredictorEMAHook', momentum=.5)]
    whole = runner_of(tmp_path / 'whole', cfg, hooks=ema)
    whole.train()
    runner_of(tmp_path / 'half', cfg, hooks=ema, max_iters=1).train()
    resumed = runner_of(
        tmp_path / 'half',
        cfg,
        hooks=ema,
        load_from=str(tmp_path / 'half/iter_1.pth'),
        resume=True)
    resumed.train()
    for one, other in ((whole.model, resumed.model),
                       (whole.model.teachers.get('ema'),
                        resumed.model.teachers.get('ema'))):
        states = one.state_dict(), other.state_dict()
        assert all(torch.equal(x, states[1][k]) for k, x in states[0].items())


def test_accumulation(tmp_path):
    """Two steps of two images, without batch statistics and with as many
    labels, are one of four."""
    cfg = multi_task_cfg()
    results = []
    for batch_size, counts in ((2, 2), (4, 1)):
        dataset = Samples([('sem_seg', )])
        runner = runner_of(
            tmp_path / str(counts),
            cfg,
            dataset,
            max_iters=counts,
            optimizer=dict(accumulative_counts=counts),
            batch_size=batch_size)
        runner.model.backbone.local_modules.apply(freeze_statistics)
        runner.train()
        results.append(runner.model.backbone.conv1.weight.detach())
    torch.testing.assert_close(*results)


def freeze_statistics(module):
    if isinstance(module, torch.nn.BatchNorm2d):
        module.train = lambda mode: module
        module.training = False
    if isinstance(module, torch.nn.Dropout2d):
        module.p = 0


BACKBONE = dict(depth=18, base_channels=8, norm_cfg=dict(type='BN'))


def segmentor_cfg():
    """MMSegmentation's, as its configs write it."""
    return dict(
        type='mmseg.EncoderDecoder',
        _scope_='mmseg',
        data_preprocessor=dict(
            type='mmseg.SegDataPreProcessor',
            mean=[120.] * 3,
            std=[60.] * 3,
            size=(SIZE, SIZE),
            bgr_to_rgb=True),
        backbone=dict(
            local(dict(type='mmseg.ResNetV1c', **BACKBONE)),
            type='mmbombo.LocallySupervisedBackbone'),
        decode_head=dict(
            type='mmseg.FCNHead',
            in_channels=64,
            in_index=3,
            channels=8,
            num_classes=4,
            norm_cfg=dict(type='BN'),
            align_corners=False,
            loss_decode=dict(type='mmseg.CrossEntropyLoss')))


def detector_cfg():
    """MMDetection's."""
    ours = tiny_model_cfg()
    det = ours['task_heads']['det']
    head = copy.deepcopy(det['head'])
    head.update(_scope_='mmdet')
    head.anchor_generator.strides = [4, 8, 16, 32]
    return dict(
        type='mmdet.GFL',
        data_preprocessor=dict(
            type='mmdet.DetDataPreprocessor',
            mean=[120.] * 3,
            std=[60.] * 3,
            pad_size_divisor=32),
        backbone=local(dict(type='mmdet.ResNet', **BACKBONE)),
        neck=dict(ours['neck'], in_channels=[8, 16, 32, 64]),
        bbox_head=head,
        train_cfg=det['train_cfg'],
        test_cfg=det['test_cfg'])


@pytest.mark.parametrize('cfg, dataset', [
    (segmentor_cfg, Samples([('sem_seg', )], as_seg)),
    (detector_cfg, Samples([('bbox', )])),
])
def test_stock_models(tmp_path, cfg, dataset):
    """In the runner of MMEngine the hook is written."""
    runner = runner_of(tmp_path, cfg(), dataset, Runner, hooks=HOOK)
    before = copy.deepcopy(runner.model.state_dict())
    runner.train()
    assert KEYS <= set(logged(tmp_path))
    assert not torch.equal(before['backbone.layer1.0.conv1.weight'],
                           runner.model.backbone.layer1[0].conv1.weight)
    with pytest.raises(UserError, match='LocalSupervisionHook'):
        runner_of(tmp_path / 'without', cfg(), dataset, Runner).train()


class OtherWrapper(OptimWrapper):
    """Such as ApexOptimWrapper, which scales in a way of its own."""


@pytest.mark.parametrize('wrapper, ddp, message', [
    (object, False, 'object: local modules need one optimizer'),
    (OtherWrapper, False, 'OtherWrapper: local modules need'),
    (OptimWrapper, True, 'static_graph'),
])
def test_what_is_refused(wrapper, ddp, message):
    optimizer = torch.optim.SGD([torch.zeros(1)], .1)
    runner = SimpleNamespace(
        optim_wrapper=wrapper() if wrapper is object else wrapper(optimizer),
        model=SimpleNamespace(static_graph=ddp))
    with pytest.raises(UserError, match=message):
        LocalSupervisionHook().before_train(runner)


class Branches(torch.nn.Module):
    """A model whose batches have several branches."""

    def forward(self, inputs, data_samples, mode):
        pass


def test_branches_are_refused():
    hook = LocalSupervisionHook()
    model = Branches()
    hook.before_train(
        SimpleNamespace(
            optim_wrapper=OptimWrapper(torch.optim.SGD([torch.zeros(1)], .1)),
            model=model))
    with pytest.raises(UserError, match='Branches: batches of several'):
        model(dict(sup=torch.zeros(1, 3, 8, 8)), dict(sup=[]), mode='loss')
