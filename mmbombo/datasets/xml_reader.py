# Copyright (c) mmbombo contributors.
from typing import Any, List
from xml.etree import ElementTree

from .errors import MALFORMED, DatasetError, list_problems
from .voc_xml import find_objects


class XmlReader:
    """Makes a reader of VOC's format, a subclass of MMDetection's
    :class:`XMLDataset`, refuse objects of unknown classes.

    MMDetection's passes over them without a word, and the object becomes
    background.
    """
    #: Whether boxes are asked for; otherwise nobody learns from them.
    with_boxes = True

    def load_data_list(self) -> List[dict]:
        """Read all files."""
        self._unknown: List[str] = []
        data_list = super().load_data_list()
        if self._unknown and self.with_boxes:
            raise DatasetError(
                list_problems(f'{self.ann_file}: objects of unknown classes',
                              self._unknown) +
                '\n  Correct the names, or add the classes to metainfo: an '
                'object that is left out would be taught as background')
        return data_list

    def parse_data_info(self, img_info: dict) -> dict:
        """Read the file of an image."""
        self._names: List[str] = []
        place = self._path = img_info.get('xml_path', img_info['img_id'])
        try:
            info = super().parse_data_info(img_info)
        except DatasetError:
            raise
        except (ElementTree.ParseError, *MALFORMED) as error:
            raise DatasetError(f'{place}: not well-formed XML of VOC\'s layout'
                               f' ({error})') from error
        classes = self._metainfo['classes']
        self._unknown += [
            f'{info["xml_path"]}: object {number} ({name}): class {name!r} is '
            f"not one of metainfo['classes'] {tuple(classes)}"
            for number, name in enumerate(self._names, start=1)
            if name not in classes
        ]
        return info

    def _parse_instance_info(self, raw_ann_info: Any, *args,
                             **kwargs) -> List[dict]:
        root = getattr(raw_ann_info, 'getroot', lambda: raw_ann_info)()
        nodes = find_objects(self._path, root)
        if len(nodes) > len(root.findall('object')):
            raise DatasetError(f'{self._path}: <object> is due directly in '
                               '<annotation>, not deeper; PartialVOCDataset '
                               'reads it there')
        self._names = [node.findtext('name') for node in nodes]
        return super()._parse_instance_info(raw_ann_info, *args, **kwargs)
