# Copyright (c) mmbombo contributors.
"""Options of Box-for-Mask and Mask-for-Box, in a model."""

import copy
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.structures import InstanceData, PixelData
from toolbox import SIZE, det_head_cfg, make_feats, make_sample, tiny_model

from mmbombo.models.context import StepContext
from mmbombo.models.task_heads.ignore_regions import ignored_cells
from mmbombo.models.weak_losses.mask_for_box_loss import select_losses
from mmbombo.registry import MODELS
from mmbombo.structures import ClassMap
from mmbombo.weak_labels import label_components


def images(num):
    return torch.randn(
        num, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(3))


def instances(boxes, labels):
    return InstanceData(
        bboxes=torch.tensor(boxes, dtype=torch.float32).view(-1, 4),
        labels=torch.tensor(labels, dtype=torch.long))


# ------------------------------------------------------------ Box-for-Mask
def boxed(prepared):
    """Classes 0 and 1 overlap, class 2 lies in class 0; a difficult box."""
    sample = make_sample(('bbox', ))
    sample.gt_instances = instances(
        [[10, 10, 70, 70], [50, 50, 110, 90], [20, 20, 30, 30]], [0, 1, 2])
    sample.ignored_instances = instances([[60, 100, 90, 120]], [0])
    sample.pseudo_sem_seg = PixelData(sem_seg=prepared, data=prepared)
    return sample


def prepared_mask():
    """The small box's class in it, nothing certain in the other boxes."""
    mask = torch.zeros(1, SIZE, SIZE).long()
    mask[:, 10:70, 10:70] = 255
    mask[:, 50:90, 50:110] = 255
    mask[:, 100:120, 60:90] = 255
    mask[:, 20:30, 20:30] = 3
    mask[:, :, 124:] = 255  # padding
    return mask


@pytest.mark.parametrize('stride', [1, 2, 3])
def test_the_loss_may_look_at_every_so_many_pixels(stride):
    model = tiny_model(dict(type='BoxForMaskLoss', stride=stride))
    sample, inputs = boxed(prepared_mask()), images(1)
    ctx = StepContext(model, inputs, [sample])
    logits = ctx.outputs('seg', [0])[0]
    middle = stride // 2
    labels = prepared_mask()[:, middle::stride, middle::stride]
    logits = F.interpolate(logits, size=labels.shape[1:], mode='bilinear')
    wanted = F.cross_entropy(logits, labels, ignore_index=255)
    loss = model.weak_losses[0](ctx)['loss_ce']
    torch.testing.assert_close(loss, wanted)


def test_where_several_classes_are_possible_one_of_them_is_right():
    model = tiny_model(dict(type='BoxForMaskLoss'))
    numbers = torch.full((1, SIZE, SIZE), 255)
    numbers[:, :8], numbers[:, 8:40] = 0, 1
    sample = boxed(numbers)
    sample.pseudo_classes = torch.tensor([[0, 0, 1, 0], [1, 0, 1, 0]]).bool()
    ctx = StepContext(model, images(1), [sample])
    logits = F.interpolate(
        ctx.outputs('seg', [0])[0], (SIZE, SIZE), mode='bilinear')
    probs = logits.softmax(dim=1)[0]
    wanted = torch.cat([probs[2, :8], probs[0, 8:40] + probs[2, 8:40]])
    losses = model.weak_losses[0](ctx)
    torch.testing.assert_close(losses['loss_ce'], -wanted.log().mean())


# ------------------------------------------------------------ Mask-for-Box
def masked(box=(30, 10, 90, 50), seg_id=2):
    """A mask with one rectangle, or none."""
    sample = make_sample(('sem_seg', ))
    ids = torch.zeros(1, SIZE, SIZE).long()
    table = instances([], [])
    table.areas = torch.zeros(0)
    table.ignored = table.pieces = torch.zeros(0).bool()
    if box:
        ids[:, box[1]:box[3], box[0]:box[2]] = seg_id
        table = instances([box], [seg_id])
        table.areas = torch.tensor([2400.])
        table.ignored = table.pieces = torch.tensor([False])
    sample.gt_sem_seg = PixelData(sem_seg=ids, data=ids)
    sample.component_map = PixelData(data=(ids > 0).long())
    sample.components = table
    return sample


# labels 0 and 1 are both shown by id 2, label 1 by id 3 too, label 2 by id 4
# alone, label 3 by none; 0 is the background and 1 a road
MANY = ClassMap(
    ('bus', 'car', 'cat', 'tie'),
    ('background', 'road', 'vehicle', 'car', 'cat'),
    det_to_seg=dict(bus='vehicle', car=('vehicle', 'car')))


def blocks(seed):
    """A mask of rectangles of all classes, some unknown, some tiny."""
    generator = np.random.default_rng(seed)
    ids = np.zeros((SIZE, SIZE), np.uint8)
    for _ in range(12):
        x, y = generator.integers(0, SIZE - 4, 2)
        w, h = generator.integers(2, 50, 2)
        ids[y:y + h, x:x + w] = generator.choice([1, 2, 3, 4, 255])
    return ids


@pytest.mark.parametrize('seed', range(8))
def test_a_mask_teaches_what_it_rules_out_no_more_and_no_less(seed):
    """At each cell a class is a negative if and only if the pixel rules it
    out and no rectangle that may hold it covers the cell."""
    loss = MODELS.build(dict(type='MaskForBoxLoss', predictor='none'))
    ids = blocks(seed)
    component_map, table = label_components(ids, 80, MANY.thing_ids)
    sample = make_sample(('sem_seg', ))
    pixels = torch.from_numpy(ids).long()[None]
    sample.gt_sem_seg = PixelData(sem_seg=pixels, data=pixels)
    sample.component_map = PixelData(
        data=torch.from_numpy(component_map).long()[None])
    sample.components = InstanceData(
        bboxes=torch.from_numpy(table['boxes']),
        labels=torch.from_numpy(table['labels']),
        areas=torch.from_numpy(table['areas']),
        ignored=torch.from_numpy(table['ignored']),
        pieces=torch.from_numpy(table['pieces']))
    ctx = SimpleNamespace(samples=[sample], class_map=MANY)
    targets, ignore, _ = loss.pseudo_boxes(ctx, [0])
    classes = F.one_hot(targets[0].labels, 4).bool()
    boxes = targets[0].bboxes
    stride = 4
    ignored = ignored_cells(ignore, boxes[None], classes[None],
                            (SIZE // stride, ) * 2, (stride, stride), .5)[0]

    for label in range(4):
        for row, column in np.ndindex(*ignored.shape[1:]):
            y, x = (np.array([row, column]) + .5) * stride
            seg_id = ids[int(y), int(x)]
            near = any(
                x1 - stride <= x < x2 + stride and y1 - stride <= y < y2 +
                stride for (x1, y1, x2, y2), own in zip(
                    boxes.tolist(), targets[0].labels) if own == label)
            doubtful = any(
                x1 <= x < x2 and y1 <= y < y2
                for (x1, y1, x2, y2), of, no_target in zip(
                    table['boxes'], table['labels'],
                    table['ignored'] | table['pieces'])
                # a rectangle of several classes, of which nobody chose one
                if MANY.compatible[of, label]
                and (no_target or MANY.compatible[of].sum() > 1))
            shown = MANY.compatible[:, label].any()
            rules_out = seg_id != 255 and shown and not MANY.compatible[
                seg_id, label]
            negative = not ignored[label, row, column] and not near
            assert negative == bool(rules_out and not doubtful and not near)


@pytest.mark.parametrize('predictor', ['none', 'self'])
def test_image_without_an_object_is_all_negatives(predictor):
    """The loss of an image in which somebody found no box."""
    model = tiny_model(
        dict(type='MaskForBoxLoss', predictor=predictor, ramp=0.))
    inputs = images(1)
    empty = make_sample(('bbox', ))
    empty.gt_instances = instances([], [])
    wanted = model.loss(inputs, [empty])
    sample = masked(box=None)
    losses = model.loss(inputs, [sample])
    for key in ('loss_cls', 'loss_bbox', 'loss_dfl'):
        torch.testing.assert_close(losses[f'm4b/{key}'], wanted[f'det/{key}'])
    assert sum(losses['m4b/loss_cls']) > 0
    assert len(sample.pseudo_instances) == 0

    ctx = StepContext(model, inputs, [sample])
    scores = [x.detach().requires_grad_() for x in ctx.outputs('det')[0]]
    ctx._outputs['det'] = (scores, *ctx.outputs('det')[1:])
    sum(model.weak_losses[0](ctx)['loss_cls']).backward()
    assert all((x.grad > 0).all() for x in scores)  # every cell goes down


@pytest.mark.parametrize('supervise, kept, dropped', [
    ('both', {'loss_cls', 'loss_bbox', 'loss_dfl'}, set()),
    ('cls', {'loss_cls'}, {'loss_bbox', 'loss_dfl'}),
    ('loc', {'loss_bbox', 'loss_dfl'}, {'loss_cls'}),
])
def test_supervise_a_part(supervise, kept, dropped):
    inputs, samples = images(1), [masked()]
    weak = dict(type='MaskForBoxLoss', predictor='none', ramp=0.)
    both = tiny_model(weak)
    part = tiny_model(dict(weak, supervise=supervise))
    part.load_state_dict(both.state_dict())
    wanted = both.loss(inputs, copy.deepcopy(samples))
    losses = part.loss(inputs, samples)
    for key in kept:
        torch.testing.assert_close(losses[f'm4b/{key}'], wanted[f'm4b/{key}'])
    assert not any(f'm4b/{key}' in losses for key in dropped)
    assert losses['m4b/num_kept'] == 1


@pytest.mark.parametrize('name', ['retinanet', 'fcos', 'gfl', 'atss',
                                  'rtmdet'])
def test_each_loss_of_a_stock_head_is_one_part(name):
    head = MODELS.build(det_head_cfg(name))
    feats = make_feats(1)[:len(head.head.prior_generator.strides)]
    sample = make_sample(('bbox', ))
    losses = head.loss_on_targets(
        'det', head(feats), [sample.gt_instances], [sample.metainfo], None)
    cls, loc = (select_losses(losses, x) for x in ('cls', 'loc'))
    assert {'loss_cls'} == set(cls)
    assert set(cls) | set(loc) == set(losses) and not set(cls) & set(loc)


def test_a_loss_of_neither_part_is_refused():
    losses = dict(loss_cls=1, loss_center=2, num_pos=3)
    assert select_losses(losses, 'both') == losses
    with pytest.raises(ValueError, match=r"\['loss_center'\]"):
        select_losses(losses, 'cls')
    assert select_losses(dict(loss_cls=1, num_pos=3), 'loc') == dict(num_pos=3)


def test_a_piece_is_no_target_and_no_negative():
    model = tiny_model(
        dict(type='MaskForBoxLoss', predictor='none', ramp=0.))
    sample = masked()
    sample.components.pieces = torch.tensor([True])
    ctx = StepContext(model, images(1), [sample])
    scores = [x.detach().requires_grad_() for x in ctx.outputs('det')[0]]
    ctx._outputs['det'] = (scores, *ctx.outputs('det')[1:])
    losses = model.weak_losses[0](ctx)
    assert losses['num_ignored'] == 1 and losses['num_kept'] == 0
    assert len(sample.pseudo_instances) == 0
    sum(losses['loss_cls']).backward()
    inside = scores[0].grad[0, :, 2:6, 4:11]  # cells of 8 pixels
    assert (inside[1] == 0).all() and (inside[0] > 0).all()


def test_options_that_cannot_be():
    with pytest.raises(ValueError, match='supervise'):
        MODELS.build(dict(type='MaskForBoxLoss', supervise='box'))
