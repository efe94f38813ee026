# Copyright (c) mmbombo contributors.
"""Where a network contradicts the labels.

The idea is that of confident learning (`Northcutt et al.
<https://arxiv.org/abs/1911.00068>`_, section 3.1): networks are more or less
sure of a class, so that a prediction is confident if its score is at least
the mean of what labeled examples of that class get. For boxes, what follows
is that of `ObjectLab <https://arxiv.org/abs/2309.00832>`_ (overlooked, badly
located, swapped). The scores by which findings are ranked are ours.
"""
from typing import Dict, Iterator, List, NamedTuple, Sequence, Tuple

import numpy as np
from mmdet.evaluation import bbox_overlaps

from .finding import Finding, Labels, Mark

#: IoU from which a prediction is of a box, and below which it is of none.
SAME, APART = .5, .3
#: Share of a predicted box in another one that makes it a part of it.
PART = .7


class Region(NamedTuple):
    """Pixels of one class that a network sees as another one."""
    box: Tuple[int, ...]
    share: float  #: of the pixels of the image
    labeled: int
    predicted: int
    score: float  #: mean of the labeled class
    other_score: float  #: mean of the predicted class


class Answer(NamedTuple):
    """What a network says of an image, beside its labels."""
    labels: Labels
    boxes: np.ndarray = np.zeros((0, 4))  #: in pixels of the image
    scores: np.ndarray = np.zeros(0)
    classes: np.ndarray = np.zeros(0, np.int64)
    regions: Sequence[Region] = ()

    def mark(self, index: int) -> Mark:
        """A prediction, to be drawn."""
        name = self.labels.names[self.classes[index]]
        return Mark(tuple(self.boxes[index].tolist()), name, 'network')


def overlaps(box: np.ndarray, boxes: np.ndarray,
             mode: str = 'iou') -> np.ndarray:
    """IoU ``(n, )`` of a box and n others."""
    return (bbox_overlaps(box[None], boxes, mode=mode)[0]
            if len(boxes) else np.zeros(0))


def own_scores(answer: Answer) -> List[float]:
    """The best score of its class that each object gets, 0 without."""
    return [
        max(answer.scores[(answer.classes == label)
                          & (overlaps(box, answer.boxes) >= SAME)].tolist(),
            default=0.) for box, label in answer.labels.objects()
    ]


def find_doubts(answer: Answer, of_boxes: Dict[int, float],
                of_pixels: Dict[int, float]) -> Iterator[Finding]:
    """What a network says against the labels of an image, by the mean scores
    of boxes and pixels of each class."""
    sure = answer.scores >= [of_boxes.get(x, np.inf) for x in answer.classes]
    yield from find_overlooked(answer, sure)
    yield from find_doubtful_boxes(answer, sure, of_boxes)
    names = answer.labels.seg_names
    for box, share, ours, theirs, score, other in answer.regions:
        if score < of_pixels[ours] and other >= of_pixels.get(theirs, np.inf):
            yield Finding(
                'pixels', float(np.sqrt(share) * (other - score)),
                f'{names[ours]} {score:.2f}, rather {names[theirs]} '
                f'{other:.2f}', (Mark(box, names[theirs], 'network'), ))


def find_overlooked(answer: Answer, sure: np.ndarray) -> Iterator[Finding]:
    """Confident predictions away from all boxes."""
    labels, taken = answer.labels, answer.labels.boxes
    for i in filter(sure.__getitem__, answer.scores.argsort()[::-1]):
        box, label = answer.boxes[i], answer.classes[i]
        same = labels.boxes[labels.ignored | (labels.labels == label)]
        if (max(overlaps(box, taken), default=0) < APART
                and max(overlaps(box, same, 'iof'), default=0) < PART):
            taken = np.concatenate([taken, box[None]])
            mark, score = answer.mark(i), float(answer.scores[i])
            yield Finding('overlooked', score, f'{mark.text} {score:.2f}',
                          (mark, ))


def find_doubtful_boxes(answer: Answer, sure: np.ndarray,
                        of_boxes: Dict[int, float]) -> Iterator[Finding]:
    """Objects that the network sees as another class, or not at all."""
    labels = answer.labels
    for (box, label), own in zip(labels.objects(), own_scores(answer)):
        ious, is_same = overlaps(box, answer.boxes), answer.classes == label
        mark, mean = labels.mark(box, label), of_boxes[label]
        rivals = np.flatnonzero((ious >= SAME) & ~is_same & sure)
        best = max(rivals, key=answer.scores.__getitem__, default=None)
        score = 0 if best is None else answer.scores[best]
        if own < min(mean, score):
            other = answer.mark(best)
            yield Finding(
                'swapped', float(score - own),
                f'{mark.text} {own:.2f}, rather {other.text} {score:.2f}',
                (mark, other))
        elif own == 0 < mean:
            # of classes that it knows alike, a large miss is the stranger one
            missed = 1 - max(ious[is_same], default=0)
            share = np.prod(box[2:] - box[:2]) / np.prod(labels.shape)
            yield Finding('unseen', float(mean * missed * np.sqrt(share)),
                          mark.text, (mark, ))
