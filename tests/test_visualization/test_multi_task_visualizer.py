# Copyright (c) mmbombo contributors.
import cv2
import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData, PixelData

from mmbombo.apis.results import sample_to_dict
from mmbombo.visualization import MultiTaskLocalVisualizer
from mmbombo.visualization.drawing import HATCH_DARK, HATCH_LIGHT
from mmbombo.visualization.layers import (gt_layer, panoptic_layer, pred_layer,
                                          pseudo_layer)
from mmbombo.visualization.multi_task_visualizer import select_layers

GRAY = (100, 100, 100)
RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)
META = dict(
    classes=('dog', 'car'),
    palette=[GREEN, (9, 9, 9)],
    seg_classes=('background', 'car', 'road', 'dog'),
    seg_palette=[(0, 0, 0), BLUE, (255, 255, 0), RED])


def make_visualizer(min_size=8, **kwargs):
    visualizer = MultiTaskLocalVisualizer(min_size=min_size, **kwargs)
    visualizer.dataset_meta = META
    return visualizer


def gray_image(height=60, width=80):
    return np.full((height, width, 3), GRAY, dtype=np.uint8)


def picture(visualizer, layer):
    return visualizer.layer_panel(gray_image(), layer).image


def blend(color):
    return tuple(round((100 + value) / 2) for value in color)


def instances(boxes, labels, **kwargs):
    return InstanceData(
        bboxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        labels=torch.tensor(labels, dtype=torch.long),
        **kwargs)


def sample_with_map(field='gt_sem_seg', key='sem_seg', dtype=torch.uint8):
    ids = torch.zeros(1, 60, 80, dtype=dtype)
    ids[:, :20, :40] = 1
    ids[:, 20:40, :40] = 3
    ids[:, 40:, :40] = 255
    sample = DetDataSample()
    setattr(sample, field, PixelData(**{key: ids}))
    return sample


def near(pixel, color):
    return np.abs(np.int64(pixel) - np.int64(color)).max() <= 1


@pytest.mark.parametrize('key', ['sem_seg', 'data'])
@pytest.mark.parametrize('field', ['gt_sem_seg', 'pred_sem_seg'])
def test_colors_of_a_map(field, key):
    visualizer = make_visualizer()
    sample = sample_with_map(field, key)
    layer, = select_layers(sample)
    panel = picture(visualizer, layer)
    assert near(panel[10, 20], blend(BLUE))
    assert near(panel[30, 20], blend(RED))
    assert near(panel[30, 60], GRAY), 'background must be transparent'
    stripes = {tuple(pixel) for pixel in panel[45:55, 5:35].reshape(-1, 3)}
    assert len(stripes) == 2
    for pixel, color in zip(sorted(stripes), (HATCH_DARK, HATCH_LIGHT)):
        assert near(pixel, blend(color))
    # The rim of a region is opaque.
    assert tuple(panel[10, 39]) == BLUE
    assert tuple(panel[10, 40]) == GRAY


def test_box_takes_the_color_of_its_segmentation_class():
    visualizer = make_visualizer()
    sample = DetDataSample()
    sample.gt_instances = instances([[10, 20, 50, 58]], [0])
    panel = picture(visualizer, gt_layer(sample))
    # 'dog' is red in the segmentation palette, green in the other. The last
    # pixel of a box that ends at 50 is 49.
    assert tuple(panel[45, 49]) == RED
    assert tuple(panel[45, 53]) == GRAY
    assert tuple(panel[45, 30]) == GRAY
    assert not (panel == GREEN).all(axis=-1).any()


def test_small_images_are_enlarged_with_their_boxes_and_maps():
    visualizer = make_visualizer(min_size=320)
    sample = sample_with_map()
    sample.gt_instances = instances([[50, 10, 70, 50]], [1])
    panel = picture(visualizer, gt_layer(sample))
    assert panel.shape == (240, 320, 3)
    assert near(panel[40, 80], blend(BLUE))
    assert near(panel[120, 80], blend(RED))
    assert tuple(panel[160, 70 * 4 - 1]) == BLUE
    large = np.zeros((400, 900, 3), dtype=np.uint8)
    assert visualizer.image_panel(large).image.shape == (400, 900, 3)


def test_ignored_boxes_are_dashed():
    visualizer = make_visualizer()
    box = [[8, 8, 392, 292]]
    plain, ignored = DetDataSample(), DetDataSample()
    plain.gt_instances = instances(box, [0])
    ignored.ignored_instances = instances(box, [0])
    image = gray_image(300, 400)
    panels = [
        visualizer.layer_panel(image, gt_layer(x)).image
        for x in (plain, ignored)
    ]
    share = [(x[291, 20:380] == RED).all(axis=-1).mean() for x in panels]
    assert share[0] == 1 and 0.3 < share[1] < 0.75


def test_predictions_below_the_threshold_are_left_out():
    sample = DetDataSample()
    sample.pred_instances = instances(
        [[0, 0, 9, 9], [20, 20, 30, 30], [40, 40, 50, 50]], [0, 1, 0],
        scores=torch.tensor([0.25, 0.5, 0.75]))
    layer = pred_layer(sample, 0.5)
    assert [(x.score, x.label) for x in layer.boxes] == [(0.75, 0), (0.5, 1)]
    assert layer.caption == 'prediction (score ≥ 0.5)'


def test_predicted_saliency_is_drawn():
    sample = DetDataSample()
    sample.pred_saliency = PixelData(data=torch.rand(1, 4, 5))
    assert (pred_layer(sample, .5).saliency ==
            sample.pred_saliency.data[0].numpy()).all()


def test_objects_have_shades_of_the_color_of_their_class():
    panoptic = torch.zeros(1, 60, 80, dtype=torch.long)
    panoptic[:, :20], panoptic[:, 20:40] = 1004, 2000
    panoptic[:, 40:, :40], panoptic[:, 40:, 40:60] = 2, 3
    panoptic[:, 40:, 60:] = 5000
    sample = DetDataSample(metainfo=dict(ori_shape=(60, 80)))
    assert panoptic_layer(sample) is None
    sample.pred_panoptic_seg = PixelData(
        sem_seg=panoptic,
        metainfo=dict(label_names=('dog', 'car', 'background')))
    layer, = select_layers(sample)
    assert layer.caption == 'panoptic: 2 object(s)'
    panel = picture(make_visualizer(), layer)
    # 1004 and 3 are void
    for row, column in ((10, 40), (50, 20), (50, 50)):
        assert near(panel[row, column], GRAY)
    first, second = panel[30, 40], panel[50, 70]
    assert not near(first, second)
    for pixel in (first, second):
        assert pixel[0] == 178 and 50 <= pixel[1] == pixel[2] < 178

    # MMDetection's networks do not name the classes, the data set does
    names = sample.pred_panoptic_seg.label_names
    sample.pred_panoptic_seg = PixelData(sem_seg=panoptic)
    assert panoptic_layer(sample) is None
    assert sample_to_dict(
        sample, dict(classes=names))['panoptic'] == layer.segments[1]
    visualizer = make_visualizer()
    visualizer.dataset_meta = dict(classes=names)
    image = np.zeros((60, 80, 3), np.uint8)
    # beside the image
    assert visualizer.draw(image, sample, False).shape[1] > 2 * 80


@pytest.mark.parametrize('kinds, text', [(('bbox', ), 'boxes only'),
                                         (('sem_seg', ), 'mask only'),
                                         (('bbox', 'sem_seg'), 'boxes + mask'),
                                         ((), 'not annotated')])
def test_caption_names_the_declared_kinds(kinds, text):
    sample = DetDataSample(metainfo=dict(annotation_kinds=kinds, source='s1'))
    # Packed samples of every kind have the field.
    sample.gt_instances = InstanceData()
    assert gt_layer(sample).caption == f'ground truth: {text}'
    panel = make_visualizer().image_panel(gray_image(), sample)
    assert panel.caption == 'image (source: s1)'


def test_caption_of_samples_without_declared_kinds():
    sample = sample_with_map()
    assert gt_layer(sample).caption == 'ground truth: mask only'
    sample.gt_instances = instances([], [])
    assert gt_layer(sample).caption == 'ground truth: boxes + mask'
    assert gt_layer(DetDataSample()) is None


def test_pseudo_labels():
    visualizer = make_visualizer()
    sample = sample_with_map('pseudo_sem_seg')
    assert gt_layer(sample) is None
    assert pseudo_layer(sample).caption == 'pseudo: mask from boxes'
    panel = picture(visualizer, pseudo_layer(sample))
    assert near(panel[30, 20], blend(RED))

    sample = DetDataSample()
    # Labels of components are segmentation ids: 1 is 'car', blue.
    sample.components = instances([[10, 10, 40, 50], [60, 10, 62, 12]], [1, 3],
                                  areas=torch.tensor([900., 4.]),
                                  ignored=torch.tensor([False, True]))
    layer = pseudo_layer(sample)
    assert [box.ignored for box in layer.boxes] == [False, True]
    panel = picture(visualizer, layer)
    assert tuple(panel[40, 39]) == BLUE
    # Split or merged boxes replace the components, in detection labels.
    sample.pseudo_instances = instances([[10, 10, 40, 50]], [0])
    layer = pseudo_layer(sample)
    assert layer.caption == 'pseudo: boxes from mask'
    panel = picture(visualizer, layer)
    assert tuple(panel[40, 39]) == RED


def test_legend_lists_each_class_that_occurs_once():
    visualizer = make_visualizer()
    sample = sample_with_map()
    sample.gt_instances = instances([[0, 0, 9, 9]], [0])
    styles = visualizer.styles_in(select_layers(sample))
    assert styles == [('car', BLUE), ('dog', RED)]


def test_labels_beyond_the_class_names_are_drawn():
    visualizer = make_visualizer()
    sample = sample_with_map()
    sample.gt_sem_seg.sem_seg[:, :20] = 20
    sample.gt_instances = instances([[50, 30, 70, 50]], [7])
    layer = gt_layer(sample)
    for meta, others in ((META, {'dog'}), ({}, {'class 0', 'class 3'})):
        visualizer.dataset_meta = meta
        colors = dict(visualizer.styles_in([layer]))
        assert set(colors) == {'class 20', 'class 7'} | others
        assert len(set(colors.values())) == len(colors)
        panel = picture(visualizer, layer)
        assert near(panel[10, 60], blend(colors['class 20']))
        assert tuple(panel[45, 69]) == colors['class 7']


def test_without_a_background_class_id_0_is_drawn():
    visualizer = make_visualizer()
    visualizer.dataset_meta = dict(
        seg_classes=('sky', 'car'), seg_palette=[RED, BLUE])
    panel = visualizer.layer_panel(gray_image(),
                                   gt_layer(sample_with_map())).image
    assert near(panel[30, 60], blend(RED))


def test_colors_can_be_given_by_name():
    visualizer = make_visualizer(colors={'dog': (1, 2, 3)})
    styles = visualizer.styles_in(select_layers(sample_with_map()))
    assert dict(styles) == {'car': BLUE, 'dog': (1, 2, 3)}


def test_map_of_another_size_is_an_error():
    layer = gt_layer(sample_with_map())
    with pytest.raises(ValueError, match=r'\(60, 80\).*\(30, 80\)'):
        make_visualizer().layer_panel(gray_image(30, 80), layer)


def test_add_datasample_writes_what_draw_returns(tmp_path):
    visualizer = make_visualizer(
        name='test_add_datasample',
        vis_backends=[dict(type='LocalVisBackend')],
        save_dir=str(tmp_path))
    sample = sample_with_map()
    sample.pred_instances = instances([[0, 0, 9, 9]], [0],
                                      scores=torch.tensor([0.9]))
    sample.pseudo_sem_seg = sample_with_map().gt_sem_seg
    image = gray_image()
    before = image.copy()
    out_file = tmp_path / 'out.png'
    visualizer.add_datasample('x', image, sample, out_file=str(out_file))
    assert (image == before).all()
    drawn = visualizer.draw(image, sample)
    assert (cv2.imread(str(out_file))[..., ::-1] == drawn).all()
    assert drawn.shape[1] == 4 * 80 + 3 * 8 + 2 * 8
    only_pred = visualizer.draw(image, sample, draw_gt=False)
    assert only_pred.shape[1] == 2 * 80 + 8 + 2 * 8
    visualizer.add_datasample('val', image, sample, step=3)
    saved, = tmp_path.rglob('val_3.png')
    assert (cv2.imread(str(saved))[..., ::-1] == drawn).all()


def test_empty_samples_and_images_without_sample():
    visualizer = make_visualizer()
    sample = DetDataSample(metainfo=dict(annotation_kinds=('bbox', )))
    sample.gt_instances = instances([], [])
    sample.pred_instances = instances([], [], scores=torch.zeros(0))
    for layer in select_layers(sample):
        panel = picture(visualizer, layer)
        assert (panel == gray_image()).all()
    for image, given, panels in ((gray_image(), sample,
                                  3), (gray_image(), None,
                                       1), (gray_image(8, 8), sample, 3),
                                 (gray_image(1, 1), sample, 3)):
        drawn = visualizer.draw(image, given)
        side = max(8, image.shape[1])
        assert drawn.dtype == np.uint8
        assert drawn.shape[1] == panels * (side + 8) + 8
