# Copyright (c) mmbombo contributors.
from mmengine.structures import BaseDataElement


class Regions(BaseDataElement):
    """Regions of an image: ``bboxes``, ``pairs`` and ``superpixels``."""

    def __len__(self) -> int:
        return len(self.bboxes)

    @property
    def num_superpixels(self) -> int:
        highest = [
            int(x.max()) for x in (self.superpixels, self.pairs[1])
            if x.numel()
        ]
        return 1 + max(highest, default=-1)
