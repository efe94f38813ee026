# Copyright (c) mmbombo contributors.
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mmbombo.weak_labels import label_components


def reference(seg_map, min_area, thing_ids):
    """Flood fill; a list of (label, pixels, ignored)."""
    height, width = seg_map.shape
    seen = np.zeros(seg_map.shape, bool)
    found = []
    for y in range(height):
        for x in range(width):
            if seen[y, x] or seg_map[y, x] not in thing_ids:
                continue
            seen[y, x] = True
            todo, pixels = [(y, x)], []
            while todo:
                i, j = todo.pop()
                pixels.append((i, j))
                for a in range(max(0, i - 1), min(height, i + 2)):
                    for b in range(max(0, j - 1), min(width, j + 2)):
                        if not seen[a, b] and seg_map[a, b] == seg_map[y, x]:
                            seen[a, b] = True
                            todo.append((a, b))
            found.append((int(seg_map[y, x]), frozenset(pixels)))
    return {
        (label, pixels, len(pixels) < min_area and any(
            other == label and len(p) >= min_area for other, p in found))
        for label, pixels in found
    }


def check_table(component_map, table):
    """Boxes and areas are those of the map's pixels."""
    num = len(table['labels'])
    assert component_map.max(initial=0) == num
    for row in range(num):
        ys, xs = np.where(component_map == row + 1)
        assert table['areas'][row] == len(ys)
        assert table['boxes'][row].tolist() == [
            xs.min(), ys.min(), xs.max() + 1, ys.max() + 1
        ]


@settings(max_examples=150)
@given(
    arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9)),
           elements=st.sampled_from([0, 0, 2, 2, 5, 7, 255])),
    st.integers(0, 6))
def test_equals_flood_fill(seg_map, min_area):
    component_map, table = label_components(seg_map, min_area, (2, 5))
    check_table(component_map, table)
    found = {(int(table['labels'][row]),
              frozenset(zip(*map(np.ndarray.tolist,
                                 np.where(component_map == row + 1)))),
              bool(table['ignored'][row]))
             for row in range(len(table['labels']))}
    assert found == reference(seg_map, min_area, (2, 5))


def test_known_values():
    """The authors' precursor (EMA of 'tw_eccv24'), with its missing + 1."""
    seg_map = np.zeros((320, 320), np.uint8)
    seg_map[40:120, 40:100] = 15
    seg_map[60:140, 100:160] = 15
    seg_map[200:260, 50:110] = 3
    seg_map[280:286, 20:26] = 3
    seg_map[280:283, 280:283] = 7
    component_map, table = label_components(seg_map, 80, range(1, 21))
    rows = {
        (label, *box): (area, ignored)
        for label, box, area, ignored in zip(
            table['labels'].tolist(), table['boxes'].tolist(),
            table['areas'].tolist(), table['ignored'].tolist())
    }
    assert rows == {
        (15, 40, 40, 160, 140): (9600, False),
        (3, 50, 200, 110, 260): (3600, False),
        (3, 20, 280, 26, 286): (36, True),
        (7, 280, 280, 283, 283): (9, False),
    }
    assert table['labels'].tolist() == [15, 3, 7, 3], 'targets first'
    check_table(component_map, table)


def test_pieces_share_an_occluder_with_a_much_larger_component():
    seg_map = np.zeros((40, 60), np.uint8)
    seg_map[5:35, 2:20] = 1  # 540 pixels
    seg_map[0:40, 20:24] = 2  # in front
    seg_map[5:14, 24:30] = 1  # 54, a tenth
    seg_map[20:25, 24:35] = 1  # 55
    seg_map[5:14, 40:45] = 1  # 45, beside nothing
    seg_map[30:34, 24:26] = 3  # the only one of its class
    pieces = {
        int(area)
        for area, piece in zip(*map(
            label_components(seg_map, 5, (1, 2, 3))[1].get,
            ('areas', 'pieces'))) if piece
    }
    assert pieces == {54}
    seg_map[0:40, 20:24] = 255
    assert not label_components(seg_map, 5, (1, 2, 3))[1]['pieces'].any()


@settings(max_examples=100)
@given(
    arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9)),
           elements=st.sampled_from([0, 2, 2, 2, 2, 5, 7])),
    st.integers(0, 3))
def test_pieces_equal_a_slow_reference(seg_map, min_area):
    component_map, table = label_components(seg_map, min_area, (2, 5))
    areas, labels = table['areas'], table['labels']
    padded = np.pad(component_map, 1)

    def beside(row):
        near = set()
        for y, x in zip(*np.where(padded == row + 1)):
            near |= set(padded[y - 1:y + 2, x - 1:x + 2].ravel().tolist())
        return {
            other for other in range(len(labels)) if other + 1 in near
            and labels[other] != labels[row] and not table['ignored'][other]
        }

    for row, piece in enumerate(table['pieces']):
        assert piece == any(
            labels[other] == labels[row] and areas[row] * 10 <= areas[other]
            and not table['ignored'][other] and beside(row) & beside(other)
            for other in range(len(labels)))


def test_types():
    component_map, table = label_components(
        np.ones((4, 5), np.uint8), 1, (1, ))
    assert component_map.dtype == np.int16
    assert {key: str(value.dtype) for key, value in table.items()} == dict(
        labels='int64', boxes='float32', areas='float32', ignored='bool',
        pieces='bool')
    assert table['boxes'].tolist() == [[0, 0, 5, 4]]


@pytest.mark.parametrize('value', [0, 4, 255])
def test_nothing_to_label(value):
    component_map, table = label_components(
        np.full((4, 5), value, np.uint8), 3, (1, 2))
    assert (component_map == 0).all()
    assert table['boxes'].shape == (0, 4)
    assert all(len(column) == 0 for column in table.values())


def test_speckle_is_bounded_and_stays_known():
    """Thousands of dots of two classes beside two real objects."""
    seg_map = np.zeros((120, 160), np.uint8)
    seg_map[::2, ::2] = 1
    seg_map[::2, :80:4] = 2
    seg_map[30:60, 30:60] = 1
    seg_map[70:100, 90:130] = 2
    component_map, table = label_components(
        seg_map, 50, (1, 2, 3), max_components=10)
    check_table(component_map, table)
    assert len(table['labels']) == 12
    assert table['ignored'].tolist() == [False] * 2 + [True] * 10
    assert table['labels'][-2:].tolist() == [1, 2]
    np.testing.assert_array_equal(component_map > 0, seg_map > 0)
    of_class = table['labels'][component_map[seg_map > 0] - 1]
    np.testing.assert_array_equal(of_class, seg_map[seg_map > 0])


def test_checkerboard_is_one_component_and_fast():
    seg_map = (np.indices((320, 320)).sum(axis=0) % 2).astype(np.uint8)
    _, table = label_components(seg_map, 80, (1, ))
    assert table['areas'].tolist() == [51200]
    assert table['boxes'].tolist() == [[0, 0, 320, 320]]


@pytest.mark.parametrize('seg_map', [
    np.zeros((1, 4, 4), np.uint8), np.zeros((4, 4), np.int64)
])
def test_bad_input(seg_map):
    with pytest.raises(ValueError, match='uint8'):
        label_components(seg_map, 80, (1, ))
