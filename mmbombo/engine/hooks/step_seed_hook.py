# Copyright (c) mmbombo contributors.
import numpy as np
import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.hooks.hook import DATA_BATCH

from mmbombo.registry import HOOKS


@HOOKS.register_module()
class StepSeedHook(Hook):
    """Seed what is random in a step: dropout, the size of a batch, ...

    The random state is no part of a checkpoint. Seeded from (seed of the run,
    iteration, rank), a resumed run draws the same as an uninterrupted one.
    Augmentation is seeded by the draws of :class:`PartialAnnotationSampler`
    in the same spirit.
    """

    def before_train_iter(self,
                          runner,
                          batch_idx: int,
                          data_batch: DATA_BATCH = None) -> None:
        """Seed torch, on all devices."""
        key = np.random.SeedSequence((runner.seed, runner.iter, get_rank()))
        torch.manual_seed(int(key.generate_state(1)[0]))
