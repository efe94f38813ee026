# Copyright (c) mmbombo contributors.
from typing import Sequence

import numpy as np

from mmbombo.structures import IGNORE_INDEX, ClassMap
from mmbombo.structures.image_labels import ABSENT, PRESENT, UNKNOWN


class ImpliedLabels:
    """Boxes or mask of an image -> which classes it shows.

    A tag belongs to the detection class and to the segmentation class of its
    name, and through the class map to those that may show it: with
    ``det_to_seg=dict(bus='vehicle')`` a box of a bus shows the tag 'vehicle',
    while pixels of a vehicle may or may not show the tag 'bus'.

    Our reconstruction; the papers take tags from complete annotations.

    Args:
        class_map (ClassMap): Relation of detection and segmentation classes.
        classes (Sequence[str]): The C tags.
    """

    def __init__(self, class_map: ClassMap, classes: Sequence[str]) -> None:
        det, seg = class_map.det_classes, class_map.seg_classes
        shows = class_map.compatible.numpy().T  # (D, S)
        same_det = np.array([[t == d for d in det] for t in classes])
        same_seg = np.array([[t == s for s in seg] for t in classes])
        # what a box or a pixel may show, and what it shows for certain:
        # only one class is behind it
        self.may_seg = same_seg | (same_det.astype(int) @ shows > 0)
        via_seg = same_seg.astype(int) @ shows.T > 0
        self.det_shows = same_det | via_seg & (shows.sum(1) == 1)
        self.seg_shows = same_seg | self.may_seg & (shows.sum(0) == 1)
        #: Boxes of such a tag are complete: without one it is absent.
        self.is_boxed = same_det.any(1)
        self.same_det = same_det

    def from_boxes(self, labels: np.ndarray,
                   uncertain: np.ndarray) -> np.ndarray:
        """What boxes say ``(C, )``, by the detection labels of the objects.

        ``uncertain`` are the labels of crowd and difficult objects, of those
        whose box was lost though a part may still be seen, and of classes
        whose boxes are incomplete. Labels of unlisted categories (-1) say
        nothing: they are none of the detection classes.
        """
        present = self.det_shows[:, labels].any(1)
        doubtful = self.same_det[:, uncertain[uncertain >= 0]].any(1)
        absent = self.is_boxed & ~doubtful
        return _labels(present, absent)

    def from_mask(self, seg_map: np.ndarray) -> np.ndarray:
        """What a mask of ids ``(H, W)`` says ``(C, )``; a pixel of 255 may
        hide any class, so that none is absent."""
        counts = np.bincount(seg_map.ravel(), minlength=IGNORE_INDEX + 1) > 0
        seen = counts[:self.may_seg.shape[1]]
        present = self.seg_shows[:, seen].any(1)
        absent = (
            self.may_seg.any(1) & ~self.may_seg[:, seen].any(1)
            & (not counts[IGNORE_INDEX]))
        return _labels(present, absent)


def _labels(present: np.ndarray, absent: np.ndarray) -> np.ndarray:
    labels = np.where(absent, ABSENT, UNKNOWN)
    return np.where(present, PRESENT, labels).astype(np.int8)


def merge_labels(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """What two annotations ``(C, )`` say: who sees a class is right."""
    # present over absent over unknown, which is their order
    return np.maximum(first, second)
