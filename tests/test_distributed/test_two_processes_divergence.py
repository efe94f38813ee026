# Copyright (c) mmbombo contributors.
"""Two gloo processes of which one gets NaN stop at the same step, alike."""
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from mmengine.model import MMDistributedDataParallel
from toolbox import gloo_process, load_script

TOY = Path(__file__).resolve().parents[1] / (
    'test_engine/test_divergence_hook.py')
#: Fault of the fourth batch of the second process, what is said, and when.
CASES = [
    (dict(), float('nan'), 'iteration 4: loss, loss_a NaN', 3),
    (dict(), 1e6, 'iteration 4: gradients NaN', 3),
    # one process knows of the loss when the other has the step to take
    (dict(accumulative_counts=3), float('nan'),
     'iteration 4: loss, loss_a NaN', 5),
    # nobody's gradient: the other process would take the step
    (dict(), 2e6, 'iteration 4: loss, loss_b NaN', 3),
]
SCALED = [
    (dict(type='ScaledOptimWrapper'), float('nan'),
     'iteration 4: loss, loss_a NaN', 3),
    (dict(type='ScaledOptimWrapper'), 3e6, '', 6),
]


def worker(rank, folder):
    toy = load_script(TOY)
    # torch < 2.3 has none for the CPU
    cases = CASES + SCALED * hasattr(torch.amp, 'GradScaler')
    for number, (optim, fault, message, stops_at) in enumerate(cases):
        runner, recorder = toy.build(
            f'{folder}/{number}/{rank}', fault if rank else None, optim=optim,
            wrap=lambda x: MMDistributedDataParallel(
                x, broadcast_buffers=False))
        said = ''
        try:
            runner.train()
        except toy.DivergedError as error:
            said = str(error)
        everyone = [None, None]
        weights = [x.tolist() for x in runner.model.parameters()]
        dist.all_gather_object(everyone, (said.partition(' (')[0], weights))
        assert everyone[0] == everyone[1], (number, everyone)
        assert said.startswith(message) and bool(said) == bool(message), said
        assert runner.iter == stops_at, (number, runner.iter)
        if said and stops_at == 3:
            toy.assert_same(toy.state_of(runner), recorder.before)


def test_both_stop_alike(run_two_processes, tmp_path):
    run_two_processes(__file__, str(tmp_path))


if __name__ == '__main__':
    torch.set_num_threads(1)
    with gloo_process(int(sys.argv[1])):
        worker(int(sys.argv[1]), sys.argv[2])
