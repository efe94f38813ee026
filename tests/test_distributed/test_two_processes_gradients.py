# Copyright (c) mmbombo contributors.
"""Two gloo processes compare and weigh the mean of their gradients."""
import sys
from types import SimpleNamespace

import torch
import torch.distributed as dist
from mmengine.model import MMDistributedDataParallel
from mmengine.optim import OptimWrapper
from toolbox import add_weak_labels, gloo_process, make_sample, tiny_model

from mmbombo.engine.hooks import GradientConflictHook, loss_balance_hook
from mmbombo.engine.hooks.gradient_conflict_hook import grouped

SIZE = 64


def batch(rank):
    """Each process has its own images."""
    generator = torch.Generator().manual_seed(rank)
    kinds = (('bbox', ), ('sem_seg', ))
    return dict(
        inputs=[
            torch.randint(
                256, (3, SIZE, SIZE), dtype=torch.uint8, generator=generator)
            for _ in kinds
        ],
        data_samples=[
            add_weak_labels(
                make_sample(x, seed=5 * rank + i, size=SIZE),
                {1: (8, 8, 40, 40 + 8 * rank)}) for i, x in enumerate(kinds)
        ])


def train(rank, hook=None):
    """Two steps; the network, what it put out last, and the first look."""
    model = tiny_model(
        dict(type='BoxForMaskLoss'),
        dict(type='MaskForBoxLoss', ramp=0., predictor='none'))
    looks = []
    runner = SimpleNamespace(
        model=MMDistributedDataParallel(model, broadcast_buffers=False),
        iter=0,
        visualizer=SimpleNamespace(
            add_scalars=lambda values, step: looks.append(values)),
        optim_wrapper=OptimWrapper(
            torch.optim.SGD(model.parameters(), lr=.01, momentum=.9)))
    if hook is not None:
        hook.before_train(runner)
    for runner.iter in range(2):
        if hook is not None:
            hook.before_train_iter(runner, runner.iter)
        outputs = runner.model.train_step(batch(rank), runner.optim_wrapper)
    return model, outputs, looks


def mean_gradient(rank, name):
    """Of one head or weak loss in the first step, on a stage."""
    model = tiny_model(
        dict(type='BoxForMaskLoss'),
        dict(type='MaskForBoxLoss', ramp=0., predictor='none'))
    losses = model(**model.data_preprocessor(batch(rank), True), mode='loss')
    model.parse_losses(grouped(losses)[name])[0].backward()
    grad = torch.cat(
        [x.grad.flatten() for x in model.backbone.layer2.parameters()])
    dist.all_reduce(grad)
    return grad / 2


def worker(rank):
    plain, _, _ = train(rank)
    looked, _, (look, _) = train(rank, GradientConflictHook(1))
    for x, y in zip(plain.state_dict().values(), looked.state_dict().values()):
        assert torch.equal(x, y)
    for pair in ('det-seg', 'b4m-m4b'):
        one, other = (mean_gradient(rank, x) for x in pair.split('-'))
        torch.testing.assert_close(
            [look[f'grad_{x}/{pair}/backbone.layer2']
             for x in ('cosine', 'ratio')],
            [torch.cosine_similarity(one, other, dim=0).item(),
             (one.norm() / other.norm()).item()], atol=1e-5, rtol=1e-4)
    # weights that each process would draw for itself
    torch.manual_seed(rank)
    loss_balance_hook.build_weighting = lambda: (lambda x: torch.rand(len(x)))
    model, outputs, _ = train(rank, loss_balance_hook.LossBalanceHook({}))
    mine = [float(outputs[f'balance/{x}']) for x in ('det', 'seg', 'b4m')]
    everyone = [None, None]
    dist.all_gather_object(
        everyone, (look, mine, [x.tolist() for x in model.parameters()]))
    assert everyone[0] == everyone[1]
    assert len({*mine}) == 3


def test_processes_agree(run_two_processes):
    run_two_processes(__file__)


if __name__ == '__main__':
    torch.set_num_threads(1)
    with gloo_process(int(sys.argv[1])):
        worker(int(sys.argv[1]))
