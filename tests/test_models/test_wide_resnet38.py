# Copyright (c) mmbombo contributors.
"""WideResNet38 is the network that PSA, RRM and AuxSegNet publish."""
import pytest
import torch
import torch.nn.functional as F
from mmengine.structures import LabelData
from toolbox import CLASSES, SEG_CLASSES, make_sample

from mmbombo.registry import MODELS

WIDTH = 1 / 8


def build(**kwargs):
    return MODELS.build(dict(type='WideResNet38', **kwargs))


@pytest.fixture
def net():
    """A light network whose normalization does something."""
    torch.manual_seed(0)
    net = build(width=WIDTH)
    for name, x in net.state_dict().items():
        if 'bn' in name and 'num_batches' not in name:
            x.copy_(torch.rand_like(x) + .5)
    return net


def block(net, name, x, stride=1, dilations=(1, 1)):
    """A block by its formula, on the names of PSA's checkpoints."""
    weights = net.state_dict()

    def norm(branch, x):
        keys = ('running_mean', 'running_var', 'weight', 'bias')
        return F.batch_norm(
            x,
            *(weights[f'{name}.bn_branch{branch}.{k}'] for k in keys)).relu()

    def conv(branch, x, stride=1, dilation=1):
        weight = weights[f'{name}.conv_branch{branch}.weight']
        return F.conv2d(
            x,
            weight,
            stride=stride,
            padding=dilation if weight.shape[-1] == 3 else 0,
            dilation=dilation)

    y = norm('2a', x)
    if f'{name}.conv_branch1.weight' in weights:
        x = conv('1', y, stride)
    y = conv('2a', y, stride, dilations[0])
    y = conv('2b1', norm('2b1', y), dilation=dilations[1])
    if f'{name}.conv_branch2b2.weight' in weights:
        y = conv('2b2', norm('2b2', y))
    return x + y


def test_network_against_its_table(net):
    image = torch.randn(2, 3, 65, 49)
    x = F.conv2d(image, net.conv1a.weight, padding=1)
    for stage, blocks, stride, dilation in ((2, 3, 2, 1), (3, 3, 2, 1),
                                            (4, 6, 2, 1), (5, 3, 1, 2),
                                            (6, 1, 1, 4), (7, 1, 1, 4)):
        for i in range(blocks):
            name = f'b{stage}_{i}' if i else f'b{stage}'
            first = 1 if name in ('b5', 'b6', 'b7') else dilation
            x = block(net, name, x, 1 if i else stride, (first, dilation))
    bn = net.bn7
    wanted = F.batch_norm(x, bn.running_mean, bn.running_var, bn.weight,
                          bn.bias).relu()
    with torch.no_grad():
        got, = net.eval()(image)
    assert got.shape == (2, 512, 9, 7)
    torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-4)


def test_size_is_the_published_one():
    with torch.device('meta'):
        net = build()
        out, = net(torch.zeros(1, 3, 321, 321))
    assert out.shape == (1, 4096, 41, 41)
    stages = {}
    for name, x in net.named_parameters():
        stage = name.split('.')[0].split('_')[0]
        stages[stage] = stages.get(stage, 0) + x.numel()
    # 9 i m + 9 m o, and the like, of the table
    assert stages == dict(
        conv1a=1728,
        b2=820608,
        b3=3279616,
        b4=27274752,
        b5=26484736,
        b6=9442304,
        b7=37758976,
        bn7=8192)
    assert sum(stages.values()) == 105070912


def test_normalization_stays_as_it_is(net):
    before = {k: v.clone() for k, v in net.state_dict().items() if 'bn' in k}
    out, = net.train()(torch.randn(2, 3, 33, 33))
    out.sum().backward()
    after = net.state_dict()
    assert all(torch.equal(after[name], x) for name, x in before.items())
    for name, x in net.named_parameters():
        assert (x.grad is None) == ('bn' in name)
    # dropout drops, in training alone
    net.zero_grad()
    assert not torch.equal(
        net(torch.ones(2, 3, 33, 33))[0][0],
        net(torch.ones(2, 3, 33, 33))[0][1])
    free = build(width=WIDTH, norm_eval=False).train()
    assert free.bn7.training and free.bn7.weight.requires_grad


def test_stages_are_frozen_from_below():
    assert build(width=WIDTH).conv1a.weight.requires_grad
    for stages in (1, 2, 5):
        net = build(width=WIDTH, frozen_stages=stages, norm_eval=False)
        for name, x in net.named_parameters():
            stage = int(name[1]) if name[0] == 'b' and name[1] != 'n' else 1
            last = name.startswith('bn7')
            assert x.requires_grad == (last or stage > stages), name


def test_computing_again_changes_nothing(net):
    image = torch.randn(2, 3, 33, 33)
    grads = []
    for with_cp in (False, True):
        for name in net.blocks:
            getattr(net, name).with_cp = with_cp
        net.train().zero_grad()
        torch.manual_seed(0)
        net(image)[0].sum().backward()
        grads.append(net.b3.conv_branch2a.weight.grad.clone())
    torch.testing.assert_close(*grads)


def rrm_cfg(**backbone):
    """RRM's network, without its weak losses."""
    channels = int(4096 * backbone.get('width', 1))
    return dict(
        type='MultiTaskDetector',
        data_preprocessor=dict(
            type='MultiTaskDataPreprocessor',
            mean=[120., 120., 120.],
            std=[60., 60., 60.]),
        classes=dict(cls=CLASSES, seg=SEG_CLASSES),
        backbone=dict(type='WideResNet38', **backbone),
        task_heads=dict(
            cls=dict(
                type='ClsTaskHead',
                num_classes=3,
                in_channels=channels,
                in_index=0,
                dropout_ratio=.5,
                bias=False),
            seg=dict(
                type='SegTaskHead',
                head=dict(
                    type='mmbombo.AtrousFCNHead',
                    in_channels=channels,
                    channels=channels // 8,
                    num_classes=4))))


def test_rrm_takes_a_step():
    torch.manual_seed(0)
    model = MODELS.build(rrm_cfg(width=WIDTH))
    model.init_weights()
    samples = [make_sample(('sem_seg', ), i, 64) for i in range(2)]
    tagged = make_sample((), 2, 64)
    tagged.set_metainfo(dict(annotation_kinds=('image_label', )))
    tagged.gt_image_label = LabelData(
        label=torch.tensor([1, 0, -1]).to(torch.int8))
    losses = model.train()(torch.randn(3, 3, 64, 64), [*samples, tagged],
                           'loss')
    loss, _ = model.parse_losses(losses)
    loss.backward()
    learned = [(n, x) for n, x in model.named_parameters() if x.requires_grad]
    assert not [name for name, _ in learned if '.bn' in name]
    for name, x in learned:
        assert x.grad.isfinite().all() and x.grad.any(), name
    assert any(name == 'backbone.conv1a.weight' for name, _ in learned)
