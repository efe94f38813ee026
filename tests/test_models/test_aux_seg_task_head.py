# Copyright (c) mmbombo contributors.
"""AuxSegNet's head, alone and beside a detector."""
import pytest
import torch
import torch.nn.functional as F
from mmengine.structures import LabelData
from toolbox import (CLASSES, SEG_CLASSES, add_weak_labels, make_sample,
                     tiny_model_cfg)

from mmbombo.models.context import StepContext
from mmbombo.models.layers import propagate
from mmbombo.registry import MODELS
from mmbombo.utils import UserError

SIZE = 64
HEAD = dict(
    type='AuxSegTaskHead',
    in_channels=16,
    num_classes=4,
    cls=dict(num_classes=3, dropout_ratio=.5, bias=False),
    channels=8,
    dilations=(1, 2, 3))
ALL = ('image_label', 'sem_seg', 'saliency')


def build(**kwargs):
    torch.manual_seed(0)
    head = MODELS.build(dict(HEAD, **kwargs))
    head.init_weights()
    return head


def sample(kinds=ALL, seed=0, shape=(SIZE, SIZE), labels=None):
    found = make_sample(kinds, seed, SIZE)
    found.set_metainfo(dict(img_shape=shape, ori_shape=shape))
    if labels is not None:
        found.gt_image_label = LabelData(label=torch.tensor(labels))
    if 'saliency' in kinds:
        found.gt_saliency.data[:, :9] = -1.
    return found


def feats(number=2):
    return (torch.randn(number, 16, 8, 8), )


def test_what_the_head_says():
    head = build(transpose=True).eval()
    maps = feats()
    found, affinity = head.with_affinity(
        maps, [sample(), sample(shape=(40, 56))])
    inside = ((torch.arange(8) < 5)[:, None] & (torch.arange(8) < 7)).flatten()
    assert {k: [tuple(x.shape[1:]) for x in v] for k, v in found.items()} == \
        dict(cls=[(3, ), (3, 8, 8)], seg=[(4, 8, 8)] * 2, sal=[(1, 8, 8)] * 2)
    affinities, plain = [], {}
    for task in ('seg', 'sal'):
        branch = head.branches[task]
        x = branch.encode(maps[0])
        own = torch.einsum('ncu,ncv->nuv',
                           branch.affinity.theta(x).flatten(2),
                           branch.affinity.phi(x).flatten(2))
        own[1][:, ~inside] = -torch.inf  # no cell is like the padding
        own = own.softmax(2)
        affinities.append(own)
        moved = torch.einsum('nuv,ncv->ncu', own,
                             branch.value(x).flatten(2)).view_as(x)
        plain[task] = branch.predict(x + branch.project(moved))
    torch.testing.assert_close(affinity, head.cross(affinities))
    for task, logits in plain.items():
        torch.testing.assert_close(found[task][1], logits)
        torch.testing.assert_close(found[task][0],
                                   propagate(logits, affinity, transpose=True))
    assert torch.equal(found['cls'][1], head.cls(maps)[1])
    assert head(maps)['seg'][0].shape == (2, 4, 8, 8)  # without samples


@pytest.mark.parametrize('kwargs, maps, own, crossed', [
    (dict(tasks=('seg', ), affinity=()), dict(seg=1), '', False),
    (dict(tasks=('cls', 'seg'), affinity=()), dict(cls=2, seg=1), '', False),
    (dict(affinity=()), dict(cls=2, seg=1, sal=1), '', False),
    (dict(affinity=('seg', )), dict(cls=2, seg=2, sal=1), 'seg', False),
    (dict(refined=('seg', )), dict(cls=2, seg=2, sal=1), 'segsal', True),
    (dict(), dict(cls=2, seg=2, sal=2), 'segsal', True),
    (dict(refined=()), dict(cls=2, seg=1, sal=1), 'segsal', False),
    (dict(tasks=('cls', )), dict(cls=2), '', False),
])
def test_rows_of_the_ablation(kwargs, maps, own, crossed):
    head = build(**kwargs)
    found = head(feats(), [sample(), sample()])
    assert {k: len(v) for k, v in found.items()} == maps
    assert head.tasks == tuple(maps)
    names = [*head.state_dict()]
    whole = build().state_dict()
    assert all(whole[k].shape == v.shape for k, v in head.state_dict().items())
    assert any('cross.' in name for name in names) == crossed
    for task in ('seg', 'sal'):
        assert any(f'{task}.affinity' in x for x in names) == (task in own)
    # every parameter is read
    total = sum(x.sum() for outputs in found.values() for x in outputs)
    grads = torch.autograd.grad(total, [*head.parameters()], allow_unused=True)
    assert all(x is not None for x in grads)


def test_losses_are_means_over_what_is_known():
    head = build()
    samples = [sample(seed=i) for i in range(2)]
    samples[0].gt_sem_seg.sem_seg[:, 20:] = 255
    metas = [x.metainfo for x in samples]
    outputs = head(feats(), samples)
    losses = {}
    for task in head.tasks:
        targets, ignore = head.targets(task, samples)
        losses[task] = head.loss_on_targets(task, outputs[task], targets,
                                            metas, ignore)
    ids = torch.stack([x.gt_sem_seg.sem_seg[0] for x in samples])
    values = torch.stack([x.gt_saliency.data for x in samples])
    known = values >= 0
    for i, prefix in enumerate(('', 'plain.')):
        seg, sal = (
            F.interpolate(outputs[x][i], (SIZE, SIZE), mode='bilinear')
            for x in ('seg', 'sal'))
        torch.testing.assert_close(losses['seg'][f'{prefix}loss_ce'],
                                   F.cross_entropy(seg, ids, ignore_index=255))
        torch.testing.assert_close(
            losses['sal'][f'{prefix}loss_bce'],
            F.binary_cross_entropy_with_logits(sal[known], (values[known]
                                                            > .5).float()))
    assert set(losses['cls']) == {'loss_cls'}
    assert sum('loss' in x for part in losses.values() for x in part) == 5


def test_padding_is_labeled_as_published_if_asked_to():
    samples = [sample(shape=(40, 50)), sample(seed=1)]
    for x in samples[:1]:  # what the preprocessor does
        x.gt_sem_seg.sem_seg[:, 40:] = x.gt_sem_seg.sem_seg[..., 50:] = 255
        x.gt_saliency.data[:, 40:] = x.gt_saliency.data[..., 50:] = -1.
    for task in ('seg', 'sal'):
        plain, labeled = (
            build(label_padding=x).targets(task, samples)[0]
            for x in (False, True))
        inside = torch.zeros(2, 1, SIZE, SIZE, dtype=torch.bool)
        inside[0, :, :40, :50] = inside[1] = True
        assert (labeled[~inside] == 0).all() and (plain[~inside] != 0).all()
        assert torch.equal(labeled[inside], plain[inside])


@pytest.mark.parametrize('autocast', [False, True])
def test_nothing_known_costs_nothing(autocast):
    head = build()
    samples = [sample(labels=[-1, -1, -1]) for _ in range(2)]
    for x in samples:
        x.gt_sem_seg.sem_seg.fill_(255)
        x.gt_saliency.data.fill_(-1.)
    with torch.autocast('cpu', torch.bfloat16, enabled=autocast):
        outputs = head(feats(), samples)
        losses = [
            value for task in head.tasks
            for key, value in head.loss_on_targets(
                task, outputs[task],
                head.targets(task, samples)[0], [x.metainfo
                                                 for x in samples]).items()
            if 'loss' in key
        ]
    assert len(losses) == 5 and all(x == 0 for x in losses)
    sum(losses).backward()
    assert all(x.grad.isfinite().all() for x in head.parameters())


def model_of(*weak_losses, det=True, **kwargs):
    """A network whose head of three tasks reads a pyramid's finest map."""
    torch.manual_seed(0)
    cfg = tiny_model_cfg(
        weak_losses=weak_losses,
        classes=dict(cls=CLASSES, seg=SEG_CLASSES, det=CLASSES))
    heads = cfg['task_heads']
    cfg['task_heads'] = dict(aux=dict(HEAD, **kwargs))
    if det:
        cfg['task_heads']['det'] = heads['det']
    model = MODELS.build(cfg)
    model.init_weights()
    return model


def test_predictions():
    model = model_of(det=False).eval()
    samples = [sample((), shape=(40, 56)), sample(())]
    samples[0].set_metainfo(dict(ori_shape=(80, 112), scale_factor=(.5, .5)))
    inputs = torch.randn(2, 3, SIZE, SIZE)
    inputs[0, :, 40:] = inputs[0, :, :, 56:] = 0.
    with torch.no_grad():
        model.predict(inputs, samples)
        head, maps = model.task_heads.aux, model.extract_feat(inputs)
        outputs = head(maps, samples)
    for i, shape in enumerate([(80, 112), (SIZE, SIZE)]):
        found = samples[i]
        assert found.pred_sem_seg.data.shape == (1, *shape)
        assert found.pred_saliency.data.shape == (1, *shape)
        assert 0 < found.pred_saliency.data.min() <= \
            found.pred_saliency.data.max() < 1
        torch.testing.assert_close(found.pred_image_label.score,
                                   outputs['cls'][0][i].sigmoid())
    metas = [x.metainfo for x in samples]
    decoded = {x: head.decode(x, outputs[x], metas) for x in head.tasks}
    assert torch.equal(decoded['seg'][1], samples[1].pred_sem_seg.data)
    torch.testing.assert_close(decoded['sal'][1].sigmoid(),
                               samples[1].pred_saliency.data.sigmoid())
    logits = list(
        head.full_logits(maps, inputs, samples, model.extract_feat,
                         torch.tensor([[True, False, True, True]] * 2)))
    assert logits[0].shape == (4, 80, 112) and (logits[0][1] < -1e30).all()


def test_weak_losses_teach_it_beside_a_detector():
    model = model_of(
        dict(type='BoxForMaskLoss'),
        dict(type='MaskForBoxLoss', ramp=0., predictor='self', min_area=1),
        dict(type='TagForMaskLoss', scales=(1., .5)),
        dict(type='DenseEnergyLoss', source_kind=None)).train()
    objects = {1: (8, 8, 48, 40)}
    samples = [
        add_weak_labels(sample(('bbox', )), objects),
        add_weak_labels(sample(('sem_seg', )), objects),
        sample(('image_label', ), labels=[1, 0, -1]),
        sample(('image_label', 'saliency'), labels=[0, 1, 1])
    ]
    losses = model(torch.randn(4, 3, SIZE, SIZE), samples, 'loss')
    wanted = [
        'aux/cls/loss_cls', 'aux/seg/loss_ce', 'aux/seg/plain.loss_ce',
        'aux/sal/loss_bce', 'aux/sal/plain.loss_bce', 'b4m/loss_ce',
        'b4m/plain.loss_ce', 't4m/loss_ce', 'energy/loss_energy'
    ]
    assert all(losses[key] != 0 for key in wanted)
    total, _ = model.parse_losses(losses)
    assert total.isfinite()
    head = model.task_heads.aux
    reached = {
        'aux/cls/loss_cls': ('cls.', ),
        'aux/sal/plain.loss_bce': ('branches.sal', ),
        # by the affinity across tasks
        'b4m/loss_ce': ('branches.seg', 'branches.sal.encode',
                        'branches.sal.affinity', 'cross.'),
        't4m/plain.loss_ce': ('branches.seg', )
    }
    named = dict(head.named_parameters())
    for key, prefixes in reached.items():
        grads = torch.autograd.grad(
            losses[key], named.values(), retain_graph=True, allow_unused=True)
        assert {n
                for n, x in zip(named, grads) if x is not None
                } == {n
                      for n in named if n.startswith(prefixes)}
    total.backward()
    for parameter in model.parameters():
        if parameter.requires_grad:
            assert parameter.grad.isfinite().all()
    assert head.branches.sal.predict[2].weight.grad.abs().sum() > 0


def test_a_teacher_of_three_tasks():
    model = model_of(det=False)
    model.set_teacher('ema', model_of(det=False))
    samples = [sample(), sample(seed=1)]
    ctx = StepContext(model, torch.randn(2, 3, SIZE, SIZE), samples)
    logits, maps = ctx.outputs_of('ema', 'cls', [1])
    assert logits.shape == (1, 3) and maps.shape == (1, 3, 16, 16)
    assert ctx.predict('sal', [0, 1], by='ema').shape == (2, 1, SIZE, SIZE)
    assert ctx.predict('seg', [1]).dtype == torch.long


def test_mistakes_are_said_when_the_model_is_built():
    for wrong in (dict(tasks=('seg', 'det')), dict(affinity=('cls', )),
                  dict(refined='seg')):
        key, = wrong
        with pytest.raises(UserError, match=f'{key} of AuxSegTaskHead must'):
            build(**wrong)
    with pytest.raises(UserError, match='num_classes=5.*'):
        model_of(num_classes=5)
    with pytest.raises(UserError, match='ClsTaskHead has num_classes=7'):
        model_of(cls=dict(num_classes=7))
    with pytest.raises(UserError, match='AuxSegTaskHead reads map 0'):
        model_of(in_channels=8)
