# Copyright (c) mmbombo contributors.
import torch
import torch.nn.functional as F

from mmbombo.registry import MODELS


def test_head_is_two_dilated_convolutions():
    torch.manual_seed(0)
    head = MODELS.build(
        dict(
            type='AtrousFCNHead',
            in_channels=6,
            channels=4,
            num_classes=3,
            dilation=2))
    head.init_weights()
    x = torch.randn(2, 6, 9, 11)
    (first, second) = head.convs[0].conv, head.conv_seg
    # biases of their own, and nothing else
    assert {*head.state_dict()} == {
        f'{name}.{kind}'
        for name in ('convs.0.conv', 'conv_seg')
        for kind in ('weight', 'bias')
    }
    wanted = F.conv2d(x, first.weight, first.bias, padding=2, dilation=2)
    wanted = F.conv2d(
        wanted.relu(), second.weight, second.bias, padding=2, dilation=2)
    torch.testing.assert_close(head.train()([x]), wanted)
    assert wanted.shape == (2, 3, 9, 11)


def test_defaults_are_those_of_rrm():
    with torch.device('meta'):
        head = MODELS.build(
            dict(
                type='AtrousFCNHead',
                in_channels=4096,
                channels=512,
                num_classes=21))
    assert head.conv_seg.dilation == head.convs[0].conv.dilation == (12, 12)
    assert head.convs[0].conv.kernel_size == (3, 3)
    assert head.dropout is None and len(head.convs) == 1
    total = 9 * (4096 * 512 + 512 * 21) + 512 + 21
    assert sum(x.numel() for x in head.parameters()) == total
