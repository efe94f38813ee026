# Copyright (c) mmbombo contributors.
from typing import Sequence, Tuple


def class_difference(ours: Sequence[str], theirs: Sequence[str],
                     owners: Tuple[str, str]) -> str:
    """Say how two lists of class names differ.

    Args:
        ours (Sequence[str]): Class names.
        theirs (Sequence[str]): Other class names.
        owners (tuple[str, str]): Whose they are, such as 'the student' and
            'the teacher'.

    Returns:
        str: For an error message.
    """
    only_ours = [name for name in ours if name not in theirs]
    only_theirs = [name for name in theirs if name not in ours]
    if only_ours or only_theirs:
        return (f'only {owners[0]} has {only_ours}, only {owners[1]} has '
                f'{only_theirs}')
    return (f'same names in another order, {list(ours)} in {owners[0]}, '
            f'{list(theirs)} in {owners[1]}')
