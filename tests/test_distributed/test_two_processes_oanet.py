# Copyright (c) mmbombo contributors.
"""Ranks of which one has nothing to rank, without a search for parameters
that got no gradient."""
import sys
from pathlib import Path

import torch
from toolbox import gloo_process
from torch.nn.parallel import DistributedDataParallel

from mmbombo.utils import UserError

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'test_models'))
from test_oanet import OVERLAP, SIZE, build, make_sample  # noqa: E402

SAMPLES = [OVERLAP, []]


def gradients(train_source, numbers, ddp):
    """Of the ranking, after two steps without an update."""
    model = build(train_source).train()
    wrapped = DistributedDataParallel(model) if ddp else model
    for _ in range(2):
        torch.manual_seed(0)
        images = torch.randn(2, 3, SIZE, SIZE)[numbers]
        samples = [make_sample(SAMPLES[i]) for i in numbers]
        losses = wrapped(images, samples, mode='loss')
        model.zero_grad()
        model.parse_losses(losses)[0].backward()
    assert all(p.grad is not None for p in model.parameters()
               if p.requires_grad)
    return [p.grad.clone() for p in model.panoptic_fusion_head.parameters()]


def stops(rank):
    """Whether a training stops if no masks overlap."""
    head = build('gt').panoptic_fusion_head
    head.patience = 1
    apart = [(0, 0, 9, 9), (30, 30, 50, 50)] if rank else []
    try:
        head.annotated([make_sample(apart).gt_instances])
    except UserError:
        return True
    return False


def worker(rank, out):
    with gloo_process(rank):
        found = {
            source: gradients(source, [rank], ddp=True)
            for source in ('gt', 'pred')
        }
        found['stops'] = stops(rank)
    torch.save(found, f'{out}{rank}')


def test_one_rank_has_nothing_to_rank(run_two_processes, tmp_path):
    out = str(tmp_path / 'gradients')
    run_two_processes(__file__, out)
    ranks = [torch.load(f'{out}{i}', weights_only=True) for i in range(2)]
    assert all(rank['stops'] for rank in ranks)
    one = gradients('gt', [0, 1], ddp=False)
    assert any(gradient.any() for gradient in one)
    for source in ('gt', 'pred'):
        for a, b in zip(*(rank[source] for rank in ranks)):
            torch.testing.assert_close(a, b)
    for a, b in zip(one, ranks[0]['gt']):
        torch.testing.assert_close(a, b)


if __name__ == '__main__':
    worker(int(sys.argv[1]), sys.argv[2])
