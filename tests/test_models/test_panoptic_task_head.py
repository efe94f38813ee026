# Copyright (c) mmbombo contributors.
"""From boxes and a map to a class and a number for every pixel."""
import copy

import pytest
import torch
from mmdet.evaluation.functional import INSTANCE_OFFSET
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData, PixelData
from toolbox import SIZE, tiny_model_cfg

from mmbombo.models.layers import SpatialRanking
from mmbombo.models.task_heads import PanopticTaskHead
from mmbombo.registry import MODELS
from mmbombo.structures.panoptic import read_segments
from mmbombo.utils import UserError
from mmbombo.utils.checkpoint import load_weights

DET = ('bus', 'car', 'cat', 'kite')
SEG = ('background', 'cat', 'vehicle', 'road')
NAMES = DET + ('background', 'road')
BUS, CAR, CAT, KITE, BACKGROUND, ROAD, VOID = range(7)
CLASS_MAP = dict(
    det_classes=DET,
    seg_classes=SEG,
    det_to_seg=dict(bus='vehicle', car='vehicle', kite=None))


def build(class_map=CLASS_MAP, stuff_area_limit=0, **kwargs):
    head = PanopticTaskHead(
        class_map, stuff_area_limit=stuff_area_limit, **kwargs)
    head.check_classes({})
    return head


def fuse(head, seg, boxes=(), labels=(), scores=None):
    """What the head makes of a map ``(H, W)`` and boxes."""
    seg = torch.as_tensor(seg)
    if scores is None:
        scores = [.9 - i / 1000 for i in range(len(boxes))]
    sample = DetDataSample(
        metainfo=dict(
            img_shape=seg.shape, ori_shape=seg.shape, scale_factor=(1., 1.)))
    sample.pred_sem_seg = PixelData(sem_seg=seg[None], data=seg[None])
    sample.pred_instances = InstanceData(
        bboxes=torch.tensor(boxes).reshape(-1, 4).float(),
        labels=torch.tensor(labels, dtype=torch.long),
        scores=torch.tensor(scores))
    head.add_predictions((), None, [sample], None)
    field = sample.pred_panoptic_seg
    assert field.label_names == head.label_names
    assert field.sem_seg.shape == (1, *seg.shape)
    return field.sem_seg[0]


def scene(rows=8, columns=12):
    """Background above, road below, a vehicle and a cat between."""
    seg = torch.zeros(rows, columns, dtype=torch.long)
    seg[5:] = 3
    seg[2:6, 1:6] = 2
    seg[2:6, 7:10] = 1
    return seg


def thing(label, number):
    return label + number * INSTANCE_OFFSET


def test_boxes_take_the_pixels_of_their_class():
    pan = fuse(build(), scene(), [[7, 2, 10, 6], [0, 0, 12, 8]], [CAT, CAR])
    expected = torch.tensor([BACKGROUND, CAT, VOID, ROAD])[scene()]
    expected[scene() == 2] = thing(CAR, 2)
    expected[scene() == 1] = thing(CAT, 1)
    assert pan.tolist() == expected.tolist()


@pytest.mark.parametrize('limit, found', [(None, VOID), (13, VOID),
                                          (12, thing(CAT, 1))])
def test_without_boxes_things_are_void_or_components(limit, found):
    pan = fuse(build(component_area_limit=limit), scene())
    assert (pan[scene() == 1] == found).all()
    # a bus or a car
    assert (pan[scene() == 2] == VOID).all()
    assert (pan[scene() == 3] == ROAD).all()


def test_components_are_numbered_after_all_boxes():
    seg = torch.ones(9, 9, dtype=torch.long)
    seg[:, 4] = 0
    seg[4] = 0
    pan = fuse(
        build(component_area_limit=5), seg, [[0, 0, 4, 4], [0, 0, 9, 9]],
        [CAT, CAT], [.9, .1])
    assert pan[0, 0] == thing(CAT, 1)
    assert {int(pan[i, j]) for i, j in ((0, 8), (8, 0), (8, 8))} == {
        thing(CAT, k) for k in (3, 4, 5)}


def test_boxes_of_another_class_than_the_map_take_nothing():
    pan = fuse(build(), scene(), [[1, 2, 6, 6], [7, 2, 10, 6], [0, 0, 12, 8]],
               [CAT, BUS, KITE])
    assert pan.unique().tolist() == [BACKGROUND, ROAD, VOID]


def test_two_classes_of_one_id_and_one_class_of_two_ids():
    seg = torch.tensor([[2, 2, 2, 1]])
    pan = fuse(build(), seg, [[0, 0, 2, 1], [1, 0, 4, 1]], [BUS, CAR])
    assert pan.tolist() == [[thing(BUS, 1)] * 2 + [thing(CAR, 2), VOID]]

    head = build(
        dict(
            det_classes=('person', ),
            seg_classes=('face', 'body', 'sky'),
            background=None,
            det_to_seg=dict(person=('face', 'body'))))
    pan = fuse(head, torch.tensor([[0, 1, 1, 2]]), [[0, 0, 4, 1]], [0])
    assert pan.tolist() == [[thing(0, 1)] * 3 + [1]]
    assert head.label_names == ('person', 'sky')


def test_the_class_of_a_box_overrules_that_of_the_map():
    boxes, labels = [[7, 2, 10, 6], [0, 0, 12, 8], [0, 0, 6, 8]], [KITE, CAT,
                                                                   BUS]
    pan = fuse(build(same_class=False), scene(), boxes, labels)
    things = (scene() == 1) | (scene() == 2)
    assert (pan[things] == thing(CAT, 2)).all()
    assert pan[~things].unique().tolist() == [BACKGROUND, ROAD]


@pytest.mark.parametrize('seg, label', [(0, BACKGROUND), (1, VOID)])
def test_one_class_alone(seg, label):
    assert (fuse(build(), torch.full((4, 5), seg)) == label).all()


def test_boxes_outside_the_image_or_without_area():
    boxes = [[-9, -9, -1, -1], [20, 0, 30, 8], [8, 4, 8, 4], [-5, -5, 50, 50]]
    pan = fuse(build(), scene(), boxes, [CAT] * 4)
    assert (pan[scene() == 1] == thing(CAT, 4)).all()


def test_200_boxes():
    seg = torch.ones(40, 60, dtype=torch.long)
    boxes = [[3 * (i % 20), 4 * (i // 20), 3 * (i % 20) + 3, 4 * (i // 20) + 4]
             for i in range(200)]
    pan = fuse(build(), seg, boxes, [CAT] * 200)
    rows, columns = torch.meshgrid(
        torch.arange(40) // 4, torch.arange(60) // 3, indexing='ij')
    assert torch.equal(pan, thing(CAT, rows * 20 + columns + 1))
    assert len(read_segments(pan[None], NAMES)[1]) == 200


@pytest.mark.parametrize('mode, first', [('score', 1), ('area', 2)])
def test_rank_modes(mode, first):
    seg = torch.ones(6, 10, dtype=torch.long)
    pan = fuse(build(rank_mode=mode), seg, [[0, 0, 8, 6], [6, 0, 10, 6]],
               [CAT, CAT])
    assert pan[0].tolist() == [thing(CAT, 1)] * 6 + [thing(
        CAT, first)] * 2 + [thing(CAT, 2)] * 2


def save(srm, path):
    """As a training of the ranking alone does; how to load it."""
    torch.save(
        dict(
            state_dict={
                f'panoptic_fusion_head.srm.{key}': value
                for key, value in srm.state_dict().items()
            }), path)
    return dict(type='Pretrained', checkpoint=str(path))


@pytest.mark.parametrize('mode', ['srm', 'srm*score'])
def test_spatial_ranking_reads_boxes_cut_by_their_class(mode, tmp_path):
    size = dict(kernel_size=1, stride=1)
    srm = SpatialRanking(len(DET), **size)
    with torch.no_grad():
        for p in srm.parameters():
            p.zero_()
        # where there is a car, it is on top
        for conv in srm.orders[0]:
            conv.weight[CAR, CAR] = 3
    init_cfg = save(srm, tmp_path / 'srm.pth')
    head = build(rank_mode=mode, srm=dict(size, init_cfg=init_cfg))
    seg = torch.full((6, 10), 2)
    seg[:, 9] = 0
    pan = fuse(head, seg, [[0, 0, 8, 6], [5, 0, 10, 6]], [BUS, CAR])
    assert pan[0].tolist() == [thing(BUS, 1)] * 5 + [thing(
        CAR, 2)] * 4 + [BACKGROUND]


def test_a_box_of_which_little_is_left_is_dropped():
    seg = torch.ones(4, 10, dtype=torch.long)
    boxes = [[0, 0, 6, 4], [1, 0, 9, 4], [2, 0, 8, 4]]
    pan = fuse(build(mask_overlap=.7), seg, boxes, [CAT] * 3)
    assert pan[0].tolist() == [thing(CAT, 1)] * 6 + [thing(CAT, 2)] * 3 + [
        VOID]
    pan = fuse(build(mask_overlap=.5), seg, boxes, [CAT] * 3)
    assert pan[0].tolist() == [thing(CAT, 1)] * 6 + [VOID] * 4


def test_scores_and_small_stuff():
    pan = fuse(
        build(score_thr=.5, stuff_area_limit=40), scene(), [[0, 0, 12, 8]],
        [CAR], [.4])
    assert (scene() == 3).sum() == 28 and (scene() == 0).sum() == 36
    assert pan.unique().tolist() == [VOID]
    pan = fuse(build(stuff_area_limit=29), scene())
    assert pan.unique().tolist() == [BACKGROUND, VOID]


@pytest.mark.parametrize('wrong, message', [
    (dict(rank_mode='srn'), 'srn'),
    (dict(rank_mode='srm', srm=dict(stride=4)), 'needs trained weights'),
])
def test_wrong_ranking(wrong, message):
    with pytest.raises(UserError, match=message):
        build(**wrong)


def test_in_a_network(tmp_path):
    cfg = tiny_model_cfg()
    plain = MODELS.build(copy.deepcopy(cfg))
    srm = SpatialRanking(plain.class_map.num_det_classes)
    cfg['task_heads']['panoptic'] = dict(
        type='PanopticTaskHead',
        class_map=cfg['class_map'],
        rank_mode='srm',
        srm=dict(init_cfg=save(srm, tmp_path / 'srm.pth')),
        score_thr=0.)
    model = MODELS.build(copy.deepcopy(cfg)).eval()
    # a checkpoint of the network without it fits, and the ranking is trained
    load_weights(model, plain.state_dict(), exact=True)
    model.init_weights()
    found = copy.deepcopy(model).task_heads['panoptic'].srm
    for a, b in zip(found.parameters(), srm.parameters()):
        assert a.equal(b) and not a.requires_grad
    assert not any('srm' in name for name, _ in model.named_parameters())
    samples = [
        DetDataSample(
            metainfo=dict(
                img_shape=(SIZE, SIZE), ori_shape=(50, 70),
                scale_factor=(SIZE / 70, SIZE / 50))) for _ in range(2)
    ]
    with torch.no_grad():
        model.predict(torch.randn(2, 3, SIZE, SIZE), samples)
    for sample in samples:
        ids, segments = read_segments(sample.pred_panoptic_seg.sem_seg,
                                      sample.pred_panoptic_seg.label_names)
        assert ids.shape == (50, 70)
        for x in segments:
            if x['number']:
                boxes = sample.pred_instances
                assert boxes.labels[x['number'] - 1] == x['label']
    cfg['task_heads'].pop('seg')
    with pytest.raises(UserError, match=r"needs the trained head.*'seg'"):
        MODELS.build(cfg)
