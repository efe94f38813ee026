# Copyright (c) mmbombo contributors.
"""What the finders give."""
from typing import List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

#: By type: its title, and how to read it.
TYPES = dict(
    broken=('Unusable', 'A file or box that training refuses or leaves out.'),
    cut=('Cut off by the border', 'Boxes that leave the image, then slivers '
         'at its border.'),
    tiny=('Tiny boxes', 'The side of a square of their area is below 8 '
          'pixels of the file.'),
    duplicate=('Duplicate boxes', 'Two boxes of one object: IoU of 0.85 or '
               'more.'),
    box_mask=('Box and mask disagree', 'The rectangle around the pixels of '
              'its class in a box has an IoU below 0.5 with it.'),
    mask_box=('Mask without a box', 'Pixels of a class that no box of it '
              'covers.'),
    speck=('Stray specks', 'Pieces of a mask below a ten-thousandth of the '
           'image, away from a larger one of their class.'),
    overlooked=('Overlooked?', 'The network is as sure of an object as it is '
                'of those that are labeled, and there is no box.'),
    unseen=('No object?', 'The network finds no object of the class in a '
            'box, though it finds others.'),
    swapped=('Another class?', 'The network is sure of another class, and '
             'not of the one of the box.'),
    pixels=('Another class of pixels?', 'The same of a region of a mask.'),
    copy=('The same picture', 'Images of training in validation, then of one '
          'source in another, nearest first.'))

#: Number of a source, and of an image of it.
Place = Tuple[int, int]


class Mark(NamedTuple):
    """A box x1, y1, x2, y2 to draw, in pixels of the image."""
    box: Tuple[float, ...]
    text: str
    by: str = 'label'  #: or 'network'


class Finding(NamedTuple):
    """What may be wrong with the labels of an image."""
    type: str  #: key of :data:`TYPES`
    badness: float  #: larger is worse, within a type
    text: str
    marks: Tuple[Mark, ...] = ()
    place: Place = (0, 0)
    other: Optional[Place] = None  #: that it is compared with


class Labels(NamedTuple):
    """The boxes and the mask of an image, as far as it has them."""
    shape: Tuple[int, int]
    names: Sequence[str] = ()  #: of the labels of boxes
    boxes: np.ndarray = np.zeros((0, 4))
    labels: np.ndarray = np.zeros(0, np.int64)
    ignored: np.ndarray = np.zeros(0, bool)  #: crowd, difficult, unlisted
    seg_names: Sequence[str] = ()
    seg_map: Optional[np.ndarray] = None  #: (H, W), 255 without a label

    def objects(self) -> List[Tuple[np.ndarray, int]]:
        """Box and label of what is not ignored."""
        kept = ~self.ignored
        return [*zip(self.boxes[kept], self.labels[kept].tolist())]

    def mark(self, box: Sequence[float], label: int) -> Mark:
        """A box of it, to be drawn."""
        return Mark(tuple(map(float, box)), self.names[label])


def worst_first(findings: Sequence[Finding]) -> List[Finding]:
    """By type, in the order of :data:`TYPES`, and badness."""
    order = list(TYPES)
    return sorted(findings, key=lambda x: (order.index(x.type), -x.badness))
