# Copyright (c) mmbombo contributors.
"""Samples with boxes, and metrics run on them."""
import numpy as np
import pytest
import torch


def make_sample(truths, found, img_id=0):
    """Truths (x1, y1, x2, y2, label, ignored), found (..., label, score)."""
    found = torch.tensor(np.array(found, dtype=np.float32).reshape(-1, 6))
    return dict(
        img_id=img_id,
        ori_shape=(120, 160),
        instances=[
            dict(
                bbox=list(t[:4]), bbox_label=int(t[4]), ignore_flag=int(t[5]))
            for t in truths
        ],
        pred_instances=dict(
            bboxes=found[:, :4], labels=found[:, 4].long(), scores=found[:,
                                                                         5]))


@pytest.fixture(scope='session')
def box_sample():
    return make_sample


@pytest.fixture(params=[0, 1])
def random_samples(request):
    """Several detections per object, some objects ignored; no bus."""
    rng = np.random.default_rng(request.param)
    samples = []
    for i in range(12):
        xy = rng.uniform(0, 80, (rng.integers(0, 6), 2))
        wh = rng.uniform(4, 60, xy.shape)
        truths = [(*p, *(p + s), rng.integers(2), rng.random() < .3)
                  for p, s in zip(xy, wh)]
        found = [(*(np.array(t[:4]) + rng.normal(0, 3, 4)), t[4], rng.random())
                 for t in truths for _ in range(rng.integers(0, 4))]
        found += [(5, 5, 40, 30, rng.integers(3), rng.random())]
        samples.append(make_sample(truths, found, i))
    return samples


@pytest.fixture(scope='session')
def evaluate():

    def run(metric, samples, classes=('cat', 'dog', 'bus')):
        metric.dataset_meta = dict(classes=classes)
        metric.process(None, samples)
        return metric.evaluate(len(samples))

    return run
