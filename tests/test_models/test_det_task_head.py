# Copyright (c) mmbombo contributors.
import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData
from toolbox import (CLASSES, DET_CONFIGS, SIZE, det_head_cfg, make_feats,
                     make_sample, without_statistics)

from mmbombo.models.task_heads.det_task_head import check_dense_head
from mmbombo.models.task_heads.ignore_regions import (IGNORED_LOGIT,
                                                      IgnoreRegions,
                                                      ignored_cells)
from mmbombo.models.utils import select_images
from mmbombo.registry import MODELS
from mmbombo.utils import UserError


def build(name):
    head = MODELS.build(det_head_cfg(name))
    head.init_weights()
    return head


def feats_of(name, num_images):
    levels = 3 if name == 'rtmdet' else 5
    return make_feats(num_images, levels=levels)


def flat(losses):
    return {
        key: torch.stack(value) if isinstance(value, list) else value
        for key, value in losses.items()
    }


@pytest.mark.parametrize('name', DET_CONFIGS)
def test_loss_on_a_slice_equals_the_head_on_those_images(name):
    head = without_statistics(build(name).train())
    feats = feats_of(name, 4)
    samples = [make_sample(('bbox', ), seed=i) for i in range(4)]
    wanted = head.head.loss(
        tuple(x[1:3] for x in feats), [samples[1], samples[2]])

    outputs = select_images(head(feats), [1, 2], 4)
    targets, ignore = head.targets('det', samples[1:3])
    assert ignore is None
    got = head.loss_on_targets('det', outputs, targets,
                               [s.metainfo for s in samples[1:3]], ignore)
    wanted, got = flat(wanted), flat(got)
    assert wanted.keys() == got.keys()
    for key in wanted:
        torch.testing.assert_close(got[key], wanted[key])


@pytest.mark.parametrize('name', DET_CONFIGS)
def test_ignored_region_has_no_gradient_and_no_loss(name):
    """A confident false positive costs something, unless it is ignored."""
    head = build(name).train()
    outputs = head(feats_of(name, 1))
    scores = [x.detach().clone().requires_grad_() for x in outputs[0]]
    with torch.no_grad():
        for level in scores:
            level[:] = 4.
    outputs = (scores, *[[x.detach() for x in level]
                         for level in outputs[1:]])
    box = torch.tensor([[0., 0., SIZE, SIZE]])
    target = InstanceData(
        bboxes=torch.tensor([[40., 40., 72., 72.]]), labels=torch.tensor([0]))
    ignore = IgnoreRegions.from_instances(
        [InstanceData(bboxes=box, labels=torch.tensor([1]))], len(CLASSES))
    metas = [make_sample(()).metainfo]

    def gradients(ignore):
        losses = head.loss_on_targets('det', outputs, [target], metas, ignore)
        total = sum(x.sum() for x in flat(losses).values())
        return total, torch.autograd.grad(total, scores)

    full, _ = gradients(None)
    less, grads = gradients(ignore)
    assert 0 < less < full
    by_class = grads[0].unflatten(1, (-1, len(CLASSES)))
    assert by_class[:, :, 1].abs().max() == 0
    assert by_class[:, :, 0].abs().max() > 0
    assert (by_class[:, :, 2] != 0).float().mean() > .9


@pytest.mark.parametrize('name', DET_CONFIGS)
def test_images_without_boxes_give_finite_losses(name):
    head = build(name)
    samples = [make_sample(('bbox', ), seed=i) for i in range(2)]
    for sample in samples:
        sample.ignored_instances = sample.gt_instances
        sample.gt_instances = sample.gt_instances[:0]
    targets, ignore = head.targets('det', samples)
    losses = head.loss_on_targets(
        'det', head(feats_of(name, 2)), targets, [s.metainfo for s in samples],
        ignore)
    assert all(torch.isfinite(x).all() for x in flat(losses).values())


@pytest.mark.parametrize('name', DET_CONFIGS)
def test_training_outputs_decode_as_in_evaluation(name):
    """What the head said while training gives the boxes of test time."""
    head = without_statistics(build(name).train())
    feats = feats_of(name, 2)
    metas = [make_sample(()).metainfo] * 2
    cfg = dict(score_thr=0.)
    with torch.no_grad():
        got = head.decode(
            'det', head.as_evaluation_outputs(head(feats)), metas, cfg)
        wanted = head.eval().decode('det', head(feats), metas, cfg)
    for a, b in zip(got, wanted):
        torch.testing.assert_close(a.bboxes, b.bboxes)
        torch.testing.assert_close(a.scores, b.scores)
        assert len(a) > 0 and torch.equal(a.labels, b.labels)


def test_centernet_decodes_as_in_evaluation():
    """It says pixels in evaluation and strides in training."""
    head = MODELS.build(
        dict(
            type='DetTaskHead',
            head=dict(
                type='CenterNetUpdateHead', num_classes=3, in_channels=32,
                feat_channels=32, strides=[8, 16, 32, 64, 128],
                loss_cls=dict(
                    type='GaussianFocalLoss', pos_weight=.25, neg_weight=.75),
                loss_bbox=dict(type='GIoULoss'),
                test_cfg=dict(nms_pre=10, score_thr=0., max_per_img=5,
                              nms=dict(type='nms', iou_threshold=.5)))))
    feats = make_feats(2)
    assert head.train().as_evaluation_outputs(head(feats)) is None
    outputs = head.eval()(feats)
    assert head.as_evaluation_outputs(outputs) is outputs


def test_settings_replace_those_of_the_head():
    """As a whole: those of another NMS would not fit."""
    cfg = det_head_cfg('retinanet')
    cfg['test_cfg']['nms'] = dict(
        type='soft_nms', iou_threshold=.5, min_score=.05)
    head = MODELS.build(cfg).eval()
    head.init_weights()
    outputs = head(feats_of('retinanet', 1))
    metas = [make_sample(()).metainfo]
    nms = dict(type='nms', iou_threshold=.5)
    result, = head.decode('det', outputs, metas, dict(score_thr=0., nms=nms))
    assert len(result) > 0 and head.test_cfg.nms.type == 'soft_nms'


def test_boxes_are_decoded_in_full_precision():
    """A step with AMP and a validation with AMP alike."""
    head = build('gfl').eval()
    feats = feats_of('gfl', 1)
    sample = make_sample(())
    # the image was twice as wide, and as high
    sample.set_metainfo(dict(scale_factor=(.5, 1.), ori_shape=(SIZE, 256)))
    head.head.test_cfg.score_thr = 0.
    with torch.autocast('cpu', torch.bfloat16):
        assert head(feats)[0][0].dtype is torch.bfloat16
        head.add_predictions(feats, None, [sample], None)
        decoded, = head.decode('det', head(feats), [sample.metainfo])
    boxes = sample.pred_instances.bboxes
    assert boxes.dtype is torch.float32 and len(boxes) > 0
    stretch = boxes.new_tensor([2., 1., 2., 1.])
    torch.testing.assert_close(boxes, decoded.bboxes * stretch)


def slow_ignored_cells(boxes, classes, pixels, targets, labels, size, stride,
                       offset):
    """One cell, one class and one box at a time."""
    mask = np.zeros((classes.shape[1], *size), dtype=bool)
    for i in range(size[0]):
        for j in range(size[1]):
            x, y = (j + offset) * stride, (i + offset) * stride
            for c in range(classes.shape[1]):
                near = any(label == c and x1 - stride <= x < x2 + stride and
                           y1 - stride <= y < y2 + stride
                           for label, (x1, y1, x2, y2) in zip(labels, targets))
                covered = any(classes[k, c] and x1 <= x < x2 and y1 <= y < y2
                              for k, (x1, y1, x2, y2) in enumerate(boxes))
                mask[c, i, j] = (covered or pixels[int(y), int(x)]) \
                    and not near
    return mask


@pytest.mark.parametrize('offset', [0, .5])
@pytest.mark.parametrize('seed', range(2))
def test_ignored_cells_against_a_slow_reference(seed, offset):
    rng = np.random.default_rng(seed)
    size, stride = (8, 10), 8

    def boxes(n):
        corner = rng.uniform(0, 60, (n, 2))
        return np.concatenate([corner, corner + rng.uniform(1, 40, (n, 2))], 1)

    ignored, targets = boxes(3), boxes(2)
    classes = rng.random((3, 4)) < .5
    labels = rng.integers(0, 4, 2)
    pixels = rng.random((64, 80)) < .1
    regions = IgnoreRegions(
        torch.from_numpy(ignored)[None],
        torch.from_numpy(classes)[None],
        torch.from_numpy(pixels)[None])
    got = ignored_cells(regions,
                        torch.from_numpy(targets)[None],
                        torch.eye(4, dtype=torch.bool)[None, labels], size,
                        (stride, stride), offset)
    wanted = slow_ignored_cells(ignored, classes, pixels, targets, labels,
                                size, stride, offset)
    assert wanted.any() and not wanted.all()
    np.testing.assert_array_equal(got[0].numpy(), wanted)


def test_ignored_logit_is_zero_in_half_precision():
    assert torch.tensor(IGNORED_LOGIT, dtype=torch.half).sigmoid() == 0


@pytest.mark.parametrize('head, reason', [
    (dict(type='RPNHead', in_channels=8, feat_channels=8), 'RPNHead'),
    (dict(type='DETRHead', num_classes=3), 'DETRHead'),
    (dict(
        type='RetinaHead',
        num_classes=3,
        in_channels=8,
        loss_cls=dict(type='CrossEntropyLoss', use_sigmoid=False)),
     'RetinaHead: its classes share a softmax'),
    (dict(
        type='TOODHead',
        num_classes=3,
        in_channels=8,
        feat_channels=8,
        stacked_convs=1,
        norm_cfg=dict(type='GN', num_groups=4)),
     'TOODHead: it gives probabilities'),
    (dict(type='YOLOXHead', num_classes=3, in_channels=8, feat_channels=8),
     'YOLOXHead: it learns from every cell'),
    (dict(type='AutoAssignHead', num_classes=3, in_channels=32,
          feat_channels=32), 'AutoAssignHead: its loss needs more'),
    (dict(type='CenterNetHead', num_classes=3, in_channels=8, feat_channels=8),
     'CenterNetHead: it has no prior_generator'),
])
def test_heads_that_do_not_fit_are_refused_by_name(head, reason):
    with pytest.raises(UserError, match=reason):
        MODELS.build(dict(type='DetTaskHead', head=head))


def test_head_that_does_not_say_whether_it_has_a_sigmoid():
    head = build('fcos').head
    check_dense_head(head)
    del head.use_sigmoid_cls
    with pytest.raises(UserError, match='does not say .* use_sigmoid_cls'):
        check_dense_head(head)
