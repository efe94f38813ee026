# Copyright (c) mmbombo contributors.
"""Options of Box-for-Mask and Mask-for-Box, in a model."""
import copy

import pytest
import torch
import torch.nn.functional as F
from mmengine.structures import InstanceData, PixelData

from mmbombo.engine.hooks.partial_annotation_check_hook import check_predictors
from mmbombo.models.context import StepContext
from mmbombo.models.weak_losses.mask_for_box_loss import part_of, select_losses
from mmbombo.registry import MODELS, TASK_UTILS
from mmbombo.testing import (SIZE, det_head_cfg, make_feats, make_sample,
                             tiny_model)


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


def say(model, ids):
    """Make the segmentation head predict ``ids`` (H, W), in cells of 4."""
    logits = torch.nn.functional.one_hot(
        ids[2::4, 2::4], 4).permute(2, 0, 1)[None].float() * 20
    model.task_heads.seg.forward = lambda feats, samples: (
        logits.expand(len(feats[0]), -1, -1, -1).clone().requires_grad_(), )


def predicted_ids():
    ids = torch.zeros(SIZE, SIZE).long()
    ids[:64, :64] = 1  # leaves box 0, fills it but for the corner
    ids[64:, 64:] = 2  # and this does the same with box 1
    return ids


def filtered_mask():
    mask = prepared_mask()[0]
    ids = predicted_ids()
    for seg_id, (x1, y1, x2, y2) in ((1, (10, 10, 70, 70)),
                                     (2, (50, 50, 110, 90))):
        window = mask[y1:y2, x1:x2]
        kept = (ids[y1:y2, x1:x2] == seg_id) & (window != 3)
        window[kept] = seg_id
    return mask


def masks_of(model, sample):
    ctx = StepContext(model, images(1), [sample])
    masks, counts = model.weak_losses[0].pseudo_masks(ctx, [0])
    return masks, counts


def assert_equal_but_for_edges(got, expected):
    """Bilinear resizing moves the edges of predictions by two pixels."""
    wrong = (got != expected).nonzero()
    near = ((wrong - 64).abs() <= 2).any(dim=1)
    assert near.all(), wrong[~near]


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


@pytest.mark.parametrize('predictor', ['self', 'ema'])
def test_predictions_that_agree_with_a_box_are_kept(predictor):
    model = tiny_model(
        dict(
            type='BoxForMaskLoss',
            mask_refiner=dict(
                type='PredictionFilter', predictor=predictor, start=.5)))
    sample = boxed(prepared_mask())
    if predictor == 'ema':
        masks, counts = masks_of(model, sample)
        assert torch.equal(masks[0], prepared_mask())  # nobody predicts yet
        assert not counts
        other = copy.deepcopy(model)
        say(other, predicted_ids())
        model.set_teacher('ema', other)
    else:
        say(model, predicted_ids())
    masks, counts = masks_of(model, sample)
    assert_equal_but_for_edges(masks[0, 0], filtered_mask())
    assert counts['num_empty'] == 1  # the small box has its prepared mask
    assert (masks[0, 0, 20:30, 20:30] == 3).all()
    # and these are what the loss is computed on
    ctx = StepContext(model, images(1), [sample])
    loss = model.weak_losses[0](ctx)
    wanted = ctx.loss('seg', masks, [0])['loss_ce']
    torch.testing.assert_close(loss['loss_ce'], wanted)
    assert loss['num_empty'] == 1


@pytest.mark.parametrize('iteration, filtered', [(49, False),
                                                 (50, True)])
def test_predictions_are_used_from_a_share_of_the_training(
        progress, iteration, filtered):
    model = tiny_model(
        dict(
            type='BoxForMaskLoss',
            mask_refiner=dict(
                type='PredictionFilter', predictor='self', start=.5)))
    say(model, predicted_ids())
    progress(iteration)
    masks, _ = masks_of(model, boxed(prepared_mask()))
    assert torch.equal(masks[0], prepared_mask()) != filtered


def test_filter_of_an_image_without_boxes_and_of_a_class_without_mask():
    classes = dict(
        det_classes=('cat', 'dog', 'cow'),
        seg_classes=('background', 'cat', 'dog', 'sky'))
    model = tiny_model(
        dict(
            type='BoxForMaskLoss',
            mask_refiner=dict(
                type='PredictionFilter', predictor='self', start=0.)),
        class_map=classes)
    say(model, torch.full((SIZE, SIZE), 3))
    sample = boxed(prepared_mask())
    masks, counts = masks_of(model, sample)
    assert counts['num_empty'] == 2  # the cow asks for nothing
    assert (masks != 3)[:, :, :, :20].all()  # a sky agrees with no box
    sample.gt_instances = instances([], [])
    sample.ignored_instances = instances([], [])
    masks, counts = masks_of(model, sample)
    assert torch.equal(masks[0], prepared_mask()) and counts['num_empty'] == 0


def test_filter_that_asks_the_ema_needs_its_hook():
    model = tiny_model(
        dict(type='BoxForMaskLoss', mask_refiner=dict(type='PredictionFilter'))
    )
    with pytest.raises(ValueError, match="'b4m'.*PredictorEMAHook"):
        check_predictors(model, [])
    check_predictors(tiny_model(dict(type='BoxForMaskLoss')), [])
    with pytest.raises(ValueError, match='PredictionFilter'):
        TASK_UTILS.build(dict(type='PredictionFilter', predictor='none'))


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


@pytest.mark.parametrize('key, part', [
    ('loss_cls', 'cls'), ('loss_bbox', 'loc'), ('loss_dfl', 'loc'),
    ('loss_centerness', 'loc'), ('loss_iou', 'loc'),
    ('loss_pts_refine', 'loc'), ('positive_bag_loss', ''), ('loss_ld', '')
])
def test_parts_by_name(key, part):
    assert part_of(key) == part


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
