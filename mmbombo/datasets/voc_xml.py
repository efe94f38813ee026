# Copyright (c) mmbombo contributors.
"""Reading Pascal VOC's annotation files."""
from typing import Dict, List, NoReturn, Sequence, Tuple
from xml.etree import ElementTree
from xml.parsers import expat

from mmbombo.structures import UNLISTED_LABEL
from .boxes import fit_box
from .errors import DatasetError


def parse_xml(path: str) -> ElementTree.Element:
    """Parse an XML file that declares neither a document type nor entities.

    Entities can expand without limit or name other files, and no annotation
    needs them.

    Args:
        path (str): The file.

    Returns:
        Element: Its root.

    Raises:
        DatasetError: If the file is not such XML.
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
    with open(path, 'rb') as file:
        content = file.read()
    try:
        parser.Parse(content, True)
        return builder.close()
    except (expat.ExpatError, AssertionError) as error:
        raise DatasetError(f'{path}: not well-formed XML ({error})') from error


def read_instances(path: str, labels: Dict[str, int],
                   size: Tuple[int, int]) -> List[dict]:
    """Read the boxes of a VOC annotation file.

    VOC counts pixels from 1 and includes both ends, so pixels ``xmin`` to
    ``xmax`` cover ``[xmin - 1, xmax]``. (MMDetection's ``XMLDataset``
    subtracts one from all four numbers, which makes every box a pixel
    narrower and lower than its object.) A box may reach out of the image by
    one pixel and is clipped.

    Args:
        path (str): The XML file.
        labels (dict[str, int]): Class name to detection label, or to
            ``UNLISTED_LABEL``.
        size (tuple[int, int]): (height, width) of the image in pixels.

    Returns:
        list[dict]: ``bbox`` [x1, y1, x2, y2] in pixels, ``bbox_label``, and
        ``ignore_flag``, which is 1 for difficult objects.

    Raises:
        DatasetError: Naming the file and the object, if a class is unknown
            or a box is malformed, inverted, degenerate or outside the image.
    """
    return [
        _read_object(path, number, node, labels, size)
        for number, node in enumerate(parse_xml(path).iter('object'), start=1)
    ]


def find_unknown_classes(path: str, classes: Sequence[str]) -> List[str]:
    """Find the objects that MMDetection's ``XMLDataset`` skips.

    It passes over an object whose class it was not built for, without a
    word, and the object becomes background.

    Args:
        path (str): The XML file.
        classes (Sequence[str]): The classes that it was built for.

    Returns:
        list[str]: One line per object, naming file and class.

    Raises:
        DatasetError: If the file cannot be read.
    """
    # Compared as MMDetection does, which does not strip blanks.
    names = [node.findtext('name') for node in parse_xml(path).iter('object')]
    return [
        f'{path}: object {number} ({name}): class {name!r} is not one of '
        f'metainfo[\'classes\'] {tuple(classes)}'
        for number, name in enumerate(names, start=1) if name not in classes
    ]


def _read_object(path: str, number: int, node: ElementTree.Element,
                 labels: Dict[str, int], size: Tuple[int, int]) -> dict:
    name = (node.findtext('name') or '').strip()
    place = f'{path}: object {number} ({name})'
    if name not in labels:
        classes = [x for x in labels if labels[x] != UNLISTED_LABEL]
        raise DatasetError(f'{place}: class {name!r} is not one of '
                           f'metainfo[\'classes\'] {tuple(classes)}. Correct '
                           'the name, add the class, or name it in '
                           '`unlisted_classes`')
    xmin, ymin, xmax, ymax = _read_numbers(
        place, node, ('bndbox/xmin', 'bndbox/ymin', 'bndbox/xmax',
                      'bndbox/ymax'))
    height, width = size
    box, complaint = fit_box((xmin - 1, ymin - 1, xmax, ymax), width, height)
    if complaint:
        raise DatasetError(
            f'{place}: box [xmin {xmin:g}, ymin {ymin:g}, xmax {xmax:g}, '
            f'ymax {ymax:g}] {complaint}')
    difficult = (node.findtext('difficult') or '0').strip()
    return dict(
        bbox=box, bbox_label=labels[name], ignore_flag=int(difficult == '1'))


def _read_numbers(place: str, node: ElementTree.Element,
                  tags: Sequence[str]) -> List[float]:
    numbers = []
    for tag in tags:
        text = node.findtext(tag)
        try:
            numbers.append(float(text))
        except (TypeError, ValueError):
            raise DatasetError(f'{place}: <{tag}> is {text!r}, where a number '
                               'is due') from None
    return numbers
