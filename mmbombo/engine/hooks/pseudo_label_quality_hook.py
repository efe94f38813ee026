# Copyright (c) mmbombo contributors.
from typing import Dict, Optional

import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmdet.utils import ConfigType
from mmengine.dataset import pseudo_collate
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.hooks.hook import DATA_BATCH

from mmbombo.evaluation.functional import BoxQuality, MaskQuality, connectivity
from mmbombo.models.context import StepContext
from mmbombo.models.detectors import MultiTaskDetector
from mmbombo.models.utils import evaluation_mode
from mmbombo.models.weak_losses import BoxForMaskLoss, MaskForBoxLoss
from mmbombo.registry import DATASETS, HOOKS
from mmbombo.utils import UserError
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
        self.weak, self.truth = (
            DATASETS.build(x) if isinstance(x, dict) else x
            for x in (self.weak, self.truth))
        if len(self.weak) != len(self.truth):
            raise UserError(
                f'PseudoLabelQualityHook: {len(self.weak)} weakly and '
                f'{len(self.truth)} fully annotated images are not the same')

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

    @torch.no_grad()
    def measure(self, model: MultiTaskDetector) -> Dict[str, float]:
        """Compare pseudo labels of the network in training with the truth."""
        boxes, rectangles = BoxQuality(), BoxQuality()
        masks = MaskQuality(len(model.classes['seg']))
        total = len(self.weak)
        indices = np.linspace(0, total - 1, min(self.num_images,
                                                total)).astype(int)
        with evaluation_mode(model):
            for start in range(0, len(indices), self.batch_size):
                self._compare(model, indices[start:start + self.batch_size],
                              boxes, rectangles, masks)
        qualities = dict(m4b=boxes, rectangles=rectangles, b4m=masks)
        return {
            f'{prefix}/{key}': value
            for prefix, quality in qualities.items()
            for key, value in quality.summary().items()
        }

    def _compare(self, model: MultiTaskDetector, chunk: np.ndarray,
                 boxes: BoxQuality, rectangles: BoxQuality,
                 masks: MaskQuality) -> None:
        """Add the pseudo labels of some images to the qualities."""
        weak, truth = (
            model.data_preprocessor(
                pseudo_collate([dataset[int(i)] for i in chunk]), True)
            for dataset in (self.weak, self.truth))
        ctx = StepContext(model, weak['inputs'], weak['data_samples'])
        for weak_loss in model.weak_losses:
            images = weak_loss.images(ctx)
            if not images or not weak_loss.has_started(ctx):
                continue
            if isinstance(weak_loss, MaskForBoxLoss):
                found = weak_loss.pseudo_boxes(ctx, images)[0]
                for i, pseudo in zip(images, found):
                    add_boxes(boxes, rectangles, pseudo, ctx.samples[i],
                              truth['data_samples'][i], model.class_map)
            elif isinstance(weak_loss, BoxForMaskLoss):
                found = weak_loss.pseudo_masks(ctx, images)
                true = torch.stack([
                    truth['data_samples'][i].gt_sem_seg.sem_seg for i in images
                ])
                masks.add(*(x.cpu().numpy()
                            for x in (found.single_classes(), true,
                                      found.known, found.allow(true))))


def add_boxes(boxes: BoxQuality, rectangles: BoxQuality, pseudo,
              sample: DetDataSample, truth: DetDataSample, class_map) -> None:
    """Add the pseudo boxes and the rectangles of one image."""
    true_boxes = truth.gt_instances.bboxes.cpu().numpy()
    true_labels = truth.gt_instances.labels.cpu().numpy()
    compatible = class_map.compatible.numpy()
    table = sample.components[~sample.components.ignored]
    rects = table.bboxes.cpu().numpy()
    # a rectangle of a class with several detection labels takes the first
    rect_labels = compatible[table.labels.cpu().numpy()].argmax(axis=1)

    cases = connectivity(true_boxes, true_labels, rects, rect_labels)
    boxes.add(pseudo.bboxes.cpu().numpy(),
              pseudo.labels.cpu().numpy(), true_boxes, true_labels, cases)
    rectangles.add(rects, rect_labels, true_boxes, true_labels, cases)
