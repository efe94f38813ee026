# Copyright (c) mmbombo contributors.
"""What must hold of pseudo boxes for any mask and any prediction."""
import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from toolbox import box_area, box_iou, box_overlap

from mmbombo.weak_labels import label_components, refine_boxes

HEIGHT, WIDTH = 24, 30
# Segmentation ids 1 and 2 show the classes 0 and 1; 3 shows 2 and 3.
COMPATIBLE = torch.zeros(4, 4, dtype=torch.bool)
for _seg, _det in ((1, 0), (2, 1), (3, 2), (3, 3)):
    COMPATIBLE[_seg, _det] = True


def refine(seg_map, preds, order=None, min_area=2, **options):
    """Pseudo boxes of one image; ``order`` shuffles the components."""
    component_map, table = label_components(seg_map, min_area, (1, 2, 3))
    num = len(table['labels'])
    order = np.arange(num) if order is None else np.array(order[:num], int)
    rank = np.zeros(num + 1, np.int64)
    rank[order + 1] = np.arange(num) + 1
    columns = [
        torch.from_numpy(table[key][order])[None]
        for key in ('boxes', 'labels', 'areas')
    ]
    boxes, scores, labels = (list(x) for x in zip(*preds)) if preds else (
        [], [], [])
    return refine_boxes(
        torch.from_numpy(rank[component_map])[None], *columns,
        torch.ones(1, num, dtype=torch.bool),
        torch.from_numpy(table['ignored'][order])[None],
        torch.from_numpy(table['pieces'][order])[None],
        torch.tensor(boxes, dtype=torch.float32).view(1, -1, 4),
        torch.tensor(scores, dtype=torch.float32).view(1, -1),
        torch.tensor(labels, dtype=torch.long).view(1, -1),
        torch.ones(1, len(preds), dtype=torch.bool), COMPATIBLE,
        **{**dict(score_thr=.3, min_area=min_area), **options})


def found(out, which='valid'):
    """Sorted (label, box) of the slots."""
    slots = getattr(out, which)[0]
    return sorted(
        (label, tuple(box)) for label, box in zip(
            out.labels[0][slots].tolist(), out.boxes[0][slots].tolist()))


@st.composite
def scenes(draw):
    """A mask of rectangles, often touching, and predictions near them."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    seg_map = np.zeros((HEIGHT, WIDTH), np.uint8)
    preds = []
    for _ in range(draw(st.integers(0, 6))):
        x1, y1 = rng.integers(0, WIDTH - 3), rng.integers(0, HEIGHT - 3)
        x2, y2 = x1 + rng.integers(2, 14), y1 + rng.integers(2, 14)
        seg_id = int(rng.choice([1, 1, 1, 2, 3]))
        seg_map[y1:y2, x1:x2] = seg_id
        if rng.random() < .8:
            jitter = rng.integers(-3, 4, 4) / 2 * (rng.random() < .6)
            label = int(rng.choice(np.flatnonzero(COMPATIBLE[seg_id])))
            preds.append(((np.array([x1, y1, x2, y2]) + jitter).tolist(),
                          rng.integers(1, 10) / 10, label))
    if rng.random() < .4:
        seg_map[:, rng.integers(0, WIDTH)] = rng.choice([0, 2, 255])
    if rng.random() < .4:
        preds.append(([0, 0, WIDTH, HEIGHT], .9, int(rng.integers(0, 4))))
    return seg_map, preds


@settings(max_examples=120)
@given(scenes())
def test_boxes_fit_the_mask_and_the_mask_is_explained(scene):
    seg_map, preds = scene
    out = refine(seg_map, preds)
    targets, regions = found(out), found(out, 'ignored')
    for label, (x1, y1, x2, y2) in targets:
        ids = np.flatnonzero(COMPATIBLE[:, label])
        ys, xs = np.nonzero(np.isin(seg_map, ids))
        assert len(ys), 'a class that is absent'
        assert xs.min() <= x1 < x2 <= xs.max() + 1
        assert ys.min() <= y1 < y2 <= ys.max() + 1
        assert np.isin(seg_map[int(y1):int(y2), int(x1):int(x2)], ids).any()
    # each component meets a box of its class, or a region that is ignored
    component_map, table = label_components(seg_map, 2, (1, 2, 3))
    classes = out.ignored_classes[0][out.ignored[0]].numpy()
    boxes = out.boxes[0][out.ignored[0]].numpy().astype(int)
    for k, seg_id in enumerate(table['labels']):
        pixels = component_map == k + 1
        explained = [
            box for label, box in targets if COMPATIBLE[seg_id, label]
        ] + [box for box, of in zip(boxes, classes)
             if (of & COMPATIBLE[seg_id].numpy()).any()]
        assert any(pixels[int(y1):int(y2), int(x1):int(x2)].any()
                   for x1, y1, x2, y2 in explained)
    assert out.counts['num_ignored'] == len(regions)


@settings(max_examples=60)
@given(scenes(), st.permutations(range(20)), st.randoms())
def test_order_of_components_and_predictions_is_nothing(scene, order, random):
    seg_map, preds = scene
    num = len(label_components(seg_map, 2, (1, 2, 3))[1]['labels'])
    shuffled = list(preds)
    random.shuffle(shuffled)
    out = refine(seg_map, preds)
    other = refine(seg_map, shuffled, [i for i in order if i < num])
    assert found(out) == found(other)
    assert found(out, 'ignored') == found(other, 'ignored')


@settings(max_examples=40)
@given(scenes())
def test_empty_predictions_give_the_rectangles(scene):
    seg_map, _ = scene
    seg_map[seg_map == 3] = 0
    _, table = label_components(seg_map, 2, (1, 2))
    rectangles = sorted(
        (int(seg_id) - 1, tuple(box.tolist())) for seg_id, box, *marks in zip(
            table['labels'], table['boxes'], table['ignored'],
            table['pieces']) if not any(marks))
    assert found(refine(seg_map, [])) == rectangles


@st.composite
def rows_of_touching_objects(draw):
    """2 to 5 objects side by side, of one class: their true boxes."""
    boxes, x = [], draw(st.integers(0, 2))
    y1, y2 = 8, 14  # all of them cross these rows, so that they touch
    for _ in range(draw(st.integers(2, 4))):
        width = draw(st.integers(4, 7))
        boxes.append((x, y1 - draw(st.integers(0, 7)), x + width,
                      y2 + draw(st.integers(0, 7))))
        x += width
    return boxes


def shape_in(box, kind):
    """An object that fills the box, or an ellipse or a cross in it."""
    x1, y1, x2, y2 = box
    ys, xs = np.mgrid[:HEIGHT, :WIDTH]
    dx = (xs + .5 - (x1 + x2) / 2) / (x2 - x1) * 2
    dy = (ys + .5 - (y1 + y2) / 2) / (y2 - y1) * 2
    inside = (abs(dx) < 1) & (abs(dy) < 1)
    if kind == 'ellipse':
        inside &= dx**2 + dy**2 <= 1.1
    if kind == 'cross':
        inside &= (abs(dx) < .5) | (abs(dy) < .5)
    return inside


def extents(pixels):
    ys, xs = np.nonzero(pixels)
    return (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)


@settings(max_examples=60)
@given(rows_of_touching_objects(),
       st.sampled_from(['box', 'ellipse', 'cross']), st.randoms())
def test_perfect_predictions_split_exactly_without_overlap(
        boxes, kind, random):
    seg_map = np.zeros((HEIGHT, WIDTH), np.uint8)
    truth = []
    for box in boxes:
        pixels = shape_in(box, kind)
        seg_map[pixels] = 1
        truth.append(tuple(map(int, extents(pixels))))
    preds = [(list(map(float, box)), random.random() * .6 + .35, 0)
             for box in truth]
    assert found(refine(seg_map, preds)) == sorted((0, box) for box in truth)


@settings(max_examples=120)
@given(st.integers(6, 14), st.integers(6, 14), st.integers(6, 14),
       st.integers(6, 14), st.floats(0, .4), st.floats(0, 1),
       st.sampled_from(['box', 'ellipse']))
def test_perfect_predictions_split_overlap_to_a_bound(w1, w2, h1, h2, share,
                                                      shift, kind):
    """True boxes that overlap by s of the narrower one's width: IoU >= 1 - s.

    A shared pixel goes to the nearer center, which may cut the overlap off a
    box; nothing else is lost.
    """
    overlap = int(share * min(w1, w2))
    first = (0, 5, w1, 5 + h1)
    top = 5 + int(shift * (h1 - 1) / 2)
    second = (w1 - overlap, top, w1 - overlap + w2, min(HEIGHT, top + h2))
    seg_map = np.zeros((HEIGHT, WIDTH), np.uint8)
    pixels = [shape_in(box, kind) for box in (first, second)]
    for of_one in pixels:
        seg_map[of_one] = 1
    truth = [extents(of_one) for of_one in pixels]
    if label_components(seg_map, 2, (1, ))[1]['labels'].size > 1:
        return  # ellipses that do not touch
    out = refine(seg_map, [(list(map(float, box)), .9, 0) for box in truth])
    if out.counts['num_split'] == 0:
        # boxes that clash are one object to the guard against duplicates
        assert clash(*truth)
        return
    got = [np.array(box) for _, box in found(out)]
    assert len(got) == 2
    width = min(x2 - x1 for x1, _, x2, _ in truth)
    shared = max(0, truth[0][2] - truth[1][0])
    for box in truth:
        assert max(box_iou(box, x) for x in got) >= 1 - shared / width - 1e-6


def clash(a, b):
    return box_iou(a, b) >= .5 or box_overlap(a, b) >= .7 * min(
        box_area(a), box_area(b))
