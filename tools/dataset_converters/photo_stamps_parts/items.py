# Copyright (c) mmbombo contributors.
"""What a scene is made of: cut-outs and backgrounds."""
from dataclasses import dataclass
from typing import Dict, List

import numpy as np


class PhotoStampsError(Exception):
    """A problem that the user can solve; the message says how."""


@dataclass(frozen=True, eq=False)
class Cutout:
    """An object cut out of a photograph.

    Attributes:
        name: Unique name, the path inside its source.
        label: Index into the class names.
        family: Stratum: members of a family are spread over all parts.
        group: Cut-outs of one group (near duplicates) stay in one part.
        pixels: ``(H, W, 4)`` uint8 RGBA, trimmed to the object.
        upright: Whether the object has a natural up (an animal has).
    """
    name: str
    label: int
    family: str
    group: str
    pixels: np.ndarray
    upright: bool


@dataclass(frozen=True, eq=False)
class Background:
    """A photograph without class objects; ``pixels`` is ``(H, W, 3)``
    uint8 RGB, the other attributes are those of :class:`Cutout`."""
    name: str
    family: str
    group: str
    pixels: np.ndarray


@dataclass(frozen=True, eq=False)
class Pool:
    """The cut-outs (by label) and backgrounds that one part may use."""
    cutouts: Dict[int, List[Cutout]]
    backgrounds: List[Background]


@dataclass(frozen=True, eq=False)
class Material:
    """Everything a data set is drawn from.

    Attributes:
        classes: Class names in label order.
        cutouts: All cut-outs.
        backgrounds: All backgrounds.
        packages: Where they come from: one dict per package with
            ``name``, ``version`` and ``sha256``.
        notices: File name -> text of the license notices to go beside
            the data.
    """
    classes: tuple
    cutouts: List[Cutout]
    backgrounds: List[Background]
    packages: List[dict]
    notices: Dict[str, str]
