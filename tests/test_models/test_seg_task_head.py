# Copyright (c) mmbombo contributors.
import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.dataset import Compose
from mmseg.models.losses import CrossEntropyLoss, accuracy
from toolbox import (SEG_CONFIGS, SIZE, make_feats, make_sample, seg_head_cfg,
                     tiny_model_cfg, without_statistics)

from mmbombo.models.task_heads.decode_head_loss import cell_accuracy
from mmbombo.models.task_heads.labeled_pixels import (LabeledPixelMean,
                                                      LabeledPixelsOnly)
from mmbombo.models.task_heads.seg_task_head import window_starts
from mmbombo.models.utils import raw_images, select_images
from mmbombo.registry import MODELS, TRANSFORMS
from mmbombo.structures.candidate_map import CandidateMap
from mmbombo.utils import UserError


def build(name):
    cfg = seg_head_cfg(name)
    cfg['head'].dropout_ratio = 0.
    if 'auxiliary_head' in cfg:
        cfg['auxiliary_head'].dropout_ratio = 0.
    return without_statistics(MODELS.build(cfg).train())


def slow_cross_entropy(logits, labels, ignore_index=255):
    """Mean over labeled pixels, in float64, one pixel at a time."""
    logits = logits.detach().double().numpy()
    total, count = 0., 0
    for n, y, x in np.argwhere(labels.numpy() != ignore_index):
        z = logits[n, :, y, x]
        total += np.log(np.exp(z).sum()) - z[labels[n, y, x]]
        count += 1
    return total / max(count, 1)


@pytest.mark.parametrize('name', SEG_CONFIGS)
def test_loss_is_the_mean_over_labeled_pixels(name):
    head = build(name)
    feats = make_feats(3, levels=4, first_stride=4)
    samples = [make_sample(('sem_seg', ), seed=i) for i in range(2)]
    samples[0].gt_sem_seg.sem_seg[:, :100] = 255
    samples[1].gt_sem_seg.sem_seg[:] = 255
    outputs = select_images(head(feats), [1, 2], 3)
    targets, ignore = head.targets('seg', samples)
    losses = head.loss_on_targets('seg', outputs, targets,
                                  [s.metainfo for s in samples], ignore)
    weights = dict(loss_ce=(0, 1.))
    if len(outputs) > 1:
        weights['aux_0.loss_ce'] = (1, .4)
    for key, (i, weight) in weights.items():
        logits = F.interpolate(
            outputs[i], (SIZE, SIZE), mode='bilinear', align_corners=False)
        wanted = slow_cross_entropy(logits, targets[:, 0]) * weight
        np.testing.assert_allclose(losses[key].item(), wanted, rtol=1e-4)


@pytest.mark.parametrize('sampler', [
    None, dict(type='OHEMPixelSampler', thresh=.3, min_kept=500)])
def test_loss_is_that_of_the_decode_head(sampler):
    """Two losses of one name and one of another, and hard pixels only."""
    cfg = seg_head_cfg('fpn')
    cfg['head'].update(
        dropout_ratio=0., sampler=sampler,
        loss_decode=[
            dict(type='CrossEntropyLoss', loss_weight=.5),
            dict(type='CrossEntropyLoss', loss_weight=.25),
            dict(type='LovaszLoss', reduction='none')])
    head = MODELS.build(cfg).eval()
    samples = [make_sample(('sem_seg', ), seed=i) for i in range(2)]
    samples[0].gt_sem_seg.sem_seg[:, :50] = 255
    targets, _ = head.targets('seg', samples)
    for sample, target in zip(samples, targets):
        sample.gt_sem_seg.data = target
    logits = head(make_feats(2, levels=4, first_stride=4))[0]
    wanted = head.head.loss_by_feat(logits, samples)
    got = head.loss_on_targets('seg', (logits, ), targets, [], None)
    assert got.keys() == wanted.keys() == {
        'loss_ce', 'loss_lovasz', 'acc_seg'}
    for key in ('loss_ce', 'loss_lovasz'):
        torch.testing.assert_close(got[key], wanted[key])


@pytest.mark.parametrize('align_corners', [False, True])
def test_corners_are_aligned_as_the_decode_head_says(align_corners):
    """In the loss, and in ids at the size of the input."""
    head = build('fpn')
    head.head.align_corners = align_corners
    logits = torch.randn(2, head.num_classes, 8, 8)
    labels = torch.randint(head.num_classes, (2, 1, 32, 32))
    large = F.interpolate(
        logits, (32, 32), mode='bilinear', align_corners=align_corners)
    ids = head.decode('seg', (logits, ),
                      [dict(batch_input_shape=(32, 32))] * 2)
    assert torch.equal(ids, large.argmax(dim=1, keepdim=True))
    loss = head.loss_on_targets('seg', (logits, ), labels, [])['loss_ce']
    torch.testing.assert_close(loss, F.cross_entropy(large, labels[:, 0]))


def test_accuracy_is_that_of_mmseg_at_full_resolution():
    torch.manual_seed(0)
    logits, labels = torch.randn(2, 4, 12, 10), torch.randint(4, (2, 12, 10))
    labels[:, 5:] = 255
    wanted = accuracy(logits, labels, ignore_index=255)[0]
    torch.testing.assert_close(cell_accuracy(logits, labels[:, None]), wanted)
    # of a coarser map: labels in the centers of its cells
    coarse = logits[..., ::2, ::2]
    wanted = accuracy(coarse, labels[:, 1::2, 1::2], ignore_index=255)[0]
    torch.testing.assert_close(cell_accuracy(coarse, labels[:, None]), wanted)
    assert cell_accuracy(logits, torch.full_like(labels[:, None], 255)) == 0


@pytest.mark.parametrize('loss', [
    dict(type='DiceLoss'),
    dict(type='TverskyLoss'),
    dict(type='LovaszLoss', per_image=True),
    dict(type='LovaszLoss', reduction='none'),
    dict(type='HuasdorffDisstanceLoss'),
    [dict(type='CrossEntropyLoss'),
     dict(type='DiceLoss', loss_name='loss_dice')],
])
def test_no_loss_teaches_unlabeled_pixels(loss):
    cfg = seg_head_cfg('fpn')
    cfg['head'].dropout_ratio = 0.
    cfg['head'].loss_decode = loss
    head = MODELS.build(cfg)
    targets = torch.full((2, 1, SIZE, SIZE), 255)

    def gradient_of():
        outputs = head(make_feats(2, levels=4, first_stride=4))
        outputs[0].retain_grad()
        losses = head.loss_on_targets('seg', outputs, targets, [{}] * 2)
        losses.pop('acc_seg')
        sum(losses.values()).backward()
        return sum(losses.values()), outputs[0].grad

    loss, gradient = gradient_of()
    assert loss == 0 and gradient.abs().max() == 0
    targets[:, :, :SIZE // 8] = torch.randint(4, (2, 1, SIZE // 8, SIZE))
    loss, gradient = gradient_of()
    row = gradient.shape[-2] // 8
    assert loss > 0 and gradient[:, :, :row].abs().max() > 0
    # bilinear enlarging reaches into the next row of cells
    assert gradient[:, :, row + 1:].abs().max() == 0


def test_labeled_pixels_have_the_gradient_of_the_library():
    torch.manual_seed(0)
    logits = torch.randn(2, 4, 8, 8, requires_grad=True)
    labels = torch.randint(0, 4, (2, 8, 8))
    labels[0, :3] = 255
    dice = MODELS.build(dict(type='mmseg.DiceLoss'))
    ours = LabeledPixelsOnly(dice)(logits, labels)
    wanted = dice(logits, labels, ignore_index=255)
    assert ours == wanted
    ours, = torch.autograd.grad(ours, logits)
    wanted, = torch.autograd.grad(wanted, logits)
    wanted[0, :, :3] = 0.
    torch.testing.assert_close(ours, wanted)


def test_class_weights_average_over_the_weights():
    cfg = seg_head_cfg('fpn')
    cfg['head'].dropout_ratio = 0.
    weights = [1., 2., 3., 4.]
    cfg['head'].loss_decode.class_weight = weights
    head = MODELS.build(cfg).eval()
    sample = make_sample(('sem_seg', ))
    sample.gt_sem_seg.sem_seg[:, :64] = 255
    outputs = head(make_feats(1, levels=4, first_stride=4))
    targets, _ = head.targets('seg', [sample])
    losses = head.loss_on_targets('seg', outputs, targets, [sample.metainfo],
                                  None)
    logits = F.interpolate(
        outputs[0], (SIZE, SIZE), mode='bilinear', align_corners=False)
    wanted = F.cross_entropy(
        logits, targets[:, 0], torch.tensor(weights), ignore_index=255)
    torch.testing.assert_close(losses['loss_ce'], wanted)


def test_unlabeled_pixels_do_not_dilute_a_weighted_sigmoid():
    """There the weights are those of the positive side."""
    loss = LabeledPixelMean(
        CrossEntropyLoss(use_sigmoid=True, class_weight=[3.]))
    torch.manual_seed(0)
    logits = torch.randn(1, 1, 4, 6)
    labels = torch.randint(0, 2, (1, 4, 6))
    wanted = F.binary_cross_entropy_with_logits(
        logits[..., :3], labels[:, None, :, :3].float(),
        pos_weight=torch.tensor([3.]))
    labels[..., 3:] = 255
    torch.testing.assert_close(loss(logits, labels), wanted)


# ---------------------------------------------------------------- candidates
def as_candidates(labels, num_classes=4):
    """Class ids as sets of one class, in a table of another order."""
    order = torch.tensor([2, 0, 3, 1])
    numbers = torch.where(labels == 255, 255, order[labels % 255])
    classes = torch.eye(num_classes).bool()[order.argsort()]
    return CandidateMap(numbers, classes.expand(len(labels), -1, -1))


@pytest.mark.parametrize('change', [
    dict(),
    dict(loss_decode=dict(type='CrossEntropyLoss',
                          class_weight=[1., 2., 3., 4.], loss_weight=.5)),
    dict(loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=True)),
    dict(sampler=dict(type='OHEMPixelSampler', thresh=.3, min_kept=500)),
    dict(loss_decode=[
        dict(type='CrossEntropyLoss'),
        dict(type='DiceLoss', loss_name='loss_dice'),
        dict(type='LovaszLoss', reduction='none')]),
])
@pytest.mark.parametrize('name', ['fpn', 'fcn'])
def test_sets_of_one_class_are_class_ids(name, change):
    cfg = seg_head_cfg(name)
    cfg['head'].update(dropout_ratio=0., **change)
    if 'auxiliary_head' in cfg:
        cfg['auxiliary_head'].dropout_ratio = 0.
    head = without_statistics(MODELS.build(cfg).train())
    targets = torch.randint(4, (2, 1, SIZE, SIZE))
    targets[0, :, :50] = 255
    outputs = head(make_feats(2, levels=4, first_stride=4))
    for output in outputs:
        output.retain_grad()
    found = []
    for given in (targets, as_candidates(targets)):
        losses = head.loss_on_targets('seg', outputs, given, [], None)
        total = sum(x for key, x in losses.items() if 'loss' in key)
        grads = torch.autograd.grad(total, outputs, retain_graph=True)
        found.append((losses, grads))
    torch.testing.assert_close(*found, rtol=1e-6, atol=1e-6)


def test_a_set_has_the_summed_probability_of_its_classes():
    """Class weights are for pixels with one class; sets weigh 1."""
    torch.manual_seed(0)
    weights = torch.tensor([1., 2., 3., 4.])
    loss = LabeledPixelMean(
        CrossEntropyLoss(class_weight=weights.tolist(), loss_weight=.5))
    logits = torch.randn(1, 4, 1, 4)
    candidates = CandidateMap(
        torch.tensor([[[[0, 1, 2, 255]]]]),
        torch.tensor([[[0, 0, 1, 0], [1, 0, 0, 1], [1, 1, 1, 0]]]).bool())
    p = logits[0, :, 0].softmax(dim=0)
    nll = -torch.stack([3 * p[2, 0].log(), (p[0, 1] + p[3, 1]).log(),
                        (1 - p[3, 2]).log()])
    torch.testing.assert_close(
        loss.on_candidates(logits, candidates), .5 * nll.sum() / (3 + 1 + 1))
    # a sampler has a say in pixels with one class
    chosen = torch.zeros(1, 1, 4)
    torch.testing.assert_close(
        loss.on_candidates(logits, candidates, chosen),
        .5 * nll[1:].sum() / (3 + 1 + 1))


@pytest.mark.parametrize('use_sigmoid', [False, True])
def test_many_pixels_in_half_precision(use_sigmoid):
    """Their number is beyond the largest half."""
    torch.manual_seed(0)
    loss = LabeledPixelMean(CrossEntropyLoss(use_sigmoid=use_sigmoid))
    logits = torch.randn(1, 3, 300, 300)
    candidates = CandidateMap(
        torch.randint(2, (1, 1, 300, 300)),
        torch.tensor([[[1, 0, 0], [1, 1, 0]]]).bool())
    wanted = loss.on_candidates(logits, candidates)
    for dtype in (torch.float16, torch.bfloat16):
        torch.testing.assert_close(
            loss.on_candidates(logits.to(dtype), candidates), wanted,
            rtol=1e-3, atol=1e-3)


def test_the_accuracy_of_a_set_is_whether_it_holds_the_answer():
    logits = F.one_hot(torch.tensor([[[0, 1], [2, 3]]]), 4)
    candidates = CandidateMap(
        torch.tensor([[[[0, 0], [1, 255]]]]),
        torch.tensor([[[1, 0, 1, 0], [0, 0, 1, 1]]]).bool())
    found = cell_accuracy(logits.permute(0, 3, 1, 2).float(), candidates)
    assert found.item() == pytest.approx(200 / 3)


def test_prediction_cuts_the_padding_then_resizes():
    """A left half of the image stays the left half of the prediction."""
    head = build('fpn').eval()
    logits = torch.zeros(1, 4, 16, 16)
    logits[:, 2, :, :6] = 5.  # 48 of 96 image columns, 128 with padding
    logits[:, 1, :, 6:] = 5.
    head.head.forward = lambda feats: logits
    sample = make_sample(())
    sample.set_metainfo(dict(
        img_shape=(128, 96), ori_shape=(64, 48), scale_factor=(2., 2.)))
    head.add_predictions((), torch.zeros(1, 3, 128, 128), [sample], None)
    ids = sample.pred_sem_seg.data
    assert ids.shape == (1, 64, 48)
    assert (ids[..., :23] == 2).all() and (ids[..., 25:] == 1).all()
    assert sample.pred_sem_seg.sem_seg is ids


@pytest.mark.parametrize('steps, img_shape', [
    ([dict(type='mmdet.Resize', scale=(128, 128), keep_ratio=True)],
     (64, 128)),
    ([dict(type='mmdet.Resize', scale=(128, 128), keep_ratio=True),
      dict(type='mmdet.Pad', size=(128, 128))], (128, 128)),
    ([dict(type='mmdet.Resize', scale=(128, 128), keep_ratio=False)],
     (128, 128)),
    ([], (80, 160)),
])
def test_prediction_cuts_the_padding_of_the_pipeline(steps, img_shape):
    """A network that says what color a pixel has is right everywhere."""
    head = build('fpn').eval()
    image = np.zeros((80, 160, 3), dtype=np.uint8)
    image[:, 40:] = 255
    packed = Compose([
        TRANSFORMS.build(step) for step in [
            dict(type='mmdet.LoadImageFromNDArray'), *steps,
            dict(type='mmdet.PackDetInputs', meta_keys=(
                'img_shape', 'ori_shape', 'scale_factor'))
        ]
    ])(dict(img=image, img_path='', img_id=0))
    sample = packed['data_samples']
    assert sample.img_shape == img_shape
    bright = (packed['inputs'][None, :1] > 127).float()
    logits = torch.cat([1 - bright, bright], dim=1)
    head.head.forward = lambda feats: logits
    head.add_predictions((), packed['inputs'][None], [sample], None)
    ids = sample.pred_sem_seg.sem_seg
    assert ids.shape == (1, 80, 160)
    assert (ids[..., :39] == 0).all() and (ids[..., 41:] == 1).all()


def test_slide_mode_averages_overlapping_windows():
    cfg = seg_head_cfg('fpn')
    cfg['test_cfg'] = dict(mode='slide', crop_size=(64, 64), stride=(32, 48))
    head = MODELS.build(cfg).eval()
    torch.manual_seed(0)
    inputs = torch.randn(1, 3, 128, 112)
    head.head.forward = lambda feats: feats * torch.tensor(
        [1., -1., .5, 0.]).view(1, 4, 1, 1)
    sample = make_sample(())
    sample.set_metainfo(dict(img_shape=(128, 112), ori_shape=(128, 112)))

    def extract(x):
        return x.mean(dim=1, keepdim=True) + x.mean()

    head.add_predictions((), inputs, [sample], extract)

    total = np.zeros((4, 128, 112))
    count = np.zeros((128, 112))
    for top in (0, 32, 64):
        for left in (0, 48):
            window = inputs[..., top:top + 64, left:left + 64]
            value = (window.mean(1) + window.mean())[0].numpy()
            for c, factor in enumerate([1., -1., .5, 0.]):
                total[c, top:top + 64, left:left + 64] += value * factor
            count[top:top + 64, left:left + 64] += 1
    wanted = total / count
    np.testing.assert_allclose(
        head._slide(inputs, extract)[0], wanted, atol=1e-5)
    found = sample.pred_sem_seg.data[0].numpy()
    assert (found == wanted.argmax(axis=0)).mean() > .999


@pytest.mark.parametrize('size, window, step, wanted', [
    (10, 4, 3, [0, 3, 6]), (11, 4, 3, [0, 3, 6, 7]), (4, 4, 2, [0]),
    (3, 4, 2, [0])
])
def test_window_starts(size, window, step, wanted):
    assert window_starts(size, window, step) == wanted


@pytest.mark.parametrize('head, name', [
    (dict(type='PointHead', in_channels=[8], in_index=[0], channels=8,
          num_classes=4), 'PointHead'),
    (dict(type='DDRHead', in_channels=8, channels=8, num_classes=4),
     'DDRHead'),
])
def test_heads_that_do_not_fit_are_refused_by_name(head, name):
    with pytest.raises(UserError, match=name):
        MODELS.build(dict(type='SegTaskHead', head=head))


def test_ignored_pixels_have_one_value():
    head = dict(type='FCNHead', in_channels=8, channels=8, num_classes=4)
    with pytest.raises(ValueError, match='FCNHead has ignore_index=0'):
        MODELS.build(
            dict(type='SegTaskHead', head=dict(head, ignore_index=0)))


def test_one_logit_for_two_classes_is_refused_and_two_do_it():
    """MMSegmentation's binary loss fails where no pixel has a label."""
    cfg = seg_head_cfg('fpn')
    cfg['head'].update(
        num_classes=2, out_channels=1, threshold=.5,
        loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=True))
    with pytest.raises(UserError, match='FPNHead with out_channels=1'):
        MODELS.build(cfg)
    for use_sigmoid in (False, True):
        cfg['head'].update(
            num_classes=2, out_channels=None, threshold=None,
            loss_decode=dict(
                type='CrossEntropyLoss', use_sigmoid=use_sigmoid))
        head = MODELS.build(cfg)
        losses = head.loss_on_targets(
            'seg', head(make_feats(1, levels=4, first_stride=4)),
            torch.full((1, 1, SIZE, SIZE), 255),
            [make_sample(()).metainfo], None)
        assert losses['loss_ce'] == 0


def test_unknown_or_incomplete_test_mode_is_an_error():
    cfg = seg_head_cfg('fpn')
    with pytest.raises(ValueError, match='crop_size'):
        MODELS.build(dict(cfg, test_cfg=dict(mode='slide')))
    with pytest.raises(ValueError, match='whole'):
        MODELS.build(dict(cfg, test_cfg=dict(mode='tiles')))
    for stride in ((65, 64), (64, 65), (0, 64)):
        with pytest.raises(ValueError, match='stride=.*crop_size='):
            MODELS.build(
                dict(cfg, test_cfg=dict(
                    mode='slide', crop_size=(64, 64), stride=stride)))


def crf_model(**test_cfg):
    """A whole network whose logits are given: right but for speckles."""
    cfg = tiny_model_cfg()
    cfg['task_heads']['seg']['test_cfg'] = dict(mode='whole', **test_cfg)
    model = MODELS.build(cfg).eval()
    truth = torch.zeros(96, 128, dtype=torch.long)
    truth[20:70, 30:80] = 2
    shown = truth.clone()
    shown[::9, ::7] = 1
    logits = 3. * F.one_hot(shown, 4).permute(2, 0, 1)[None]
    model.task_heads['seg'].head.forward = lambda feats: logits
    image = torch.full((3, 96, 128), 60, dtype=torch.uint8)
    image[:, truth > 0] = torch.tensor([[20], [90], [220]], dtype=torch.uint8)
    sample = make_sample(())
    sample.set_metainfo(
        dict(img_shape=(96, 128), ori_shape=(96, 128), scale_factor=(1., 1.)))
    return model, dict(inputs=[image], data_samples=[sample]), truth


def test_crf_sees_the_image_and_removes_speckles():
    speckled = crf_model()
    refined = crf_model(crf='rrm_infer')
    copied = copy.deepcopy(refined[0]), *refined[1:]
    for (model, data, truth), right in [(speckled, False), (refined, True),
                                        (copied, True)]:
        ids = model.test_step(data)[0].pred_sem_seg.data[0]
        assert (ids == truth).all() == right


@pytest.mark.parametrize('conversion', [dict(), dict(bgr_to_rgb=True)])
@pytest.mark.parametrize(
    'norm',
    [dict(), dict(mean=[120., 110., 100.], std=[60., 50., 40.])])
def test_raw_images_undo_the_preprocessor(conversion, norm):
    preprocessor = MODELS.build(
        dict(type='MultiTaskDataPreprocessor', **conversion, **norm))
    bgr = torch.randint(256, (3, 8, 10), dtype=torch.uint8)
    inputs = preprocessor(dict(inputs=[bgr], data_samples=[make_sample(
        ())]))['inputs']
    torch.testing.assert_close(
        raw_images(inputs.float(), preprocessor)[0],
        bgr.flip(0).float())


@pytest.mark.parametrize('crf', ['rrm', dict(gaussian_sxy=3), 4])
def test_wrong_crf_is_an_error(crf):
    cfg = seg_head_cfg('fpn')
    with pytest.raises(UserError, match='^crf=.* rrm_infer.*gaussian_compat'):
        MODELS.build(dict(cfg, test_cfg=dict(mode='whole', crf=crf)))
