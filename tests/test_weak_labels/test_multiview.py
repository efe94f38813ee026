# Copyright (c) mmbombo contributors.
"""Votes of boxes in posed views, on scenes that are ray-cast here in NumPy."""
import math

import numpy as np
import pytest
import torch

from mmbombo.weak_labels.multiview import (CHUNK, UNDEFINED, BoxVoteObjectness,
                                           View, backproject_depth,
                                           keep_in_boxes, point_cloud,
                                           project_points, render_point_scores,
                                           scores_to_pseudo_label, visibility,
                                           voxel_downsample)

HEIGHT, WIDTH = 90, 120
INTRINSICS = np.array([[110., 0, WIDTH / 2], [0, 110, HEIGHT / 2], [0, 0, 1]])


def look_at(eye, target):
    """World to camera, OpenCV's axes; z of the world is up."""
    forward = np.subtract(target, eye) / np.linalg.norm(
        np.subtract(target, eye))
    right = np.cross(forward, [0, 0, 1])
    right /= np.linalg.norm(right)
    rotation = np.stack([right, np.cross(forward, right), forward])
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = rotation, -rotation @ eye
    return pose


def cast(pose, spheres):
    """Depth and the number of what is seen, 0 the floor z=0."""
    y, x = np.mgrid[:HEIGHT, :WIDTH] + .5
    rays = np.stack([x, y, np.ones_like(x)], -1) @ np.linalg.inv(INTRINSICS).T
    rays = rays @ pose[:3, :3]
    eye = -pose[:3, :3].T @ pose[:3, 3]
    with np.errstate(all='ignore'):
        hits = [np.where(rays[..., 2] < 0, -eye[2] / rays[..., 2], np.inf)]
        for center, radius in spheres:
            a, b = (rays**2).sum(-1), rays @ (eye - center)
            root = np.sqrt(b**2 - a * (np.sum((eye - center)**2) - radius**2))
            hits.append(np.nan_to_num((-b - root) / a, nan=np.inf))
    depth, number = np.min(hits, 0), np.argmin(hits, 0)
    return np.where(depth < 20, depth, 0), number


def tight_box(mask):
    rows, columns = np.nonzero(mask)
    return [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


def views_around(count, spheres, start=0., height=1.6, radius=2.5):
    """Views from a circle, and the boxes of the spheres and the numbers."""
    views, boxes, numbers = [], [], []
    for k in range(count):
        angle = start + 2 * math.pi * k / count
        pose = look_at([
            radius * math.cos(angle), radius * math.sin(angle), height + .3 *
            (k % 2)
        ], [0, 0, .3])
        depth, number = cast(pose, spheres)
        views.append(
            View(*(torch.tensor(x, dtype=torch.float32)
                   for x in (depth, INTRINSICS, pose))))
        boxes.append(
            torch.tensor([
                tight_box(number == i + 1)
                for i in range(len(spheres)) if (number == i + 1).any()
            ],
                         dtype=torch.float32).reshape(-1, 4))
        numbers.append(number)
    return views, boxes, numbers


BALL = [(np.array([0, 0, .4]), .4)]
ZERO = torch.zeros(1, dtype=torch.long)


def vote(points, views, boxes, labels=ZERO, num_classes=1, **kwargs):
    votes = BoxVoteObjectness(points, num_classes, **kwargs)
    for view, found in zip(views, boxes):
        votes.add_view(view, found, labels[:len(found)])
    return votes


def iou(mask, truth):
    return (mask & truth).sum() / (mask | truth).sum()


def test_round_trip_and_axes():
    views, _, _ = views_around(3, BALL)
    batch = View(*map(torch.stack, zip(*views)))
    points = backproject_depth(batch)
    assert points.shape == (3, HEIGHT, WIDTH, 3)
    for i, view in enumerate(views):
        assert torch.equal(backproject_depth(view), points[i])
        # all is on the floor or the ball
        x = points[i][view.depth > 0].double()
        on_ball = (x - torch.tensor([0, 0, .4])).norm(dim=-1) - .4
        assert torch.minimum(x[:, 2].abs(), on_ball.abs()).max() < 1e-5
        positions, z = project_points(x.float(), view.intrinsics,
                                      view.extrinsics)
        rows, columns = (view.depth > 0).nonzero().T
        error = positions - torch.stack([columns, rows], 1) - .5
        assert error.abs().max() < 1e-3  # of a pixel
        assert (z - view.depth[rows, columns]).abs().max() < 1e-5


def test_known_cube():
    corners = torch.tensor([[x, y, z] for x in (-1., 1) for y in (-1., 1)
                            for z in (4., 6)])
    matrix = torch.tensor([[100., 0, 50], [0, 100, 40], [0, 0, 1]])
    positions, z = project_points(corners, matrix, torch.eye(4))
    wanted = corners[:, :2] / corners[:, 2:] * 100 + torch.tensor([50., 40])
    assert torch.allclose(positions, wanted) and torch.equal(z, corners[:, 2])


def test_visibility():
    """Behind an occluder, behind the camera, outside, on missing depth."""
    depth = torch.full((4, 4), 5.)
    depth[:, 0] = 2
    depth[0, 3] = 0
    view = View(depth, torch.tensor([[4., 0, 2], [0, 4, 2], [0, 0, 1]]),
                torch.eye(4))
    points = torch.tensor([
        [0.1, .1, 5.],  # seen
        [-2.4, .1, 5.],  # behind the occluder at 2 m
        [-.9, .1, 2.],  # on it
        [.1, .1, -5.],  # behind the camera
        [9., .1, 5.],  # outside
        [1.9, -1.9, 5.],  # no depth there
        [.1, .1, 5.09],  # within .05 + 1 %
        [.1, .1, 5.2],
        [0, 0, 0]
    ])
    wanted = [1, 0, 1, 0, 0, 0, 1, 0, 0]
    assert visibility(points, view).seen.tolist() == list(map(bool, wanted))


def test_voxels():
    generator = torch.Generator().manual_seed(0)
    points = torch.rand(5000, 3, generator=generator) * 2 - 1
    reduced = voxel_downsample(points, .25)
    assert len(reduced) == 8**3
    shuffled = points[torch.randperm(5000, generator=generator)]
    assert torch.equal(voxel_downsample(shuffled, .25), reduced)
    parts = [voxel_downsample(x, .25) for x in shuffled.split(700)]
    assert torch.equal(voxel_downsample(torch.cat(parts), .25), reduced)
    # reference: each point is the nearest of its voxel to the center
    cells = np.floor(points.numpy() / .25)
    for point in reduced[::50].numpy():
        same = (cells == np.floor(point / .25)).all(1)
        distance = np.abs(points.numpy()[same] / .25 - np.floor(point / .25) -
                          .5)
        best = (distance**2).sum(1).argmin()
        assert np.array_equal(points.numpy()[same][best], point)


def test_sphere_on_a_floor():
    """The check of the method: four views are enough, a box is not."""
    novel, novel_boxes, novel_numbers = views_around(
        1, BALL, start=.4, height=2.2)
    truth = torch.from_numpy(novel_numbers[0] == 1)
    found = {}
    for count in (2, 4, 8):
        views, boxes, _ = views_around(count, BALL, height=2.2)
        points = point_cloud(views, .03)
        scores = vote(points, views, boxes, min_views=1).finalize()
        # (i) nothing of the ball loses a vote
        on_ball = (points - torch.tensor([0, 0, .4])).norm(dim=1) < .401
        assert (scores[on_ball & (points[:, 2] > .02)] == 1).all()
        shown, known = render_point_scores(points, scores, novel[0])
        mask = scores_to_pseudo_label(shown, known, .95, .2)
        found[count] = iou(mask == 1, truth)
    x1, y1, x2, y2 = novel_boxes[0][0].long()
    box = torch.zeros_like(truth)
    box[y1:y2, x1:x2] = True
    assert found[4] > .9 > iou(box, truth)
    # (ii) false points become fewer
    assert found[2] < found[4] < found[8]


def test_order_merging_and_chunks(monkeypatch):
    views, boxes, _ = views_around(5, BALL)
    points = point_cloud(views, .03)
    whole = vote(points, views, boxes)
    # (iii) the order of the views does not matter
    backwards = vote(points, views[::-1], boxes[::-1])
    one = vote(points, views[:2], boxes[:2])
    one.merge(vote(points, views[2:], boxes[2:]))
    monkeypatch.setattr('mmbombo.weak_labels.multiview.CHUNK', 1000)
    assert 1000 < len(points) < CHUNK
    chunked = vote(points, views, boxes)
    for other in (backwards, one, chunked):
        for name in ('views', 'votes', 'areas'):
            assert torch.equal(getattr(other, name), getattr(whole, name))
    shown = render_point_scores(points, chunked.settled(), views[0])
    monkeypatch.undo()
    for x, y in zip(shown,
                    render_point_scores(points, whole.settled(), views[0])):
        assert torch.equal(x, y)


def test_votes_reference():
    """A loop over points and boxes in NumPy."""
    spheres = [*BALL, (np.array([.7, .3, .2]), .2)]
    views, boxes, _ = views_around(3, spheres)
    labels = torch.tensor([1, 0])
    points = point_cloud(views, .2)
    votes_of_all = vote(points, views, boxes, labels, 2)
    for point, score, number in zip(points.numpy(), votes_of_all.finalize(),
                                    votes_of_all.views):
        seen, votes = 0, np.zeros(2)
        for view, found in zip(views, boxes):
            x, y, z = (view.extrinsics.numpy() @ [*point, 1])[:3]
            x, y = (INTRINSICS @ [x / z, y / z, 1])[:2]
            if not (0 <= x < WIDTH and 0 <= y < HEIGHT):
                continue
            depth = view.depth[int(y), int(x)].item()
            if depth == 0 or abs(z - depth) >= .05 + .01 * z:
                continue
            seen += 1
            for (x1, y1, x2, y2), label in zip(found.tolist(), labels):
                votes[label] += (
                    x1 - .49 <= x <= x2 + .49 and y1 - .49 <= y <= y2 + .49)
        assert number == seen
        wanted = np.full(2, UNDEFINED)
        if seen >= 2 or (seen and not votes.any()):
            wanted = votes / seen
        assert np.allclose(score, wanted), (point, score, wanted)


def test_what_is_hidden_gets_no_vote():
    """(iv) of the view that hides it, though its box covers it."""
    spheres = [*BALL, (np.array([-1., 0, .15]), .15)]  # behind the ball
    views, boxes, numbers = views_around(4, spheres)
    assert not (numbers[0] == 2).any()
    hidden = point_cloud(views[2:3], .03)
    hidden = hidden[(hidden - torch.tensor([-1., 0, .15])).norm(dim=1) < .151]
    hidden = hidden[visibility(hidden, views[0]).seen.logical_not()]
    assert len(hidden) > 20
    inside = project_points(hidden, *views[0][1:])[0]
    x1, y1, x2, y2 = boxes[0][0]
    assert ((inside > torch.tensor([x1, y1])) &
            (inside < torch.tensor([x2, y2]))).all()
    votes = vote(hidden, views[:1], boxes[:1])
    assert not votes.votes.any() and not votes.views.any()
    assert (votes.finalize() == UNDEFINED).all()


def test_mug_on_a_table():
    """A tie goes to the class with the smaller box: all points of the small
    ball are in the boxes of both, in every view."""
    spheres = [*BALL, (np.array([0, 0, .75]), .1)]
    views, boxes, numbers = views_around(8, spheres)
    for found, number in zip(boxes, numbers):
        found[0] = torch.tensor(tight_box(number > 0))  # of table and mug
    labels = torch.tensor([0, 1])
    points = point_cloud(views, .03)
    votes = vote(points, views, boxes, labels, 2)
    on_mug = (points - torch.tensor([0, 0, .75])).norm(dim=1) < .101
    on_mug &= points[:, 2] > .8
    assert (votes.finalize()[on_mug] == 1).all()
    settled = votes.settled()
    assert (settled[on_mug] == torch.tensor([0., 1])).all()
    low = (points[:, 2] > .05) & (points[:, 2] < .5) & (votes.views >= 2)
    assert (settled[low][:, 0] == 1).all() and (settled[low][:, 1] < .6).all()
    shown, known = render_point_scores(points, settled, views[0])
    mask = scores_to_pseudo_label(shown, known, .95, .2)
    assert iou(mask == 2, torch.from_numpy(numbers[0] == 2)) > .75
    assert iou(mask == 1, torch.from_numpy(numbers[0] == 1)) > .9


@pytest.mark.parametrize('said', [.05, .25, .9])
def test_posteriors_vote(said):
    """A weighted mean where boxes voted; without views with boxes what the
    network says, if it is certain; what boxes know stays known."""
    views, boxes, _ = views_around(4, BALL)
    points = point_cloud(views, .1)
    votes = vote(points, views[:2], boxes, weight=.5)
    before, boxed = votes.finalize(), votes.views.clone()
    for view in views[1:]:
        votes.add_posteriors(view, torch.full((1, HEIGHT, WIDTH), said))
    after = votes.finalize()
    seen = sum(visibility(points, view).seen.int() for view in views[1:])
    alone = boxed == 0
    known = (seen > 0) & (said != .25)
    wanted = torch.where(known, said, UNDEFINED)[alone]
    assert alone.any() and torch.allclose(after[alone, 0], wanted)
    unsure = (before == UNDEFINED)[:, 0] & ~alone
    assert unsure.any() and (after[unsure] == UNDEFINED).all()
    rest = ~alone & ~unsure
    wanted = (before[:, 0] * boxed + .5 * said * seen) / (boxed + .5 * seen)
    assert torch.allclose(after[rest, 0], wanted[rest])
    assert (boxed[rest] == 1).any() and torch.equal(votes.views, boxed)


def test_a_tie_is_of_less_than_half_a_vote():
    """Of eleven views, one lacks the box of the mug."""
    points = torch.tensor([[0., 0, 1]])
    view = View(
        torch.ones(4, 4), torch.tensor([[4., 0, 2], [0, 4, 2], [0, 0, 1]]),
        torch.eye(4))
    table, mug = [0., 0, 4, 4], [1., 1, 3, 3]
    votes = vote(points, [view] * 10, [torch.tensor([table, mug])] * 10,
                 torch.tensor([0, 1]), 2)
    assert votes.settled().tolist() == [[0, 1]]
    votes.add_view(view, torch.tensor([table]), ZERO)
    assert votes.settled()[0].argmax() == 0


def test_rendering():
    view = View(
        torch.full((6, 8), 2.), torch.tensor([[4., 0, 4], [0, 4, 3], [0, 0,
                                                                      1]]),
        torch.eye(4))
    points = torch.tensor([[.1, .1, 2.], [.15, .15, 2.05], [.15, .15, 2.5],
                           [-1.9, -1.4, 2.]])  # the last is undefined
    scores = torch.tensor([[.3, .6], [.4, .2], [1., 1.], [-1., -1]])
    shown, known = render_point_scores(points, scores, view, fill=0)
    # its pixel, the higher of two, and none of what is hidden
    assert known.nonzero().tolist() == [[3, 4]]
    assert torch.allclose(shown[:, 3, 4], torch.tensor([.4, .6]))
    assert shown.sum() == 1
    shown, known = render_point_scores(points, scores, view, fill=1)
    assert known.sum() == 9 and not known[:2, :2].any()
    # what fills a hole stays on its surface
    view.depth[:, 5:] = 3.
    shown, known = render_point_scores(points, scores, view, fill=9)
    assert not known[:, 5:].any() and known[3:, 2:5].all()
    view.depth[:, 5:] = 0.  # missing depth hinders nothing
    assert render_point_scores(points, scores, view, fill=9)[1][3:, 2:].all()
    view.depth[:, 6:] = 3.  # nor does it lead to another surface
    shown, known = render_point_scores(points, scores, view, fill=9)
    assert known[3:, 2:6].all() and not known[:, 6:].any()


def test_thresholds():
    scores = torch.tensor([[0, .19, .2, .59, .6, 1, .7, .7],
                           [0, .10, .1, .20, .1, .9, .8, .8]])[:, None]
    known = torch.ones(1, 8, dtype=torch.bool)
    known[0, 7] = False
    mask = scores_to_pseudo_label(scores, known, .6, .2)
    assert mask.dtype == torch.uint8
    assert mask.tolist() == [[0, 0, 255, 255, 1, 1, 2, 255]]
    masks = [
        scores_to_pseudo_label(scores, known, x, .2) for x in (.6, .75, .95)
    ]
    for low, high in zip(masks, masks[1:]):  # monotone
        assert ((high == low) | (high == 255)).all()


def test_crf_mends_a_score():
    image = torch.zeros(3, 20, 20)
    image[:, :, 10:] = 255
    scores = torch.zeros(1, 20, 20)
    scores[:, :, 10:] = 1
    scores[:, 5:8, 14:17] = .3
    known = torch.ones(20, 20, dtype=torch.bool)
    known[0, 0] = False
    crf = dict(image=image, crf='rrm_label')
    plain = scores_to_pseudo_label(scores, known, .6, .2)
    mask = scores_to_pseudo_label(scores, known, .6, .2, **crf)
    assert (plain[5:8, 14:17] == 255).all() and (mask[:, 10:] == 1).all()
    assert (mask[:, :10] == 0).sum() == 199 and mask[0, 0] == 255


def test_outside_of_boxes():
    scores = keep_in_boxes(
        torch.ones(2, 4, 6), torch.tensor([[1., 1, 3, 3.2], [-2, 0, 1, 1]]),
        torch.tensor([0, 1]))
    wanted = np.zeros((2, 4, 6))
    wanted[0, 1:4, 1:3], wanted[1, 0, 0] = 1, 1
    assert np.array_equal(scores, wanted)


def test_too_few_views():
    """What is in boxes is then undefined, what is outside is background."""
    views, boxes, _ = views_around(2, BALL)
    points = point_cloud(views, .1)
    votes = vote(points, views, boxes, min_views=3)
    in_boxes = votes.votes[:, 0] > 0
    scores = votes.settled()
    assert 0 < in_boxes.sum() < len(points)
    assert (scores[in_boxes] == UNDEFINED).all()
    assert (scores[~in_boxes & (votes.views > 0)] == 0).all()
    assert (scores[votes.views == 0] == UNDEFINED).all()
