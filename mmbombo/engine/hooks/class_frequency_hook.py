# Copyright (c) mmbombo contributors.
import numpy as np
import torch
from mmengine.device import get_device
from mmengine.dist import all_reduce, get_dist_info
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.datasets.transforms import LoadAnnotations

from mmbombo.models.losses import InverseFrequencyCELoss
from mmbombo.registry import HOOKS
from mmbombo.utils import UserError


@HOOKS.register_module()
class ClassFrequencyHook(Hook):
    """Weigh classes by their pixels' inverse frequency in the training set.

    Before the training all masks are read, a few milliseconds each, and
    :class:`InverseFrequencyCELoss` gets the weights, if it has none; they sum
    to 1, and a class without a pixel gets 0. The data set is one of
    MMSegmentation.
    """

    def before_train(self, runner: Runner) -> None:
        """Count the pixels, each process a share of the masks."""
        losses = [
            x for x in runner.model.modules()
            if isinstance(x, InverseFrequencyCELoss) and x.class_weight is None
        ]
        if not losses:
            return
        dataset = runner.train_dataloader.dataset
        if not hasattr(dataset, 'pipeline'):
            raise UserError(
                'ClassFrequencyHook counts the masks of one data set, and '
                f'this is a {type(dataset).__name__}: leave the hook out, or '
                'give InverseFrequencyCELoss a class_weight')
        load, = (
            step for step in dataset.pipeline.transforms
            if isinstance(step, LoadAnnotations))
        names = dataset.metainfo['classes']
        counts = np.zeros(len(names))
        rank, world_size = get_dist_info()
        for i in range(rank, len(dataset), world_size):
            ids = load(dataset.get_data_info(i))['gt_seg_map'].ravel()
            counts += np.bincount(ids, minlength=256)[:len(names)]
        counts = torch.from_numpy(counts)
        all_reduce(counts)
        weights = torch.where(counts > 0, 1 / counts, 0.)
        weights = (weights / weights.sum()).float()
        runner.logger.info('weights of the classes: ' +
                           ', '.join(f'{name} {weight:.3g}'
                                     for name, weight in zip(names, weights)))
        for loss in losses:
            loss.class_weight = weights.to(get_device())
