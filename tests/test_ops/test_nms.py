# Copyright (c) mmbombo contributors.
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from mmbombo.ops import backend, ext, nms

SHARED = settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture])


@st.composite
def scored_boxes(draw):
    """Boxes on a coarse grid, so that many are equal, with and without area.

    Scores differ, as the order of equal ones is nobody's.
    """
    seed = draw(st.integers(0, 10**6))
    count = draw(st.sampled_from((0, 1, 2, 7, 40, 150)))
    spread = draw(st.sampled_from((3, 20, 300)))
    rng = np.random.default_rng(seed)
    corners = rng.integers(0, spread, (count, 2))
    boxes = np.concatenate(
        (corners, corners + rng.integers(0, spread, (count, 2))), axis=1)
    # no fractions, which overlaps would lower to the same number
    scores = (rng.permutation(count) + rng.random(count) / 2) / max(count, 1)
    return (torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
            torch.tensor(scores, dtype=torch.float32))


def overlap(one, other, offset):
    sides = (np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2]) +
             offset).clip(0)
    inter = sides[0] * sides[1]
    union = sum(np.prod(box[2:] - box[:2] + offset)
                for box in (one, other)) - inter
    return inter / union if union > 0 else 0


def suppress(boxes, scores, iou_threshold, offset):
    boxes = boxes.double().numpy()
    kept = []
    for index in scores.argsort(descending=True).tolist():
        if all(
                overlap(boxes[index], boxes[better], offset) <= iou_threshold
                for better in kept):
            kept.append(index)
    return kept


def suppress_softly(boxes, scores, iou_threshold, sigma, min_score, method,
                    offset):
    boxes = boxes.double().numpy()
    left = dict(enumerate(scores.double().tolist()))
    kept = []
    while left:
        best = max(left, key=left.get)
        kept.append((best, left.pop(best)))
        for index in list(left):
            iou = overlap(boxes[best], boxes[index], offset)
            if method == 2:
                left[index] *= np.exp(-iou**2 / sigma)
            elif iou >= iou_threshold:
                left[index] *= method * (1 - iou)
            if left[index] < min_score:
                del left[index]
    return kept


# Where float32 rounds an IoU is away from these.
@given(scored_boxes(), st.sampled_from((0.3001, 0.5, 0.7001)),
       st.sampled_from((0, 1)), st.sampled_from((1, 3, 128)))
@SHARED
def test_nms_keeps_what_no_better_box_overlaps(sample, threshold, offset,
                                               block):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nms, 'CPU_BLOCK', block)
        kept = ext.nms(*sample, iou_threshold=threshold, offset=offset)
    assert kept.dtype == torch.long
    assert kept.tolist() == suppress(*sample, threshold, offset)


@given(scored_boxes(), st.floats(0, 1), st.sampled_from((0, 1)), st.booleans())
@SHARED
def test_nms_is_that_of_mmcv(compiled, sample, threshold, offset, has_ties):
    boxes, scores = sample
    if has_ties:
        scores = (scores * 4).round() / 4
    args = dict(iou_threshold=threshold, offset=offset)
    torch.testing.assert_close(
        ext.nms(boxes, scores, **args), compiled.nms(boxes, scores, **args))


def test_nms_on_an_accelerator_is_that_on_a_cpu(monkeypatch):
    boxes = torch.rand(3000, 4) * 100
    boxes[:, 2:] += boxes[:, :2]
    scores = torch.rand(3000)
    expected = ext.nms(boxes, scores, iou_threshold=0.5, offset=0)
    monkeypatch.setattr(nms, 'CPU_BLOCK', nms.ACCELERATOR_BLOCK)
    assert torch.equal(
        ext.nms(boxes, scores, iou_threshold=0.5, offset=0), expected)


def soft_args(threshold, method, offset):
    return dict(
        iou_threshold=threshold,
        sigma=0.5,
        min_score=0.0501,
        method=method,
        offset=offset)


@given(scored_boxes(), st.sampled_from((0.3001, 0.5)),
       st.sampled_from((0, 1, 2)), st.sampled_from((0, 1)))
@SHARED
def test_soft_nms_lowers_scores_by_overlap(sample, threshold, method, offset):
    boxes, scores = sample
    args = soft_args(threshold, method, offset)
    dets = torch.full((len(boxes), 5), -1.)
    kept = ext.softnms(boxes, scores, dets, **args)
    expected = suppress_softly(boxes, scores, **args)
    assert sorted(kept.tolist()) == sorted(index for index, _ in expected)
    scores = dict(zip(kept.tolist(), dets[:, 4].tolist()))
    assert scores == pytest.approx(dict(expected), abs=1e-5)
    assert (dets[len(kept):] == -1).all()
    assert torch.equal(dets[:len(kept), :4], boxes[kept])


@given(scored_boxes(), st.sampled_from((0.3001, 0.5)),
       st.sampled_from((0, 1, 2)), st.sampled_from((0, 1)))
@SHARED
def test_soft_nms_is_that_of_mmcv(compiled, sample, threshold, method, offset):
    boxes, scores = sample
    args = soft_args(threshold, method, offset)
    if method == 2:  # MMCV's Gaussian of no area is NaN
        boxes = boxes + torch.tensor([0, 0, 1, 1])
    results = []
    for source in (ext, compiled):
        dets = torch.zeros(len(boxes), 5)
        kept = source.softnms(boxes, scores, dets, **args)
        results.append(dict(zip(kept.tolist(), dets[:len(kept), 4].tolist())))
    # which of two equal scores comes first is nobody's promise
    found = sorted(results[0].values())
    assume(all(b - a > 1e-6 for a, b in zip(found, found[1:])))
    assert results[0] == pytest.approx(results[1], abs=1e-5)


def test_wrappers_of_mmcv_call_these(ours):
    from mmcv.ops import batched_nms
    ours('nms')
    boxes = torch.tensor([[0., 0, 9, 9], [0, 0, 9, 8], [0, 0, 9, 7]])
    scores = torch.tensor([.7, .9, .8])
    classes = torch.tensor([0, 0, 1])
    dets, kept = batched_nms(boxes, scores, classes,
                             dict(type='nms', iou_threshold=0.5))
    assert kept.tolist() == [1, 2] and dets[:, 4].tolist() == pytest.approx(
        [.9, .8])
    dets, kept = batched_nms(boxes, scores, classes,
                             dict(type='soft_nms', iou_threshold=0.5))
    assert kept.tolist() == [1, 2, 0]


def test_nms_of_torchvision_gets_boxes_with_the_offset(monkeypatch):
    """Torchvision itself is not installed where this is tested."""

    class Library:

        @staticmethod
        def nms(boxes, scores, iou_threshold):
            assert iou_threshold == float(np.float32(0.6)) != 0.6
            return torch.tensor(suppress(boxes, scores, iou_threshold, 0))

    boxes = torch.tensor([[0., 0, 9, 9], [0, 0, 9, 5], [20, 20, 20, 20]])
    scores = torch.tensor([.9, .8, .7])
    ours = ext.nms(boxes, scores, iou_threshold=0.6, offset=1)
    monkeypatch.setattr(nms, 'torchvision_ops', lambda: Library)
    theirs = ext.nms(boxes, scores, iou_threshold=0.6, offset=1)
    assert ours.tolist() == theirs.tolist()


def test_no_torchvision_is_no_error(monkeypatch):
    monkeypatch.setitem(__import__('sys').modules, 'torchvision', None)
    assert backend.torchvision_ops.__wrapped__() is None
