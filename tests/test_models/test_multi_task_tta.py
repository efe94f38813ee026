# Copyright (c) mmbombo contributors.
import copy

import pytest
import torch
from mmdet.structures.bbox import bbox_flip
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData, LabelData, PixelData
from toolbox import make_sample, tiny_model, tiny_model_cfg

from mmbombo.registry import MODELS
from mmbombo.utils.distributed import unwrapped

AXES = dict(horizontal=(-1, ), vertical=(-2, ), diagonal=(-2, -1))


def tta_model(module=None, **kwargs):
    torch.manual_seed(0)
    cfg = dict(type='MultiTaskTTAModel', module=module or tiny_model_cfg())
    return MODELS.build(ConfigDict(cfg, **kwargs)).eval()


def view(direction=None, **fields):
    """A sample of what a network says of the image, turned."""
    sample = make_sample((), size=32)
    sample.set_metainfo(
        dict(flip=direction is not None, flip_direction=direction))
    for name, value in fields.items():
        if direction and isinstance(value, PixelData):
            value = PixelData(data=value.data.flip(AXES[direction]))
        if direction and isinstance(value, InstanceData):
            value = copy.deepcopy(value)
            value.bboxes = bbox_flip(value.bboxes, (32, 32), direction)
        sample.set_field(value, name)
    return sample


def instances(boxes, scores):
    return InstanceData(
        bboxes=torch.tensor(boxes).float().reshape(-1, 4),
        labels=torch.zeros(len(boxes)).long(), scores=torch.tensor(scores))


@pytest.mark.parametrize('direction', AXES)
def test_a_view_is_turned_back(direction):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(4, 32, 32, generator=generator)
    saliency = torch.rand(1, 32, 32, generator=generator)
    fields = dict(
        seg_logits=PixelData(data=logits),
        pred_saliency=PixelData(data=saliency),
        pred_instances=instances([(2, 4, 12, 24)], [.5]))
    merged, = tta_model().merge_preds(
        [[view(**fields), view(direction, **fields)]])
    ids = logits.argmax(0, keepdim=True)
    assert torch.equal(merged.pred_sem_seg.data, ids)
    assert torch.equal(merged.pred_sem_seg.sem_seg, ids)
    assert torch.equal(merged.pred_saliency.data, saliency)
    assert merged.pred_instances.bboxes.tolist() == [[2, 4, 12, 24]]
    assert 'seg_logits' not in merged and not merged.flip


def test_probabilities_and_not_logits_are_averaged():
    """Sure of the one class once, and for the other by a little twice."""
    views = [
        view(
            seg_logits=PixelData(
                data=torch.tensor([a, b]).view(2, 1, 1).expand(2, 32, 32)),
            pred_image_label=LabelData(score=torch.tensor([score])))
        for a, b, score in ((9., 0., .2), (0., 1., .3), (0., 1., .7))
    ]
    merged, = tta_model().merge_preds([views])
    p = torch.tensor([9., -1, -1]).sigmoid().mean()
    assert (merged.pred_sem_seg.data == int(p < .5)).all()
    assert float(merged.pred_image_label.score) == pytest.approx(.4)


@pytest.mark.parametrize('tta_cfg, wanted', [
    # the head's own: IoU .6, 100 boxes
    (None, [.9, .8, .7]),
    (dict(nms=dict(type='nms', iou_threshold=.3), max_per_img=9), [.9, .8]),
    (dict(nms=dict(type='nms', iou_threshold=.3), max_per_img=1), [.9]),
])
def test_one_suppression_for_all_views(tta_cfg, wanted):
    views = [
        view(pred_instances=instances([(0, 0, 10, 10), (20, 20, 30, 30)],
                                      [.6, .8])),
        view(pred_instances=instances([(0, 0, 10, 10), (0, 5, 10, 15)],
                                      [.9, .7]))
    ]
    merged, = tta_model(tta_cfg=tta_cfg).merge_preds([views])
    assert merged.pred_instances.scores.tolist() == pytest.approx(wanted)


def test_as_each_view_alone():
    model, images = tta_model(), torch.randint(0, 256, (2, 3, 64, 96))
    images = images.to(torch.uint8)
    sizes = ((64, 96), (32, 64))
    views = [[x[:, :h, :w] for x in images] for h, w in sizes]
    samples = [[make_sample((), seed=i, size=64) for i in range(2)]
               for _ in sizes]
    for (h, w), row in zip(sizes, samples):
        for sample in row:
            sample.set_metainfo(dict(
                img_shape=(h, w), ori_shape=(50, 70), flip=False,
                flip_direction=None, scale_factor=(w / 70, h / 50)))
    alone = [
        model.module.test_step(
            dict(inputs=x, data_samples=copy.deepcopy(row)))
        for x, row in zip(views, samples)
    ]
    merged = model.test_step(dict(inputs=views, data_samples=samples))
    for one, *several in zip(merged, *alone):
        p = sum(x.seg_logits.data.softmax(0) for x in several)
        assert torch.equal(one.pred_sem_seg.data[0], p.argmax(0))
        assert one.pred_sem_seg.data.shape == (1, 50, 70)
        assert {*one.pred_instances.scores.tolist()} <= {
            y for x in several for y in x.pred_instances.scores.tolist()}


def test_logits_are_kept_for_nobody_else():
    model = tiny_model().eval()
    data = dict(inputs=[torch.zeros(3, 64, 64).to(torch.uint8)],
                data_samples=[make_sample((), size=64)])
    assert 'seg_logits' not in model.test_step(data)[0]


def test_derived_heads_answer_from_what_is_merged():
    cfg = tiny_model_cfg()
    cfg['task_heads']['panoptic'] = dict(
        type='PanopticTaskHead', stuff_area_limit=0,
        class_map=dict(background='background'))
    logits = torch.zeros(4, 32, 32)
    logits[1, :10, :10] = 9
    views = [
        view(seg_logits=PixelData(data=logits * weight),
             pred_instances=instances([(0, 0, 10, 10)], [score]))
        for weight, score in ((0, .1), (1, .9))
    ]
    merged, = tta_model(cfg).merge_preds([views])
    ids = merged.pred_panoptic_seg.sem_seg[0]
    assert (ids[:10, :10] == 1000).all() and (ids[10:] == 3).all()


def test_tools_see_the_detector():
    model = tta_model()
    assert unwrapped(model) is model.module
