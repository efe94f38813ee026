# Copyright (c) mmbombo contributors.
"""What a model asks of its heads: by name, of several tasks, derived."""
import copy

import pytest
import torch
from toolbox import SIZE, make_sample, tiny_model_cfg
from torch import nn

from mmbombo.models.context import StepContext
from mmbombo.models.task_heads import BaseTaskHead, DerivedTaskHead
from mmbombo.models.weak_losses import BaseWeakLoss
from mmbombo.registry import MODELS
from mmbombo.utils import UserError

KINDS = [('bbox', ), ('bbox', ), ('sem_seg', ), (), ('bbox', 'sem_seg')]
KIND_OF_TASK = dict(near='bbox', far='sem_seg')


class JointHead(BaseTaskHead):
    """Two tasks, a branch each; remembers what it was run on."""

    tasks = ('near', 'far')

    def __init__(self):
        super().__init__()
        self.branches = nn.ModuleDict(
            {task: nn.Linear(16, 1)
             for task in self.tasks})
        self.seen = []

    def is_annotated(self, task, sample):
        return KIND_OF_TASK[task] in sample.annotation_kinds

    def forward(self, feats, samples=None):
        self.seen.append([sample.get('img_id') for sample in samples])
        pooled = feats[0].mean(dim=(2, 3))
        return {task: branch(pooled) for task, branch in self.branches.items()}

    def targets(self, task, samples):
        return torch.tensor([[float(sample.img_id)]
                             for sample in samples]), 'nothing'

    def loss_on_targets(self, task, outputs, targets, metas, ignore):
        assert ignore == 'nothing' and len(metas) == len(targets)
        return dict(
            loss_abs=(outputs - targets).abs().mean(),
            num_images=targets.new_tensor(len(targets)))

    def add_predictions(self, feats, inputs, samples, extract_feat):
        for sample, x in zip(samples, self(feats, samples)['near']):
            sample.pred_near = x


class RaggedHead(BaseTaskHead):
    """As many numbers for an image as its id says, one after the other."""

    tasks = ('ragged', )
    annotation_kind = 'bbox'

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(16, 1)

    def forward(self, feats, samples=None):
        counts = [sample.get('img_id', 1) for sample in samples]
        numbers = self.fc(feats[0].mean(dim=(2, 3)))[:, 0]
        return numbers.repeat_interleave(torch.tensor(counts)), counts

    def select(self, outputs, positions, size):
        numbers, counts = outputs
        assert len(counts) == size
        parts = numbers.split(counts)
        return (torch.cat([parts[i] for i in positions]),
                [counts[i] for i in positions])

    def join(self, outputs):
        return (torch.cat([numbers for numbers, _ in outputs]),
                [count for _, counts in outputs for count in counts])

    def targets(self, task, samples):
        return None, None

    def loss_on_targets(self, task, outputs, targets, metas, ignore):
        numbers, counts = outputs
        assert counts == [meta['img_id'] for meta in metas]
        return dict(loss_sum=numbers.sum())

    def add_predictions(self, feats, inputs, samples, extract_feat):
        pass


class BoxesOnMap(DerivedTaskHead):
    """Counts the boxes and the pixels that other heads predict."""

    tasks = ('panoptic', )
    needs = ('det', 'seg')

    def add_predictions(self, feats, inputs, samples, extract_feat):
        for sample in samples:
            sample.pred_panoptic = (len(sample.pred_instances),
                                    sample.pred_sem_seg.data.numel())


class RaggedOnTheRest(BaseWeakLoss):
    """Runs the ragged head on images without boxes too."""

    name, task, source_kind = 'rest', 'ragged', 'sem_seg'

    def loss(self, ctx, images):
        numbers, counts = ctx.outputs('ragged', images)
        assert counts == images
        return dict(loss_sum=numbers.sum())


def build(heads=None, **kwargs):
    cfg = tiny_model_cfg(**kwargs)
    cfg['task_heads'].update(heads or {})
    torch.manual_seed(0)
    model = MODELS.build(cfg)
    model.init_weights()
    return model.train()


def batch(kinds=KINDS):
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(len(kinds), 3, SIZE, SIZE, generator=generator)
    return inputs, [make_sample(k, seed=i) for i, k in enumerate(kinds)]


def gradients(head, loss):
    return torch.autograd.grad(
        loss, list(head.parameters()), allow_unused=True)


def test_two_heads_of_one_task_learn_on_their_own():
    det2 = tiny_model_cfg()['task_heads']['det']
    model = build(dict(det2=det2))
    inputs, samples = batch()
    losses = model.loss(inputs, samples)
    assert model.tasks == ['det', 'seg']

    annotated = [0, 1, 4]
    for name in ('det', 'det2'):
        head = model.task_heads[name]
        chosen = [samples[i] for i in annotated]
        targets, ignore = head.targets('det', chosen)
        wanted = head.loss_on_targets(
            'det', head(model.extract_feat(inputs[annotated])), targets,
            [x.metainfo for x in chosen], ignore)
        assert wanted
        for key, value in wanted.items():
            torch.testing.assert_close(losses[f'{name}/{key}'], value)
    assert any(
        x != y
        for x, y in zip(losses['det/loss_bbox'], losses['det2/loss_bbox']))


def test_a_name_comes_before_a_task_and_must_be_clear():
    det = tiny_model_cfg()['task_heads']['det']
    model = build(dict(det2=copy.deepcopy(det)))
    ctx = StepContext(model, *batch())
    feats = model.extract_feat(ctx.inputs[[0, 1, 4]])
    for name in ('det', 'det2'):
        wanted = model.task_heads[name](feats)
        torch.testing.assert_close(ctx.outputs(name)[0], wanted[0])

    cfg = tiny_model_cfg()
    cfg['task_heads'] = dict(
        near=det, far=copy.deepcopy(det), maps=cfg['task_heads']['seg'])
    model = MODELS.build(cfg)
    assert model.head_name('seg') == 'maps'
    ctx = StepContext(model, *batch())
    with pytest.raises(UserError, match="no head is named 'det', and 2 serve"):
        ctx.outputs('det')
    with pytest.raises(UserError, match='and 0 serve'):
        ctx.outputs('depth')


def test_a_joint_head_runs_once_and_each_task_learns_from_its_images():
    model = build(dict(pair=dict(type=JointHead)))
    head = model.task_heads.pair
    head.seen.clear()
    inputs, samples = batch()
    losses = model.loss(inputs, samples)
    # exactly the images that supervise one of the tasks, and their samples
    assert head.seen == [[0, 1, 2, 4]]

    pooled = model.extract_feat(inputs)[0].mean(dim=(2, 3))
    for task, images in dict(near=[0, 1, 4], far=[2, 4]).items():
        wanted = (head.branches[task](pooled[images])[:, 0] -
                  torch.tensor(images)).abs().mean()
        torch.testing.assert_close(losses[f'pair/{task}/loss_abs'], wanted)
        assert losses[f'pair/{task}/num_images'] == len(images)
    assert not any('no_images' in key for key in losses)


def test_a_task_of_a_joint_head_is_asked_like_any_other():
    model = build(dict(pair=dict(type=JointHead)))
    ctx = StepContext(model, *batch())
    both = ctx.outputs('pair')
    assert ctx.outputs('near') is both['near'] is not both['far']
    assert torch.equal(ctx.outputs('far', [4, 2]), both['far'][[3, 2]])
    targets = torch.zeros(2, 1)
    given = [
        ctx.loss('far', targets, [2, 4], 'nothing', head)['loss_abs']
        for head in (None, 'pair')
    ]
    assert given[0] == given[1] == both['far'][2:].abs().mean()
    view = ctx.view([0, 1])
    assert view.outputs('far') is view.outputs('pair')['far']


def test_a_joint_head_has_not_the_name_of_a_task():
    with pytest.raises(UserError, match="'near' is also one of the tasks"):
        build(dict(near=dict(type=JointHead)))


@pytest.mark.parametrize('kinds, without', [
    ([('bbox', )], ['far']),
    ([('sem_seg', )], ['near']),
    ([()], ['near', 'far']),
])
def test_a_task_without_an_image_touches_all_parameters(kinds, without):
    model = build(dict(pair=dict(type=JointHead)))
    losses = model.loss(*batch(kinds))
    zeros = [
        key for key in losses
        if key.startswith('pair') and key.endswith('loss_no_images')
    ]
    assert zeros == [f'pair/{task}/loss_no_images' for task in without]
    assert all(losses[key] == 0 for key in zeros)
    loss = sum(value for key, value in losses.items()
               if key.startswith('pair') and 'loss' in key)
    head = model.task_heads.pair
    assert all(x is not None for x in gradients(head, loss))


def test_a_joint_head_of_a_teacher_runs_once_for_both_tasks():
    model = build(dict(pair=dict(type=JointHead)))
    teacher = copy.deepcopy(model)
    model.set_teacher('ema', teacher)
    ctx = StepContext(model, *batch())
    teacher.task_heads.pair.seen.clear()
    near, both, far = (
        ctx.outputs_of('ema', name, [1, 2])
        for name in ('near', 'pair', 'far'))
    assert both['near'] is near and both['far'] is far
    assert teacher.task_heads.pair.seen == [[1, 2]]


def test_a_head_slices_its_own_outputs():
    """Among images that a weak loss brings in between."""
    model = build(
        dict(ragged=dict(type=RaggedHead)),
        weak_losses=[dict(type=RaggedOnTheRest)])
    inputs, samples = batch()
    losses = model.loss(inputs, samples)
    pooled = model.extract_feat(inputs)[0].mean(dim=(2, 3))
    each = model.task_heads.ragged.fc(pooled)[:, 0] * torch.arange(5)
    torch.testing.assert_close(losses['ragged/loss_sum'], each[[0, 1,
                                                                4]].sum())
    torch.testing.assert_close(losses['rest/loss_sum'], each[2])


def test_a_head_joins_what_a_teacher_said_in_parts():
    model = build(dict(ragged=dict(type=RaggedHead)))
    model.set_teacher('ema', copy.deepcopy(model))
    ctx = StepContext(model, *batch())
    ctx.outputs_of('ema', 'ragged', [3, 1])
    ctx.outputs_of('ema', 'ragged', [2])
    numbers, counts = ctx.outputs_of('ema', 'ragged', [1, 2, 3])
    whole = StepContext(model, *batch())
    wanted, _ = whole.outputs_of('ema', 'ragged', [1, 2, 3])
    assert counts == [1, 2, 3]
    torch.testing.assert_close(numbers, wanted)


@pytest.mark.parametrize('first', [True, False])
def test_a_derived_head_predicts_after_those_that_it_needs(first):
    cfg = tiny_model_cfg()
    derived = dict(panoptic=dict(type=BoxesOnMap))
    heads = cfg['task_heads']
    cfg['task_heads'] = {**derived, **heads} if first else {**heads, **derived}
    model = MODELS.build(cfg)
    model.task_heads.det.test_cfg.score_thr = 0.
    inputs, samples = batch()
    assert not [
        key for key in model.train().loss(inputs, samples)
        if key.startswith('panoptic')
    ]
    assert sorted(model(inputs, samples, mode='tensor')) == ['det', 'seg']
    with torch.no_grad():
        predicted = model.eval().predict(inputs, samples)
    for sample in predicted:
        assert len(sample.pred_instances) > 0
        assert sample.pred_panoptic == (len(sample.pred_instances), SIZE**2)


@pytest.mark.parametrize('without', ['det', 'seg'])
def test_what_a_derived_head_needs_must_be_there(without):
    cfg = tiny_model_cfg()
    cfg['task_heads'].pop(without)
    cfg['task_heads']['panoptic'] = dict(type=BoxesOnMap)
    with pytest.raises(
            ValueError,
            match=rf"BoxesOnMap needs the trained head\(s\) \['{without}'\]"):
        MODELS.build(cfg)
