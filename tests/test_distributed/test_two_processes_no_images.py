# Copyright (c) mmbombo contributors.
"""Two gloo processes step on although a loss has no image."""
import sys

import torch
from toolbox import SIZE, gloo_process, make_sample, tiny_model_cfg
from torch.nn.parallel import DistributedDataParallel

from mmbombo.models.utils import zero_loss
from mmbombo.registry import MODELS

ADAPT = dict(in_channels=16, out_channels=16, num_levels=4)
WEAK_LOSSES = [
    dict(type='FeatureMSELoss', teacher='t', task='seg', adapt=ADAPT),
    dict(type='MaskForBoxLoss', ramp=0., predictor='none')
]
#: What the images of a step have: nothing is left for one or both losses, and
#: in the second case nothing for a head either.
CASES = dict(oracle=('bbox', 'sem_seg'), boxes=('bbox', ))


def build(weak_losses, forward_mode):
    torch.manual_seed(0)
    model = MODELS.build(
        tiny_model_cfg(
            weak_losses=list(weak_losses), forward_mode=forward_mode))
    model.init_weights()
    return model.eval()


def train(rank, case, forward_mode):
    """An unused parameter is an error in the step after."""
    model = build(WEAK_LOSSES, forward_mode)
    model.set_teacher('t', build([], 'joint').requires_grad_(False))
    wrapped = DistributedDataParallel(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    for step in range(3):
        samples = [make_sample(CASES[case], seed=10 * rank + step + i)
                   for i in range(2)]
        losses = wrapped(torch.randn(2, 3, SIZE, SIZE), samples, mode='loss')
        if case == 'oracle':
            assert losses['mse_seg/loss_no_images'] == 0
        total, _ = model.parse_losses(losses)
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        assert total.isfinite()
    unlearned = [
        name for name, p in model.named_parameters()
        if p.requires_grad and p.grad is None
    ]
    assert not unlearned, unlearned


def worker(rank):
    with gloo_process(rank):
        for case in CASES:
            for forward_mode in ('joint', 'per_task'):
                train(rank, case, forward_mode)


def test_training_goes_on(run_two_processes):
    run_two_processes(__file__)


def test_zero_loss_is_zero_and_reaches_every_trained_parameter():
    layer = torch.nn.Linear(3, 2)
    layer.bias.requires_grad_(False)
    loss, = zero_loss(layer).values()
    loss.backward()
    assert loss == 0 and torch.equal(layer.weight.grad, torch.zeros(2, 3))
    assert zero_loss(layer.requires_grad_(False)) == {}


if __name__ == '__main__':
    worker(int(sys.argv[1]))
