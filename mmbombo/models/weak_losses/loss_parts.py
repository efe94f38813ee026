# Copyright (c) mmbombo contributors.
"""Which losses of a dense head are about classes, and which about boxes.

MMDetection has no word for it but the names of the losses. Localization is
everything that is computed from the boxes of matched cells: regression,
distributions over edges, quality of the location (centerness, IoU). Of the
names that are left those of a classification say so. Others, such as the bags
of FreeAnchor, are about both.
"""
from typing import Any, Dict

from mmbombo.utils import UserError

LOCALIZATION = ('bbox', 'dfl', 'centerness', 'iou', 'pts')
CLASSIFICATION = ('cls', )

#: What ``supervise`` can be, and the part that it keeps.
SUPERVISE = ('both', 'cls', 'loc')


def part_of(key: str) -> str:
    """Whether a loss is about classes ('cls') or locations ('loc').

    Args:
        key (str): Name of a loss, such as 'loss_dfl'.

    Returns:
        str: 'cls', 'loc', or '' if the name does not say.
    """
    if any(word in key for word in LOCALIZATION):
        return 'loc'
    if any(word in key for word in CLASSIFICATION):
        return 'cls'
    return ''


def select_losses(losses: Dict[str, Any], supervise: str) -> Dict[str, Any]:
    """Keep the losses of one part; diagnostics stay.

    Args:
        losses (dict[str, Any]): Losses of a dense head.
        supervise (str): 'both', 'cls' or 'loc'.

    Returns:
        dict[str, Any]: What is kept.

    Raises:
        UserError: If the name of a loss does not say what it is about.
    """
    if supervise == 'both':
        return losses
    unknown = [key for key in losses if 'loss' in key and not part_of(key)]
    if unknown:
        raise UserError(
            f"supervise='{supervise}' cannot be used with this detection "
            f'head: the names of its losses {unknown} do not say whether '
            f'they are about classes ({", ".join(CLASSIFICATION)}) or boxes '
            f"({', '.join(LOCALIZATION)}); use supervise='both'")
    return {
        key: value
        for key, value in losses.items()
        if 'loss' not in key or part_of(key) == supervise
    }
