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
    """A source.

    Attributes:
        name (str): Its name in the config.
        kind (str): What its images are annotated with.
        place (str): What the user named.
        images (dict[str, str]): How a list names an image, to its path.
        config (dict): Arguments of the source in the config.
        classes (Counter): Class to the number of objects, or of images for
            masks and tags; in the order of the data.
        id_map (dict[int, str]): Id in the masks to class.
        ids_in_list (bool): Whether the list of images is ``ann_file``, as in
            VOC's layout.
        all_classes (bool): Whether it cannot be read for some of its classes.
        validation (bool): Whether all of it is for validation.
        notes (list[str]): What was guessed.
        sizes (list[tuple[int, int]]): Width and height of some images.
    """
    name: str
    kind: str
    place: str
    images: Dict[str, str]
    config: dict
    classes: Counter
    id_map: Dict[int, str] = field(default_factory=dict)
    ids_in_list: bool = False
    all_classes: bool = False
    validation: bool = False
    notes: List[str] = field(default_factory=list)
    sizes: List[Tuple[int, int]] = field(default_factory=list)
