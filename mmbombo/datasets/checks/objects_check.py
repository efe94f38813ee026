# Copyright (c) mmbombo contributors.
import logging
from typing import Any

from mmengine.logging import print_log

from mmbombo.structures import BBOX, IMAGE_LABEL
from ..unlisted_categories import UNLISTED_KEY


def warn_without_objects(source: Any) -> None:
    """Warn of a source of which no image shows an object.

    That may be meant, of pictures known to be empty; more often objects are in
    another place or have other names.
    """
    for kind in {BBOX, IMAGE_LABEL} & {*source.annotation_kinds}:
        if not any(
                _shows(source.get_data_info(i), kind)
                for i in range(len(source))):
            print_log(
                f'source {source.source!r}: none of the {len(source)} images '
                f'of {source.place} has an object ({kind}). Unless that is '
                'meant, correct paths and classes', 'current',
                logging.WARNING)


def _shows(info: dict, kind: str) -> bool:
    """Whether an image shows an object, as far as its list says."""
    if kind == BBOX:
        return bool(info.get('instances', True) or info.get(UNLISTED_KEY))
    return any(x > 0 for x in info.get('image_labels', (1, )))
