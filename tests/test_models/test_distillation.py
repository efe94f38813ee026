# Copyright (c) mmbombo contributors.
"""The weak losses whose targets come from another network."""
import copy

import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData
from toolbox import (CLASSES, SEG_CLASSES, SIZE, det_head_cfg, make_sample,
                     tiny_model_cfg, without_statistics)

from mmbombo.models.context import StepContext
from mmbombo.models.losses.distillation import (binary_kl, soft_offset_loss,
                                                soft_score_loss,
                                                temperature_kl)
from mmbombo.models.weak_losses.distillation.pseudo_box import split_by_score
from mmbombo.registry import MODELS
from mmbombo.utils import UserError

RAW = [
    dict(type='SoftDetectionLoss', teacher='t'),
    dict(type='SoftDetectionLoss', teacher='t', weigh_by='anchors'),
    dict(type='FeatureMSELoss', teacher='t', task='det'),
    dict(type='FeatureMSELoss', teacher='t', task='seg'),
    dict(type='PDFLoss', teacher='t'),
    dict(type='DeFeatLoss', teacher='t', score_thr=.01),
    dict(type='SegmentationKLLoss', teacher='t', temperature=2.)
]
BOXES = dict(type='PseudoBoxLoss', teacher='t', score_thr=.01, doubt_thr=.005)
EACH = pytest.mark.parametrize(
    'cfg', RAW + [BOXES], ids=lambda cfg: cfg['type'])


def head_cfg(name):
    """A thin head on strides 8, 16 and 32."""
    cfg = det_head_cfg(name, channels=16)
    head = cfg['head']
    head.stacked_convs = 1
    if name == 'fcos':
        head.update(
            strides=[8, 16, 32],
            regress_ranges=((-1, 32), (32, 64), (64, 1e8)))
    else:
        head.anchor_generator.strides = [8, 16, 32]
    cfg['in_indices'] = (1, 2, 3)
    return cfg


def build(weak_losses=(), det='gfl', seed=0, **kwargs):
    """A network in evaluation mode: no statistics, no dropout."""
    torch.manual_seed(seed)
    cfg = tiny_model_cfg(weak_losses=list(weak_losses), **kwargs)
    if 'det' in cfg['task_heads']:
        cfg['task_heads']['det'] = head_cfg(det)
    model = MODELS.build(cfg)
    model.init_weights()
    with torch.no_grad():
        # the heads are initialized to say nothing; let them differ
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * .02)
    return model.eval()


def batch(kinds, size=SIZE):
    """Images of different extents, padded to one size."""
    torch.manual_seed(1)
    samples = []
    for i, kind in enumerate(kinds):
        sample = make_sample(kind, seed=i, size=size)
        sample.set_metainfo(dict(img_shape=(size - 24 * i, size - 16)))
        samples.append(sample)
    return torch.randn(len(kinds), 3, size, size), samples


def losses_of(model, kinds=(('bbox', ), ('sem_seg', )), inputs=None):
    images, samples = batch(kinds)
    ctx = StepContext(model, images if inputs is None else inputs, samples)
    weak_loss, = model.weak_losses
    return {
        key: value
        for key, value in weak_loss(ctx).items() if 'loss' in key
    }


def total(losses):
    return sum(x.sum() if isinstance(x, torch.Tensor) else sum(y.sum()
                                                               for y in x)
               for x in losses.values())


def pair(cfg, det='gfl'):
    """A student and another network as its teacher."""
    student, teacher = build([cfg], det), build((), det, seed=1)
    student.set_teacher('t', teacher)
    return student, teacher


@pytest.mark.parametrize('det', ['gfl', 'retinanet', 'fcos'])
@pytest.mark.parametrize('cfg', RAW, ids=lambda cfg: cfg['type'])
def test_equal_teacher_costs_nothing(cfg, det):
    student = build([cfg], det)
    # as while training: FCOS then speaks in strides, its teacher in pixels
    without_statistics(student.task_heads.train())
    student.set_teacher('t', copy.deepcopy(student).eval())
    student.weak_losses[0].check_teacher(student, student.teachers.get('t'))
    losses = losses_of(student)
    assert losses
    loss = total(losses)
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-6)
    if det == 'gfl' or cfg['type'] not in ('SoftDetectionLoss', 'PDFLoss'):
        # (distances of offsets have a kink there)
        assert max(p.grad.abs().max() for p in student.parameters()
                   if p.grad is not None) < 1e-4


@EACH
def test_another_teacher_pulls_and_is_not_pulled(cfg):
    student, teacher = pair(cfg)
    before = {k: v.clone() for k, v in teacher.state_dict().items()}
    student.weak_losses[0].check_teacher(student, teacher)
    loss = total(losses_of(student))
    loss.backward()
    assert loss.item() > 0
    assert any(p.grad is not None and p.grad.abs().max() > 0
               for p in student.backbone.parameters())
    assert all(p.grad is None for p in teacher.parameters())
    assert all((before[k] == v).all() for k, v in teacher.state_dict().items())


@pytest.mark.parametrize('cfg', [RAW[0], RAW[6]])
@pytest.mark.parametrize('on', ['unannotated', 'all'])
def test_which_images(cfg, on):
    model = build([dict(cfg, on=on)])
    ctx = StepContext(
        model, *batch([('bbox', ), ('sem_seg', ), (), ('bbox', 'sem_seg')]))
    task = model.weak_losses[0].task
    wanted = dict(det=[1, 2], seg=[0, 2])[task]
    assert model.weak_losses[0].images(ctx) == (
        wanted if on == 'unannotated' else [0, 1, 2, 3])


class Given:
    """A step context whose networks have said what we want them to."""

    def __init__(self, student, inputs, samples, ours, theirs):
        self.model, self.inputs, self.samples = student, inputs, samples
        self.ours, self.theirs = ours, theirs
        self.features = ours['features']

    def metas(self, images):
        return [self.samples[i].metainfo for i in images]

    def annotated(self, task, head):
        return []

    def outputs(self, task, images):
        return self.ours[task]

    def logits(self, task, images):
        return self.ours[task][0]

    def outputs_of(self, by, task, images):
        return self.theirs[task]

    def features_of(self, by, images):
        return self.theirs['features']

    def predict(self, task, images, by, cfg):
        return [self.samples[0].gt_instances] * len(images)


def say(network, inputs):
    with torch.no_grad():
        said = dict(network(inputs, mode='tensor'))
        said['features'] = network.extract_feat(inputs)
    return said


def cells(sample, level, size=SIZE):
    """Rows and columns of the cells of a map that lie in the image."""
    height, width = sample.img_shape
    stride = size / level.shape[-1]
    for y in range(level.shape[-2]):
        for x in range(level.shape[-1]):
            if (y + .5) * stride < height and (x + .5) * stride < width:
                yield y, x


@pytest.mark.parametrize('weigh_by', ['teacher', 'anchors'])
@pytest.mark.parametrize('det', ['retinanet', 'gfl', 'fcos'])
def test_soft_detection_cell_by_cell(det, weigh_by):
    """Against loops over images, levels, cells and anchors."""
    cfg = dict(type='SoftDetectionLoss', teacher='t', weigh_by=weigh_by)
    student, teacher = pair(cfg, det)
    inputs, samples = batch([('bbox', ), ('bbox', )])
    ours, theirs = say(student, inputs), say(teacher, inputs)
    sums = dict(loss_score=0., loss_box=0., loss_centerness=0.)
    mass = entries = 0.
    for i, sample in enumerate(samples):
        for level, stride in enumerate((8, 16, 32)):
            maps = [[y[level][i] for y in x['det']] for x in (ours, theirs)]
            for y, x in cells(sample, maps[0][0]):
                (s, b, *c), (ts, tb, *tc) = ([z[:, y, x] for z in m]
                                             for m in maps)
                for a in range(len(s) // 3):
                    labels = slice(3 * a, 3 * a + 3)
                    weight = 1.
                    if weigh_by == 'teacher':
                        weight = ts[labels].sigmoid().max()**2
                    mass, entries = mass + weight, entries + 3
                    sums['loss_score'] += soft_score_loss(
                        s[labels], ts[labels]).sum()
                    if det == 'gfl':
                        box = temperature_kl(b.view(4, 17),
                                             tb.view(4, 17)).mean()
                    else:
                        scale = stride if det == 'fcos' else 1
                        sides = slice(4 * a, 4 * a + 4)
                        box = soft_offset_loss(b[sides] / scale,
                                               tb[sides] / scale).mean()
                    sums['loss_box'] += weight * box
                    if c:
                        sums['loss_centerness'] += weight * binary_kl(
                            c[0], tc[0]).sum()
    found = student.weak_losses[0].loss(
        Given(student, inputs, samples, ours, theirs), [0, 1])
    assert ('loss_centerness' in found) == (det == 'fcos')
    mass = max(mass, 1.)
    for key, value in found.items():
        by = entries if key == 'loss_score' and weigh_by == 'anchors' else mass
        torch.testing.assert_close(
            value, torch.as_tensor(sums[key]) / by, rtol=1e-4, atol=1e-6)


def numbers(tensor):
    return tensor.detach().double().numpy()


def feature_cells(student, ours, theirs, samples):
    """Of each cell that detection reads: image, level, place, distance."""
    levels = student.task_heads.det.in_indices
    for i, sample in enumerate(samples):
        for number, level in enumerate(levels):
            s, t = (numbers(x['features'][level][i]) for x in (ours, theirs))
            for y, x in cells(sample, s):
                distance = ((s[:, y, x] - t[:, y, x])**2).mean()
                yield i, number, (y, x), distance


def all_said(cfg, det='gfl'):
    """A loss, what both networks say, and what it makes of that."""
    student, teacher = pair(cfg, det)
    inputs, samples = batch([('bbox', ), ('bbox', )])
    ours, theirs = say(student, inputs), say(teacher, inputs)
    found = student.weak_losses[0].loss(
        Given(student, inputs, samples, ours, theirs), [0, 1])
    found = {key: float(value) for key, value in found.items()}
    return student, ours, theirs, samples, found


def test_features_cell_by_cell():
    *given, found = all_said(
        dict(type='FeatureMSELoss', teacher='t', task='det'))
    distances = [cell[-1] for cell in feature_cells(*given)]
    wanted = dict(loss_feature=5 * np.mean(distances))
    assert found == pytest.approx(wanted, rel=1e-4)


def test_objects_and_background_cell_by_cell():
    *given, found = all_said(
        dict(type='DeFeatLoss', teacher='t', feature_weight=3.))
    boxes = numbers(given[3][0].gt_instances.bboxes)  # as Given predicts
    apart = {True: [], False: []}
    for _, level, (y, x), distance in feature_cells(*given):
        cx, cy = ((place + .5) * (8 << level) for place in (x, y))
        apart[any(x1 <= cx <= x2 and y1 <= cy <= y2
                  for x1, y1, x2, y2 in boxes)].append(distance)
    wanted = dict(
        loss_foreground=3 / 2 * np.mean(apart[True]),
        loss_background=3 / 2 * np.mean(apart[False]))
    assert found == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize('det', ['retinanet', 'gfl', 'fcos'])
def test_disagreement_cell_by_cell(det):
    *given, found = all_said(dict(type='PDFLoss', teacher='t'), det)
    _, ours, theirs, _ = given
    weighted = weights = scores = sure = 0.
    boxes = []
    for i, level, (y, x), distance in feature_cells(*given):
        (s, b), (t, tb) = ([
            numbers(part[level][i][:, y, x]) for part in said['det'][:2]
        ] for said in (ours, theirs))
        p, q = (1 / (1 + np.exp(-z)).reshape(-1, 3) for z in (s, t))
        weight = np.sqrt(((p - q)**2).sum(axis=1)).mean()
        weighted, weights = weighted + weight * distance, weights + weight
        entropy = -q * np.log(p) - (1 - q) * np.log(1 - p)
        scores, sure = scores + (
            (q - p)**2 * entropy).sum(), sure + (q > .5).sum()
        if det == 'gfl':
            b, tb = (z.reshape(4, 17) for z in (b, tb))
            b, tb = (
                z - np.log(np.exp(z).sum(axis=1))[:, None] for z in (b, tb))
            boxes.append((np.exp(tb) * (tb - b)).sum(axis=1).mean())
        else:
            # FCOS, evaluated, speaks in pixels
            scale = 8 << level if det == 'fcos' else 1
            boxes.append(np.abs(b - tb).mean() / scale)
    wanted = dict(
        loss_feature=5 * weighted / weights,
        loss_score=scores / max(sure, 1),
        loss_box=np.mean(boxes))
    assert found == pytest.approx(wanted, rel=1e-4)


def test_class_distributions_pixel_by_pixel(temperature=2.):
    _, ours, theirs, samples, found = all_said(
        dict(type='SegmentationKLLoss', teacher='t', temperature=temperature))
    divergences = []
    for i, sample in enumerate(samples):
        s, t = (numbers(x['seg'][0][i]) / temperature for x in (ours, theirs))
        for y, x in cells(sample, s):
            p, q = (
                np.exp(z[:, y, x]) / np.exp(z[:, y, x]).sum() for z in (s, t))
            divergences.append((q * np.log(q / p)).sum() * temperature**2)
    assert found == pytest.approx(dict(loss_kl=np.mean(divergences)), rel=1e-4)


def test_half_precision_stays_finite():
    student, teacher = pair(RAW[0])
    inputs, samples = batch([('bbox', ), ('bbox', )])
    ours, theirs = say(student, inputs), say(teacher, inputs)

    def halve(x):
        if isinstance(x, (tuple, list)):
            return type(x)(halve(y) for y in x)
        return x.half()

    for cfg in RAW:
        weak_loss = build([cfg]).weak_losses[0]
        ctx = Given(student, inputs, samples, {
            k: halve(v)
            for k, v in ours.items()
        }, {
            k: halve(v)
            for k, v in theirs.items()
        })
        for value in weak_loss.loss(ctx, [0, 1]).values():
            assert value.dtype == torch.float32 and torch.isfinite(value)


def test_boxes_of_the_teacher_become_targets_and_doubts_are_ignored():
    student, teacher = pair(BOXES)
    weak_loss = student.weak_losses[0]
    inputs, samples = batch([('bbox', ), ('sem_seg', )])
    ctx = StepContext(student, inputs, samples)
    found, = ctx.predict('det', [1], 't', weak_loss.decode_cfg)
    scores = found.scores.sort(descending=True).values
    weak_loss.score_thr = float(scores[2:4].mean())
    seen = {}
    ctx.loss = lambda task, targets, images, ignore: seen.update(
        task=task, targets=targets, images=images, ignore=ignore) or {}
    diagnostics = weak_loss.loss(ctx, [1])
    assert diagnostics['boxes_per_image'] == 3
    sure = found.scores > weak_loss.score_thr
    assert seen['task'] == 'det' and seen['images'] == [1]
    assert sure.sum() == 3 and len(scores) > 3
    torch.testing.assert_close(seen['targets'][0].bboxes, found.bboxes[sure])
    assert (seen['targets'][0].labels == found.labels[sure]).all()
    ignored = seen['ignore']
    torch.testing.assert_close(ignored.boxes[0], found.bboxes[~sure])
    assert (ignored.classes[0].long().argmax(1) == found.labels[~sure]).all()
    assert samples[1].pseudo_instances is seen['targets'][0]


@pytest.mark.parametrize('sizes', [(5, 0, 30), (0, 0), (1, )])
def test_boxes_are_parted_as_one_by_one(sizes):
    torch.manual_seed(0)
    found = []
    for size in sizes:
        corners = torch.randint(0, 4, (size, 4)).float()
        found.append(
            InstanceData(
                bboxes=corners,
                scores=torch.rand(size),
                labels=torch.randint(0, 3, (size, ))))
    for part, is_sure in zip(split_by_score(found, .5), (True, False)):
        assert len(part) == len(sizes)
        for image, chosen in zip(found, part):
            wanted = [(box.tolist(), int(label)) for box, score, label in zip(
                image.bboxes, image.scores, image.labels)
                      if box[2] > box[0] and box[3] > box[1] and (
                          score > .5) == is_sure]
            assert wanted == list(
                zip(chosen.bboxes.tolist(), chosen.labels.tolist()))
            assert chosen.bboxes.shape == (len(wanted), 4)


def test_boxes_work_across_any_two_detectors():
    student, teacher = build([BOXES]), build((), 'retinanet', seed=1)
    student.weak_losses[0].check_teacher(student, teacher)
    student.set_teacher('t', teacher)
    loss = total(losses_of(student))
    loss.backward()
    assert loss.item() > 0


def with_head(name, in_indices=(1, 2, 3), strides=(8, 16, 32), **options):
    """A network that is taught raw outputs, and its head's options."""
    cfg = tiny_model_cfg(weak_losses=[RAW[0]])
    cfg['task_heads']['det'] = dict(head_cfg(name), in_indices=in_indices)
    head = cfg['task_heads']['det']['head']
    head.update(options)
    if 'anchor_generator' in head:
        head.anchor_generator.strides = list(strides)
    return MODELS.build(cfg)


ATSS = head_cfg('atss')['head']
AS_ATSS = dict(
    anchor_generator=ATSS.anchor_generator, bbox_coder=ATSS.bbox_coder)
LARGER = dict(
    head_cfg('retinanet')['head'].anchor_generator, octave_base_scale=6)


@pytest.mark.parametrize('ours, theirs, message', [
    (('gfl', {}), ('retinanet', {}),
     'box outputs: distributions in the student, offsets in the teacher'),
    (('gfl', {}),
     ('fcos', {}), 'box outputs: distributions in the student, distances'),
    (('gfl', {}), ('gfl', dict(in_indices=(2, 3), strides=(16, 32))),
     r'strides: \[\(8, 8\), .* in the student, \[\(16, 16\)'),
    (('gfl', {}),
     ('gfl', dict(reg_max=7)), 'reg_max: 16 in the student, 7 in the teacher'),
    (('atss', {}), ('retinanet', AS_ATSS), 'centerness.: True in the student'),
    (('retinanet', AS_ATSS), ('atss', {}), 'centerness.: False in the stud'),
    (('retinanet', {}), ('retinanet', dict(anchor_generator=LARGER)),
     'anchors: .* in the teacher'),
])
def test_outputs_that_are_not_aligned_are_refused(ours, theirs, message):
    student, teacher = (with_head(name, **options)
                        for name, options in (ours, theirs))
    with pytest.raises(ValueError, match=f'{message}.*PseudoBoxLoss'):
        student.weak_losses[0].check_teacher(student, teacher)


def test_heads_without_comparable_outputs_are_refused():
    with pytest.raises(UserError, match='FSAFHead cannot be distilled'):
        with_head(
            'retinanet',
            type='FSAFHead',  # distances in its own units
            bbox_coder=dict(type='TBLRBBoxCoder', normalizer=4.))


def test_adaptation_is_trained_with_the_student():
    adapt = dict(in_channels=16, out_channels=24, num_levels=3)
    student = build([dict(RAW[2], adapt=adapt)])
    neck = dict(
        type='mmdet.FPN',
        in_channels=[8, 16, 32, 64],
        out_channels=24,
        num_outs=4)
    cfg = tiny_model_cfg(neck=neck)
    cfg['task_heads'].pop('seg')
    cfg['task_heads']['det']['head'].in_channels = 24
    torch.manual_seed(1)
    teacher = MODELS.build(cfg).eval()
    student.weak_losses[0].check_teacher(student, teacher)
    student.set_teacher('t', teacher)
    total(losses_of(student)).backward()
    names = [n for n, p in student.named_parameters() if 'adapters' in n]
    assert len(names) == 6
    assert all(p.requires_grad and p.grad.abs().max() > 0
               for n, p in student.named_parameters() if n in names)
    # nothing else in the checkpoint
    assert set(student.state_dict()) == set(build().state_dict()) | set(names)

    with pytest.raises(
            ValueError, match=r'adapt=dict\(in_channels=16, out_channels=24'):
        plain = build([RAW[2]])
        plain.weak_losses[0].check_teacher(plain, teacher)
    with pytest.raises(ValueError, match='Sizes must be equal'):
        wrong = build([dict(RAW[2], adapt=dict(adapt, in_channels=8))])
        wrong.weak_losses[0].check_teacher(wrong, teacher)


def test_features_of_other_strides_are_refused():
    student = build([RAW[2]])
    cfg = tiny_model_cfg()
    cfg['task_heads']['det']['in_indices'] = (2, 3)
    cfg['task_heads']['det']['head'].anchor_generator.strides = [16, 32]
    with pytest.raises(ValueError, match='Sizes must be equal'):
        student.weak_losses[0].check_teacher(student, MODELS.build(cfg))


def test_probing_a_teacher_moves_no_statistics():
    student, teacher = pair(RAW[2])
    for module in student.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.train()
    before = {k: v.clone() for k, v in student.state_dict().items()}
    student.weak_losses[0].check_teacher(student, teacher)
    assert all((before[k] == v).all() for k, v in student.state_dict().items())
    assert any(m.training for m in student.modules())


def test_other_classes_and_missing_tasks_are_refused():
    student = build([RAW[0]])
    order = tuple(reversed(CLASSES))
    teacher = build(class_map=dict(det_classes=order, seg_classes=SEG_CLASSES))
    with pytest.raises(ValueError, match='same names in another order'):
        student.weak_losses[0].check_teacher(student, teacher)
    names = ('cat', 'dog', 'emu')
    teacher = build(
        class_map=dict(
            det_classes=names, seg_classes=('background', ) + names))
    with pytest.raises(
            ValueError,
            match=r"student has \['cow'\], only the "
            r"teacher has \['emu'\]"):
        student.weak_losses[0].check_teacher(student, teacher)
    del teacher.task_heads['det']
    with pytest.raises(ValueError, match="has only \\['seg'\\]"):
        student.weak_losses[0].check_teacher(student, teacher)


def test_nobody_to_learn_from():
    with pytest.raises(UserError, match="TeacherHook', name='t'"):
        losses_of(build([RAW[0]]))
    # a moving average comes with the first update
    adapt = dict(in_channels=16, out_channels=16, num_levels=3)
    model = build([dict(RAW[2], teacher='ema', adapt=adapt)])
    losses = losses_of(model)
    total(losses).backward()
    assert total(losses).item() == 0
    assert all((p.grad == 0).all() for p in model.weak_losses.parameters())
    assert losses_of(build([dict(RAW[0], teacher='ema')])) == {}


def test_settings_that_mean_nothing_are_refused():
    with pytest.raises(ValueError, match="on must be 'unannotated'"):
        MODELS.build(dict(RAW[0], on='some'))
    for name in ('self', 'none'):
        with pytest.raises(
                ValueError,
                match=f"Loss: teacher='{name}' is not "
                'another network.*TeacherHook'):
            MODELS.build(dict(RAW[0], teacher=name))
    with pytest.raises(ValueError, match='weigh_by'):
        MODELS.build(dict(RAW[0], weigh_by='none'))
    with pytest.raises(ValueError, match='doubt_thr'):
        MODELS.build(dict(BOXES, doubt_thr=.5))
    with pytest.raises(ValueError, match="2 weak losses named 'soft_det'"):
        build([RAW[0], dict(RAW[0], teacher='ema')])


def test_foreground_is_ground_truth_or_the_teachers_boxes():
    student, teacher = pair(dict(RAW[5], on='all'))
    weak_loss = student.weak_losses[0]
    ctx = StepContext(student, *batch([('bbox', ), ('sem_seg', )]))
    boxes = weak_loss._object_boxes(ctx, [0, 1])
    torch.testing.assert_close(boxes[0, :2],
                               ctx.samples[0].gt_instances.bboxes)
    assert (boxes[0, 2:] == 0).all()
    found, = ctx.predict('det', [1], 't', weak_loss.decode_cfg)
    torch.testing.assert_close(boxes[1, :len(found)], found.bboxes)
