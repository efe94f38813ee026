# Copyright (c) mmbombo contributors.
"""The labels of AuxSegNet's next stage."""
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.structures import LabelData, PixelData
from toolbox import CLASSES, SEG_CLASSES, make_sample, tiny_model_cfg

from mmbombo.engine.pseudo_labels import AuxSegLabels
from mmbombo.registry import MODELS, TASK_UTILS
from mmbombo.utils import UserError
from mmbombo.weak_labels.cam_saliency import fuse_cam_saliency

SIZE = 64
SHAPES = [(SIZE, SIZE), (40, 56)]


class Data:
    metainfo = dict(
        classes=CLASSES, seg_classes=SEG_CLASSES, cls_classes=CLASSES)


def model_of(tasks=('cls', 'seg', 'sal'), seg=SEG_CLASSES, **kwargs):
    torch.manual_seed(0)
    cfg = tiny_model_cfg(class_map=None, classes=dict(cls=CLASSES, seg=seg))
    cfg['task_heads'] = dict(
        aux=dict(
            type='AuxSegTaskHead',
            in_channels=16,
            num_classes=len(seg),
            cls=dict(num_classes=3),
            channels=8,
            dilations=(1, 2, 3),
            tasks=tasks,
            **kwargs))
    model = MODELS.build(cfg).eval()
    model.init_weights()
    torch.nn.init.constant_(model.task_heads.aux.cls.classifier.bias, .5)
    return model


def images():
    samples = []
    for shape, labels in zip(SHAPES, ([1, 0, 1], [0, -1, 1])):
        sample = make_sample((), size=SIZE)
        sample.set_metainfo(dict(img_shape=shape, ori_shape=shape))
        sample.gt_image_label = LabelData(label=torch.tensor(labels))
        sample.gt_saliency = PixelData(data=torch.rand(1, *shape))
        samples.append(sample)
    return torch.randn(2, 3, SIZE, SIZE), samples


@torch.no_grad()
def written(model, inputs, samples, data=Data, **kwargs):
    writer = TASK_UTILS.build(dict(type='AuxSegLabels', **kwargs))
    writer.prepare(model, data)
    found = list(writer.write(model, inputs, samples))
    assert all(set(x) == set(writer.folders) for x in found)
    return [[np.asarray(x[key]) for x in found]
            for key in ('masks', 'saliency')]


@pytest.mark.parametrize('initial', [False, True])
def test_stage_0_is_of_a_classifier_and_of_the_saliency_that_there_is(initial):
    model = model_of(('cls', 'seg', 'sal') if initial else ('cls', ))
    inputs, samples = images()
    masks, saliency = written(
        model, inputs, samples, scales=(1, ), initial=initial)
    writer = AuxSegLabels(scales=(1, ))
    writer.prepare(model, Data)
    with torch.no_grad():
        cams = list(writer.maps(model, inputs, samples))
    for mask, gray, cam, sample in zip(masks, saliency, cams, samples):
        given = sample.gt_saliency.data[0]
        assert mask.shape == gray.shape == sample.ori_shape
        assert (gray == (given * 255).round().numpy()).all()
        wanted = fuse_cam_saliency(cam, given, sample.gt_image_label.label)
        assert (mask == wanted.numpy()).all() and len(set(mask.flat)) > 2
        shown = {0, 255} | set(
            (1 + (sample.gt_image_label.label == 1).nonzero()[:, 0]).tolist())
        assert set(mask.flat) <= shown


@pytest.mark.parametrize('transpose', [False, True])
def test_later_stages_move_maps_and_average_saliency(transpose):
    model = model_of(transpose=transpose)
    inputs, samples = images()
    samples[0].gt_saliency.data[:, :10] = -1.
    masks, saliency = written(model, inputs, samples, crf=None)
    head = model.task_heads.aux
    with torch.no_grad():
        outputs, affinity = head.with_affinity(
            model.extract_feat(inputs), samples)
    cam = outputs['cls'][1][0].relu()
    cam = (cam / (cam.amax((1, 2), keepdim=True) + 1e-5)).flatten(1)
    moved = cam @ (affinity[0] if transpose else affinity[0].T)
    cam, own = (
        F.interpolate(x.view(1, -1, 16, 16), (SIZE, SIZE), mode='bilinear')[0]
        for x in (moved, outputs['sal'][0][0].sigmoid()))
    given = samples[0].gt_saliency.data[0]
    wanted = torch.where(given < 0, own[0], (own[0] + given) / 2)
    assert np.abs(saliency[0] - (wanted * 255).numpy()).max() <= .51
    mask = fuse_cam_saliency(cam, wanted, samples[0].gt_image_label.label)
    assert (masks[0] == mask.numpy()).all()


def test_padding_gives_no_maximum():
    model = model_of()
    inputs, samples = images()
    with torch.no_grad():
        model.task_heads.aux.cls.classifier.weight[:, 0] += 9.
    louder = inputs.clone()
    louder[1, :, 48:] = 1e3 * torch.randn(3, 16, SIZE)
    writer = AuxSegLabels()
    with torch.no_grad():
        cams = [
            list(writer.cams_and_saliency(model, x, samples)[0])[1]
            for x in (inputs, louder)
        ]
    assert 0.1 < cams[1].max() < 1.01 and cams[1].shape == (3, 40, 56)


def test_a_crf_sees_the_image():
    model = model_of()
    inputs, samples = images()
    plain, refined = (
        written(model, inputs, samples, crf=crf)[1]
        for crf in (None, 'aux_sal'))
    for one, other in zip(plain, refined):
        assert one.shape == other.shape and (one != other).any()


def test_tags_and_ids_meet_by_name():
    seg = ('sky', 'cow', 'cat', 'ground')
    model = model_of(('cls', ), seg)

    class Stuff:
        metainfo = dict(Data.metainfo, seg_classes=seg)

    inputs, samples = images()
    samples[0].gt_image_label.label = torch.tensor([1, 1, 1])
    masks, _ = written(model, inputs, samples[:1], Stuff, threshold=.5)
    # a dog is no class, and of two classes without a tag none is known
    assert set(masks[0].flat) == {1, 2, 255}


def test_what_is_missing_is_said():
    model = model_of(('cls', ))
    inputs, samples = images()
    del samples[1].gt_saliency
    with pytest.raises(UserError, match='no saliency: give its source'):
        written(model, inputs, samples)
    del samples[0].gt_image_label
    with pytest.raises(UserError, match='no image_label: give its'):
        written(model, inputs, samples)
