# Copyright (c) mmbombo contributors.
import copy

import pytest
import torch
from mmengine.logging import MessageHub
from mmengine.structures import InstanceData, PixelData

from mmbombo.models.detectors import StepContext
from mmbombo.models.utils import select_images
from mmbombo.registry import MODELS
from mmbombo.testing import SIZE, make_sample, tiny_model_cfg

KINDS = [('bbox', ), ('bbox', ), ('sem_seg', ), (), ('bbox', 'sem_seg')]
WEAK = [
    dict(type='BoxForMaskLoss'),
    dict(type='MaskForBoxLoss', ramp=0., predictor='none')
]


def build(**kwargs):
    model = MODELS.build(tiny_model_cfg(**kwargs))
    model.init_weights()
    model.train()
    for module in model.modules():  # statistics would couple the images
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval()
    return model


def batch(kinds=KINDS, weak_fields=True):
    inputs = torch.randn(
        len(kinds), 3, SIZE, SIZE, generator=torch.Generator().manual_seed(7))
    samples = [make_sample(k, seed=i) for i, k in enumerate(kinds)]
    for sample in samples if weak_fields else []:
        if sample.annotation_kinds == ('bbox', ):
            ids = torch.zeros(1, SIZE, SIZE).long()
            ids[:, 20:60, 20:60] = 1
            sample.pseudo_sem_seg = PixelData(sem_seg=ids, data=ids)
        if sample.annotation_kinds == ('sem_seg', ):
            ids = torch.zeros(1, SIZE, SIZE).long()
            ids[:, 10:50, 30:90] = 2
            sample.gt_sem_seg = PixelData(sem_seg=ids, data=ids)
            sample.component_map = PixelData(data=(ids > 0).long())
            sample.components = InstanceData(
                bboxes=torch.tensor([[30., 10., 90., 50.]]),
                labels=torch.tensor([2]),
                areas=torch.tensor([2400.]),
                ignored=torch.tensor([False]))
    return inputs, samples


def total(losses):
    return sum(
        sum(x.sum() for x in value) if isinstance(value, list) else value.sum()
        for key, value in losses.items() if 'loss' in key)


def test_each_task_learns_from_its_own_images():
    """The joint losses are those of the sub-batches."""
    model = build()
    inputs, samples = batch()
    losses = model.loss(inputs, samples)
    for task, images in dict(det=[0, 1, 4], seg=[2, 4]).items():
        alone = model.loss(inputs[images], [samples[i] for i in images])
        for key, value in losses.items():
            if key.startswith(task):
                torch.testing.assert_close(value, alone[key])


def test_an_image_without_annotation_changes_nothing():
    model = build()
    inputs, samples = batch()
    before = total(model.loss(inputs, samples))
    inputs[3] += 10
    torch.testing.assert_close(total(model.loss(inputs, samples)), before)


def test_weak_losses_are_the_heads_losses_on_pseudo_labels():
    """A box-only image with a pseudo mask learns as if the mask were true."""
    model = build(weak_losses=WEAK)
    inputs, samples = batch()
    losses = model.loss(inputs, samples)

    as_true = [copy.deepcopy(x) for x in samples[:2]]
    for sample in as_true:
        sample.set_metainfo(dict(annotation_kinds=('sem_seg', )))
        sample.gt_sem_seg = sample.pseudo_sem_seg
    naive = build()
    naive.load_state_dict(model.state_dict())
    wanted = naive.loss(inputs[:2], as_true)['seg/loss_ce']
    torch.testing.assert_close(losses['b4m/loss_ce'], wanted)

    rectangle = copy.deepcopy(samples[2])
    rectangle.set_metainfo(dict(annotation_kinds=('bbox', )))
    rectangle.gt_instances = InstanceData(
        bboxes=rectangle.components.bboxes, labels=torch.tensor([1]))
    rectangle.ignored_instances = InstanceData(
        bboxes=torch.zeros(0, 4), labels=torch.zeros(0).long())
    wanted = naive.loss(inputs[2:3], [rectangle])
    for key in ('loss_cls', 'loss_bbox', 'loss_dfl'):
        torch.testing.assert_close(losses[f'm4b/{key}'],
                                   wanted[f'det/{key}'])
    assert losses['m4b/num_kept'] == 1
    assert samples[2].pseudo_instances.bboxes.tolist() == [[30, 10, 90, 50]]


def test_backbone_and_heads_run_once_per_step():
    model = build(weak_losses=[
        WEAK[0], dict(type='MaskForBoxLoss', predictor='self')
    ])
    calls = []
    for module, name in [(model.backbone, 'backbone'), (model.neck, 'neck'),
                         (model.task_heads.det.head, 'det'),
                         (model.task_heads.seg.head, 'seg')]:
        module.register_forward_hook(
            lambda *_, name=name: calls.append(name))
    model.loss(*batch())
    assert sorted(calls) == ['backbone', 'det', 'neck', 'seg']


def test_heads_run_only_where_a_loss_needs_them():
    inputs, samples = batch()
    naive = StepContext(build(), inputs, samples)
    assert naive.plan == dict(det=[0, 1, 4], seg=[2, 4])
    bombo = StepContext(build(weak_losses=WEAK), inputs, samples)
    assert bombo.plan == dict(det=[0, 1, 2, 4], seg=[0, 1, 2, 4])


@pytest.mark.parametrize('kinds', [[('bbox', )], [('sem_seg', )], [()]])
def test_a_step_without_images_of_a_task_reaches_all_parameters(kinds):
    model = build()
    losses = model.loss(*batch(kinds))
    loss, _ = model.parse_losses(losses)
    loss.backward()
    missing = [
        name for name, p in model.named_parameters() if p.requires_grad
        and p.grad is None and name.startswith('task_heads')
    ]
    assert not missing
    if ('sem_seg', ) not in kinds:
        assert losses['seg/loss_no_images'] == 0


def test_heads_are_initialised_as_their_libraries_do():
    model = build()
    bias = model.task_heads.det.head.gfl_cls.bias
    torch.testing.assert_close(bias, torch.full_like(bias, -4.59512))
    weight = model.task_heads.seg.head.conv_seg.weight
    assert .005 < weight.std() < .02


def test_unreached_parameters_are_frozen():
    cfg = tiny_model_cfg()
    cfg['neck']['num_outs'] = 5
    cfg['neck']['add_extra_convs'] = 'on_output'  # its level has no reader
    model = MODELS.build(cfg)
    frozen = [n for n, p in model.named_parameters() if not p.requires_grad]
    assert frozen == [
        'neck.fpn_convs.4.conv.weight', 'neck.fpn_convs.4.conv.bias'
    ]
    assert model.training


@pytest.mark.parametrize('progress, weight', [(0, 0.), (5, 1.), (10, 2.),
                                              (50, 2.)])
def test_ramp(progress, weight):
    model = build(weak_losses=[
        dict(type='BoxForMaskLoss', loss_weight=2., ramp=.1)
    ])
    hub = MessageHub.get_current_instance()
    hub.update_info('max_iters', 100)
    hub.update_info('iter', progress)
    try:
        ramped = model.loss(*batch())['b4m/loss_ce']
    finally:
        for key in ('max_iters', 'iter'):
            hub.runtime_info.pop(key)
    full = model.loss(*batch())['b4m/loss_ce'] / 2
    torch.testing.assert_close(ramped, full * weight)


def test_another_predictor_is_asked_but_is_no_part_of_the_model():
    model = build(weak_losses=[
        dict(type='MaskForBoxLoss', predictor='ema', score_thr=0., ramp=0.)
    ])
    names = set(model.state_dict())
    inputs, samples = batch()
    before = model.loss(inputs, samples)
    assert before['m4b/num_kept'] == 1  # nobody predicts yet

    other = copy.deepcopy(model).eval()
    asked = []

    def decode(task, images, metas, cfg):
        asked.append(images.shape)
        return [
            InstanceData(
                bboxes=torch.tensor([[30., 10., 60., 50.],
                                     [60., 10., 90., 50.]]),
                scores=torch.tensor([.9, .8]),
                labels=torch.tensor([1, 1]))
        ]

    other.decode = decode
    model.set_predictor('ema', other)
    after = model.loss(inputs, samples)
    assert asked == [(1, 3, SIZE, SIZE)]
    assert after['m4b/num_split'] == 2 and after['m4b/num_kept'] == 0
    assert samples[2].pseudo_instances.bboxes.tolist() == [[30, 10, 60, 50],
                                                           [60, 10, 90, 50]]
    assert set(model.state_dict()) == names
    assert copy.deepcopy(model).predictors.get('ema') is None


def test_prediction_is_at_the_original_size():
    model = build().eval()
    model.task_heads.det.test_cfg.score_thr = 0.
    inputs, samples = batch()
    for sample in samples:
        sample.set_metainfo(
            dict(
                img_shape=(128, 100),
                ori_shape=(64, 50),
                scale_factor=(2., 2.)))
    with torch.no_grad():
        results = model.predict(inputs, samples)
    for sample in results:
        assert sample.pred_sem_seg.sem_seg.shape == (1, 64, 50)
        assert sample.pred_instances.bboxes[:, [0, 2]].max() <= 50
        assert sample.pred_instances.bboxes[:, [1, 3]].max() <= 64


def test_missing_weak_labels_say_what_to_add():
    inputs, samples = batch(weak_fields=False)
    with pytest.raises(KeyError, match='LoadPseudoMask'):
        build(weak_losses=WEAK[:1]).loss(inputs, samples)
    with pytest.raises(KeyError, match='LabelComponents'):
        build(weak_losses=WEAK[1:]).loss(inputs, samples)


def test_classes_are_checked_when_the_model_is_built():
    classes = dict(det_classes=('a', 'b'), seg_classes=('background', 'a'))
    with pytest.raises(ValueError, match='num_classes=3'):
        MODELS.build(tiny_model_cfg(class_map=classes))


def test_weak_loss_for_a_task_that_is_not_there():
    cfg = tiny_model_cfg(weak_losses=WEAK)
    cfg['task_heads'].pop('det')
    with pytest.raises(ValueError, match="MaskForBoxLoss.*'det'"):
        MODELS.build(cfg)


def test_unknown_predictor_and_bad_weights_are_errors():
    with pytest.raises(ValueError, match="'ema'"):
        MODELS.build(dict(type='MaskForBoxLoss', predictor='teacher'))
    with pytest.raises(ValueError, match='loss_weight=-1'):
        MODELS.build(dict(type='BoxForMaskLoss', loss_weight=-1))


def test_detection_class_that_no_mask_shows_is_no_negative():
    """A class without segmentation class has no gradient on mask images."""
    class_map = dict(
        det_classes=('cat', 'dog', 'cow'),
        seg_classes=('background', 'cat', 'dog', 'sky'))
    model = build(
        class_map=class_map,
        weak_losses=[
            dict(type='MaskForBoxLoss', predictor='none', ramp=0.)
        ])
    inputs, samples = batch([('sem_seg', )])
    ctx = StepContext(model, inputs, samples)
    scores = [x.detach().requires_grad_() for x in ctx.outputs('det')[0]]
    ctx._outputs['det'] = (scores, *ctx.outputs('det')[1:])
    total(model.weak_losses[0](ctx)).backward()
    grads = [x.grad.abs().amax(dim=(0, 2, 3)) for x in scores]
    assert all(g[2] == 0 for g in grads[:2])
    assert all(g[0] > 0 for g in grads)


def test_unlabelled_pixels_are_no_negatives_for_the_detector():
    model = build(weak_losses=[WEAK[1]])
    inputs, samples = batch([('sem_seg', )])
    samples[0].gt_sem_seg.sem_seg[:, 96:, :64] = 255
    _, ignore, _ = model.weak_losses[0].pseudo_boxes(
        StepContext(model, inputs, samples), [0])
    assert ignore.pixels[0, 96:, :64].all()
    assert ignore.pixels.sum() == 32 * 64


@pytest.mark.parametrize('positions', [[0, 1, 2, 3], [1, 2], [0, 3], [2]])
def test_select_images(positions):
    x = torch.arange(8.).view(4, 2)
    got = select_images((x, [x + 1, dict(a=x)]), positions, 4)
    assert torch.equal(got[0], x[positions])
    assert torch.equal(got[1][0], x[positions] + 1)
    assert torch.equal(got[1][1]['a'], x[positions])
