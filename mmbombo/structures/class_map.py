# Copyright (c) mmbombo contributors.
"""Which detection label means which segmentation id, and the reverse."""
from typing import Dict, Mapping, Optional, Sequence, Tuple, Union

import torch
from torch import Tensor

from mmbombo.utils import UserError
from .special_labels import IGNORE_INDEX


class ClassMap:
    """Many-to-many relation of detection labels and segmentation ids.

    It is built by name, so that an order that differs between two data sets
    cannot go unnoticed. Classes of equal name belong together; ``det_to_seg``
    says what differs from that.

    Args:
        det_classes (Sequence[str]): Detection classes, label = position.
        seg_classes (Sequence[str]): Segmentation classes, id = position, with
            the background where there is one.
        background (str, optional): Name of the segmentation class that means
            "no object"; None if there is none. Defaults to 'background'.
        det_to_seg (Mapping[str, str | Sequence[str] | None], optional): For
            some detection classes the segmentation class that shows them.
            With several, any of them may; None means that no segmentation
            class shows them.

    Raises:
        UserError: If a name is unknown or given twice, or if a detection
            class is mapped to the background.

    Example:
        >>> class_map = ClassMap(('bus', 'car', 'cat'),
        ...                      ('background', 'cat', 'vehicle'),
        ...                      det_to_seg=dict(bus='vehicle', car='vehicle'))
        >>> class_map.det_to_seg
        tensor([2, 2, 1])
    """

    def __init__(
        self,
        det_classes: Sequence[str],
        seg_classes: Sequence[str],
        background: Optional[str] = 'background',
        det_to_seg: Optional[Mapping[str, Union[str, Sequence[str],
                                                None]]] = None
    ) -> None:
        self.det_classes = _check_names('det_classes', det_classes)
        self.seg_classes = _check_names('seg_classes', seg_classes)
        if len(self.seg_classes) > IGNORE_INDEX:
            raise UserError(
                f'{len(self.seg_classes)} segmentation classes do not fit in '
                f'one byte, where {IGNORE_INDEX} means "ignore"')
        if background is not None and background not in self.seg_classes:
            raise UserError(
                f"background '{background}' is not one of the segmentation "
                f'classes {list(self.seg_classes)}; without a background '
                'class, set background=None')
        self.background = background
        self.background_id: Optional[int] = (
            None if background is None else self.seg_classes.index(background))

        targets = self._resolve(det_to_seg or {})
        self.det_to_seg = torch.tensor([ids[0] if ids else -1
                                        for ids in targets], dtype=torch.long)
        self.compatible = torch.zeros(
            self.num_seg_classes, self.num_det_classes, dtype=torch.bool)
        for label, ids in enumerate(targets):
            self.compatible[list(ids), label] = True
        #: Segmentation ids that show at least one detection class.
        self.thing_ids: Tuple[int, ...] = tuple(
            sorted({i for ids in targets for i in ids}))
        #: Detection labels that no segmentation class shows.
        self.det_only: Tuple[int, ...] = tuple(
            label for label, ids in enumerate(targets) if not ids)
        self._on_device: Dict[torch.device, Tensor] = {}

    def _resolve(self, mapping: Mapping) -> Tuple[Tuple[int, ...], ...]:
        """Segmentation ids of each detection label."""
        unknown = [name for name in mapping if name not in self.det_classes]
        if unknown:
            raise UserError(
                f'det_to_seg names unknown detection class(es) {unknown}; '
                f'known are {list(self.det_classes)}')
        return tuple(
            self._resolve_one(name, mapping.get(name, self._same_name(name)))
            for name in self.det_classes)

    def _same_name(self, name: str) -> Tuple[str, ...]:
        return (name, ) if name in self.seg_classes else ()

    def _resolve_one(self, name: str,
                     targets: Union[str, Sequence[str], None]
                     ) -> Tuple[int, ...]:
        """Segmentation ids of the detection class ``name``."""
        if targets is None:
            return ()
        if isinstance(targets, str):
            targets = (targets, )
        unknown = [seg for seg in targets if seg not in self.seg_classes]
        if unknown:
            raise UserError(
                f"det_to_seg maps '{name}' to unknown segmentation class(es) "
                f'{unknown}; known are {list(self.seg_classes)}')
        if len(set(targets)) != len(targets):
            raise UserError(
                f"det_to_seg maps '{name}' to {list(targets)}, which names a "
                'class twice')
        if self.background is not None and self.background in targets:
            raise UserError(
                f"detection class '{name}' cannot be shown by the background "
                f"class '{self.background}'")
        return tuple(self.seg_classes.index(seg) for seg in targets)

    @property
    def num_det_classes(self) -> int:
        return len(self.det_classes)

    @property
    def num_seg_classes(self) -> int:
        return len(self.seg_classes)

    @property
    def seg_only(self) -> Tuple[int, ...]:
        """Segmentation ids, background apart, without a detection class."""
        return tuple(i for i in range(self.num_seg_classes)
                     if i != self.background_id and i not in self.thing_ids)

    @property
    def outside_ids(self) -> Tuple[int, ...]:
        """What a pixel outside all boxes may show: what no box ever marks.

        That is the background and classes such as "road". Empty if there is
        none, and such a pixel then says nothing.
        """
        return tuple(i for i in range(self.num_seg_classes)
                     if i not in self.thing_ids)

    def compatible_on(self, device: Union[str, torch.device]) -> Tensor:
        """``compatible`` on a device, copied there by the first call only."""
        device = torch.device(device)
        if device not in self._on_device:
            self._on_device[device] = self.compatible.to(device)
        return self._on_device[device]

    def same_as(self, other: 'ClassMap') -> bool:
        """Whether another relation paints and finds the same."""
        return (self.det_classes == other.det_classes
                and self.seg_classes == other.seg_classes
                and self.background == other.background
                and torch.equal(self.det_to_seg, other.det_to_seg)
                and torch.equal(self.compatible, other.compatible))

    def __repr__(self) -> str:
        pairs = ', '.join(
            f'{name}={self.seg_classes[seg]}' if seg >= 0 else f'{name}=None'
            for name, seg in zip(self.det_classes, self.det_to_seg.tolist()))
        return (f'{type(self).__name__}({pairs}; '
                f'background={self.background}, '
                f'seg_only={[self.seg_classes[i] for i in self.seg_only]})')


def _check_names(what: str, names: Sequence[str]) -> Tuple[str, ...]:
    """``names`` as a tuple, each of them once."""
    if isinstance(names, str):
        raise UserError(f'{what} must be a sequence of names, such as '
                        f"('{names}',), not the string '{names}'")
    twice = sorted({name for name in names if list(names).count(name) > 1})
    if twice:
        raise UserError(f'{what} names {twice} more than once')
    return tuple(names)
