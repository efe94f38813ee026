# Copyright (c) mmbombo contributors.
import pytest

from mmbombo.structures import check_kinds


def test_kinds_have_one_order():
    assert check_kinds(['sem_seg', 'bbox']) == ('bbox', 'sem_seg')
    assert check_kinds(()) == ()


@pytest.mark.parametrize('kinds, error, message', [
    ('bbox', TypeError, r"such as \('bbox',\)"),  # a forgotten comma
    (('bbox', 'bbox'), ValueError, 'names a kind twice'),
    (('box', ), ValueError, r"unknown annotation kind\(s\) \['box'\]"),
])
def test_kinds_that_are_none_are_refused(kinds, error, message):
    with pytest.raises(error, match=message):
        check_kinds(kinds)
