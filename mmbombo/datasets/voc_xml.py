# Copyright (c) mmbombo contributors.
"""Reading Pascal VOC's annotation files."""
from typing import Dict, List, NoReturn, Set
from xml.etree import ElementTree
from xml.parsers import expat

from mmbombo.structures import UNLISTED_LABEL
from mmbombo.structures.image_labels import image_labels
from .errors import DatasetError

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
    except (expat.ExpatError, AssertionError) as error:
        raise DatasetError(f'{path}: not well-formed XML ({error})') from error


def read_image_labels(path: str, labels: Dict[str, int],
                      num_classes: int) -> List[int]:
    """Read which classes a VOC annotation file names; no box is read.

    Gives :func:`~mmbombo.structures.image_labels.image_labels`; a class of
    which there are difficult objects only is unknown. An unknown class is a
    ``DatasetError`` that names the file and the object.
    """
    found: Dict[bool, Set[int]] = {False: set(), True: set()}
    for number, node in enumerate(parse_xml(path).iter('object'), start=1):
        label = _read_label(path, number, node, labels)
        if label != UNLISTED_LABEL:
            found[_is_difficult(node)].add(label)
    return image_labels(num_classes, found[False], found[True])


def read_instances(path: str, labels: Dict[str, int]) -> List[dict]:
    """Read the boxes of a VOC annotation file: ``bbox`` [x1, y1, x2, y2] in
    pixels, ``bbox_label``, and ``ignore_flag``, 1 for difficult objects.

    VOC counts pixels from 1 and includes both ends, so pixels ``xmin`` to
    ``xmax`` cover ``[xmin - 1, xmax]``. (MMDetection's ``XMLDataset``
    subtracts one from all four numbers, which makes every box a pixel narrower
    and lower than its object.) An unknown class, or a box of no four numbers,
    is a ``DatasetError`` that names the file and the object.
    """
    return [
        _read_object(path, number, node, labels)
        for number, node in enumerate(parse_xml(path).iter('object'), start=1)
    ]


def _read_object(path: str, number: int, node: ElementTree.Element,
                 labels: Dict[str, int]) -> dict:
    label = _read_label(path, number, node, labels)
    xmin, ymin, xmax, ymax = _read_corners(_place(path, number, node), node)
    return dict(
        bbox=[xmin - 1, ymin - 1, xmax, ymax],
        bbox_label=label,
        ignore_flag=int(_is_difficult(node)))


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


def _is_difficult(node: ElementTree.Element) -> bool:
    return (node.findtext('difficult') or '0').strip() == '1'


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
