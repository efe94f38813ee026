# Copyright (c) mmbombo contributors.
import torch
from mmcv.cnn import VGG as PlainVGG

from mmbombo.registry import MODELS


def test_starts_from_torchvisions_file(tmp_path):
    plain = PlainVGG(11, num_classes=3)  # has torchvision's names
    torch.save(plain.state_dict(), tmp_path / 'vgg.pth')
    vgg = MODELS.build(
        dict(
            type='VGG',
            depth=11,
            init_cfg=dict(
                type='Pretrained', checkpoint=str(tmp_path / 'vgg.pth'))))
    vgg.init_weights()
    image = torch.randn(1, 3, 64, 96)
    feat, = vgg(image)
    assert feat.shape == (1, 512, 4, 6)
    # all but the last pooling
    assert torch.equal(feat, plain.features[:-1](image))
