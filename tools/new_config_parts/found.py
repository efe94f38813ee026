# Copyright (c) mmbombo contributors.
"""What is known of a source once its files were looked at."""
from collections import Counter
from dataclasses import dataclass, field
from typing import Dict, List, Tuple


class Code(str):
    """A piece of the config that is written as it is."""

    def __repr__(self) -> str:
        return str(self)


METAINFO = Code('metainfo')


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
