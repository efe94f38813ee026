# Copyright (c) mmbombo contributors.
from typing import Dict, Optional

from mmdet.utils import ConfigType
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.hooks.hook import DATA_BATCH

from mmbombo.evaluation.pseudo_labels import build_pair, compare_pseudo_labels
from mmbombo.models.detectors import MultiTaskDetector
from mmbombo.registry import HOOKS
from mmbombo.utils.distributed import unwrapped


@HOOKS.register_module()
class PseudoLabelQualityHook(Hook):
    """Log how good the pseudo labels are, for data with a hidden truth.

    A research aid: some data sets have both annotations, and training hides
    one. Every ``interval`` iterations the pseudo labels of a few training
    images are made as in a training step and compared with the truth.
    Nothing of this reaches a loss.

    The values are logged as ``m4b/precision``, ``m4b/recall``,
    ``m4b/mean_iou``, ``m4b/mean_iou_single``, ``..._touching`` and
    ``..._occluded``, the same of the circumscribed rectangles under
    ``rectangles/``, and of the pixels that masks leave one class
    ``b4m/labeled``, ``b4m/accuracy``, ``b4m/mIoU``; of those with several
    ``b4m/limited`` and ``b4m/limited_accuracy``.

    Args:
        weak (dict): Data set of the images with the kinds that training may
            read, and a pipeline without randomness that prepares the weak
            labels.
        truth (dict): The same images in the same order with both kinds.
        interval (int): Iterations between two looks. Defaults to 100.
        num_images (int): How many images, evenly spaced. Defaults to 64.
        batch_size (int): Images per forward pass. Defaults to 8.
    """

    def __init__(self,
                 weak: ConfigType,
                 truth: ConfigType,
                 interval: int = 100,
                 num_images: int = 64,
                 batch_size: int = 8) -> None:
        self.weak = weak
        self.truth = truth
        self.interval = interval
        self.num_images = num_images
        self.batch_size = batch_size

    def before_train(self, runner) -> None:
        """Build the data sets."""
        self.weak, self.truth = build_pair(self.weak, self.truth)

    def after_train_iter(self,
                         runner,
                         batch_idx: int,
                         data_batch: DATA_BATCH = None,
                         outputs: Optional[dict] = None) -> None:
        """Look at the pseudo labels every ``interval`` iterations."""
        if not (self.every_n_train_iters(runner, self.interval)
                and is_main_process()):
            return
        values = self.measure(unwrapped(runner.model))
        runner.visualizer.add_scalars(values, step=runner.iter + 1)
        runner.logger.info('pseudo labels: ' +
                           '  '.join(f'{key}: {value:.3f}'
                                     for key, value in values.items()))

    def measure(self, model: MultiTaskDetector) -> Dict[str, float]:
        """Compare pseudo labels of the network in training with the truth."""
        return compare_pseudo_labels(model, self.weak, self.truth,
                                     self.num_images,
                                     self.batch_size).summary()
