# Copyright (c) mmbombo contributors.
"""Masks of an image, as the writers of pseudo labels make them."""
from types import SimpleNamespace

import pytest
import torch
from mmengine.structures import LabelData
from toolbox import CLASSES, SEG_CLASSES, make_sample

from mmbombo.engine.pseudo_labels import CamMasks
from mmbombo.engine.pseudo_labels.mask_writer import tag_rules
from mmbombo.utils import UserError


class ColorNetwork(torch.nn.Module):
    """The activation map of class k is color k, at half of the size."""

    classes = dict(cls=CLASSES, seg=SEG_CLASSES)
    class_map = None

    def __init__(self):
        super().__init__()
        self.task_heads = dict(cls=torch.nn.Module())
        self.task_heads['cls'].part = lambda task, outputs: outputs
        self.task_heads['cls'].forward = lambda feats, samples: (None, feats)

    def extract_feat(self, inputs):
        return torch.nn.functional.avg_pool2d(inputs, 2)

    def head_name(self, name):
        return name


@pytest.mark.parametrize('seg_classes, elsewhere', [
    (SEG_CLASSES, 0),
    (('sky', 'road') + CLASSES, 255),
])
def test_activation_maps(seg_classes, elsewhere):
    """A cat at the left and a dog at the right, half as bright; padding
    that would be a cow, or the brightest cat."""
    inputs = torch.zeros(1, 3, 64, 80)
    inputs[0, 0, 16:32, 8:24] = 4.
    inputs[0, 1, 16:32, 40:56] = 2.
    inputs[0, :, :, 76:] = 9.
    sample = make_sample(
        ('image_label', ),
        gt_image_label=LabelData(label=torch.tensor([1, 1, 0])))
    sample.set_metainfo(
        dict(
            img_shape=(64, 64),
            ori_shape=(128, 128),
            batch_input_shape=(64, 80),
            scale_factor=(.5, .5)))
    model = ColorNetwork()
    model.classes = dict(cls=CLASSES, seg=seg_classes)
    writer = CamMasks(.5, (.5, 1.))
    writer.prepare(model,
                   SimpleNamespace(metainfo=dict(cls_classes=CLASSES)))

    ids, = writer.ids(model, inputs, [sample])
    assert ids.shape == (128, 128)
    cat = len(seg_classes) - 3
    assert (ids[34:62, 18:46] == cat).all()
    assert (ids[34:62, 82:110] == cat + 1).all()
    ids[28:68, 12:52] = ids[28:68, 76:116] = elsewhere
    assert (ids == elsewhere).all()


def test_activation_maps_need_tags():
    with pytest.raises(UserError, match='0.jpg has no tags'):
        list(
            CamMasks(.3, (1., )).maps(ColorNetwork(),
                                      torch.zeros(1, 3, 64, 64),
                                      [make_sample((), size=64)]))


def test_ids_need_names():
    data = SimpleNamespace(metainfo=dict(cls_classes=CLASSES))
    with pytest.raises(UserError, match='names of their ids'):
        tag_rules(SimpleNamespace(classes=dict(cls=CLASSES)), data)
