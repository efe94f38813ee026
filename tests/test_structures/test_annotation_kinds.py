# Copyright (c) mmbombo contributors.
from importlib import import_module

import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData, PixelData

from mmbombo.datasets.transforms import (LoadPartialAnnotations,
                                         PackMultiTaskInputs)
from mmbombo.models.data_preprocessors.det_batch_resize import resize_sample
from mmbombo.registry import (ANNOTATION_DRAWERS, ANNOTATION_LOADERS,
                              ANNOTATION_PACKERS, MODELS)
from mmbombo.structures import (AnnotationKind, SampleField, annotation_kind,
                                check_kinds, kind_of_task, register_kind,
                                sample_fields)
from mmbombo.structures.class_names import classes_of_metainfo
from mmbombo.utils import UserError
from mmbombo.visualization.layers import annotation_text, gt_layer

THERMAL = AnnotationKind(
    'thermal',
    task='dep',
    info_key='thermal_path',
    fields=(SampleField('gt_thermal', 'linear', pad_value=-1.),
            SampleField('gt_planes', 'nearest', 'ids', pad_value=9),
            SampleField('gt_marks', 'boxes'), SampleField('gt_scale')),
    classes_key='thermal_classes')


@pytest.fixture
def thermal(monkeypatch):
    """A kind that only one test knows."""
    registry = import_module('mmbombo.structures.annotation_kinds')
    monkeypatch.setattr(registry, '_KINDS', dict(registry._KINDS))
    yield register_kind(THERMAL)
    for node in (ANNOTATION_LOADERS, ANNOTATION_PACKERS, ANNOTATION_DRAWERS):
        node.module_dict.pop('thermal', None)


def test_kinds_have_one_order():
    assert check_kinds(['sem_seg', 'bbox']) == ('bbox', 'sem_seg')
    assert check_kinds(()) == ()


@pytest.mark.parametrize('kinds, error, message', [
    ('bbox', UserError, r"such as \('bbox',\)"),  # a forgotten comma
    (('bbox', 'bbox'), ValueError, 'names a kind twice'),
    (('box', ), ValueError, r"unknown annotation kind\(s\) \['box'\]"),
])
def test_kinds_that_are_none_are_refused(kinds, error, message):
    with pytest.raises(error, match=message):
        check_kinds(kinds)


def test_a_kind_is_known_once_it_is_registered(thermal):
    assert check_kinds(['thermal', 'bbox']) == ('bbox', 'thermal')
    assert annotation_kind('thermal') is thermal
    assert kind_of_task('dep') is thermal and kind_of_task('none') is None
    assert {'gt_thermal', 'gt_planes', 'gt_marks', 'gt_scale'} <= {
        field.name for field in sample_fields()}
    assert thermal.palette_key == 'thermal_palette'
    assert classes_of_metainfo(
        dict(thermal_classes=['a'])) == dict(dep=('a', ))
    # a module that is imported twice does no harm, another kind would
    assert register_kind(THERMAL) == thermal
    with pytest.raises(ValueError, match="another .* is named 'thermal'"):
        register_kind(
            AnnotationKind('thermal', task='x', info_key='y', fields=()))


def sample(height, width):
    """A map of values that rises from left to right, and what goes with it."""
    ramp = torch.arange(float(width)).expand(1, height, width).clone()
    sample = DetDataSample(
        metainfo=dict(
            annotation_kinds=('thermal', ),
            img_shape=(height, width),
            pad_shape=(height, width),
            batch_input_shape=(height, width)))
    sample.gt_thermal = PixelData(data=ramp)
    sample.gt_planes = PixelData(ids=(ramp >= width // 2).to(torch.uint8))
    sample.gt_marks = InstanceData(bboxes=torch.tensor([[4., 8., 12., 16.]]))
    sample.gt_scale = torch.tensor(7.)
    return sample


def test_maps_of_a_kind_are_padded_as_it_says(thermal):
    preprocessor = MODELS.build(
        dict(type='MultiTaskDataPreprocessor', pad_size_divisor=32))
    data = preprocessor(
        dict(
            inputs=[torch.zeros(3, 20, 40, dtype=torch.uint8)],
            data_samples=[sample(20, 40)]),
        training=True)
    padded, = data['data_samples']
    values, ids = padded.gt_thermal.data, padded.gt_planes.ids
    assert values.shape == ids.shape == (1, 32, 64)
    assert values.dtype == torch.float32 and ids.dtype == torch.int64
    assert (values[:, :20, :40] == torch.arange(40.)).all()
    assert (values[:, 20:] == -1).all() and (values[:, :, 40:] == -1).all()
    assert (ids[:, 20:] == 9).all() and (ids[:, :, 40:] == 9).all()
    assert ids[:, :20, :40].sum() == 20 * 20
    assert padded.gt_scale == 7


def test_fields_of_a_kind_are_resized_by_their_geometry(thermal):
    resized = resize_sample(sample(32, 32), 32, 16)
    # bilinear: between two columns; nearest: one of them
    columns = torch.arange(16.) * 2 + .5
    torch.testing.assert_close(
        resized.gt_thermal.data, columns.expand(1, 16, 16))
    assert resized.gt_planes.ids.dtype == torch.uint8
    assert resized.gt_planes.ids[0, 0].tolist() == [0] * 8 + [1] * 8
    assert resized.gt_marks.bboxes.tolist() == [[2, 4, 6, 8]]
    assert resized.gt_scale == 7


def results(*kinds):
    return dict(
        annotation_kinds=kinds,
        thermal_path='a.png',
        img=torch.zeros(4, 4, 3, dtype=torch.uint8).numpy(),
        img_shape=(4, 4))


def test_a_kind_is_loaded_packed_and_drawn_by_what_is_registered(thermal):

    @ANNOTATION_LOADERS.register_module(name='thermal')
    def load(transform, results):
        results['thermal'] = results['thermal_path'].upper()

    @ANNOTATION_PACKERS.register_module(name='thermal')
    def pack(results, sample):
        sample.gt_scale = results['thermal']

    @ANNOTATION_DRAWERS.register_module(name='thermal')
    def draw(layer, sample):
        return layer._replace(caption=f'{layer.caption} {sample.gt_scale}')

    with_kind, without = (
        LoadPartialAnnotations()(results(*kinds))
        for kinds in (('thermal', ), ()))
    assert with_kind['thermal'] == 'A.PNG' and 'thermal' not in without
    packed = PackMultiTaskInputs()(with_kind)['data_samples']
    assert packed.gt_scale == 'A.PNG'
    assert annotation_text(packed) == 'thermal only'
    assert gt_layer(packed).caption == 'ground truth: thermal only A.PNG'
    packed = PackMultiTaskInputs()(without)['data_samples']
    assert 'gt_scale' not in packed
    assert gt_layer(packed).caption == 'ground truth: not annotated'
