# Copyright (c) mmbombo contributors.
"""Gradients of heads and weak losses are compared, and weigh the losses."""
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from mmengine.registry import DefaultScope
from toolbox import add_weak_labels, load_script, tiny_model_cfg
from torch import nn

from mmbombo.engine.hooks import GradientConflictHook, LossBalanceHook
from mmbombo.engine.hooks.gradient_conflict_hook import grouped, shared_stages
from mmbombo.engine.hooks.loss_balance_hook import weigh
from mmbombo.utils import UserError

HERE = Path(__file__).parent
ZERO = (0., 0.)
#: What projects, norms and angles are computed of by hand: 135 degrees.
EAST, NORTHWEST = (1., 0.), (-1., 1.)


class Toy(BaseModel):
    """Losses by their gradients on a stage of the backbone and on the neck;
    that on the head is 1."""

    def __init__(self, losses):
        super().__init__()
        self.backbone = nn.ParameterDict(
            dict(layer1=nn.Parameter(torch.zeros(2))))
        self.neck = nn.ParameterList([torch.zeros(2)])
        self.head = nn.Parameter(torch.zeros(()))
        self.gradients = losses

    def forward(self, inputs, data_samples=None, mode='loss'):
        return {
            key: self.backbone['layer1'] @ torch.tensor(layer) +
            self.neck[0] @ torch.tensor(neck) + self.head
            for key, (layer, neck) in self.gradients.items()
        }


def step(hook, losses, optim_wrapper=OptimWrapper, after=None):
    """A step of a length of 1, and what is logged of it."""
    logged = {}
    model = Toy(losses)
    runner = SimpleNamespace(
        model=model,
        iter=9,
        optim_wrapper=optim_wrapper(
            optimizer=torch.optim.SGD(model.parameters(), lr=1.)),
        visualizer=SimpleNamespace(
            add_scalars=lambda values, step: logged.update(values, step=step)))
    for x in filter(None, (after, hook)):
        x.before_train(runner)
        x.before_train_iter(runner, 0)
    outputs = model.train_step(dict(inputs=None), runner.optim_wrapper)
    return model, outputs, logged


LOSSES = {
    'det/loss_cls': (EAST, (3., 4.)), 'det/loss_bbox': (EAST, ZERO),
    'seg/loss_ce': (NORTHWEST, (0., 10.)), 'seg/acc': ((9., 9.), (9., 9.)),
    'b4m/loss_ce': (ZERO, (-6., -8.)), 'cls/loss_no_images': (ZERO, ZERO)
}


@pytest.mark.parametrize('scaled', [False, True])
def test_cosines_and_ratios(scaled):
    """Losses of a head are summed, diagnostics are no losses, and what has
    no gradient in a stage is in no pair there."""
    if scaled and not hasattr(torch.amp, 'GradScaler'):
        pytest.skip('torch < 2.3 has no scaler for the CPU')
    wrapper = load_script(HERE / 'test_divergence_hook.py').ScaledOptimWrapper
    model, _, logged = step(
        GradientConflictHook(10), LOSSES, wrapper if scaled else OptimWrapper)
    assert logged.pop('step') == 10
    expected = {
        'det-seg/backbone.layer1': (-.5**.5, 2 / 2**.5),
        'det-seg/neck': (.8, .5),
        'det-b4m/neck': (-1., .5),
        'seg-b4m/neck': (-.8, 1.),
        'det-seg/all': ((-2 + 40) / (29 * 102)**.5, (29 / 102)**.5),
        'det-b4m/all': (-50 / (29 * 100)**.5, .29**.5),
        'seg-b4m/all': (-80 / (102 * 100)**.5, 1.02**.5),
    }
    assert logged == {
        f'grad_{kind}/{key}': pytest.approx(x[i], abs=1e-6)
        for key, x in expected.items()
        for i, kind in enumerate(('cosine', 'ratio'))
    }
    assert model.head == -5  # and the step is the plain one


def test_looks_every_n_steps():
    assert not step(GradientConflictHook(3), LOSSES)[2]


def test_stages():
    parts = dict.fromkeys(
        ('backbone.conv1.weight', 'backbone.layer1.0.conv.weight',
         'backbone.layer1.1.conv.weight', 'backbone.stages.0.0.weight',
         'backbone.stages.1.0.weight', 'neck.0.weight', 'neck.1.weight',
         'necklace.weight', 'head.weight'), nn.Parameter(torch.ones(1)))
    model = SimpleNamespace(named_parameters=parts.items)
    assert {k: len(v) for k, v in shared_stages(model).items()} == {
        'backbone.conv1': 1, 'backbone.layer1': 2, 'backbone.stages.0': 1,
        'backbone.stages.1': 1, 'neck': 2
    }
    with pytest.raises(UserError, match='Linear has no trained parameter in'):
        shared_stages(nn.Linear(1, 1))


def test_names():
    keys = ('det/loss_cls', 'det/acc', 'det/loss_bbox', 'aux/cls/loss',
            'aux/sal/loss', 'loss_rpn', 'decode.loss_ce')
    assert {k: [*v] for k, v in grouped(dict.fromkeys(keys)).items()} == {
        'det': ['det/loss_cls', 'det/loss_bbox'], 'aux.cls': ['aux/cls/loss'],
        'aux.sal': ['aux/sal/loss'], 'loss_rpn': ['loss_rpn'],
        'decode.loss_ce': ['decode.loss_ce']
    }  # yapf: disable


@pytest.fixture
def scope():
    with DefaultScope.overwrite_default_scope('mmbombo'):
        yield load_script(HERE / 'test_local_supervision_hook.py')


WEAK_LOSSES = [
    dict(type='BoxForMaskLoss'),
    dict(type='MaskForBoxLoss', predictor='none', ramp=0.)
]


def weak(sample):
    return add_weak_labels(sample, {1: (8, 8, 48, 40)})


def network(**kwargs):
    """With batch statistics and random dropout."""
    cfg = tiny_model_cfg(weak_losses=WEAK_LOSSES, **kwargs)
    cfg['backbone']['norm_eval'] = False
    cfg['task_heads']['seg']['head']['dropout_ratio'] = .3
    return cfg


@pytest.mark.parametrize('mode', ['joint', 'per_task'])
def test_training_is_the_same(scope, tmp_path, mode):
    """Weights, statistics, the log and random numbers, bit for bit; the
    gradients are those of a backward pass of each loss."""
    ends, logs = [], []
    data = scope.Samples([('bbox', ), ('sem_seg', )], weak)
    for hooks in ([], [dict(type='GradientConflictHook', interval=1)]):
        runner = scope.runner_of(
            tmp_path / str(len(hooks)), network(forward_mode=mode), data,
            hooks=hooks)
        runner.train()
        ends.append([*runner.model.state_dict().values(),
                     torch.get_rng_state()])
        path, = (tmp_path / str(len(hooks))).glob('*/vis_data/scalars.json')
        logs.append([json.loads(x) for x in path.read_text().splitlines()])
    assert all(map(torch.equal, *ends))
    looks = [x for x in logs[1] if 'loss' not in x]
    timeless = [[{k: v for k, v in x.items() if 'time' not in k}
                 for x in log if 'loss' in x] for log in logs]
    assert timeless[0] == timeless[1]
    names = ('det', 'seg', 'b4m', 'm4b')
    pairs = {f'{a}-{b}' for i, a in enumerate(names) for b in names[i + 1:]}
    assert {x.split('/')[1] for x in looks[0] if x != 'step'} == pairs
    assert [x['step'] for x in looks] == [1, 2]


def test_against_one_backward_pass_of_each(scope, tmp_path):
    data = scope.Samples([('bbox', ), ('sem_seg', )], weak)
    cfg = network()
    cfg['task_heads']['seg']['head']['dropout_ratio'] = 0.
    runner = scope.runner_of(
        tmp_path, cfg, data, max_iters=1,
        hooks=[dict(type='GradientConflictHook', interval=1)])
    model = runner.model.train()
    model.init_weights()
    runner.load_or_resume()
    state = {k: v.clone() for k, v in model.state_dict().items()}
    runner.train()
    path, = tmp_path.glob('*/vis_data/scalars.json')
    looks = json.loads(path.read_text().splitlines()[0])
    grads = {}
    for name in ('det', 'seg', 'b4m', 'm4b'):
        model.load_state_dict(state)
        model.zero_grad()
        batch = model.data_preprocessor(
            dict(inputs=[data[i]['inputs'] for i in range(4)],
                 data_samples=[data[i]['data_samples'] for i in range(4)]),
            True)
        losses = model(**batch, mode='loss')
        model.parse_losses(grouped(losses)[name])[0].backward()
        grads[name] = torch.cat([
            x.grad.flatten() for x in model.backbone.layer3.parameters()])
    for a, b in (('det', 'seg'), ('seg', 'b4m'), ('det', 'm4b')):
        key = f'{a}-{b}/backbone.layer3'
        cosine = torch.cosine_similarity(grads[a], grads[b], dim=0).item()
        assert looks[f'grad_cosine/{key}'] == pytest.approx(cosine, abs=1e-5)
        assert looks[f'grad_ratio/{key}'] == pytest.approx(
            (grads[a].norm() / grads[b].norm()).item(), rel=1e-4)


def test_a_task_without_images_is_left_out(scope, tmp_path):
    runner = scope.runner_of(
        tmp_path, network(), scope.Samples([('bbox', )], weak), max_iters=1,
        hooks=[dict(type='GradientConflictHook', interval=1)])
    runner.train()
    path, = tmp_path.glob('*/vis_data/scalars.json')
    look = json.loads(path.read_text().splitlines()[0])
    assert {x.split('/')[1] for x in look if x != 'step'} == {'det-b4m'}


def test_blocks_computed_again(scope, tmp_path):
    cfg = network()
    cfg['backbone']['with_cp'] = True
    runner = scope.runner_of(
        tmp_path, cfg, scope.Samples([('bbox', ), ('sem_seg', )], weak),
        hooks=[dict(type='GradientConflictHook', interval=1)])
    with pytest.raises(UserError, match='with_cp'):
        runner.train()


@pytest.fixture
def torchjd():
    return pytest.importorskip('torchjd.aggregation')


#: Weights of EAST and NORTHWEST, with a sum of 2 where nothing conflicts.
CLOSED_FORMS = [
    # each is projected on what does not harm the other: (1/2, 1/2) and (0, 1)
    (dict(type='UPGrad'), (2, 1.5)),
    # the shortest vector between them, (1/5, 2/5)
    (dict(type='MGDA'), (1.2, .8)),
    (dict(type='Mean'), (1, 1)),
    (dict(type='Constant', weights=torch.tensor([.25, .5])), (.5, 1)),
]


@pytest.mark.parametrize('weighting, weights', CLOSED_FORMS)
def test_weights_in_closed_form(torchjd, weighting, weights):
    """Of the neck, which are those of the whole network; what is not in the
    batch has no say."""
    if weighting['type'] == 'UPGrad':
        pytest.importorskip('quadprog')
        pytest.importorskip('qpsolvers')
    model, outputs, _ = step(
        LossBalanceHook(weighting), {
            'det/loss_cls': (ZERO, EAST),
            'sal/loss_no_images': (ZERO, ZERO),
            'seg/loss_ce': ((0., 7.), NORTHWEST)
        })
    expected = torch.tensor(weights).float() @ torch.tensor([EAST, NORTHWEST])
    torch.testing.assert_close(
        -model.neck[0].detach(), expected, atol=1e-3, rtol=0)
    assert -model.backbone['layer1'][1].item() == pytest.approx(
        7 * weights[1], abs=1e-2)
    assert -model.head.item() == pytest.approx(sum(weights) + 1, abs=1e-3)
    assert [float(outputs[f'balance/{x}']) for x in ('det', 'sal', 'seg')] == [
        pytest.approx(weights[0], abs=1e-3), 1,
        pytest.approx(weights[1], abs=1e-3)
    ]


def test_equal_weights_are_the_plain_step(scope, torchjd, tmp_path):
    data = scope.Samples([('bbox', ), ('sem_seg', ), ()], weak)
    ends = []
    for hooks in ([], [dict(type='LossBalanceHook',
                            weighting=dict(type='Mean'))]):
        runner = scope.runner_of(
            tmp_path / str(len(hooks)), network(), data, hooks=hooks)
        runner.train()
        ends.append([*runner.model.state_dict().values()])
    assert all(map(torch.equal, *ends))
    assert scope.logged(tmp_path / '1')['balance/m4b'] == 1


def test_diagnosis_sees_the_losses_of_the_model(torchjd):
    balance = LossBalanceHook(dict(type='MGDA'))
    assert step(balance, LOSSES, after=GradientConflictHook(10))[2] == step(
        GradientConflictHook(10), LOSSES, after=balance)[2] == step(
            GradientConflictHook(10), LOSSES)[2]


@pytest.mark.parametrize('products', [
    [[1., 0.], [0., 0.]], [[4., float('inf')], [float('inf'), 1.]],
    [[0., 0.], [0., 0.]]
])  # yapf: disable
def test_nothing_to_weigh(products):
    weights = weigh(lambda x: 1 / 0, torch.tensor(products))
    assert weights.tolist() == [1, 1]


def test_weightings_that_are_not_there(monkeypatch):
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, 'torchjd.aggregation', None)
        with pytest.raises(UserError, match='pip install torchjd$'):
            LossBalanceHook(dict(type='UPGrad'))
    torchjd = pytest.importorskip('torchjd.aggregation')
    with pytest.raises(UserError, match="type='UP' is none of .*'UPGrad'"):
        LossBalanceHook(dict(type='UP'))
    with pytest.raises(UserError, match="unexpected keyword argument 'd'"):
        LossBalanceHook(dict(type='MGDA', d=1))
    monkeypatch.setattr(torchjd, 'MGDAWeighting', raise_import_error)
    with pytest.raises(UserError, match='LossBalanceHook: needs this and tha'):
        LossBalanceHook(dict(type='MGDA'))


def raise_import_error(**kwargs):
    raise ImportError('needs this and that: pip install both')
