# Copyright (c) mmbombo contributors.
import copy
import itertools
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch
from mmengine.optim import OptimWrapper
from toolbox import make_sample

from mmbombo.engine.hooks.local_supervision_hook import scale
from mmbombo.models.backbones.cuts import block_names, probe_cuts
from mmbombo.models.utils.local_step import LocalStep, set_local_step
from mmbombo.registry import MODELS
from mmbombo.utils import UserError
from mmbombo.utils.saved_bytes import LiveBytes, measure_saved_bytes

RESNET = dict(
    type='mmdet.ResNet', depth=18, base_channels=8, norm_cfg=dict(type='BN'))
HEAD = dict(type='LocalTaskHead', num_classes=4, channels=8, dropout_ratio=0)
DECODER = dict(type='ReconstructionDecoder', channels=(8, 8))


def build(cuts, backbone=RESNET, seed=0, **kwargs):
    torch.manual_seed(seed)
    cfg = dict(
        type='LocallySupervisedBackbone',
        backbone=backbone,
        cuts=cuts,
        head=HEAD,
        decoder=DECODER)
    cfg.update(kwargs)
    network = MODELS.build(cfg)
    network.train()
    return network


def build_plain(backbone=RESNET):
    torch.manual_seed(0)
    network = MODELS.build(backbone)
    network.train()
    return network


def images():
    return torch.randn(
        2, 3, 64, 64, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def begin():
    """Begins a step; its samples have masks unless said otherwise."""
    samples = [make_sample(('sem_seg', ), seed, 64) for seed in range(2)]

    def begin_step(samples=samples,
                   scale=lambda x: x,
                   num_images=2,
                   cls=LocalStep):
        step = cls(scale, lambda x: x.sigmoid() * 255, num_images, samples, {})
        set_local_step(step)
        return step

    yield begin_step
    set_local_step(None)


def grads(module):
    return {
        name: None if x.grad is None else x.grad.clone()
        for name, x in module.named_parameters()
    }


def is_same(these, those):
    assert these.keys() == those.keys()
    return all(
        x is y is None or torch.equal(x, y)
        for x, y in zip(these.values(), those.values()))


def test_it_is_the_plain_backbone():
    backbone, plain = build(['layer2.1']), build_plain()
    assert type(backbone) is type(plain)
    missing, others = plain.load_state_dict(backbone.state_dict(), False)
    assert not missing and all('local_modules.' in x for x in others)
    missing, others = backbone.load_state_dict(plain.state_dict(), False)
    assert not others and all('local_modules.' in x for x in missing)
    backbone.eval(), plain.eval()
    outputs = (x(images()) for x in (backbone, plain))
    assert all(torch.equal(x, y) for x, y in zip(*outputs))


def test_one_module_is_the_baseline():
    backbone, plain = build(1), build_plain()
    for network in (backbone, plain):
        sum(x.sum() for x in network(images())).backward()
    assert is_same(grads(backbone), grads(plain))
    assert is_same(backbone.state_dict(), plain.state_dict())


def test_no_gradient_passes_a_cut(begin):
    backbone = build(['layer2.1', 'layer3.0'])
    results = []
    for factor in (1, -3):
        begin()
        outputs = backbone(images())
        assert [x.requires_grad for x in outputs] == [False, False, True, True]
        backbone.zero_grad()
        begin()
        outputs = backbone(images())
        local = grads(backbone)
        (sum(x.sum() for x in outputs if x.requires_grad) * factor).backward()
        results.append(grads(backbone))
        reached = {n for n, x in local.items() if x is not None}
        assert all(torch.equal(local[n], results[-1][n]) for n in reached)
        below = ('conv1', 'bn1', 'layer1', 'layer2', 'layer3.0',
                 'local_modules')
        assert reached == {n for n in local if n.startswith(below)}
    assert all(x is not None for x in results[0].values())
    assert is_same({n: results[0][n]
                    for n in reached}, {n: results[1][n]
                                        for n in reached})


def test_normalization_of_local_modules_trains(begin):
    backbone = build(['layer2.1'], dict(RESNET, norm_eval=True))
    begin()
    backbone(images())
    for name, x in backbone.named_buffers():
        if name.endswith('num_batches_tracked'):
            assert x == name.startswith('local_modules'), name


class Summed(LocalStep):
    """Keeps the losses for one backward pass of their sum."""

    def backward(self, loss):
        self.log.setdefault('losses', []).append(self.scale(loss))


@pytest.mark.parametrize('amp', [False, True])
def test_gradients_are_those_of_the_summed_loss(begin, amp):
    results = []
    for cls in (LocalStep, Summed):
        backbone = build(['layer2.1', 'layer3.0'])
        wrapper = OptimWrapper(
            torch.optim.SGD(backbone.parameters(), 0.1), accumulative_counts=2)
        wrapper.loss_scaler = SimpleNamespace(scale=lambda x: x * 128)
        for _ in range(2):
            step = begin(scale=lambda x: scale(wrapper, x), cls=cls)
            with torch.autocast('cpu',
                                torch.bfloat16) if amp else (nullcontext()):
                outputs = backbone(images())
            loss = sum(x.float().square().mean() for x in outputs)
            loss = wrapper.loss_scaler.scale(wrapper.scale_loss(loss))
            (loss + sum(step.log.pop('losses', []))).backward()
        assert wrapper.inner_count == 0
        results.append(grads(backbone))
        if cls is LocalStep:
            assert set(step.log) == {
                f'infopro/{x}_{i}'
                for x in ('rec', 'task')
                for i in range(2)
            }
            assert not any(x.requires_grad for x in step.log.values())
    assert all(x is not None for x in results[0].values())
    assert is_same(*results)


def test_scaling(begin):
    """Half of a step's images, of two accumulated steps, scaled by 128."""
    results = []
    wrapper = OptimWrapper(
        torch.optim.SGD([torch.zeros(1)], 0.1), accumulative_counts=2)
    wrapper.loss_scaler = SimpleNamespace(scale=lambda x: x * 128)
    for kwargs in ({}, dict(num_images=4, scale=lambda x: scale(wrapper, x))):
        backbone = build(['layer2.1'])
        step = begin(**kwargs)
        backbone(images())
        results.append((backbone.conv1.weight.grad, step.log))
    assert torch.equal(results[0][0] * 32, results[1][0])
    assert all(results[1][1][key] * 2 == x for key, x in results[0][1].items())


@pytest.mark.parametrize('kinds', [(), ('bbox', ), ('sem_seg', ),
                                   ('image_label', )])
def test_whatever_the_images_are_annotated_with(begin, kinds):
    backbone = build(['layer2.1'], head=dict(HEAD, num_tags=3))
    step = begin([make_sample((), 0, 64), make_sample(kinds, 1, 64)])
    outputs = backbone(images())
    sum(x.sum() for x in outputs if x.requires_grad).backward()
    assert all(x is not None and x.isfinite().all()
               for x in grads(backbone).values())
    assert step.log['infopro/rec_0'] > 0
    assert (step.log['infopro/task_0'] > 0) == bool(kinds)


def test_a_checkpoint_beside_a_cut(begin):
    results = []
    for with_cp in (False, True):
        backbone = build(['layer2.1'], dict(RESNET, with_cp=with_cp))
        begin()
        sum(x.sum() for x in backbone(images())[2:]).backward()
        results.append(grads(backbone))
    # sums in another order
    torch.testing.assert_close(*results)
    backbone = build(['b3_1'],
                     dict(
                         type='WideResNet38',
                         width=1 / 16,
                         norm_eval=False,
                         with_cp=True))
    begin()
    backbone(images())[0].sum().backward()
    assert all(x is not None for x in grads(backbone).values())


class Checkpointed(torch.nn.Module):
    """A backbone that checkpoints a whole stage."""

    def __init__(self, reentrant):
        super().__init__()
        self.stages = torch.nn.Sequential(
            *(torch.nn.Conv2d(3, 3, 3, padding=1) for _ in range(3)))
        self.reentrant = reentrant

    def forward(self, x):
        return torch.utils.checkpoint.checkpoint(
            self.stages, x, use_reentrant=self.reentrant),


@pytest.mark.parametrize('reentrant', [False, True])
def test_inside_of_a_checkpoint(begin, reentrant):
    MODELS.register_module(module=Checkpointed, force=True)
    cfg = dict(type='Checkpointed', reentrant=reentrant)
    try:
        with pytest.raises(UserError, match='one cannot cut|inside'):
            backbone = build(['stages.1'], cfg)
            begin()
            backbone(images())
    finally:
        MODELS.module_dict.pop('Checkpointed')


@pytest.mark.parametrize('cuts, message', [
    (['layer2.9'], r"no block \['layer2.9'\]; there are .*'layer2.1'"),
    (['layer4.1'], 'no output of the backbone comes from after'),
    (['layer2.1.conv2'], 'passes by the last cut to output 1; cut after'),
    (['layer1.1'], 'something up to it must train'),
    (['layer3.0', 'layer3.1.drop_path'], 'there is no block'),
    (0, 'at least 1 module'),
    (40, r'cuts=40: ResNet has only \d+ block'),
])
def test_wrong_cuts(cuts, message):
    with pytest.raises(UserError, match=message):
        build(cuts, dict(RESNET, frozen_stages=1))


def test_a_backbone_without_maps():
    swin = dict(
        type='mmdet.SwinTransformer',
        embed_dims=12,
        depths=(1, 1, 1, 1),
        num_heads=(1, 1, 1, 1),
        window_size=4)
    with pytest.raises(UserError, match='give one map'):
        build(['stages.1'], swin)
    with pytest.raises(UserError, match='to cut after'):
        build(12, swin)


def test_nothing_to_learn():
    with pytest.raises(UserError, match='learns nothing'):
        build(['layer2.1'], rec_weight=0, head=None)


def test_without_the_hook():
    with pytest.raises(UserError, match='LocalSupervisionHook'):
        build(['layer2.1'])(images())
    with torch.no_grad():
        build(['layer2.1'])(images())


@pytest.mark.parametrize(
    'rec_weight, task_weight, wanted',
    [
        # CIFAR-10, ResNet-32 with 4 modules; ResNet-110 with 8; Cityscapes
        ((6., 0.), (1., 2.), [(6, 1), (3, 1.5), (0, 2)]),
        ((5., 0.), (0., 1.), [(5, 0), (2.5, .5), (0, 1)]),
        (1.5, 1., [(1.5, 1)] * 3),
    ])
def test_weights(rec_weight, task_weight, wanted):
    backbone = build(['layer2.0', 'layer2.1', 'layer3.0'],
                     rec_weight=rec_weight,
                     task_weight=task_weight)
    modules = backbone.local_modules
    assert [(x.rec_weight, x.task_weight) for x in modules] == wanted
    assert [(x.decoder is not None, x.head is not None)
            for x in modules] == [(a > 0, b > 0) for a, b in wanted]


def test_compiled(begin):
    """Two steps are those of eager mode."""
    results = []
    for disable in (True, False):
        backbone = build(['layer2.1'])
        forward = torch.compile(
            lambda x: backbone(x), backend='aot_eager', disable=disable)
        optimizer = torch.optim.SGD(backbone.parameters(), .1)
        for _ in range(2):
            begin()
            sum(x.square().mean() for x in forward(images())).backward()
            optimizer.step()
            optimizer.zero_grad()
        results.append(backbone.state_dict())
    torch.testing.assert_close(*results)


def test_mobilenet(begin):
    backbone = build(['layer4.1'],
                     dict(
                         type='mmdet.MobileNetV2',
                         widen_factor=.25,
                         out_indices=(1, 4, 6)))
    begin()
    outputs = backbone(images())
    assert [x.requires_grad for x in outputs] == [False, True, True]


def saved_share(plain, backbone, begin):
    """Peak of a step's tensors, as a share of the plain backbone's."""

    def step(network):
        for parameter in network.parameters():
            parameter.grad = torch.zeros_like(parameter)

        def run():
            outputs = network(image)
            sum(x.sum() for x in outputs if x.requires_grad).backward()

        return measure_saved_bytes(run)

    image = torch.randn(1, 3, 128, 128)
    whole = step(build_plain(plain))
    begin([], num_images=1)
    return step(backbone) / whole


def test_it_saves_memory(begin):
    wide = dict(RESNET, depth=50, base_channels=32)
    cfg = dict(decoder=dict(DECODER, channels=(4, 4)), head=None)
    share = saved_share(wide, build(2, wide, **cfg), begin)
    assert share < 0.7
    assert saved_share(wide, build(['layer3.4'], wide, **cfg), begin) > share


@pytest.mark.parametrize('num, head_share', [(2, 0), (3, 0), (3, 1.)])
def test_balanced_cuts(num, head_share):
    """No other places give a smaller largest module."""
    free = dict(type='FreeDecoder')
    MODELS.register_module('FreeDecoder', module=FreeDecoder, force=True)
    try:
        backbone = build(num, decoder=free, head=None, head_share=head_share)
    finally:
        MODELS.module_dict.pop('FreeDecoder')
    assert len(backbone.local_modules) == num - 1
    plain = build_plain()
    probe = probe_cuts(plain, block_names(plain))
    places = [x.saved for x in probe.cuts if x.saved < probe.saved]

    def largest(cuts):
        ends = [0, *cuts, probe.saved * (1 + head_share)]
        return max(b - a for a, b in zip(ends, ends[1:]))

    cuts = [
        x.saved for x in probe.cuts
        if backbone.get_submodule(x.name)._forward_hooks
    ]
    assert largest(cuts) == min(
        map(largest, itertools.combinations(places, num - 1)))


@pytest.mark.parametrize(
    'head',
    [
        # of ImageNet, here on a map of one cell
        dict(
            type='LocalClassHead',
            num_classes=10,
            convs=[(1, 128, 1), (3, 256, 2), (3, 512, 2), (1, 2048, 1)],
            hidden=[]),
        dict(HEAD, norm_cfg=dict(type='SyncBN'))
    ])
def test_balanced_cuts_with_norms_that_refuse(head, tmp_path):
    torch.distributed.init_process_group(
        'gloo', init_method=f'file://{tmp_path}/init', rank=0, world_size=1)
    try:
        assert len(build(3, head=head).local_modules) == 2
    finally:
        torch.distributed.destroy_process_group()


def test_balanced_cuts_count_what_any_module_has():
    wide = dict(HEAD, channels=256)
    cuts = [[
        name
        for name, x in build(3, head=wide, task_weight=weight).named_modules()
        if name and x._forward_hooks
    ] for weight in (1., (0., 1.), 0.)]
    assert cuts[0] == cuts[1] != cuts[2]


class FreeDecoder(torch.nn.Module):
    """Saves nothing."""

    def __init__(self, in_channels):
        super().__init__()

    def forward(self, feat, size):
        return feat.new_zeros(len(feat), 3, *size)


def test_padding_is_not_reconstructed():
    module, = build(['layer2.1'], head=None).local_modules
    samples = [make_sample((), 0, 64), make_sample((), 1, 64)]
    samples[0].set_metainfo(dict(img_shape=(40, 24)))
    feat, image = torch.randn(2, 16, 8, 8), torch.rand(2, 3, 64, 64)
    other = image.clone()
    other[0, :, 40:], other[0, :, :, 24:] = 0, 1
    losses = [module.losses(feat, x, samples)['rec'] for x in (image, other)]
    assert torch.equal(*losses)
    other[0, :, 39] = 0
    assert not torch.equal(losses[0],
                           module.losses(feat, other, samples)['rec'])


def test_colors_out_of_range_are_clamped(begin):
    losses = []
    for low, high in ((-.4, 1.4), (0, 1)):
        backbone = build(['layer2.1'])
        raw = torch.rand(
            2, 3, 64, 64,
            generator=torch.Generator().manual_seed(0)) * 1.8 - .4
        step = begin()
        set_local_step(
            step._replace(raw_images=lambda x: raw.clamp(low, high) * 255))
        decoder = backbone.local_modules[0].decoder
        torch.nn.init.constant_(decoder.last.bias, 50.)
        backbone(images())
        losses.append(step.log['infopro/rec_0'])
    assert losses[0] == losses[1] > 0


def test_a_backbone_that_refuses_the_image():
    with pytest.raises(UserError, match='the backbone refuses the image'):
        build(2, dict(RESNET, in_channels=4))


def test_targets_of_pixels():
    head = MODELS.build(
        dict(
            HEAD,
            in_channels=8,
            class_map=dict(
                det_classes=('dog', 'cat', 'bus'),
                seg_classes=('background', 'cat', 'dog'))))
    boxed = make_sample(('bbox', ), 0, 64)
    boxed.gt_instances.bboxes = torch.tensor([[8., 8, 24, 24], [0, 0, 40, 40]])
    boxed.gt_instances.labels = torch.tensor([0, 1])
    boxed.ignored_instances.bboxes = torch.tensor([[48., 48, 64, 64]])
    boxed.ignored_instances.labels = torch.tensor([-1])
    masked = make_sample(('sem_seg', 'bbox'), 1, 64)
    ids = head.pixel_targets(
        torch.zeros(3, 8, 8, 8),
        [boxed, masked, make_sample((), 2, 64)], (64, 64))
    wanted = torch.zeros(64, 64, dtype=torch.long)
    wanted[:40, :40], wanted[8:24, 8:24], wanted[48:, 48:] = 1, 2, 255
    assert torch.equal(ids[0], wanted)
    assert torch.equal(ids[1], masked.gt_sem_seg.sem_seg[0])
    assert (ids[2] == 255).all()
    boxed.set_metainfo(dict(incomplete_labels=[2]))  # a bus may be anywhere
    ids = head.pixel_targets(torch.zeros(1, 8, 8, 8), [boxed], (64, 64))
    assert torch.equal(ids[0], wanted.where(wanted > 0, 255))
    boxed.gt_instances.labels = torch.tensor([2, 1])  # nobody shows a bus
    ids = head.pixel_targets(torch.zeros(1, 8, 8, 8), [boxed], (64, 64))
    assert (ids[0, 8:24, 8:24] == 255).all() and (ids[0] == 1).any()


def test_a_copy_has_its_own_modules(begin):
    backbone = build(['layer2.1'])
    other = copy.deepcopy(backbone)
    begin()
    other(images())
    assert other.conv1.weight.grad is not None
    assert backbone.conv1.weight.grad is None


def test_what_is_saved_is_freed(begin):
    backbone = build(['layer2.1'])
    begin([])
    with LiveBytes() as meter:
        outputs = backbone(images()[:, :, :32, :32])
        del outputs
    graded = sum(x.numel()
                 for x in backbone.parameters() if x.grad is not None) * 4
    assert meter.live < 1.2 * graded
