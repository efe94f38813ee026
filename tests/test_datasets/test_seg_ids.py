# Copyright (c) mmbombo contributors.
import numpy as np
import pytest

from mmbombo.datasets.seg_ids import build_id_table, build_mmseg_id_table


def reference_mmseg(ids, reduce_zero_label, label_map, ignore_index=255):
    """MMSegmentation's own loading, on an array."""
    ids = ids.copy()
    if reduce_zero_label:
        ids[ids == 0] = 255
        ids = ids - 1
        ids[ids == 254] = 255
    if label_map is not None:
        old = ids.copy()
        for before, after in label_map.items():
            ids[old == before] = after
    return ids


@pytest.mark.parametrize('reduce_zero', [False, True])
@pytest.mark.parametrize('label_map', [None, {0: 1, 1: 255, 2: 0}])
def test_mmseg_table_equals_mmseg(reduce_zero, label_map):
    num_classes = 3 if label_map is None else 2
    table = build_mmseg_id_table(num_classes, reduce_zero, label_map, 255)
    allowed = np.array([*range(3 + reduce_zero), 255], np.uint8)
    np.testing.assert_array_equal(
        table[allowed], reference_mmseg(allowed, reduce_zero, label_map))
    assert (np.delete(table, allowed) == -1).all()


@pytest.mark.parametrize('id_map, ignore, match', [
    ({300: 0}, (), '300 is not in 0..255'),
    ({3: 2}, (), '3 -> 2, but the 2'),
    (None, (-1, ), '-1 is not in 0..255'),
])
def test_bad_id_maps_are_refused(id_map, ignore, match):
    with pytest.raises(ValueError, match=match):
        build_id_table(2, id_map, ignore)
