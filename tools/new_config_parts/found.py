# Copyright (c) mmbombo contributors.
"""What is known of a source once its files were looked at."""
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Dict, List, Set, Tuple


class Code(str):
    """A piece of the config that is written as it is."""

    def __repr__(self) -> str:
        return str(self)


@dataclass
class Found:
    """A source."""
    name: str  # its name in the config
    kind: str  # what its images are annotated with
    place: str  # what the user named
    images: Dict[str, str]  # how a list names an image, to its path
    config: dict  # arguments of the source in the config
    # class to the number of objects, or of images for masks and tags; in the
    # order of the data
    classes: Counter
    # id in the masks to class
    id_map: Dict[int, str] = field(default_factory=dict)
    # whether the list of images is ann_file, as in VOC's layout
    ids_in_list: bool = False
    # whether it cannot be read for some of its classes
    all_classes: bool = False
    validation: bool = False  # whether all of it is for validation
    notes: List[str] = field(default_factory=list)  # what was guessed
    # width and height of some images
    sizes: List[Tuple[int, int]] = field(default_factory=list)

    @property
    def stems(self) -> Set[str]:
        """What its images are called in all sources."""
        return {Path(path).stem for path in self.images.values()}

    @property
    def size_text(self) -> str:
        """The widths and heights, in words."""
        widths, heights = zip(*self.sizes)
        return (f'{min(widths)} to {max(widths)} wide, {min(heights)} to '
                f'{max(heights)} high, median {median(widths):g} x '
                f'{median(heights):g}')

    @property
    def val_name(self) -> str:
        """Name in the config of its images for validation."""
        return self.name if self.validation else f'val_{self.name}'

    def list_name(self, part: str) -> str:
        """File of the images for 'train' or 'val'."""
        return f'{self.name}.txt' if self.validation else \
            f'{self.name}_{part}.txt'


def wrap(kind: str, dataset: dict) -> dict:
    """The config of a set of another library, or of ours for such a one."""
    return dict(
        type='PartialAnnotationDataset',
        annotation_kinds=(kind, ),
        dataset=dataset,
        metainfo=Code('metainfo'))
