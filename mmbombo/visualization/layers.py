# Copyright (c) mmbombo contributors.
"""What a data sample holds, read into one plain form for drawing."""
from typing import Dict, List, NamedTuple, Optional, Tuple

import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData, PixelData

from mmbombo.registry import ANNOTATION_DRAWERS
from mmbombo.structures import (BBOX, IMAGE_LABEL, SEM_SEG, AnnotationKind,
                                annotation_kind, annotation_kinds)
from mmbombo.structures.image_labels import PRESENT, UNKNOWN

DET, SEG = 'det', 'seg'
#: Probability from which a picture says that an image shows a class.
TAG_SCORE = 0.5


class LabeledBox(NamedTuple):
    """A box of a sample.

    Attributes:
        xyxy (tuple): Corners in pixels of the image.
        label (int): Class in the numbering of ``task``.
        task (str): ``'det'``, or ``'seg'`` for boxes made from a mask.
        score (float, optional): Score of a prediction.
        ignored (bool): Whether training ignores the box.
    """
    xyxy: Tuple[float, float, float, float]
    label: int
    task: str = DET
    score: Optional[float] = None
    ignored: bool = False


class Layer(NamedTuple):
    """What one panel shows.

    Attributes:
        caption (str): What it is.
        boxes (list[LabeledBox]): Boxes.
        ids (np.ndarray, optional): Segmentation ids (H, W).
        tags (dict[str, list[int]]): Word, such as 'shows', to classes of the
            task 'cls', which are written over the foot of the picture.
    """
    caption: str
    boxes: List[LabeledBox] = []
    ids: Optional[np.ndarray] = None
    tags: Dict[str, List[int]] = {}


def to_numpy(values) -> np.ndarray:
    """Return a tensor, MMDetection box structure or array as an array."""
    values = getattr(values, 'tensor', values)
    if isinstance(values, torch.Tensor):
        return values.detach().cpu().numpy()
    return np.asarray(values)


def map_ids(field: PixelData) -> np.ndarray:
    """Return the ids (H, W) of a map in either library's spelling.

    MMDetection stores a map as ``sem_seg``, MMSegmentation as ``data``.
    """
    ids = to_numpy(field.sem_seg if 'sem_seg' in field else field.data)
    return ids[0] if ids.ndim == 3 else ids


def _boxes(instances: Optional[InstanceData],
           task: str = DET,
           ignored: bool = False) -> List[LabeledBox]:
    """Read instances, which may lack boxes altogether."""
    if instances is None or 'bboxes' not in instances:
        return []
    corners = to_numpy(instances.bboxes).astype(float).tolist()
    labels = to_numpy(instances.labels).astype(int).tolist()
    scores = [None] * len(labels)
    if 'scores' in instances:
        scores = to_numpy(instances.scores).astype(float).tolist()
    flags = [ignored] * len(labels)
    if 'ignored' in instances:
        flags = to_numpy(instances.ignored).astype(bool).tolist()
    return [
        LabeledBox(tuple(xyxy), label, task, score, flag)
        for xyxy, label, score, flag in zip(corners, labels, scores, flags)
    ]


def _ids(sample: DetDataSample, name: str) -> Optional[np.ndarray]:
    """Return the ids of a map of the sample, or None without the map."""
    return map_ids(sample.get(name)) if name in sample else None


def annotation_text(sample: DetDataSample) -> str:
    """Say in words with what an image is annotated.

    The declared kinds decide; samples of other data sets declare none, and
    are judged by what they hold.
    """
    names = [kind.text or kind.name for kind in kinds_of(sample)]
    if len(names) == 1:
        return f'{names[0]} only'
    return ' + '.join(names) or 'not annotated'


def kinds_of(sample: DetDataSample) -> List[AnnotationKind]:
    """Annotation kinds of a sample: those declared, or else those it holds."""
    declared = sample.get('annotation_kinds')
    if declared is not None:
        return [annotation_kind(name) for name in declared]
    return [
        kind for kind in annotation_kinds()
        if any(_holds(sample, field.name) for field in kind.fields)
    ]


def _holds(sample: DetDataSample, name: str) -> bool:
    """Whether a sample has a field; instances need boxes."""
    field = sample.get(name)
    return 'bboxes' in field if isinstance(field,
                                           InstanceData) else field is not None


def gt_layer(sample: DetDataSample) -> Optional[Layer]:
    """Read the annotations; None for a sample that never had any."""
    kinds = kinds_of(sample)
    if not kinds and 'annotation_kinds' not in sample:
        return None
    layer = Layer(f'ground truth: {annotation_text(sample)}')
    for kind in kinds:
        draw = ANNOTATION_DRAWERS.module_dict.get(kind.name)
        layer = layer if draw is None else draw(layer, sample)
    return layer


@ANNOTATION_DRAWERS.register_module(name=BBOX)
def draw_gt_boxes(layer: Layer, sample: DetDataSample) -> Layer:
    """Add the boxes, those that are ignored last."""
    return layer._replace(
        boxes=_boxes(sample.get('gt_instances')) +
        _boxes(sample.get('ignored_instances'), ignored=True))


@ANNOTATION_DRAWERS.register_module(name=IMAGE_LABEL)
def draw_gt_tags(layer: Layer, sample: DetDataSample) -> Layer:
    """Add which classes the image shows, and which it may show."""
    if 'gt_image_label' not in sample:
        return layer
    labels = to_numpy(sample.gt_image_label.label)
    return layer._replace(
        tags={
            word: np.flatnonzero(labels == value).tolist()
            for word, value in (('shows', PRESENT), ('may show', UNKNOWN))
        })


@ANNOTATION_DRAWERS.register_module(name=SEM_SEG)
def draw_gt_map(layer: Layer, sample: DetDataSample) -> Layer:
    """Add the segmentation map."""
    return layer._replace(ids=_ids(sample, 'gt_sem_seg'))


def pseudo_layer(sample: DetDataSample) -> Optional[Layer]:
    """Read the pseudo labels; None without any.

    Boxes after split and merge (``pseudo_instances``) replace those of the
    bare components, from which they were made.
    """
    parts, boxes = [], []
    if 'pseudo_sem_seg' in sample:
        parts.append('mask from boxes')
    if 'pseudo_instances' in sample:
        boxes = _boxes(sample.pseudo_instances)
        parts.append('boxes from mask')
    elif 'components' in sample:
        boxes = _boxes(sample.components, task=SEG)
        parts.append('components of mask')
    if not parts:
        return None
    return Layer('pseudo: ' + ', '.join(parts), boxes,
                 _ids(sample, 'pseudo_sem_seg'))


def pred_layer(sample: DetDataSample, score_thr: float) -> Optional[Layer]:
    """Read the predictions; None without any.

    Args:
        sample (:obj:`DetDataSample`): The sample.
        score_thr (float): Lowest score of a box that is kept.
    """
    names = ('pred_instances', 'pred_sem_seg', 'pred_image_label')
    if not any(name in sample for name in names):
        return None
    caption = 'prediction'
    boxes = _boxes(sample.get('pred_instances'))
    if 'pred_instances' in sample:
        caption += f' (score ≥ {score_thr:g})'
    boxes = [
        box for box in boxes if box.score is None or box.score >= score_thr
    ]
    boxes.sort(key=lambda box: -(box.score or 0))
    layer = Layer(caption, boxes, _ids(sample, 'pred_sem_seg'))
    if 'pred_image_label' not in sample:
        return layer
    found = to_numpy(sample.pred_image_label.score) >= TAG_SCORE
    return layer._replace(tags={'shows': np.flatnonzero(found).tolist()})
