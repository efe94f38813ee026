# Copyright (c) mmbombo contributors.
"""Reading Pascal VOC's annotation files."""
import re
from typing import Any, Dict, List, NoReturn, Optional, Set
from xml.etree import ElementTree
from xml.parsers import expat

from mmbombo.structures import UNLISTED_LABEL
from mmbombo.structures.image_labels import image_labels
from mmbombo.utils.unknown_arguments import did_you_mean
from .errors import DatasetError

#: Tags of objects and their boxes, whatever their case and namespace.
ALIKE = ('object', 'bndbox', 'bbox', 'boundingbox')
#: Tags whose misspelling would change what is learned.
TAGS = ('annotation', 'object', 'name', 'bndbox', 'xmin', 'ymin', 'xmax',
        'ymax', 'difficult', 'size', 'width', 'height')
CORNERS = ('xmin', 'ymin', 'xmax', 'ymax')


def parse_xml(path: str) -> ElementTree.Element:
    """Root of an XML file that declares neither a document type nor entities.

    Entities can expand without limit or name other files, and no annotation
    needs them.
    """

    def refuse(*_) -> NoReturn:
        raise DatasetError(f'{path}: a DTD or entity declaration has no place '
                           'in an annotation file and is not read')

    builder = ElementTree.TreeBuilder()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    try:
        with open(path, 'rb') as file:
            parser.Parse(file.read(), True)
        return builder.close()
    except OSError as error:
        raise DatasetError(str(error)) from error
    except DatasetError:
        raise
    except (expat.ExpatError, AssertionError, ValueError) as error:
        raise DatasetError(f'{path}: not well-formed XML ({error})') from error


def find_objects(path: str,
                 root: ElementTree.Element) -> List[ElementTree.Element]:
    """The objects of an annotation; ``DatasetError`` if it is none, or holds
    what may be an object of another spelling."""
    if root.tag != 'annotation':
        raise DatasetError(f'{path}: its root is <{root.tag}>, where '
                           '<annotation> is due: it is no annotation of VOC')
    objects = list(root.iter('object'))
    known = {node for x in objects for node in x.iter()}
    for node in root.iter():
        hint = '' if node.tag in TAGS else did_you_mean(
            node.tag.lower(), TAGS, cutoff=.85)
        if hint:
            raise DatasetError(f'{path}: <{node.tag}> is no tag of VOC{hint}')
        name = re.sub(r'.*[:}]|[^a-z]', '', node.tag.lower())
        if node not in known and (name in ALIKE or _is_like_object(node)):
            raise DatasetError(
                f'{path}: <{node.tag}> looks like an object, but VOC\'s are '
                f'<object> with <name> and <bndbox>; rename it')
    return objects


def _is_like_object(node: ElementTree.Element) -> bool:
    """Whether some of its elements have four numbers, as boxes do."""
    return node.tag != 'annotation' and any(
        len([x for x in box if _is_number(x.text)]) >= 4 and len(box) <= 5
        for box in node)


def _is_number(text: Optional[str]) -> bool:
    try:
        return text is not None and float(text) is not None
    except ValueError:
        return False


def read_image_labels(path: str, labels: Dict[str, int],
                      num_classes: int) -> List[int]:
    """Read which classes a VOC annotation file names; no box is read.

    Gives :func:`~mmbombo.structures.image_labels.image_labels`; a class of
    which there are difficult objects only is unknown. An unknown class is a
    ``DatasetError`` that names the file and the object.
    """
    found: Dict[bool, Set[int]] = {False: set(), True: set()}
    nodes = find_objects(path, parse_xml(path))
    for number, node in enumerate(nodes, start=1):
        label = _read_label(path, number, node, labels)
        if label != UNLISTED_LABEL:
            found[_is_difficult(_place(path, number, node), node)].add(label)
    return image_labels(num_classes, found[False], found[True])


def read_annotation(path: str, labels: Dict[str, int]) -> Dict[str, Any]:
    """Read the boxes of a VOC annotation file, ``instances``: ``bbox`` [x1,
    y1, x2, y2] in pixels, ``bbox_label``, and ``ignore_flag``, 1 for difficult
    objects; and ``height`` and ``width`` of the image, None if not given.

    VOC counts pixels from 1 and includes both ends, so pixels ``xmin`` to
    ``xmax`` cover ``[xmin - 1, xmax]``. (MMDetection's ``XMLDataset``
    subtracts one from all four numbers, which makes every box a pixel narrower
    and lower than its object.) An unknown class, or a box of no four numbers,
    is a ``DatasetError`` that names the file and the object.
    """
    root = parse_xml(path)
    nodes = find_objects(path, root)
    return dict(
        instances=[
            _read_object(path, number, node, labels)
            for number, node in enumerate(nodes, start=1)
        ],
        height=_read_side(path, root, 'height'),
        width=_read_side(path, root, 'width'))


def _read_side(path: str, root: ElementTree.Element,
               tag: str) -> Optional[float]:
    text = (root.findtext(f'size/{tag}') or '').strip()
    if text and not _is_number(text):
        raise DatasetError(f'{path}: <size><{tag}> is {text!r}, where a number'
                           ' is due')
    if not text:
        return None
    side = float(text)
    return int(side) if side.is_integer() else side


def _read_object(path: str, number: int, node: ElementTree.Element,
                 labels: Dict[str, int]) -> dict:
    label = _read_label(path, number, node, labels)
    xmin, ymin, xmax, ymax = _read_corners(_place(path, number, node), node)
    return dict(
        bbox=[xmin - 1, ymin - 1, xmax, ymax],
        bbox_label=label,
        ignore_flag=int(_is_difficult(_place(path, number, node), node)))


def _read_label(path: str, number: int, node: ElementTree.Element,
                labels: Dict[str, int]) -> int:
    name = _name(node)
    if name not in labels:
        classes = [x for x in labels if labels[x] != UNLISTED_LABEL]
        raise DatasetError(
            f'{_place(path, number, node)}: class {name!r} is not one of the '
            f'classes in metainfo, {tuple(classes)}. Correct the name, add the'
            ' class, or name it in `unlisted_classes`')
    return labels[name]


def _name(node: ElementTree.Element) -> str:
    return (node.findtext('name') or '').strip()


def _place(path: str, number: int, node: ElementTree.Element) -> str:
    return f'{path}: object {number} ({_name(node)})'


def _is_difficult(place: str, node: ElementTree.Element) -> bool:
    text = (node.findtext('difficult') or '0').strip()
    if text not in ('0', '1'):
        raise DatasetError(f'{place}: <difficult> is {text!r}, where 0 or 1 is'
                           ' due')
    return text == '1'


def _read_corners(place: str, node: ElementTree.Element) -> List[float]:
    numbers = []
    box = node.find('bndbox')
    for tag in CORNERS:
        text = None if box is None else box.findtext(tag)
        try:
            numbers.append(float(text))
        except (TypeError, ValueError):
            raise DatasetError(f'{place}: <{tag}> is {text!r}, where a number '
                               'is due') from None
    return numbers
