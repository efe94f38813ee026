# Copyright (c) mmbombo contributors.
"""What the finders read and give."""
from typing import List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

#: By type: its title, and what it means.
TYPES = dict(
    broken=('Unusable', 'as tools/misc/check_data.py says'),
    cut=('Cut off by the border', 'the box leaves the image, or is a sliver '
         'at its border'),
    tiny=('Tiny boxes', 'less than 8 x 8 pixels of the file'),
    duplicate=('Duplicate boxes', 'two with an IoU of 0.85 or more'),
    box_mask=('Box and mask disagree', 'IoU below 0.5 of the box and the '
              'rectangle around the pixels of its class in it'),
    mask_box=('Mask without a box', 'pixels that no box of their class has'),
    speck=('Stray specks', 'pieces of a mask below a ten-thousandth of the '
           'image'),
    overlooked=('Overlooked?', 'the network is sure of an object, and there '
                'is no box'),
    unseen=('No object?', 'a box in which the network finds no object of its '
            'class'),
    swapped=('Another class?', 'the network is sure of another class'),
    pixels=('Another class of pixels?', 'the same of a region of a mask'),
    copy=('The same picture', 'in training and validation, or two sources'))

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
