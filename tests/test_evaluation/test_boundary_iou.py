# Copyright (c) mmbombo contributors.
"""Boundary IoU against its definition, pixel by pixel."""
import numpy as np
import pytest
import torch

from mmbombo.evaluation.metrics import BoundaryIoUMetric

CLASSES = ('background', 'cat', 'dog', 'bus')


def evaluate(maps, **kwargs):
    metric = BoundaryIoUMetric(**kwargs)
    metric.dataset_meta = dict(classes=CLASSES)
    metric.process(None, [
        dict(
            gt_sem_seg=dict(data=torch.from_numpy(truth)[None]),
            pred_sem_seg=dict(data=torch.from_numpy(pred)[None]))
        for truth, pred in maps
    ])
    return metric.evaluate(len(maps))


def near(ids, label, truth, distance):
    """Labeled pixels of a class within the distance of one that is not."""
    # the outside of the image is no class
    framed = np.pad(ids, distance, constant_values=-1)
    unknown = np.pad(truth == 255, distance)
    places = set()
    for y, x in np.argwhere((ids == label) & (truth != 255)).tolist():
        window = np.s_[y:y + 2 * distance + 1, x:x + 2 * distance + 1]
        if ((framed[window] != label) & ~unknown[window]).any():
            places.add((y, x))
    return places


def by_loops(maps, distance):
    ious = []
    for label in range(len(CLASSES)):
        common = union = 0
        for truth, pred in maps:
            one, other = (
                near(x, label, truth, distance) for x in (truth, pred))
            common, union = common + len(one & other), union + len(one | other)
        ious.append(100 * common / union if union else np.nan)
    return ious


@pytest.mark.parametrize('ratio, distance', [(0.001, 1), (0.05, 2), (.1, 5)])
def test_as_by_loops(ratio, distance):
    rng = np.random.default_rng(0)
    maps = []
    for _ in range(2):  # a diagonal of 50 pixels; no bus
        truth = np.zeros((30, 40), dtype=np.int64)
        truth[5:20, 8:30] = 1
        truth[12:, 25:] = 2
        pred = np.roll(truth, rng.integers(-4, 5, 2), (0, 1))
        truth[rng.random(truth.shape) < .05] = 255
        truth[:3, :9] = 255
        maps.append((truth, pred))
    result = evaluate(maps, dilation_ratio=ratio)
    wanted = by_loops(maps, distance)
    assert result == pytest.approx(
        {
            'seg/mBIoU': np.nanmean(wanted),
            **{f'seg/{name}_BIoU': iou
               for name, iou in zip(CLASSES, wanted)}
        }, nan_ok=True)
    assert 10 < result['seg/mBIoU'] < 90 and np.isnan(result['seg/bus_BIoU'])


def test_what_borders_on_ignored_pixels_is_no_boundary():
    truth = np.ones((20, 20), dtype=np.uint8)
    truth[:, 10:] = 255
    # inside, where the truth has no boundary, and beyond, where nobody knows
    result = evaluate([(truth, np.ones((20, 20), dtype=np.int64))])
    assert result['seg/cat_BIoU'] == result['seg/mBIoU'] == 100
    assert np.isnan(evaluate([(np.full_like(truth, 255), truth)])['seg/mBIoU'])
