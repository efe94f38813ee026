# Copyright (c) mmbombo contributors.
"""Classes of all sources, and which of boxes and masks are the same."""
import re
from typing import Dict, NamedTuple, Optional, Sequence, Tuple

from mmbombo.datasets.errors import DatasetError
from .found import Found

BACKGROUNDS = ('background', 'bg')


class Classes(NamedTuple):
    """Classes per task."""
    det: Tuple[str, ...]  # of boxes
    seg: Tuple[str, ...]  # of masks, id = position
    cls: Tuple[str, ...]  # of tags
    background: Optional[str]  # the segmentation class of no object
    det_to_seg: Dict[str, str]  # what belongs together besides equal names

    def shown_by(self, name: str) -> Optional[str]:
        """The segmentation class that shows a class of boxes."""
        return self.det_to_seg.get(name, name if name in self.seg else None)

    @property
    def masks_only(self) -> Sequence[str]:
        """Segmentation classes without boxes, but for the background."""
        boxed = {self.background, *map(self.shown_by, self.det)}
        return [x for x in self.seg if x not in boxed]


def gather_classes(sources: Sequence[Found], wanted: Optional[Sequence[str]],
                   told: Sequence[str]) -> Classes:
    """Gather the classes and propose the map between them.

    ``wanted`` are classes of boxes to keep, ``told`` the words
    ``box class=mask class``, where names differ.
    """
    det = box_classes([x for x in sources if x.kind == 'bbox'], wanted)
    seg = union(x for x in sources if x.kind == 'sem_seg')
    cls = union(x for x in sources if x.kind == 'image_label')
    if {x.kind for x in sources if not x.validation} == {'image_label'}:
        if det:
            raise DatasetError('--val-boxes: tags alone teach no boxes; give '
                               '--boxes too, or --val-masks to judge by')
        seg = seg or ('background', *cls)  # tags teach masks
    if not (det or seg or cls):
        raise DatasetError(f'{sources[0].place} has no object of any class')
    for name in cls:
        if plain(name) in BACKGROUNDS:
            raise DatasetError(f'the tag {name!r} is no class: an image that '
                               'shows none has no tag; take it out of the '
                               'file')
    background = next((x for x in seg if plain(x) in BACKGROUNDS), None)
    return Classes(det, seg, cls, background, map_classes(det, seg, told))


def union(sources: Sequence[Found]) -> Tuple[str, ...]:
    return tuple(
        dict.fromkeys(x for source in sources for x in source.classes))


def box_classes(sources: Sequence[Found],
                wanted: Optional[Sequence[str]]) -> Tuple[str, ...]:
    """Those of which there are objects, in the order of the first source."""
    names = union(sources)
    unknown = sorted({*(wanted or ())} - {*names})
    if unknown:
        raise DatasetError(f'--classes {unknown}: the boxes have {[*names]}')
    found = {x for source in sources for x, n in source.classes.items() if n}
    whole = {x for y in sources if y.all_classes for x in y.classes}
    kept = tuple(x for x in names if x in (wanted or found | whole))
    for source in sources:
        if source.all_classes and kept != (*source.classes, ):
            raise DatasetError(f'{source.place} can be read for its classes '
                               f'{[*source.classes]} only, not for {[*kept]}')
        lacking = [x for x in kept if x not in source.classes]
        if lacking and not source.validation:
            raise DatasetError(
                f'{source.place} has no boxes of {lacking}, which other boxes '
                'have: objects of these classes in its images would be taught '
                'as background. Rename a class that it calls otherwise, or '
                'name the classes that all have with --classes')
    return kept


def map_classes(det: Sequence[str], seg: Sequence[str],
                told: Sequence[str]) -> Dict[str, str]:
    """What is told, and names that differ in case or separators only."""
    mapping = {}
    for word in told:
        name, _, shown = word.partition('=')
        if name not in det or shown not in seg:
            raise DatasetError(f'--map {word}: not BOX=MASK with BOX of '
                               f'{[*det]} and MASK of {[*seg]}')
        mapping[name] = shown
    for name in det:
        alike = [x for x in seg if plain(x) == plain(name)]
        if name in mapping or name in seg or not alike:
            continue
        if len(alike) > 1:
            raise DatasetError(f'{name!r} of the boxes may be any of {alike} '
                               f'of the masks: say which, --map {name}=...')
        mapping[name] = alike[0]
    return mapping


def plain(name: str) -> str:
    """A name without case and separators."""
    return re.sub(r'[\W_]+', '', name.lower())
