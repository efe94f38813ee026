# Copyright (c) mmbombo contributors.
import pytest
import torch

from mmbombo.structures import ClassMap


def test_equal_names_belong_together_whatever_their_order():
    class_map = ClassMap(('cat', 'dog', 'bus'),
                         ('background', 'bus', 'cat', 'dog'))
    assert class_map.det_to_seg.tolist() == [2, 3, 1]
    assert class_map.compatible.int().tolist() == [[0, 0, 0], [0, 0, 1],
                                                   [1, 0, 0], [0, 1, 0]]
    assert class_map.background_id == 0
    assert class_map.outside_ids == (0, )
    assert class_map.thing_ids == (1, 2, 3)
    assert class_map.seg_only == ()
    assert class_map.det_only == ()
    assert (class_map.num_det_classes, class_map.num_seg_classes) == (3, 4)


def test_background_may_have_any_id():
    class_map = ClassMap(('cat', ), ('cat', 'void'), background='void')
    assert class_map.background_id == 1
    assert class_map.outside_ids == (1, )
    assert class_map.det_to_seg.tolist() == [0]


def test_without_background_outside_of_boxes_is_ignored():
    class_map = ClassMap(('cat', 'dog'), ('dog', 'cat'), background=None)
    assert class_map.background_id is None
    assert class_map.outside_ids == ()
    assert class_map.det_to_seg.tolist() == [1, 0]


def test_a_pixel_outside_of_boxes_may_be_road():
    class_map = ClassMap(('car', ), ('background', 'road', 'car'))
    assert class_map.seg_only == (1, )
    assert class_map.thing_ids == (2, )
    assert class_map.outside_ids == (0, 1)


def test_detection_class_without_segmentation_class():
    class_map = ClassMap(('tie', 'person', 'cat'),
                         ('background', 'person', 'cat'),
                         det_to_seg=dict(cat=None))
    assert class_map.det_to_seg.tolist() == [-1, 1, -1]
    assert class_map.det_only == (0, 2)
    # 'cat' is segmented, but now no box marks it.
    assert class_map.seg_only == (2, )
    assert class_map.outside_ids == (0, 2)


def test_coarse_segmentation_classes():
    groups = [('person', 1), ('animal', 6), ('vehicle', 7), ('indoor', 6)]
    names = [(f'{group}{i}', group) for group, n in groups for i in range(n)]
    class_map = ClassMap([name for name, _ in names],
                         ['background', *(group for group, _ in groups)],
                         det_to_seg=dict(names))
    assert class_map.num_det_classes == 20
    assert class_map.det_to_seg.tolist() == (
        [1] + [2] * 6 + [3] * 7 + [4] * 6)
    assert class_map.compatible.sum(dim=1).tolist() == [0, 1, 6, 7, 6]
    assert class_map.outside_ids == (0, )


def test_one_detection_class_in_several_segmentation_classes():
    class_map = ClassMap(('person', 'rider'),
                         ('background', 'rider', 'person'),
                         det_to_seg=dict(person=['person', 'rider']))
    assert class_map.det_to_seg.tolist() == [2, 1]
    assert class_map.compatible.int().tolist() == [[0, 0], [1, 1], [1, 0]]


@pytest.mark.parametrize('kwargs, named', [
    (dict(det_classes=('cat', 'cat')), 'cat'),
    (dict(seg_classes=('background', 'dog', 'dog')), 'dog'),
    (dict(background='sky'), 'sky'),
    (dict(det_to_seg=dict(horse='cat')), 'horse'),
    (dict(det_to_seg=dict(cat='horse')), 'horse'),
    (dict(det_to_seg=dict(cat=['cat', 'cat'])), 'cat'),
    (dict(det_to_seg=dict(cat='background')), 'background'),
    (dict(det_classes=('cat', 'background')), 'background'),
    (dict(det_classes='cat'), 'cat'),
    (dict(seg_classes=[str(i) for i in range(256)], background=None), '256'),
])
def test_what_does_not_fit_is_refused_by_name(kwargs, named):
    good = dict(det_classes=('cat', 'dog'),
                seg_classes=('background', 'cat', 'dog'))
    with pytest.raises(ValueError, match=named):
        ClassMap(**{**good, **kwargs})


def test_the_table_is_copied_once_per_device():
    class_map = ClassMap(('cat', ), ('background', 'cat'))
    table = class_map.compatible_on('cpu')
    assert class_map.compatible_on(torch.device('cpu')) is table
    assert table.tolist() == [[False], [True]]


def test_repr_tells_what_belongs_together():
    text = repr(ClassMap(('car', 'tie'), ('background', 'road', 'car')))
    assert 'car=car' in text and 'tie=None' in text and "['road']" in text
