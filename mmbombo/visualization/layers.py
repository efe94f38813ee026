# Copyright (c) mmbombo contributors.
"""What a data sample holds, read into one plain form for drawing."""
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData, PixelData

from mmbombo.registry import ANNOTATION_DRAWERS
from mmbombo.structures import (BBOX, IGNORE_INDEX, IMAGE_LABEL, REGIONS,
                                SALIENCY, SEM_SEG, AnnotationKind, Regions,
                                annotation_kind, annotation_kinds)
from mmbombo.structures.candidate_map import CandidateMap
from mmbombo.structures.image_labels import PRESENT, UNKNOWN
from mmbombo.structures.panoptic import predicted_segments
from .palette import BACKGROUND, SEVERAL

DET, SEG = 'det', 'seg'
#: Probability from which a picture says that an image shows a class.
TAG_SCORE = 0.5


class LabeledBox(NamedTuple):
    """A box in pixels of the image, labeled in the numbering of ``task``."""
    xyxy: Tuple[float, float, float, float]
    label: int
    task: str = DET
    score: Optional[float] = None
    ignored: bool = False


class Layer(NamedTuple):
    """What one panel shows: boxes, segmentation ids (H, W), tags, a word such
    as 'shows' to classes of the task 'cls', saliency (H, W), -1 where it is
    unknown, segments as of :func:`read_segments`, and regions."""
    caption: str
    boxes: List[LabeledBox] = []
    ids: Optional[np.ndarray] = None
    tags: Dict[str, List[int]] = {}
    saliency: Optional[np.ndarray] = None
    segments: Optional[Tuple[np.ndarray, List[dict]]] = None
    regions: Optional[Regions] = None


def to_numpy(values) -> np.ndarray:
    """Return a tensor, MMDetection box structure or array as an array."""
    values = getattr(values, 'tensor', values)
    if isinstance(values, torch.Tensor):
        return values.detach().cpu().numpy()
    return np.asarray(values)


def map_ids(field: PixelData) -> np.ndarray:
    """Return the ids (H, W) of a map in either library's spelling."""
    ids = to_numpy(field.sem_seg if 'sem_seg' in field else field.data)
    return ids[0] if ids.ndim == 3 else ids


def _ids(sample: DetDataSample, name: str) -> Optional[np.ndarray]:
    return map_ids(sample.get(name)) if name in sample else None


def labeled_boxes(instances: Optional[InstanceData],
                  task: str = DET,
                  ignored: bool = False) -> List[LabeledBox]:
    """Read instances, which may lack boxes altogether."""
    if instances is None or 'bboxes' not in instances:
        return []
    defaults = dict(bboxes=None, labels=None, scores=None, ignored=ignored)
    columns = [
        to_numpy(instances.get(name, [value] * len(instances))).tolist()
        for name, value in defaults.items()
    ]
    return [
        LabeledBox(tuple(xyxy), label, task, score, flag)
        for xyxy, label, score, flag in zip(*columns)
    ]


def annotation_text(sample: DetDataSample) -> str:
    """Say in words with what an image is annotated."""
    names = [kind.text or kind.name for kind in kinds_of(sample)]
    if len(names) == 1:
        return f'{names[0]} only'
    return ' + '.join(names) or 'not annotated'


def kinds_of(sample: DetDataSample) -> List[AnnotationKind]:
    """Annotation kinds of a sample: those declared, or else those it holds."""
    if 'annotation_kinds' in sample:
        return [annotation_kind(name) for name in sample.annotation_kinds]
    return [
        kind for kind in annotation_kinds() if any(
            _holds(sample, field.name) for field in kind.fields)
    ]


def _holds(sample: DetDataSample, name: str) -> bool:
    """Whether a sample has a field; instances need boxes."""
    field = sample.get(name)
    if isinstance(field, InstanceData):
        return 'bboxes' in field
    return field is not None


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
        boxes=labeled_boxes(sample.get('gt_instances')) +
        labeled_boxes(sample.get('ignored_instances'), ignored=True))


@ANNOTATION_DRAWERS.register_module(name=IMAGE_LABEL)
def draw_gt_tags(layer: Layer, sample: DetDataSample) -> Layer:
    """Add which classes the image shows, and which it may show."""
    if 'gt_image_label' not in sample:
        return layer
    labels = to_numpy(sample.gt_image_label.label)
    words = {'shows': PRESENT, 'may show': UNKNOWN}
    tags = {
        word: np.flatnonzero(labels == value).tolist()
        for word, value in words.items()
    }
    return layer._replace(tags=tags)


@ANNOTATION_DRAWERS.register_module(name=SEM_SEG)
def draw_gt_map(layer: Layer, sample: DetDataSample) -> Layer:
    """Add the segmentation map."""
    return layer._replace(ids=_ids(sample, 'gt_sem_seg'))


@ANNOTATION_DRAWERS.register_module(name=SALIENCY)
def draw_gt_saliency(layer: Layer, sample: DetDataSample) -> Layer:
    """Add the saliency map."""
    if 'gt_saliency' not in sample:
        return layer
    return layer._replace(saliency=to_numpy(sample.gt_saliency.data)[0])


@ANNOTATION_DRAWERS.register_module(name=REGIONS)
def draw_gt_regions(layer: Layer, sample: DetDataSample) -> Layer:
    """Add the regions, and say how many there are."""
    if 'regions' not in sample:
        return layer
    regions = sample.regions
    return layer._replace(
        caption=f'{layer.caption} ({len(regions)} of '
        f'{regions.num_superpixels} superpixels)',
        regions=regions)


def pseudo_layer(sample: DetDataSample) -> Optional[Layer]:
    """Read the pseudo labels; None without any.

    Boxes after split and merge (``pseudo_instances``) replace those of the
    bare components, from which they were made.
    """
    ids = pseudo_ids(sample)
    parts, boxes = [] if ids is None else ['mask from boxes'], []
    if 'pseudo_instances' in sample:
        boxes = labeled_boxes(sample.pseudo_instances)
        parts.append('boxes from mask')
    elif 'components' in sample:
        boxes = labeled_boxes(sample.components, task=SEG)
        parts.append('components of mask')
    return Layer(f'pseudo: {", ".join(parts)}', boxes, ids) if parts else None


def pseudo_ids(sample: DetDataSample) -> Optional[np.ndarray]:
    """The class of each pixel ``(H, W)``; :data:`SEVERAL` where several are
    possible, 255 where any is. None without a pseudo mask."""
    if 'pseudo_sem_seg' not in sample:
        return None
    return candidate_ids(CandidateMap.from_samples([sample], IGNORE_INDEX))[0]


def candidate_ids(candidates: CandidateMap) -> np.ndarray:
    """What :func:`pseudo_ids` says, of N images ``(N, H, W)``."""
    ids = candidates.single_classes()
    several = candidates.known & (ids == IGNORE_INDEX)
    return to_numpy(ids.masked_fill(several, SEVERAL))[:, 0]


def pred_layer(sample: DetDataSample, score_thr: float) -> Optional[Layer]:
    """Read the predictions; None without any."""
    names = ('pred_instances', 'pred_sem_seg', 'pred_image_label',
             'pred_saliency')
    if not any(name in sample for name in names):
        return None
    layer = Layer('prediction', ids=_ids(sample, 'pred_sem_seg'))
    if 'pred_instances' in sample:
        boxes = [
            box for box in labeled_boxes(sample.pred_instances)
            if box.score is None or box.score >= score_thr
        ]
        boxes.sort(key=lambda box: -(box.score or 0))
        layer = layer._replace(
            caption=f'prediction (score ≥ {score_thr:g})', boxes=boxes)
    if 'pred_image_label' in sample:
        found = to_numpy(sample.pred_image_label.score) >= TAG_SCORE
        layer = layer._replace(tags=dict(shows=np.flatnonzero(found).tolist()))
    if 'pred_saliency' in sample:
        layer = layer._replace(saliency=to_numpy(sample.pred_saliency.data)[0])
    return layer


def panoptic_layer(sample: DetDataSample,
                   names: Sequence[str] = ()) -> Optional[Layer]:
    """Read the panoptic prediction, see :func:`predicted_segments`.
    Background is void."""
    found = predicted_segments(sample, names)
    if found is None:
        return None
    ids, segments = found
    shown = np.array(['', *(x['class_name'] for x in segments)])
    objects = sum(x['number'] > 0 for x in segments)
    return Layer(
        f'panoptic: {objects} object(s)',
        segments=(ids * (shown != BACKGROUND)[ids], segments))
