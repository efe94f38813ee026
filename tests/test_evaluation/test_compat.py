# Copyright (c) mmbombo contributors.
"""The reference protocol, by hand."""
import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import bbox_overlaps
from mmengine.structures import InstanceData
from toolbox import det_head_cfg, make_feats, make_sample, seg_head_cfg

from mmbombo.evaluation import (BoxAPMetric, CompatSegIoUMetric,
                                CompatVOCMetric, MultiTaskEvaluator,
                                SegIoUMetric, VOCAPMetric)
from mmbombo.models.task_heads import CompatDetTaskHead, CompatSegTaskHead
from mmbombo.models.task_heads.compat_task_heads import suppress_by_best_class
from mmbombo.registry import MODELS

CLASSES = ('cat', 'dog')
SEG_CLASSES = ('background', ) + CLASSES


def test_year_decides_the_curve(box_sample, evaluate):
    # Precision 1 at recall 1/2 and nothing after it.
    samples = [
        box_sample([(0, 0, 40, 40, 0, 0), (80, 0, 120, 40, 0, 0)],
                   [(0, 0, 40, 40, 0, .9)])
    ]
    for year, expected in ((2007, 6 / 11), (2012, 1 / 2)):
        result = evaluate(CompatVOCMetric(year, prefix='det'), samples)
        assert result['det/compat_bbox_mAP'] == pytest.approx(expected)
        assert result['det/compat_cat_AP50'] == pytest.approx(expected)


@pytest.mark.parametrize(
    'found, ap50',
    [
        # IoU .4996 by itself; rounded to tenths, it is 5 of 10 columns
        ([(0, 0, 4.996, 10, 0, .9)], 0),
        # .9001 and .9004 become equal in thousandths, and the order of the
        # list decides
        ([(0, 0, 10, 10, 0, .9001), (90, 90, 99, 99, 0, .9004)], .5)
    ])
def test_coordinates_and_scores_are_rounded(found, ap50, box_sample,
                                            evaluate):
    samples = [box_sample([(0, 0, 10, 10, 0, 0)], found)]
    result = evaluate(VOCAPMetric(), samples)
    assert result['voc/bbox_mAP_50'] == pytest.approx(ap50)
    result = evaluate(CompatVOCMetric(2012), samples)
    assert result['voc/compat_bbox_mAP_50'] == 1


def seg_sample(pred, truth):
    return dict(
        img_path='x.jpg',
        pred_sem_seg=dict(data=torch.as_tensor(pred)[None].long()),
        gt_sem_seg=dict(data=torch.as_tensor(truth)[None].long()))


def test_maps_are_squashed_and_only_true_classes_count(monkeypatch, evaluate):
    lines = []
    monkeypatch.setattr('mmseg.evaluation.metrics.iou_metric.print_log',
                        lambda text, logger: lines.extend(text.splitlines()))
    truth = np.zeros((4, 6), int)
    truth[:, 2:] = 1
    pred = truth.copy()
    pred[0, 2:4], pred[3, 5] = 2, 2
    samples = [seg_sample(pred, truth)]
    # Rows 0, 2 and columns 0, 2, 4 are left. The predicted dog lowers the
    # ordinary mean only.
    result = evaluate(
        CompatSegIoUMetric(size=(2, 3), prefix='seg'), samples, SEG_CLASSES)
    assert result['seg/compat_background_IoU'] == 100
    assert result['seg/compat_cat_IoU'] == 75
    assert result['seg/compat_dog_IoU'] == 0
    assert result['seg/compat_mIoU'] == pytest.approx(175 / 2)
    rows = [line.split('|')[1:3] for line in lines if '|' in line]
    assert [[c.strip() for c in row]
            for row in rows][1:] == [['background', '100.0'], ['cat', '75.0'],
                                     ['dog', '0.0']]
    full = evaluate(SegIoUMetric(prefix='seg'), samples, SEG_CLASSES)
    assert full['seg/mIoU'] == pytest.approx(
        (100 + 100 * 13 / 16) / 3, abs=.006)  # MMSegmentation rounds
    original = evaluate(
        CompatSegIoUMetric(size=None, prefix='seg'), samples, SEG_CLASSES)
    assert original['seg/compat_mIoU'] == pytest.approx(
        (100 + 100 * 13 / 16) / 2)


def test_background_ignored_in_the_ground_truth(evaluate):
    """The paper's mode on COCO: pixels of no object are not scored."""
    truth = np.array([[255, 255, 1, 1], [2, 2, 1, 1]])
    pred = np.array([[1, 2, 1, 1], [2, 0, 1, 1]])
    result = evaluate(
        CompatSegIoUMetric(size=None), [seg_sample(pred, truth)], SEG_CLASSES)
    assert result['compat_mIoU'] == pytest.approx((100 + 50) / 2)


def test_compat_results_stand_beside_the_others(box_sample):
    evaluator = MultiTaskEvaluator(
        dict(
            det=[BoxAPMetric(), CompatVOCMetric(2012)],
            seg=[SegIoUMetric(),
                 CompatSegIoUMetric(size=(2, 2))]))
    evaluator.dataset_meta = dict(classes=CLASSES, seg_classes=SEG_CLASSES)
    ids = torch.tensor([[[0, 1], [1, 1]]])
    sample = dict(
        box_sample([(0, 0, 10, 10, 0, 0)], [(0, 0, 10, 10, 0, .9)]),
        **seg_sample(ids[0], ids[0]))
    sample.update(
        annotation_kinds=('bbox', 'sem_seg'), source='val', sample_idx=0)
    evaluator.process([sample])
    result = evaluator.evaluate(1)
    for name in ('bbox_mAP', 'compat_bbox_mAP'):
        assert result[f'det/{name}'] == pytest.approx(1)
    for name in ('mIoU', 'compat_mIoU'):
        assert result[f'seg/{name}'] == pytest.approx(100)
    assert result['joint/score'] == pytest.approx(1)


def slow_suppression(boxes, scores, threshold):
    """Class scores (M, C) of boxes (M, 4): what the protocol says."""
    rank, kept = np.argsort(-scores.max(1), kind='stable'), []
    for i in rank:
        for j in kept:
            low = np.maximum(boxes[i, :2], boxes[j, :2])
            high = np.minimum(boxes[i, 2:], boxes[j, 2:])
            common = (high - low).clip(0).prod()
            areas = [(b[2:] - b[:2]).prod() for b in (boxes[i], boxes[j])]
            if common / (sum(areas) - common) > threshold:
                break
        else:
            kept.append(i)
    return kept


def test_suppression_over_the_best_class():
    rng = np.random.default_rng(0)
    corner = rng.uniform(0, 60, (40, 2))
    boxes = np.c_[corner, corner + rng.uniform(10, 50, (40, 2))]
    scores = rng.uniform(0, .5, (40, 3)).astype(np.float32)
    number, labels = np.nonzero(scores > .05)
    shuffle = rng.permutation(len(number))
    number, labels = number[shuffle], labels[shuffle]
    result = suppress_by_best_class(
        InstanceData(
            bboxes=torch.tensor(boxes[number]).float(),
            scores=torch.tensor(scores[number, labels]),
            labels=torch.tensor(labels)), .5)
    kept = slow_suppression(boxes, scores, .5)
    found = {(int(np.abs(boxes - box.numpy()).sum(1).argmin()), int(label))
             for box, label in zip(result.bboxes, result.labels)}
    assert found == {(i, c)
                     for i in kept
                     for c in range(3) if scores[i, c] > .05}
    assert len(result) == len(found)
    assert 3 < len(kept) < 40
    assert (result.scores.diff() <= 0).all()


def test_no_candidate():
    empty = InstanceData(
        bboxes=torch.zeros(0, 4),
        scores=torch.zeros(0),
        labels=torch.zeros(0).long())
    assert len(suppress_by_best_class(empty, .5)) == 0


@pytest.mark.parametrize('name', ['gfl', 'retinanet'])
def test_det_head_of_the_protocol(name):
    cfg = dict(det_head_cfg(name), type='CompatDetTaskHead')
    torch.manual_seed(0)
    head = MODELS.build(cfg).eval()
    assert isinstance(head, CompatDetTaskHead)
    with torch.no_grad():  # scores around .2 everywhere, 1 box in all classes
        for module in head.head.modules():
            if getattr(module, 'out_channels', 0) % 3 == 0 and hasattr(
                    module, 'bias') and module.bias is not None:
                module.bias.fill_(-1.4)
    samples = [make_sample(('bbox', ), seed=i) for i in range(2)]
    samples[0].set_metainfo(dict(ori_shape=(256, 256), scale_factor=(.5, .5)))
    feats = make_feats(2)
    head.add_predictions(feats, None, samples, None)
    for sample, size in zip(samples, (256, 128)):
        found = sample.pred_instances
        assert (found.scores > .05).all()
        assert found.bboxes.max() <= size and len(found) > 3
        boxes, count = found.bboxes.unique(dim=0, return_counts=True)
        assert count.max() == 3  # a kept box with all its classes
        ious = bbox_overlaps(boxes, boxes) - torch.eye(len(boxes))
        assert ious.max() <= .5 + 1e-5


def test_boxes_of_the_protocol_are_decoded_in_full_precision():
    """A validation with AMP, as that of the usual head."""
    torch.manual_seed(0)
    cfg = dict(det_head_cfg('retinanet'), type='CompatDetTaskHead')
    head = MODELS.build(cfg).eval()
    head.head.retina_cls.bias.data.fill_(-1.4)  # scores around .2
    feats, samples = make_feats(1), [make_sample(()), make_sample(())]
    for sample in samples:
        sample.set_metainfo(dict(scale_factor=(1., 1.)))
    with torch.autocast('cpu', torch.bfloat16):
        outputs = head(feats)
        assert outputs[1][0].dtype is torch.bfloat16
        head.add_predictions(feats, None, samples[:1], None)
    # the same outputs, decoded without AMP
    head.forward = lambda feats: [[x.float() for x in y] for y in outputs]
    head.add_predictions(feats, None, samples[1:], None)
    found, wanted = (x.pred_instances for x in samples)
    assert found.bboxes.dtype is torch.float32 and len(wanted) > 3
    for field in ('bboxes', 'scores', 'labels'):
        torch.testing.assert_close(
            found[field], wanted[field], rtol=0, atol=0)


def test_seg_head_of_the_protocol():
    head = MODELS.build(dict(seg_head_cfg('fpn'),
                             type='CompatSegTaskHead')).eval()
    assert isinstance(head, CompatSegTaskHead)
    sample = make_sample(('sem_seg', ))
    sample.set_metainfo(dict(ori_shape=(200, 300), img_shape=(128, 96)))
    feats = make_feats(1, levels=4, first_stride=4)
    head.add_predictions(feats, torch.zeros(1, 3, 128, 128), [sample], None)
    logits = torch.nn.functional.interpolate(
        head(feats)[0], size=(128, 128), mode='bilinear', align_corners=False)
    assert isinstance(sample, DetDataSample)
    assert torch.equal(sample.pred_sem_seg.data,
                       logits[0, :, :, :96].argmax(0, keepdim=True))
