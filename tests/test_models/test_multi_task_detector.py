# Copyright (c) mmbombo contributors.
import copy

import pytest
import torch
from mmengine.structures import InstanceData
from toolbox import (SIZE, add_weak_labels, make_sample, seg_head_cfg,
                     tiny_model, tiny_model_cfg)

from mmbombo.models.context import StepContext
from mmbombo.registry import MODELS
from mmbombo.utils import UserError

KINDS = [('bbox', ), ('bbox', ), ('sem_seg', ), (), ('bbox', 'sem_seg')]
WEAK = [
    dict(type='BoxForMaskLoss'),
    dict(type='MaskForBoxLoss', ramp=0., predictor='none')
]

UNFROZEN = dict(
    type='mmdet.ResNet', depth=18, base_channels=8, norm_eval=False,
    frozen_stages=-1)


def batch(kinds=KINDS, weak_fields=True):
    inputs = torch.randn(
        len(kinds), 3, SIZE, SIZE, generator=torch.Generator().manual_seed(7))
    samples = [make_sample(k, seed=i) for i, k in enumerate(kinds)]
    for sample in samples if weak_fields else []:
        add_weak_labels(sample, {2: (30, 10, 90, 50)})
    return inputs, samples


def gradients(model, losses):
    model.zero_grad()
    total(losses).backward()
    return {
        name: p.grad.clone()
        for name, p in model.named_parameters() if p.grad is not None
    }


def total(losses):
    return sum(
        sum(x.sum() for x in value) if isinstance(value, list) else value.sum()
        for key, value in losses.items() if 'loss' in key)


def test_each_task_learns_from_its_own_images():
    """The joint losses are those of the sub-batches."""
    model = tiny_model()
    inputs, samples = batch()
    losses = model.loss(inputs, samples)
    for task, images in dict(det=[0, 1, 4], seg=[2, 4]).items():
        alone = model.loss(inputs[images], [samples[i] for i in images])
        for key, value in losses.items():
            if key.startswith(task):
                torch.testing.assert_close(value, alone[key])


def test_weak_losses_are_the_heads_losses_on_pseudo_labels():
    """A box-only image with a pseudo mask learns as if the mask were true."""
    model = tiny_model(*WEAK)
    inputs, samples = batch()
    losses = model.loss(inputs, samples)

    as_true = [copy.deepcopy(x) for x in samples[:2]]
    for sample in as_true:
        sample.set_metainfo(dict(annotation_kinds=('sem_seg', )))
        sample.gt_sem_seg = sample.pseudo_sem_seg
    naive = tiny_model()
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


@pytest.mark.parametrize('mode', ['loss', 'predict'])
def test_backbone_and_heads_run_once(mode):
    model = tiny_model(weak_losses=[
        WEAK[0], dict(type='MaskForBoxLoss', predictor='self')
    ]).train(mode == 'loss')
    calls = []
    for module, name in [(model.backbone, 'backbone'), (model.neck, 'neck'),
                         (model.task_heads.det.head, 'det'),
                         (model.task_heads.seg.head, 'seg')]:
        module.register_forward_hook(
            lambda *_, name=name: calls.append(name))
    with torch.set_grad_enabled(mode == 'loss'):
        model(*batch(), mode=mode)
    assert sorted(calls) == ['backbone', 'det', 'neck', 'seg']


@pytest.mark.parametrize('weak, mode, wanted', [
    ((), 'joint', dict(det=[3], seg=[2])),
    (WEAK, 'joint', dict(det=[4], seg=[4])),
    (WEAK[:1], 'joint', dict(det=[3], seg=[4])),
    ([dict(type='SegmentationKLLoss', teacher='t'),
      dict(type='SoftDetectionLoss', teacher='t')], 'joint',
     dict(det=[5], seg=[5])),
    # a pass for each kind of annotation
    ((), 'per_task', dict(det=[1, 2], seg=[1, 1])),
    (WEAK, 'per_task', dict(det=[1, 1, 2], seg=[1, 1, 2])),
])
def test_heads_see_each_image_once_and_only_where_a_loss_needs_it(
        weak, mode, wanted):
    """Numbers of images of each call, of five with four annotated ones."""
    model = tiny_model(weak_losses=weak, forward_mode=mode)
    if 'teacher' in str(weak):
        model.set_teacher('t', tiny_model())
    seen = dict(det=[], seg=[])
    for task, numbers in seen.items():
        model.task_heads[task].head.register_forward_hook(
            lambda module, inputs, output, numbers=numbers: numbers.append(
                len(inputs[0][0])))
    model.loss(*batch())
    assert {task: sorted(numbers) for task, numbers in seen.items()} == wanted


def test_heads_are_initialized_as_their_libraries_do():
    model = tiny_model()
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


@pytest.mark.parametrize('error', [RuntimeError, AssertionError, ValueError])
def test_network_that_takes_no_probe_keeps_its_parameters(
        monkeypatch, error):

    def fixed_size(self, x):
        raise error('images must have 96 x 96 pixels')

    monkeypatch.setattr(MODELS.get('mmdet.ResNet'), 'forward', fixed_size)
    said = []
    monkeypatch.setattr(
        'mmbombo.models.utils.probe.print_log',
        lambda text, **kwargs: said.append(text))
    model = MODELS.build(tiny_model_cfg())
    assert all(p.requires_grad for p in model.parameters())
    assert len(said) == 1 and said[0].endswith('must have 96 x 96 pixels')


@pytest.mark.parametrize('tasks, wanted', [
    (['seg'], [(64, 64)] * 4),
    (['det', 'seg'], [(128, 128)] + [(64, 64)] * 4),
])
def test_windows_alone_need_no_features_of_the_whole_image(
        tasks, wanted, monkeypatch):
    cfg = tiny_model_cfg()
    cfg['task_heads'] = {task: cfg['task_heads'][task] for task in tasks}
    cfg['task_heads']['seg']['test_cfg'] = dict(
        mode='slide', crop_size=(64, 64), stride=(64, 64))
    model = MODELS.build(cfg).eval()
    seen = []
    extract = model.extract_feat
    monkeypatch.setattr(
        model, 'extract_feat',
        lambda x: seen.append(tuple(x.shape[-2:])) or extract(x))
    inputs, samples = batch([('sem_seg', )])
    sample, = model.predict(inputs, samples)
    assert seen == wanted
    assert sample.pred_sem_seg.sem_seg.shape == (1, 128, 128)
    assert ('pred_instances' in sample) == ('det' in tasks)


def test_auxiliary_heads_are_trained():
    """They run in training only, and are not frozen for it."""
    cfg = tiny_model_cfg()
    cfg['task_heads']['seg']['auxiliary_head'] = seg_head_cfg(
        'fcn', channels=16)['auxiliary_head']
    model = MODELS.build(cfg).train()
    losses = model.loss(*batch([('bbox', ), ('sem_seg', ), ('sem_seg', )]))
    assert losses['seg/aux_0.loss_ce'] > 0
    gradients(model, losses)
    for name, p in model.task_heads.seg.auxiliary_heads.named_parameters():
        assert p.requires_grad and p.grad is not None, name


def test_prediction_is_at_the_original_size():
    model = tiny_model().eval()
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
    ctx = StepContext(model, inputs, samples)
    in_input_pixels = ctx.predict('det', ctx.plan['det'])
    assert len(in_input_pixels) == 3
    for i, boxes in zip(ctx.plan['det'], in_input_pixels):
        assert results[i].pred_sem_seg.sem_seg.shape == (1, 64, 50)
        assert len(boxes) > 0
        torch.testing.assert_close(results[i].pred_instances.bboxes,
                                   boxes.bboxes / 2)


def test_missing_weak_labels_say_what_to_add():
    inputs, samples = batch(weak_fields=False)
    with pytest.raises(UserError, match='LoadPseudoMask'):
        tiny_model(*WEAK[:1]).loss(inputs, samples)
    with pytest.raises(UserError, match='LabelComponents'):
        tiny_model(*WEAK[1:]).loss(inputs, samples)


def test_classes_are_checked_when_the_model_is_built():
    classes = dict(det_classes=('a', 'b'), seg_classes=('background', 'a'))
    with pytest.raises(ValueError, match='num_classes=3'):
        MODELS.build(tiny_model_cfg(class_map=classes))


def test_detection_class_that_no_mask_shows_is_no_negative():
    """A class without segmentation class has no gradient on mask images."""
    class_map = dict(
        det_classes=('cat', 'dog', 'cow'),
        seg_classes=('background', 'cat', 'dog', 'sky'))
    model = tiny_model(
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


def test_unlabeled_pixels_are_no_negatives_for_the_detector():
    model = tiny_model(WEAK[1])
    inputs, samples = batch([('sem_seg', )])
    samples[0].gt_sem_seg.sem_seg[:, 96:, :64] = 255
    _, ignore, _ = model.weak_losses[0].pseudo_boxes(
        StepContext(model, inputs, samples), [0])
    assert ignore.pixels[0, 96:, :64].all()
    assert ignore.pixels.sum() == 32 * 64


ONE_KIND = [('bbox', ), ('sem_seg', ), ('bbox', ), ('sem_seg', ), ()]


def test_per_task_equals_joint_without_statistics_of_a_batch():
    """Real heads, both weak losses: the same losses and gradients."""
    weak = [WEAK[0], dict(type='MaskForBoxLoss', ramp=0., score_thr=.001)]
    joint = tiny_model(weak_losses=weak)
    per_task = tiny_model(weak_losses=weak, forward_mode='per_task')
    per_task.load_state_dict(joint.state_dict())
    wanted = joint.loss(*batch(ONE_KIND))
    got = per_task.loss(*batch(ONE_KIND))
    assert {'det/loss_dfl', 'seg/loss_ce', 'b4m/loss_ce',
            'm4b/loss_cls'} < got.keys()
    assert got.keys() == wanted.keys()
    for key, value in wanted.items():
        torch.testing.assert_close(got[key], value, rtol=1e-5, atol=1e-6)
    wanted, got = gradients(joint, wanted), gradients(per_task, got)
    assert got.keys() == wanted.keys()
    for name, grad in wanted.items():
        scale = grad.abs().max().clamp(min=1e-6)
        assert (got[name] - grad).abs().max() < 1e-4 * scale, name


def test_per_task_normalizes_each_group_by_itself():
    """As a step on one group alone, and running statistics see both."""
    torch.manual_seed(0)  # the joint loss differs, but with luck not by much
    model = tiny_model(forward_mode='per_task', backbone=UNFROZEN)
    model.train()
    inputs, samples = batch([('bbox', ), ('sem_seg', )] * 2)
    state = copy.deepcopy(model.state_dict())
    together = model.loss(inputs, samples)
    counted = model.backbone.bn1.num_batches_tracked
    assert counted == state['backbone.bn1.num_batches_tracked'] + 2
    running = model.backbone.bn1.running_mean.clone()

    model.load_state_dict(state)
    for images in ([0, 2], [1, 3]):  # in turn, so statistics go on
        alone = model.loss(inputs[images], [samples[i] for i in images])
        for key, value in alone.items():
            if 'no_images' not in key:
                torch.testing.assert_close(together[key], value)
    torch.testing.assert_close(running, model.backbone.bn1.running_mean)

    joint = tiny_model(backbone=UNFROZEN)
    joint.load_state_dict(state)
    joint.train()
    difference = joint.loss(inputs, samples)['seg/loss_ce']
    assert (difference - together['seg/loss_ce']).abs() > 1e-4


@pytest.mark.parametrize('kinds', [
    [('bbox', 'sem_seg')] * 2,
    [('bbox', 'sem_seg'), ('bbox', )],
    [('bbox', 'sem_seg'), ('bbox', ), ('sem_seg', ), ()],
])
def test_per_task_with_images_of_both_kinds(kinds):
    """A task's loss is the mean over the groups, weighted by images."""
    model = tiny_model(forward_mode='per_task')
    inputs, samples = batch(kinds)
    losses = model.loss(inputs, samples)
    assert not any('no_images' in key for key in losses)
    for task, kind in dict(det='bbox', seg='sem_seg').items():
        groups = {}
        for i, of_image in enumerate(kinds):
            if kind in of_image:
                groups.setdefault(of_image, []).append(i)
        wanted = 0.
        for images in groups.values():
            alone = model.loss(inputs[images], [samples[i] for i in images])
            part = {k: v for k, v in alone.items() if k.startswith(task)}
            wanted += total(part) * len(images)
        wanted /= sum(len(images) for images in groups.values())
        got = {k: v for k, v in losses.items() if k.startswith(task)}
        torch.testing.assert_close(total(got), wanted)


def test_an_oracle_keeps_the_batches_of_partial_training():
    """Images with both kinds are normalized with their task's batch only."""
    both = ('bbox', 'sem_seg')
    model = tiny_model(
        forward_mode='per_task',
        backbone=UNFROZEN,
        forward_groups=dict(det=['unmasked', 'masked'], seg=['seg']))
    model.train()
    inputs, samples = batch([('bbox', ), both, both, both])
    for sample, source in zip(samples, ['unmasked', 'masked', 'seg', 'seg']):
        sample.set_metainfo(dict(source=source))
    state = copy.deepcopy(model.state_dict())
    seen = []
    model.backbone.register_forward_hook(
        lambda m, args, _: seen.append(args[0].clone()))
    losses = model.loss(inputs, samples)
    assert len(seen) == 2
    assert torch.equal(seen[0], inputs[:2])
    assert torch.equal(seen[1], inputs[2:])

    model.load_state_dict(state)
    parts = [model.loss(inputs[x], [samples[i] for i in x])
             for x in ([0, 1], [2, 3])]
    first, second = (x['seg/loss_ce'] for x in parts)
    torch.testing.assert_close(losses['seg/loss_ce'],
                               (first + 2 * second) / 3)
    samples[3].set_metainfo(dict(source='other'))
    with pytest.raises(ValueError, match="'other'.*'masked', 'seg'"):
        model.loss(inputs, samples)


def test_only_the_detection_batch_of_an_oracle_changes_its_size():
    model = tiny_model(
        forward_mode='per_task',
        batch_resize=dict(type='DetBatchResize', sizes=(64, ), until=1.1),
        forward_groups=dict(det=['det'], seg=['seg']))
    inputs, samples = batch([('bbox', 'sem_seg')] * 2)
    for sample, source in zip(samples, ['det', 'seg']):
        sample.set_metainfo(dict(source=source))
    sizes = []
    model.backbone.register_forward_hook(
        lambda m, args, _: sizes.append(args[0].shape[-1]))
    model.loss(inputs, samples)
    assert sizes == [64, SIZE]


def test_per_task_step_without_annotation_or_boxes():
    model = tiny_model(forward_mode='per_task', weak_losses=WEAK)
    assert total(model.loss(*batch([(), ()]))) == 0
    losses = model.loss(*batch([(), ('sem_seg', )]))
    assert losses['det/loss_no_images'] == 0
    assert losses['seg/loss_ce'] > 0 and losses['m4b/num_kept'] == 1


@pytest.mark.parametrize('mode', ['joint', 'per_task'])
def test_pseudo_boxes_made_first_do_not_lose_the_gradient(mode):
    """Mask-for-Box asks the detector before any loss with gradient does."""
    model = tiny_model(
        forward_mode=mode,
        weak_losses=[dict(type='MaskForBoxLoss', ramp=0.)])
    losses = model.loss(*batch([('sem_seg', )]))
    m4b = {k: v for k, v in losses.items() if k.startswith('m4b')}
    grads = gradients(model, m4b)
    for name in ('task_heads.det.head.gfl_cls.weight',
                 'backbone.layer4.0.downsample.0.weight'):
        assert grads[name].abs().max() > 0


def test_predictions_and_other_networks_see_the_resized_batch(progress):
    progress(0)
    model = tiny_model(
        forward_mode='per_task',
        batch_resize=dict(type='DetBatchResize', sizes=[160]))
    other = copy.deepcopy(model)
    model.set_teacher('ema', other)
    ctx, = model._contexts(*batch([('bbox', )]))
    assert ctx.inputs.shape == (1, 3, 160, 160)
    cfg = dict(score_thr=0.)
    ours = ctx.predict('det', [0], cfg=cfg)[0]
    theirs = ctx.predict('det', [0], by='ema', cfg=cfg)[0]
    torch.testing.assert_close(ours.bboxes, theirs.bboxes)
    assert ours.bboxes[:, 2:].max() > SIZE


def test_forward_mode_is_checked():
    with pytest.raises(ValueError, match="'per_tasks'"):
        tiny_model(forward_mode='per_tasks')
    with pytest.raises(ValueError, match=r"\['depth'\].*\['det', 'seg'\]"):
        tiny_model(forward_mode='per_task', forward_groups=dict(depth=['x']))
    with pytest.raises(ValueError, match='one forward'):
        tiny_model(forward_groups=dict(det=['x']))
    with pytest.raises(ValueError, match='one size'):
        tiny_model(batch_resize=dict(type='DetBatchResize', sizes=[96]))
