# Copyright (c) mmbombo contributors.
"""Distillation in two gloo processes equals one with the doubled batch."""
import sys

import torch
from toolbox import SIZE, gloo_process, make_sample, tiny_model_cfg
from torch.nn.parallel import DistributedDataParallel

from mmbombo.registry import MODELS

ADAPT = dict(in_channels=16, out_channels=16, num_levels=4)
WEAK_LOSSES = [
    dict(type='SoftDetectionLoss', teacher='t'),
    dict(type='PDFLoss', teacher='t'),
    dict(type='DeFeatLoss', teacher='t', score_thr=.01),
    dict(type='SegmentationKLLoss', teacher='t'),
    dict(type='FeatureMSELoss', teacher='t', task='seg', adapt=ADAPT)
]


def build(seed, weak_losses=()):
    torch.manual_seed(seed)
    model = MODELS.build(tiny_model_cfg(weak_losses=list(weak_losses)))
    model.init_weights()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * .02)
    return model.eval()


def batch(positions):
    """Images with boxes and with masks, of very different extents."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(4, 3, SIZE, SIZE, generator=generator)
    samples = []
    for i in positions:
        sample = make_sample((('bbox', ), ('sem_seg', ))[i % 2], seed=i)
        sample.set_metainfo(dict(img_shape=(SIZE - 30 * i, SIZE - 10 * i)))
        samples.append(sample)
    return inputs[positions], samples


def gradients(positions, ddp):
    model = build(0, WEAK_LOSSES)
    teacher = build(1)
    model.set_teacher('t', teacher.requires_grad_(False))
    names = {x.name for x in model.weak_losses}
    wrapped = DistributedDataParallel(model) if ddp else model
    # what DDP broadcasts and puts into buckets
    shared = {id(x) for x in (*wrapped.parameters(), *wrapped.buffers())}
    assert shared.isdisjoint(
        id(x) for x in (*teacher.parameters(), *teacher.buffers()))
    losses = wrapped(*batch(positions), mode='loss')
    # the supervised losses are tested elsewhere; they stay in the graph
    total = 0.
    for key, value in losses.items():
        for x in value if isinstance(value, list) else [value]:
            if 'loss' in key:
                total = total + x.sum() * (key.split('/')[0] in names)
    total.backward()
    return {
        name: p.grad.clone()
        for name, p in model.named_parameters() if p.requires_grad
    }


def worker(rank, out):
    with gloo_process(rank):
        found = gradients([2 * rank, 2 * rank + 1], ddp=True)
    if rank == 0:
        torch.save(found, out)


def test_gradients_equal_those_of_the_doubled_batch(run_two_processes,
                                                    tmp_path):
    out = str(tmp_path / 'gradients.pt')
    run_two_processes(__file__, out)
    two = torch.load(out, weights_only=True)
    one = gradients([0, 1, 2, 3], ddp=False)
    assert one.keys() == two.keys()
    assert all(one[key].abs().max() > 0 for key in one if 'adapters' in key)
    for name, gradient in one.items():
        scale = gradient.abs().max().clamp(min=1e-3)
        assert (gradient - two[name]).abs().max() / scale < 1e-3, name


if __name__ == '__main__':
    worker(int(sys.argv[1]), sys.argv[2])
