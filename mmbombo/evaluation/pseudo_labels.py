# Copyright (c) mmbombo contributors.
"""The pseudo labels of a model beside a hidden truth."""
from typing import Callable, Dict, Iterable, Optional, Tuple, Union

import numpy as np
import torch
from mmdet.evaluation import bbox_overlaps
from mmdet.structures import DetDataSample
from mmdet.utils import ConfigType
from mmengine.dataset import BaseDataset, ConcatDataset, pseudo_collate
from mmengine.dist import all_reduce, get_dist_info
from mmengine.structures import InstanceData

from mmbombo.models.context import StepContext
from mmbombo.models.detectors import MultiTaskDetector
from mmbombo.models.task_heads.ignore_regions import IgnoreRegions
from mmbombo.models.utils import evaluation_mode
from mmbombo.models.weak_losses import BoxForMaskLoss, MaskForBoxLoss
from mmbombo.registry import DATASETS
from mmbombo.structures import IGNORE_INDEX, ClassMap
from mmbombo.structures.candidate_map import CandidateMap
from mmbombo.utils import UserError
from mmbombo.weak_labels import label_components
from .functional import (BoxQuality, ForegroundQuality, MaskQuality,
                         connectivity)

Dataset = Union[BaseDataset, ConcatDataset]
#: Components of a true map that keep a row of their own.
MAX_COMPONENTS = 300


class PseudoLabelQuality:
    """Quality of the labels of Box-for-Mask and Mask-for-Box.

    Args:
        class_map (ClassMap): Relation of the classes.
    """

    def __init__(self, class_map: ClassMap) -> None:
        self.class_map = class_map
        self.compatible = class_map.compatible.numpy()
        self.num_images = dict(b4m=0, m4b=0)
        self.masks = MaskQuality(class_map.num_seg_classes)
        self.foregrounds = ForegroundQuality()
        self.boxes, self.rectangles = BoxQuality(), BoxQuality()

    def summary(self) -> Dict[str, float]:
        """Single values, such as ``b4m/mIoU``, ``m4b/precision`` and
        ``rectangles/precision``; what is undefined is left out."""
        qualities = dict(
            m4b=self.boxes, rectangles=self.rectangles, b4m=self.masks)
        return {
            f'{prefix}/{key}': value
            for prefix, quality in qualities.items()
            for key, value in quality.summary().items()
        }

    def by_group(self) -> Dict[str, dict]:
        """Values by size, case and class of the boxes (``b4m``, ``m4b``,
        ``rectangles``), and ``class_ious`` of labeled pixels."""
        names = self.class_map.det_classes
        ious = self.masks.class_ious()
        return dict(
            b4m=self.foregrounds.by_group(names),
            m4b=self.boxes.by_group(names),
            rectangles=self.rectangles.by_group(names),
            class_ious={
                self.class_map.seg_classes[i]: iou
                for i, iou in ious.items()
            })

    def add_mask(self, pseudo: CandidateMap, truth: DetDataSample) -> None:
        """Add the pseudo mask of one image."""
        true_map = truth.gt_sem_seg.sem_seg[None]
        ids = true_map[0, 0].cpu().numpy()
        self.num_images['b4m'] += 1
        self.masks.add(*(x[0, 0].cpu().numpy()
                         for x in (pseudo.single_classes(), true_map,
                                   pseudo.known, pseudo.allow(true_map))))
        sets = pseudo.classes[0].cpu().numpy()
        of_others = (sets.astype(int) @ ~self.compatible) > 0
        pseudo_shows, true_shows = np.zeros(
            (2, IGNORE_INDEX + 1, self.compatible.shape[1]), dtype=bool)
        pseudo_shows[:len(sets)] = sets.any(axis=1)[:, None] & ~of_others
        true_shows[:len(self.compatible)] = self.compatible
        boxes, labels = boxes_and_labels(truth.gt_instances)
        self.foregrounds.add(pseudo.numbers[0, 0].cpu().numpy(), pseudo_shows,
                             ids, true_shows, boxes, labels,
                             self._cases(ids, boxes, labels))

    def add_boxes(self, pseudo: InstanceData, regions: IgnoreRegions,
                  sample: DetDataSample, truth: DetDataSample) -> None:
        """Add the pseudo boxes of one image (``regions`` are what is ignored),
        and the rectangles of the ``components`` of its sample."""
        boxes, labels = boxes_and_labels(truth.gt_instances)
        ids = truth.gt_sem_seg.sem_seg[0].cpu().numpy()
        cases = self._cases(ids, boxes, labels)
        self.num_images['m4b'] += 1
        areas, classes, unknown = (x[0].cpu().numpy() for x in regions)
        self.boxes.add(*judged(*boxes_and_labels(pseudo), truth), boxes,
                       labels, cases,
                       ignored_objects(boxes, labels, areas, classes, unknown))

        ignored = sample.components.ignored
        areas, area_labels = boxes_and_labels(sample.components[ignored])
        rects, rect_labels = boxes_and_labels(sample.components[~ignored])
        # a rectangle of a class with several detection labels takes the first
        rect_labels = self.compatible[rect_labels].argmax(axis=1)
        self.rectangles.add(
            *judged(rects, rect_labels, truth), boxes, labels, cases,
            ignored_objects(boxes, labels, areas, self.compatible[area_labels],
                            unknown))

    def _cases(self, ids: np.ndarray, boxes: np.ndarray,
               labels: np.ndarray) -> np.ndarray:
        """How a true map ``(H, W)`` shows each object."""
        table = label_components(
            ids.astype(np.uint8),
            min_area=0,
            thing_ids=self.class_map.thing_ids,
            max_components=MAX_COMPONENTS)[1]
        whole = ~table['ignored']  # a row beyond the limit is of many
        shown_as = self.class_map.det_to_seg.numpy()[labels]
        return connectivity(boxes, shown_as, table['boxes'][whole],
                            table['labels'][whole])


def boxes_and_labels(instances: InstanceData) -> Tuple[np.ndarray, np.ndarray]:
    """``bboxes`` (n, 4) and ``labels`` (n, ) as arrays."""
    return instances.bboxes.cpu().numpy(), instances.labels.cpu().numpy()


def judged(boxes: np.ndarray, labels: np.ndarray,
           truth: DetDataSample) -> Tuple[np.ndarray, np.ndarray]:
    """Leave out the boxes of crowd and difficult objects of their class."""
    unsure, unsure_labels = boxes_and_labels(truth.ignored_instances)
    if not len(boxes) or not len(unsure):
        return boxes, labels
    covered = bbox_overlaps(boxes, unsure, mode='iof') >= .5
    hits = covered & (labels[:, None] == unsure_labels)
    return boxes[~hits.any(axis=1)], labels[~hits.any(axis=1)]


def ignored_objects(boxes: np.ndarray, labels: np.ndarray, areas: np.ndarray,
                    classes: np.ndarray, unknown: np.ndarray) -> np.ndarray:
    """Which of T objects have half the box ignored for their class: by K
    ignored boxes (``areas``) of ``classes`` ``(K, D)`` bool, or by the
    ``unknown`` pixels ``(H, W)`` bool."""
    ignored = np.zeros(len(boxes), dtype=bool)
    if len(boxes) and len(areas):
        covered = bbox_overlaps(boxes, areas, mode='iof')
        ignored = ((covered >= .5) & classes[:, labels].T).any(axis=1)
    for i, (x1, y1, x2,
            y2) in enumerate(np.ceil(boxes - 0.5).clip(0).astype(int)):
        pixels = unknown[y1:y2, x1:x2]
        ignored[i] |= pixels.size > 0 and pixels.mean() >= .5
    return ignored


def build_pair(weak: Union[Dataset, ConfigType],
               truth: Union[Dataset, ConfigType]) -> Tuple[Dataset, Dataset]:
    """Build the images as training may read them, and with both kinds;
    ``UserError`` if they cannot be the same images."""
    weak, truth = (
        DATASETS.build(x) if isinstance(x, dict) else x for x in (weak, truth))
    if len(weak) != len(truth):
        raise UserError(
            f'quality of pseudo labels: {len(weak)} weakly and {len(truth)} '
            'fully annotated images are not the same')
    return weak, truth


@torch.no_grad()
def compare_pseudo_labels(
        model: MultiTaskDetector,
        weak: Dataset,
        truth: Dataset,
        num_images: Optional[int] = None,
        batch_size: int = 8,
        track: Callable[[list], Iterable] = iter) -> PseudoLabelQuality:
    """Make pseudo labels as in a training step, and compare them.

    ``weak`` are images as training may read them, ``truth`` the same with both
    kinds, see :func:`build_pair`; ``num_images`` of them, evenly spaced, or
    all. ``track`` iterates over a list and may show the progress.
    """
    quality = PseudoLabelQuality(model.class_map)
    total = len(weak)
    indices = np.linspace(0, total - 1, min(num_images or total,
                                            total)).astype(int)
    chunks = [
        indices[start:start + batch_size]
        for start in range(0, len(indices), batch_size)
    ]
    with evaluation_mode(model):
        for chunk in track(chunks):
            batches = [
                model.data_preprocessor(
                    pseudo_collate([dataset[int(i)] for i in chunk]), True)
                for dataset in (weak, truth)
            ]
            _compare(model, *batches, quality)
    return quality


def _compare(model: MultiTaskDetector, weak: dict, truth: dict,
             quality: PseudoLabelQuality) -> None:
    """Add the pseudo labels of a batch."""
    ctx = StepContext(model, weak['inputs'], weak['data_samples'])
    true = truth['data_samples']
    for weak_loss in model.weak_losses:
        images = weak_loss.images(ctx)
        if not images or not weak_loss.has_started(ctx):
            continue
        if isinstance(weak_loss, MaskForBoxLoss):
            targets, regions, _ = weak_loss.pseudo_boxes(ctx, images)
            for n, i in enumerate(images):
                quality.add_boxes(targets[n], one_image(regions, n),
                                  ctx.samples[i], true[i])
        elif isinstance(weak_loss, BoxForMaskLoss):
            masks = weak_loss.pseudo_masks(ctx, images)
            for n, i in enumerate(images):
                quality.add_mask(one_image(masks, n), true[i])


def compare_masks(labels: BaseDataset, truth: BaseDataset) -> Dict[str, float]:
    """Compare the masks of two sources of the same images.

    Each process of a distributed run reads its share, and has the result.

    Returns:
        dict[str, float]: That of :meth:`MaskQuality.summary`.
    """
    labels, truth = build_pair(labels, truth)
    quality = MaskQuality(len(truth.metainfo['seg_classes']))
    rank, world_size = get_dist_info()
    for i in range(rank, len(truth), world_size):
        quality.add(*(x.load(i)['gt_seg_map'] for x in (labels, truth)))
    for counts in (quality.confusion, quality.unlabeled):
        all_reduce(torch.from_numpy(counts))
    return quality.summary()


def one_image(batch, number: int):
    """One image of a tuple of tensors ``(N, ...)`` or None, as a batch."""
    return type(batch)(
        *(x if x is None else x[number:number + 1] for x in batch))
