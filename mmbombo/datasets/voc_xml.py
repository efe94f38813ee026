# Copyright (c) mmbombo contributors.
"""Reading Pascal VOC's annotation files."""
from typing import Dict, List, NoReturn
from xml.etree import ElementTree
from xml.parsers import expat

from mmbombo.structures import UNLISTED_LABEL
from .errors import DatasetError

CORNERS = ('xmin', 'ymin', 'xmax', 'ymax')


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
    try:
        with open(path, 'rb') as file:
            parser.Parse(file.read(), True)
        return builder.close()
    except OSError as error:
        raise DatasetError(str(error)) from error
    except (expat.ExpatError, AssertionError) as error:
        raise DatasetError(f'{path}: not well-formed XML ({error})') from error


def read_instances(path: str, labels: Dict[str, int]) -> List[dict]:
    """Read the boxes of a VOC annotation file.

    VOC counts pixels from 1 and includes both ends, so pixels ``xmin`` to
    ``xmax`` cover ``[xmin - 1, xmax]``. (MMDetection's ``XMLDataset``
    subtracts one from all four numbers, which makes every box a pixel
    narrower and lower than its object.)

    Args:
        path (str): The XML file.
        labels (dict[str, int]): Class name to detection label, or to
            ``UNLISTED_LABEL``.

    Returns:
        list[dict]: ``bbox`` [x1, y1, x2, y2] in pixels, ``bbox_label``, and
        ``ignore_flag``, which is 1 for difficult objects.

    Raises:
        DatasetError: Naming the file and the object, if a class is unknown
            or a box is no four numbers.
    """
    return [
        _read_object(path, number, node, labels)
        for number, node in enumerate(parse_xml(path).iter('object'), start=1)
    ]


def _read_object(path: str, number: int, node: ElementTree.Element,
                 labels: Dict[str, int]) -> dict:
    name = (node.findtext('name') or '').strip()
    place = f'{path}: object {number} ({name})'
    if name not in labels:
        classes = [x for x in labels if labels[x] != UNLISTED_LABEL]
        raise DatasetError(f'{place}: class {name!r} is not one of '
                           f'metainfo[\'classes\'] {tuple(classes)}. Correct '
                           'the name, add the class, or name it in '
                           '`unlisted_classes`')
    xmin, ymin, xmax, ymax = _read_corners(place, node)
    difficult = (node.findtext('difficult') or '0').strip()
    return dict(
        bbox=[xmin - 1, ymin - 1, xmax, ymax],
        bbox_label=labels[name],
        ignore_flag=int(difficult == '1'))


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
