# Copyright (c) mmbombo contributors.
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmbombo.structures import ClassMap
from mmbombo.weak_labels.implied_labels import ImpliedLabels, merge_labels

# boxes: bus 0, car 1, cat 2, dog 3; ids: background 0, vehicle 1, cat 2, sky 3
CLASS_MAP = ClassMap(('bus', 'car', 'cat', 'dog'),
                     ('background', 'vehicle', 'cat', 'sky'),
                     det_to_seg=dict(bus='vehicle', car='vehicle'))
TAGS = ('bus', 'car', 'vehicle', 'cat', 'dog', 'sky', 'bird')


def named(labels):
    words = {1: 'present', 0: 'absent', -1: 'unknown'}
    return {tag: words[int(x)] for tag, x in zip(TAGS, labels)}


def boxes(labels=(), uncertain=()):
    implied = ImpliedLabels(CLASS_MAP, TAGS)
    return named(
        implied.from_boxes(
            np.array(labels, dtype=int), np.array(uncertain, dtype=int)))


def mask(*ids):
    seg_map = np.zeros((4, 9), np.uint8)
    seg_map[0, :len(ids)] = ids
    return named(ImpliedLabels(CLASS_MAP, TAGS).from_mask(seg_map))


def test_boxes_say_what_they_show_and_that_the_rest_is_not_there():
    assert boxes([0, 2]) == dict(
        bus='present',
        car='absent',
        # a box of a bus shows a vehicle
        vehicle='present',
        cat='present',
        dog='absent',
        # only masks know the sky, and nobody the bird
        sky='unknown',
        bird='unknown')


def test_without_a_box_a_class_of_another_name_is_unknown():
    """There may be trucks, which are vehicles and have no boxes."""
    found = boxes([])
    assert found['bus'] == found['car'] == found['cat'] == 'absent'
    assert found['vehicle'] == 'unknown'


def test_uncertain_boxes_hide_their_class_only():
    found = boxes([2], uncertain=[2, 3, -1])
    assert found['cat'] == 'present'  # another box shows it
    assert found['dog'] == 'unknown'
    assert found['bus'] == 'absent'  # unlisted categories are no class
    assert boxes([], uncertain=[0])['bus'] == 'unknown'


def test_masks_say_what_they_show_and_that_the_rest_is_not_there():
    assert mask(1, 3) == dict(
        # pixels of a vehicle: a bus or a car
        bus='unknown',
        car='unknown',
        vehicle='present',
        cat='absent',
        dog='unknown',
        sky='present',
        bird='unknown')
    found = mask(2)
    assert found['bus'] == found['car'] == found['vehicle'] == 'absent'
    assert found['cat'] == 'present'


def test_ignored_pixels_may_hide_any_class():
    found = mask(2, 255)
    assert found['cat'] == 'present'
    assert set(found.values()) == {'present', 'unknown'}


def test_pixels_of_one_class_alone_show_it_under_its_other_name():
    class_map = ClassMap(('kitten', ), ('background', 'cat'),
                         det_to_seg=dict(kitten='cat'))
    implied = ImpliedLabels(class_map, ('kitten', 'cat'))
    ids = np.array([[0, 1]], np.uint8)
    assert implied.from_mask(ids).tolist() == [1, 1]
    assert implied.from_mask(ids * 0).tolist() == [0, 0]
    assert implied.from_boxes(np.array([0]), np.array([], int)).tolist() == \
        [1, 1]


def test_a_box_of_a_class_that_several_ids_show_names_none_of_them():
    class_map = ClassMap(('bus', ), ('background', 'front', 'rest'),
                         det_to_seg=dict(bus=('front', 'rest')))
    implied = ImpliedLabels(class_map, ('bus', 'front'))
    found = implied.from_boxes(np.array([0]), np.array([], int))
    assert found.tolist() == [1, -1]


@pytest.mark.parametrize('first, second, wanted', [(1, 0, 1), (1, -1, 1),
                                                   (0, -1, 0), (-1, -1, -1)])
def test_who_sees_a_class_is_right(first, second, wanted):
    pair = np.array([first], np.int8), np.array([second], np.int8)
    assert merge_labels(*pair) == merge_labels(*pair[::-1]) == wanted


@given(st.lists(st.sampled_from([0, 1, 2, 3, 255]), min_size=1, max_size=9))
def test_masks_against_a_slow_reference(ids):
    """What a set of labels can still be, class by class."""
    found = mask(*ids)
    shown_by = dict(
        bus={1}, car={1}, vehicle={1}, cat={2}, dog=set(), sky={3}, bird=set())
    for tag, may in shown_by.items():
        certain = tag in ('vehicle', 'cat', 'sky') and may & set(ids)
        if certain:
            wanted = 'present'
        elif may and not may & set(ids) and 255 not in ids:
            wanted = 'absent'
        else:
            wanted = 'unknown'
        assert found[tag] == wanted
