# Copyright (c) mmbombo contributors.
"""``refine_boxes`` against a slow, sequential reference and by its rules."""
import numpy as np
import pytest
import torch
from toolbox import box_area, box_iou, box_overlap

from mmbombo.weak_labels import label_components, refine_boxes
from mmbombo.weak_labels.masks_to_boxes import ORIGINS

# Segmentation ids: 0 background, 1 and 2 one detection class each (0 and 1),
# 3 shows the classes 2 and 3, 4 shows none; class 0 is in 5 too.
COMPATIBLE = np.zeros((6, 4), bool)
for _seg, _det in ((1, 0), (2, 1), (3, 2), (3, 3), (5, 0)):
    COMPATIBLE[_seg, _det] = True
THINGS = (1, 2, 3, 4, 5)
OPTIONS = dict(score_thr=.3, iou_thr=.5, containment_thr=.7, rest_thr=.2,
               min_area=3, rounds=3, max_splits=3)


# --------------------------------------------------------------- reference
def reference(component_map, table, preds, compatible, score_thr, iou_thr,
              containment_thr, rest_thr, min_area, rounds, max_splits):
    """One image, in loops.

    Returns:
        tuple: sorted targets (origin, label, box), sorted regions to be
        ignored (classes, box).
    """
    targets, regions = [], []
    preds = sorted(((-score, -box_area(box), *box, label)
                    for box, score, label in preds
                    if score > score_thr and box_area(box) > 0))
    preds = [(tuple(p[2:6]), p[6]) for p in preds]
    comps = sorted((-a, *map(float, box), int(label), k + 1, *map(bool, marks))
                   for k, (box, label, a, *marks) in enumerate(
                       zip(table['boxes'], table['labels'], table['areas'],
                           table['ignored'], table['pieces'])))
    comps = [dict(box=tuple(c[1:5]), label=c[5], number=c[6], ignored=c[7],
                  piece=c[8], classes=set(np.flatnonzero(compatible[c[5]])))
             for c in comps if compatible[c[5]].any()]

    def ignore(comp, box):
        regions.append((tuple(sorted(comp['classes'])), box))

    def keep(origin, comp, box):
        if len(comp['classes']) == 1:
            targets.append((origin, *comp['classes'], box))
        else:
            ignore(comp, box)

    def extents(pixels):
        ys, xs = np.array(pixels).T
        return xs.min(), ys.min(), xs.max() + 1, ys.max() + 1

    for comp in [c for c in comps if c['ignored']]:
        ignore(comp, comp['box'])
    comps = [c for c in comps if not c['ignored']]

    # Split.
    home = {}
    for p, (box, label) in enumerate(preds):
        inside = [c for c in range(len(comps))
                  if label in comps[c]['classes'] and box_overlap(
                      box, comps[c]['box']) / box_area(box) >= containment_thr]
        if inside:
            home[p] = max(inside, key=lambda c: (box_iou(box, comps[c]['box']),
                                                 -c))
    used_p, used_c = set(), set()
    for c, comp in enumerate(comps):
        taken, open_ = [], [p for p in range(len(preds)) if home.get(p) == c]

        def clash(p, q):
            inter = box_overlap(preds[p][0], preds[q][0])
            smaller = min(box_area(preds[p][0]), box_area(preds[q][0]))
            return (box_iou(preds[p][0], preds[q][0]) >= iou_thr
                    or inter / smaller >= containment_thr)

        for _ in range(rounds):
            taken += [p for p in open_
                      if not any(q < p and clash(p, q) for q in open_)]
            open_ = [p for p in open_ if p not in taken
                     and not any(q < p and clash(p, q) for q in taken)]
        if open_:
            ignore(comp, comp['box'])
            used_c.add(c)
            used_p |= {p for p in home if home[p] == c}
            continue
        taken = sorted(taken)[:max_splits]
        if not taken or (len(taken) == 1 and box_iou(
                preds[taken[0]][0], comp['box']) >= iou_thr):
            continue
        groups = {p: [] for p in taken}
        rest, total = [], 0
        for y, x in zip(*np.where(component_map == comp['number'])):
            keys = []
            for p in taken:
                x1, y1, x2, y2 = preds[p][0]
                dx = np.float32(((x + .5 - (x1 + x2) / 2) / (x2 - x1))**2)
                dy = np.float32(((y + .5 - (y1 + y2) / 2) / (y2 - y1))**2)
                contains = (x1 <= x + .5 <= x2) and (y1 <= y + .5 <= y2)
                if max(dx, dy) <= .75**2:
                    keys.append((not contains, dx + dy, p))
            total += 1
            (groups[min(keys)[2]] if keys else rest).append((y, x))
        large = [p for p in taken if groups[p] and len(groups[p]) >= min_area]
        rest_large = rest and len(rest) >= max(min_area, rest_thr * total)
        if len(large) + bool(rest_large) < 2 or any(
                box_iou(preds[p][0], extents(groups[p])) < iou_thr
                for p in large):
            continue
        box = preds[taken[0]][0]
        if len(taken) == 1 and box_overlap(box, extents(
                rest)) / box_area(box) >= containment_thr:
            continue
        used_c.add(c)
        used_p |= set(taken)
        boxes = {p: list(extents(groups[p])) for p in taken if groups[p]}
        if rest_large:
            rest_box = list(extents(rest))
            reach = {p: list(box) for p, box in boxes.items()}
            meets = {side: [] for side in range(4)}
            for p, box in boxes.items():
                for side in range(4):
                    sign = 1 if side < 2 else -1  # of a lower side
                    if sign * rest_box[side] >= sign * reach[p][side]:
                        continue  # the rest does not go on here
                    limit = preds[p][0][side]
                    box[side] = sign * max(sign * box[side], sign * limit)
                    end = extents(rest)[(side + 2) % 4]
                    if sign * reach[p][side] <= sign * end <= sign * limit:
                        meets[side].append(sign * limit)
            for side, limits in meets.items():
                if limits:
                    sign = 1 if side < 2 else -1
                    rest_box[(side + 2) % 4] = sign * min(limits)
        for p in boxes:
            if p in large:
                targets.append(('split', preds[p][1], tuple(boxes[p])))
            else:
                ignore(comp, tuple(boxes[p]))
        if rest_large:
            keep('rest', comp, tuple(rest_box))
        elif rest:
            ignore(comp, extents(rest))

    # Merge.
    for _ in range(rounds):
        groups = {}
        for p, (box, label) in enumerate(preds):
            members = {c for c, comp in enumerate(comps)
                       if c not in used_c and label in comp['classes']
                       and box_overlap(box, comp['box']) / box_area(
                           comp['box']) >= containment_thr}
            if p in used_p or len(members) < 2:
                continue
            sides = np.array([comps[c]['box'] for c in members])
            joint = (*sides[:, :2].min(0), *sides[:, 2:].max(0))
            if box_iou(joint, box) >= iou_thr:
                groups[p] = members, joint
        for p, (members, joint) in groups.items():
            if any(q < p and groups[q][0] & members for q in groups):
                continue
            targets.append(('merged', preds[p][1], joint))
            used_p.add(p)
            used_c |= members

    # Direct.
    for _ in range(rounds):
        wants = {}
        for p, (box, label) in enumerate(preds):
            close = [c for c, comp in enumerate(comps)
                     if p not in used_p and c not in used_c
                     and label in comp['classes']
                     and box_iou(box, comp['box']) >= iou_thr]
            if close:
                best = max(close, key=lambda c: (box_iou(box, comps[c]['box']),
                                                 -c))
                wants.setdefault(best, p)
        for c, p in wants.items():
            targets.append(('direct', preds[p][1], comps[c]['box']))
            used_p.add(p)
            used_c.add(c)

    # Keep.
    for c, comp in enumerate(comps):
        if c in used_c:
            continue
        if comp['piece']:
            ignore(comp, comp['box'])
        else:
            keep('kept', comp, comp['box'])

    def plain(rows):
        return sorted((*row[:-1], tuple(map(float, row[-1]))) for row in rows)

    return plain(targets), plain(regions)


# ----------------------------------------------------------------- helpers
def to_batch(images):
    """[(component_map, table, preds)] -> arguments of ``refine_boxes``."""
    num = len(images)
    size = [max(m.shape[i] for m, _, _ in images) for i in range(2)]
    num_comps = max(len(t['labels']) for _, t, _ in images)
    num_preds = max(len(p) for _, _, p in images)
    out = dict(
        component_map=torch.zeros(num, *size, dtype=torch.long),
        comp_boxes=torch.zeros(num, num_comps, 4),
        comp_labels=torch.full((num, num_comps), 1),
        comp_areas=torch.zeros(num, num_comps),
        comp_valid=torch.zeros(num, num_comps, dtype=torch.bool),
        comp_ignored=torch.zeros(num, num_comps, dtype=torch.bool),
        comp_pieces=torch.ones(num, num_comps, dtype=torch.bool),
        pred_boxes=torch.full((num, num_preds, 4), 5.),
        pred_scores=torch.full((num, num_preds), .9),
        pred_labels=torch.zeros(num, num_preds, dtype=torch.long),
        pred_valid=torch.zeros(num, num_preds, dtype=torch.bool))
    for i, (component_map, table, preds) in enumerate(images):
        height, width = component_map.shape
        out['component_map'][i, :height, :width] = torch.from_numpy(
            component_map.astype(np.int64))
        k = len(table['labels'])
        for key in ('boxes', 'labels', 'areas', 'ignored', 'pieces'):
            out[f'comp_{key}'][i, :k] = torch.from_numpy(table[key])
        out['comp_valid'][i, :k] = True
        for j, (box, score, label) in enumerate(preds):
            out['pred_boxes'][i, j] = torch.tensor(box)
            out['pred_scores'][i, j] = score
            out['pred_labels'][i, j] = label
            out['pred_valid'][i, j] = True
    return out


def refine(images, compatible=COMPATIBLE, **options):
    options = {**OPTIONS, **options}
    return refine_boxes(
        **to_batch(images), compatible=torch.from_numpy(compatible),
        **options)


def targets_of(out, image=0):
    ok = out.valid[image]
    return sorted(
        (label, tuple(box)) for label, box in zip(
            out.labels[image][ok].tolist(), out.boxes[image][ok].tolist()))


def regions_of(out, image=0):
    ok = out.ignored[image]
    return sorted((tuple(np.flatnonzero(classes)), tuple(box))
                  for classes, box in zip(
                      out.ignored_classes[image][ok].numpy(),
                      out.boxes[image][ok].tolist()))


def image_of(seg_map, preds=(), min_area=3, **kwargs):
    component_map, table = label_components(seg_map, min_area, THINGS,
                                            **kwargs)
    return component_map, table, list(preds)


def check(images, compatible=COMPATIBLE, **options):
    """Compare a batch with the reference; return the origins it saw."""
    options = {**OPTIONS, **options}
    out = refine(images, compatible, **options)
    seen, num_regions = [], 0
    for i, image in enumerate(images):
        targets, regions = reference(*image, compatible, **options)
        assert targets_of(out, i) == sorted(t[1:] for t in targets)
        steps = zip(out.origins[i].tolist(), out.boxes[i].tolist(),
                    out.valid[i])
        assert sorted((ORIGINS[x], tuple(box)) for x, box, ok in steps
                      if ok) == sorted((x, box) for x, _, box in targets)
        assert regions_of(out, i) == regions
        seen += [t[0] for t in targets]
        num_regions += len(regions)
    assert not (out.valid & out.ignored).any()
    for origin in ORIGINS:
        assert out.counts[f'num_{origin}'] == seen.count(origin)
    assert out.counts['num_ignored'] == num_regions
    return seen, num_regions


# ------------------------------------------------------- against reference
def random_image(rng, size=16):
    """Rectangles of five classes, and boxes that have to do with them."""
    seg_map = np.zeros(rng.integers(6, size, 2), np.uint8)
    height, width = seg_map.shape
    preds, x2, y2, seg_id = [], 0, 0, 1
    for _ in range(rng.integers(0, 6)):
        if x2 < width - 2 and rng.random() < .6:  # touches the one before
            x1, y1 = x2, rng.integers(max(0, y2 - 6), max(1, y2 - 1))
        else:
            x1, y1 = rng.integers(0, width - 1), rng.integers(0, height - 1)
            seg_id = rng.choice([1, 1, 1, 2, 3, 3, 4, 5])
        x2, y2 = x1 + rng.integers(1, 9), y1 + rng.integers(1, 9)
        seg_map[y1:y2, x1:x2] = seg_id
        classes = np.flatnonzero(COMPATIBLE[seg_id])
        for _ in range(rng.choice([0, 1, 1, 1, 2])):
            label = rng.choice(classes) if len(classes) and rng.random(
            ) < .9 else rng.integers(0, 4)
            jitter = rng.integers(-3, 4, 4) / 2 if rng.random() < .7 else 0
            box = np.array([x1, y1, x2, y2]) + jitter
            score = rng.integers(1, 10) / 10
            preds.append((tuple(box.tolist()), score, int(label)))
            if rng.random() < .2:
                preds.append(preds[-1])
    if rng.random() < .3:
        seg_map[rng.integers(0, height)] = 0  # an occluder
    if rng.random() < .3:
        seg_map[:, rng.integers(0, width)] = 255
    if rng.random() < .3:
        preds.append(((0, 0, width, height), .8, int(rng.integers(0, 4))))
    return image_of(seg_map, preds)


def test_random_batches_equal_the_reference():
    rng = np.random.default_rng(0)
    seen, regions = [], 0
    for _ in range(220):
        options = dict(rounds=int(rng.integers(1, 5)),
                       max_splits=int(rng.integers(2, 5)),
                       min_area=int(rng.integers(0, 6)))
        new, more = check([random_image(rng) for _ in range(4)], **options)
        seen += new
        regions += more
    # The comparison is worth something: all origins are common.
    for origin in ORIGINS:
        assert seen.count(origin) > 30, (origin, seen.count(origin))
    assert regions > 100


def test_crowds_of_predictions_equal_the_reference():
    """Chains of overlapping boxes, that few rounds do not settle."""
    rng = np.random.default_rng(1)
    ambiguous = 0
    for _ in range(25):
        seg_map = np.zeros((12, 40), np.uint8)
        seg_map[2:10, 1:rng.integers(20, 39)] = 1
        preds = [((x, 2, x + 7, 10), rng.integers(4, 9) / 10, 0)
                 for x in rng.permutation(np.arange(0, 33, 2)).tolist()]
        image = image_of(seg_map, preds)
        ambiguous += check([image], rounds=1, max_splits=6)[1]
        check([image], rounds=2, max_splits=6)
        check([image], rounds=6, max_splits=6)
    assert ambiguous > 0


# -------------------------------------------------------------- known cases
def paint(*objects, size=(40, 60)):
    seg_map = np.zeros(size, np.uint8)
    for seg_id, (x1, y1, x2, y2) in objects:
        seg_map[y1:y2, x1:x2] = seg_id
    return seg_map


A, B = (5, 5, 20, 30), (20, 8, 40, 35)
BOTH = (5, 5, 40, 35)


def test_duplicates_and_part_boxes_do_not_split():
    whole = (5, 5, 25, 35)
    part = (5, 5, 25, 16)
    for preds in ([(whole, .9, 0), (whole, .8, 0)],
                  [(whole, .9, 0), (part, .8, 0)],
                  [((5, 5, 25, 26), .9, 0)]):
        out = refine([image_of(paint((1, whole)), preds)])
        assert targets_of(out) == [(0, whole)]
        assert out.counts['num_split'] == 0


def test_what_nobody_predicts_is_the_rest():
    first, second, last = (2, 5, 22, 35), (22, 8, 42, 33), (42, 5, 64, 32)
    seg_map = paint((1, first), (1, second), (1, last), size=(40, 70))
    for seen, boxes in (((first, second), [first, (22, 5, 42, 33), last]),
                        ((first, ), [first, (22, 5, 64, 33)])):
        out = refine([image_of(seg_map, [(box, .9, 0) for box in seen])])
        assert targets_of(out) == [(0, box) for box in boxes]
        assert regions_of(out) == []
        assert out.counts['num_rest'] == 1


def test_a_lone_prediction_that_the_rest_surrounds_is_a_part():
    whole = (5, 5, 55, 35)
    for part in ((20, 10, 35, 25), (20, 5, 35, 20), (40, 10, 55, 25)):
        out = refine([image_of(paint((1, whole)), [(part, .9, 0)])])
        assert targets_of(out) == [(0, whole)]


@pytest.mark.parametrize('seg_id, classes', [(1, (0, )), (3, (2, 3))])
def test_a_rest_is_a_target_if_large_and_of_a_certain_class(seg_id, classes):
    third = (40, 8, 60, 35)
    parts = [(A, .9, classes[0]), (B, .8, classes[0])]
    seg_map = paint((seg_id, A), (seg_id, B), (seg_id, third))
    out = refine([image_of(seg_map, parts)])
    is_target = len(classes) == 1
    found = [(classes[0], A), (classes[0], B)]
    assert targets_of(out) == found + [(classes[0], third)] * is_target
    assert regions_of(out) == [(classes, third)] * (not is_target)
    # of a small one nobody knows where it begins
    out = refine([image_of(seg_map, parts)], rest_thr=.5)
    assert targets_of(out) == [found[0], (classes[0], (20, 8, 45, 35))]
    assert regions_of(out) == [(classes, (45, 8, 60, 35))]


def test_a_target_does_not_grow_with_the_prediction_that_it_teaches():
    """Four objects side by side, of which the first is predicted."""
    row = [(5 + 10 * i, 5, 15 + 10 * i, 15) for i in range(4)]
    seg_map = paint(*((1, box) for box in row), size=(20, 50))
    seen = row[0]
    for _ in range(4):
        out = refine([image_of(seg_map, [(seen, .9, 0)])])
        seen = targets_of(out)[0][1]
        assert targets_of(out) == [(0, row[0]), (0, (15, 5, 45, 15))]


def test_no_split_into_what_the_predictions_do_not_show():
    """The mask fills a small part of the second prediction."""
    preds = [(A, .9, 0), ((20, 5, 40, 35), .8, 0)]
    for bottom, split in ((35, True), (12, False)):
        image = image_of(paint((1, A), (1, (20, 5, 40, bottom))), preds)
        assert (refine([image]).counts['num_split'] == 2) == split


def test_a_piece_is_ignored_unless_a_prediction_shows_it():
    large, piece, front = (2, 2, 30, 38), (36, 2, 40, 27), (30, 0, 36, 40)
    seg_map = paint((1, large), (1, piece), (2, front))
    out = refine([image_of(seg_map)])
    assert targets_of(out) == [(0, large), (1, front)]
    assert regions_of(out) == [((0, ), piece)]
    out = refine([image_of(seg_map, [(piece, .9, 0)])])
    assert targets_of(out) == [(0, large), (0, piece), (1, front)]


def test_low_scores_and_other_classes_do_not_split():
    seg_map = paint((1, A), (1, B))
    for preds in ([(B, .3, 0)], [(B, .6, 1)]):
        assert targets_of(refine([image_of(seg_map, preds)])) == [(0, BOTH)]


def test_small_part_of_a_split_is_ignored():
    preds = [(A, .9, 0), (B, .8, 0), ((5, 2, 8, 6), .7, 0)]
    seg_map = paint((1, A), (1, B), (1, (5, 3, 7, 5)))
    out = refine([image_of(seg_map, preds)], min_area=20)
    assert targets_of(out) == [(0, A), (0, B)]
    assert regions_of(out) == [((0, ), (5, 3, 8, 6))]


def test_object_behind_an_occluder_is_merged():
    left, right = (5, 10, 20, 30), (26, 10, 50, 30)
    image = image_of(
        paint((1, left), (1, right), (2, (20, 0, 26, 40))),
        [((4, 10, 51, 31), .9, 0), ((20, 0, 26, 40), .8, 1)])
    out = refine([image])
    assert targets_of(out) == [(0, (5, 10, 50, 30)), (1, (20, 0, 26, 40))]
    assert out.counts['num_merged'] == 1
    assert out.counts['num_direct'] == 1


def test_two_objects_are_not_merged_by_a_loose_box():
    left, right = (0, 0, 8, 8), (30, 30, 38, 38)
    image = image_of(paint((1, left), (1, right)), [((0, 0, 60, 40), .9, 0)])
    assert targets_of(refine([image], iou_thr=.7)) == [(0, left), (0, right)]


def test_coarse_class_takes_the_label_of_its_prediction():
    one, two = (2, 2, 20, 20), (30, 2, 50, 20)
    image = image_of(
        paint((3, one), (3, two)), [((3, 2, 21, 20), .6, 3),
                                    ((2, 2, 20, 20), .5, 2)])
    out = refine([image])
    assert targets_of(out) == [(3, one)]
    assert regions_of(out) == [((2, 3), two)]


def test_small_component_is_ignored_for_its_classes():
    small = (40, 2, 42, 4)
    for seg_id, classes in ((1, (0, )), (3, (2, 3))):
        image = image_of(paint((seg_id, A), (seg_id, small)),
                         [(small, .9, classes[0])], min_area=10)
        assert regions_of(refine([image]))[-1] == (classes, small)


def test_class_without_detection_class_is_nothing():
    out = refine([image_of(paint((4, A)), [(A, .9, 0)])])
    assert targets_of(out) == [] and regions_of(out) == []


def test_images_of_a_batch_do_not_touch_each_other():
    images = [
        image_of(paint((1, A), (1, B)), [(A, .6, 0), (B, .5, 0)]),
        image_of(np.zeros((9, 70), np.uint8)),
        image_of(np.full((1, 1), 2, np.uint8)),
        image_of(np.zeros((9, 9), np.uint8), [(A, .6, 0)]),
    ]
    out = refine(images)
    for i, image in enumerate(images):
        assert targets_of(out, i) == targets_of(refine([image]))
    assert targets_of(out, 2) == [(1, (0, 0, 1, 1))]


@pytest.mark.parametrize('preds', [[], [(A, .9, 0)]])
def test_images_without_components(preds):
    out = refine([image_of(np.zeros((8, 8), np.uint8), preds)])
    assert not out.valid.any() and not out.ignored.any()
    assert all(value == 0 for value in out.counts.values())
    assert out.ignored_classes.shape == (*out.valid.shape, 4)


def test_degenerate_predictions_are_harmless():
    nan, inf = float('nan'), float('inf')
    preds = [((9, 9, 9, 20), .9, 0), ((20, 20, 5, 5), .9, 0),
             ((nan, 1, 5, 5), .9, 0), ((0, 0, inf, inf), .9, 0),
             ((5, 5, 20, 30), nan, 0), ((1e9, 0, 2e9, 10), .9, 0)]
    out = refine([image_of(paint((1, A)), preds)])
    assert targets_of(out) == [(0, A)]


def test_looking_at_all_pixels_changes_nothing(on_accelerator):
    rng = np.random.default_rng(2)
    for _ in range(40):
        check([random_image(rng) for _ in range(4)])


@pytest.mark.parametrize('dtype', [torch.int16, torch.int32, torch.int64])
def test_both_ways_group_large_images_alike(request, dtype):
    """Ties between boxes, too."""
    rng = np.random.default_rng(4)
    images = []
    for height, width in ((90, 130), (131, 70), (64, 64)):
        seg_map = paint((1, (1, 2, width - 3, height - 1)),
                        (2, (width // 3, 9, width // 2, height // 2)),
                        size=(height, width))
        seg_map[rng.random(seg_map.shape) < .1] = 0
        half = width // 2
        preds = [((0, 0, half, height), .9, 0),
                 ((half, 0, width, height), .8, 0),
                 ((half - 20, 10, half + 20, 60), .7, 0)]
        images.append(image_of(seg_map, preds, min_area=5))
    batch = to_batch(images)
    batch['component_map'] = batch['component_map'].to(dtype)
    options = dict(OPTIONS, compatible=torch.from_numpy(COMPATIBLE))
    tiled = refine_boxes(**batch, **options)
    request.getfixturevalue('on_accelerator')
    everywhere = refine_boxes(**batch, **options)
    assert tiled.counts['num_split'] >= 3
    for i, image in enumerate(images):
        assert targets_of(tiled, i) == targets_of(everywhere, i)
        assert regions_of(tiled, i) == regions_of(everywhere, i)
        wanted = reference(*image, COMPATIBLE, **OPTIONS)
        assert targets_of(tiled, i) == sorted(t[1:] for t in wanted[0])


# ------------------------------------------------------------------ device
def test_batch_of_training_size_has_no_gradient():
    rng = np.random.default_rng(0)
    seg_map = rng.integers(0, 3, (40, 40)).repeat(8, 0).repeat(8, 1)
    image = image_of(seg_map.astype(np.uint8), min_area=80)
    corner = rng.uniform(0, 250, (100, 2))
    preds = [((*xy, *(xy + wh)), .9, int(label)) for xy, wh, label in zip(
        corner, rng.uniform(20, 150, (100, 2)), rng.integers(0, 2, 100))]
    batch = to_batch([(image[0], image[1], preds)] * 2)
    batch['pred_scores'].requires_grad_()
    out = refine_boxes(**batch, compatible=torch.from_numpy(COMPATIBLE),
                       **OPTIONS)
    assert not out.boxes.requires_grad
    assert out.counts['num_kept'] > 0


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
def test_gpu_equals_cpu_without_waiting_for_it():
    rng = np.random.default_rng(3)
    images = [random_image(rng) for _ in range(16)]
    batch = to_batch(images)
    compatible = torch.from_numpy(COMPATIBLE)
    expected = refine_boxes(**batch, compatible=compatible, **OPTIONS)
    batch = {key: value.cuda() for key, value in batch.items()}
    compatible = compatible.cuda()
    refine_boxes(**batch, compatible=compatible, **OPTIONS)
    mode = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode('error')
    try:
        out = refine_boxes(**batch, compatible=compatible, **OPTIONS)
    finally:
        torch.cuda.set_sync_debug_mode(mode)
    for i in range(len(images)):
        cpu = type(out)(*(
            value.cpu() if isinstance(value, torch.Tensor) else value
            for value in out))
        assert targets_of(cpu, i) == targets_of(expected, i)
        assert regions_of(cpu, i) == regions_of(expected, i)
