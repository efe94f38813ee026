# Copyright (c) mmbombo contributors.
import pytest
import torch
from toolbox import CLASSES, SEG_CLASSES, SIZE, make_sample, tiny_model_cfg

from mmbombo.registry import MODELS
from mmbombo.structures import ClassMap
from mmbombo.structures.class_names import (class_difference,
                                            classes_of_metainfo,
                                            resolve_classes)

DET = ('cat', 'dog')
SEG = ('background', 'dog', 'cat')


def test_classes_without_a_class_map():
    classes, class_map = resolve_classes(
        dict(det=list(DET), cls=('a', )), None)
    assert classes == dict(det=DET, cls=('a', )) and class_map is None
    assert resolve_classes(None, None) == ({}, None)


@pytest.mark.parametrize('named, arguments', [
    (None, dict(det_classes=DET, seg_classes=SEG)),
    (dict(det=DET, seg=SEG), dict()),
    (dict(det=DET), dict(seg_classes=SEG)),
    (dict(det=DET, seg=SEG), dict(det_classes=list(DET), seg_classes=SEG)),
])
def test_classes_are_said_once_or_twice_alike(named, arguments):
    classes, class_map = resolve_classes(named, arguments)
    assert classes == dict(det=DET, seg=SEG)
    assert class_map.same_as(ClassMap(DET, SEG))


@pytest.mark.parametrize('named, message', [
    (dict(det=('cat', 'cow')), r"classes\['det'\].*\['cow'\].*\['dog'\]"),
    (dict(det=('dog', 'cat')), "classes\\['det'\\].*another order"),
    (dict(seg=DET), r"classes\['seg'\].*only class_map has \['background'\]"),
])
def test_classes_that_differ_from_the_class_map_are_refused(named, message):
    with pytest.raises(ValueError, match=message):
        resolve_classes(named, dict(det_classes=DET, seg_classes=SEG))


def test_a_detector_alone_needs_no_class_map():
    cfg = tiny_model_cfg(class_map=None, classes=dict(det=CLASSES))
    del cfg['task_heads']['seg']
    model = MODELS.build(cfg)
    assert model.classes == dict(det=CLASSES) and model.class_map is None
    losses = model.loss(
        torch.ones(1, 3, SIZE, SIZE), [make_sample(('bbox', ))])
    loss, _ = model.parse_losses(losses)
    loss.backward()
    assert model.task_heads.det.head.gfl_cls.weight.grad.abs().sum() > 0


@pytest.mark.parametrize('classes, message', [
    (dict(det=CLASSES), "classes of task 'seg'.*seg="),
    (dict(det=CLASSES, seg=CLASSES), "num_classes=4.*'seg' has 3 classes"),
    (dict(det=CLASSES[:2], seg=SEG_CLASSES),
     "num_classes=3.*'det' has 2 classes"),
])
def test_heads_ask_for_the_classes_of_their_task(classes, message):
    with pytest.raises(ValueError, match=message):
        MODELS.build(tiny_model_cfg(class_map=None, classes=classes))


def test_a_data_set_names_the_classes_of_its_tasks():
    meta = dict(classes=list(DET), seg_classes=SEG, palette=[(0, 0, 0)])
    assert classes_of_metainfo(meta) == dict(det=DET, seg=SEG)
    assert classes_of_metainfo(dict(meta, seg_classes=None)) == dict(det=DET)


def test_differences_are_told_in_words():
    owners = 'ours', 'theirs'
    assert class_difference(DET, list(DET), owners) == ''
    assert class_difference(DET, DET[::-1], owners) == (
        "same names in another order, ['cat', 'dog'] in ours, "
        "['dog', 'cat'] in theirs")
    assert class_difference(DET, ('dog', 'cow'), owners) == (
        "only ours has ['cat'], only theirs has ['cow']")
