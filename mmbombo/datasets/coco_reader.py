# Copyright (c) mmbombo contributors.
from collections import Counter
from functools import cached_property
from typing import Any, Dict, List, Optional, Sequence

import numpy as np

from .checks.image_size_check import UNKNOWN_SIDE, is_known
from .coco_json import (check_annotation, check_category_names,
                        check_file_names, read_coco_json)
from .errors import DatasetError
from .unlisted_categories import UNLISTED_KEY

#: So many boxes tell in which unit all of a file are ...
NUM_PROBED = 1000
#: ... since of boxes in a wrong one nearly all look like it.
NEARLY_ALL = 0.95


class CocoReader:
    """Makes a reader of COCO's format, a subclass of MMDetection's
    :class:`CocoDataset`, lose no box.

    MMDetection's drops what is thinner than a pixel or outside the listed
    size, and what is marked ``ignore``, which would turn an object into
    background. Here such boxes are kept with a ``complaint``, or ignored as
    crowd regions are. Labels are those of the class names, where MMDetection
    counts them in the order of the file. Objects of other categories become
    ``unlisted_boxes``.
    """
    #: Whether boxes are asked for; otherwise none is read.
    with_boxes = True

    @property
    def _index(self) -> Any:
        """COCO: Of LVIS's readers it has another name."""
        return self.coco if hasattr(self, 'coco') else self.lvis

    @cached_property
    def labels(self) -> Dict[int, int]:
        """dict[int, int]: Id of each category that is a class to its label."""
        classes = list(self.metainfo['classes'])
        content = self._index.dataset
        if 'annotations' not in content:
            read_coco_json(self.ann_file)  # says what the file is not
        check_category_names(
            content, self.ann_file, classes,
            "Give the names of the file's categories in metainfo['classes']")
        check_file_names(content, self.ann_file)
        return {
            category['id']: classes.index(category['name'])
            for category in content['categories']
            if category['name'] in classes
        }

    @cached_property
    def names(self) -> Dict[int, str]:
        """dict[int, str]: Id of each category to its name."""
        return {x['id']: x['name'] for x in self._index.dataset['categories']}

    def load_data_list(self) -> List[dict]:
        """Read the file; if that fails, say where it is wrong."""
        #: Boxes of each category that is no class
        self.unlisted: Counter = Counter()
        try:
            data_list = super().load_data_list()
        except DatasetError:
            raise
        except Exception as error:
            # of many types, of which none names the file or the entry
            read_coco_json(self.ann_file)
            raise DatasetError(f'{self.ann_file}: not a file of COCO instances'
                               f' ({error!r})') from error
        cause = find_wrong_unit(data_list[:NUM_PROBED])
        if cause:
            raise DatasetError(f'{self.ann_file}: {cause}')
        return data_list

    def parse_data_info(self, raw_data_info: dict) -> dict:
        """Read an image and its boxes, x1, y1, x2, y2."""
        image = raw_data_info['raw_img_info']
        sizes = {
            key: image[key] if is_known(image[key]) else UNKNOWN_SIDE
            for key in ('height', 'width')
        }
        info = super().parse_data_info(
            dict(raw_img_info=dict(image, **sizes), raw_ann_info=[]))
        if not self.with_boxes:
            return info
        labels = self.labels
        for annotation in raw_data_info['raw_ann_info']:
            box, ignored = check_annotation(annotation, self.ann_file)
            width, height = annotation['bbox'][2:]
            label = labels.get(annotation['category_id'])
            if label is None:
                self.unlisted[self.names[annotation['category_id']]] += 1
                info.setdefault(UNLISTED_KEY, []).append(box)
                continue
            instance = dict(
                bbox=box, bbox_label=label, ignore_flag=int(ignored))
            if min(width, height) < 1:
                instance['complaint'] = 'is thinner than a pixel'
            elif annotation['area'] <= 0:
                instance['complaint'] = f"has 'area' {annotation['area']:g}"
            info['instances'].append(instance)
        return info


def find_wrong_unit(infos: Sequence[dict]) -> Optional[str]:
    """Say what is wrong with the boxes of images as a whole, beside their
    listed ``height`` and ``width``; None if they look like pixels."""
    rows = [(*instance['bbox'], info['width'], info['height'])
            for info in infos for instance in info['instances']]
    if not rows:
        return None
    x1, y1, x2, y2, width, height = np.asarray(rows, dtype=np.float64).T
    right, bottom = x2 - x1, y2 - y1
    largest = np.maximum.reduce([x1, y1, right, bottom])
    if np.mean(largest <= 1) > NEARLY_ALL:
        return ('the boxes look like fractions of the image, where COCO\'s '
                'are pixels: convert them')
    corners = ((right > x1) & (bottom > y1) & (right <= width + 1) &
               (bottom <= height + 1))
    outside = (x2 > width + 1) | (y2 > height + 1)
    if np.mean(outside) > .5 and np.mean(corners) > NEARLY_ALL:
        return ('the boxes look like corners [x1, y1, x2, y2], where COCO\'s '
                'are [x, y, width, height]: convert them')
    return None
