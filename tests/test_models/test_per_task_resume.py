# Copyright (c) mmbombo contributors.
import os

import pytest
import torch
from mmengine.dataset import pseudo_collate
from mmengine.hooks import Hook
from mmengine.runner import Runner
from toolbox import make_sample, tiny_model_cfg
from torch.utils.data import DataLoader

from mmbombo.registry import MODELS

ITERS = 10
UNTIL = 8


class Images:
    """Images with boxes and images with masks, in turn."""

    def __len__(self):
        return 2 * ITERS

    def __getitem__(self, i):
        generator = torch.Generator().manual_seed(i)
        return dict(
            inputs=torch.randint(0, 256, (3, 64, 64),
                                 generator=generator).byte(),
            data_samples=make_sample(
                (('bbox', ), ('sem_seg', ))[i % 2], seed=i, size=64))


class Recorder(Hook):
    """Sizes that the backbone gets, and losses, by iteration."""
    priority = 'VERY_LOW'

    def __init__(self):
        self.sizes, self.losses = {}, {}

    def before_train(self, runner):
        self.runner = runner
        runner.model.backbone.register_forward_hook(self.note)

    def note(self, module, args, output):
        self.sizes.setdefault(self.runner.iter, []).append(args[0].shape[-1])

    def after_train_iter(self,
                         runner,
                         batch_idx,
                         data_batch=None,
                         outputs=None):
        self.losses[runner.iter] = float(outputs['loss'].detach())


def train(work_dir, **kwargs) -> Recorder:
    torch.manual_seed(0)  # the same initial weights
    model = MODELS.build(
        tiny_model_cfg(
            forward_mode='per_task',
            batch_resize=dict(type='DetBatchResize', sizes=[32, 64, 96])))
    recorder = Recorder()
    Runner(
        model=model,
        work_dir=str(work_dir),
        train_dataloader=DataLoader(
            Images(), batch_size=2, collate_fn=pseudo_collate),
        train_cfg=dict(by_epoch=False, max_iters=ITERS),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=.001)),
        default_hooks=dict(
            checkpoint=dict(type='CheckpointHook', interval=4, by_epoch=False),
            step_seed=dict(type='StepSeedHook')),
        custom_hooks=[recorder],
        default_scope='mmbombo',
        experiment_name=os.urandom(8).hex(),
        randomness=dict(seed=4),
        log_level='WARNING',
        **kwargs).train()
    return recorder


def test_resumed_run_draws_the_same_sizes_and_losses(tmp_path):
    whole = train(tmp_path / 'whole')
    checkpoint = str(tmp_path / 'whole' / 'iter_4.pth')
    resumed = train(tmp_path / 'resumed', resume=True, load_from=checkpoint)

    det_sizes = {i: sizes[0] for i, sizes in whole.sizes.items()}
    assert len({det_sizes[i] for i in range(UNTIL)}) == 3
    assert len({det_sizes[i] for i in range(4, UNTIL)}) > 1
    assert all(det_sizes[i] == 64 for i in range(UNTIL, ITERS))
    assert all(sizes[1:] == [64] for sizes in whole.sizes.values())

    assert sorted(resumed.losses) == list(range(4, ITERS))
    for i, loss in resumed.losses.items():
        assert resumed.sizes[i] == whole.sizes[i]
        assert loss == pytest.approx(whole.losses[i], rel=1e-5)
