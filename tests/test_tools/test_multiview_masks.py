# Copyright (c) mmbombo contributors.
"""Rooms, and masks of all their views from boxes on some."""
import json
from argparse import Namespace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from toolbox import load_script

from mmbombo.engine.pseudo_labels import MultiViewMasks
from mmbombo.utils import UserError

TOOLS = Path(__file__).resolve().parents[2] / 'tools/dataset_converters'
ROOMS = load_script(TOOLS / 'posed_scenes.py')
MASKS = load_script(TOOLS / 'multiview_masks.py')
VIEWS = 8


@pytest.fixture(scope='module')
def rooms(tmp_path_factory):
    out = tmp_path_factory.mktemp('rooms')
    args = Namespace(
        out=out,
        views=VIEWS,
        short_side=48,
        depth_noise=0.,
        pose_noise=0.,
        seed=0)
    made = [ROOMS.make_room((x, args)) for x in ('train_00', 'val_00')]
    ROOMS.write_boxes(out / 'boxes' / 'all.json', made, 4, VIEWS)
    return out


def options(rooms, out, **masks):
    names = ROOMS.CLASSES
    return dict(
        frames=dict(
            type='PosedRGBDDataset',
            annotation_kinds=('depth', 'pose'),
            data_root=str(rooms),
            scenes='*_00',
            metainfo=dict(classes=names, seg_classes=('background', *names))),
        masks=dict(boxes=str(rooms / 'boxes' / 'all.json'), **masks),
        out=str(out))


def test_rooms(rooms):
    """Depth, poses, boxes and masks are of one geometry; no two rooms are
    alike."""
    content = json.loads((rooms / 'boxes' / 'all.json').read_text())
    assert len(content['images']) == 8
    names = {x['id']: x for x in content['categories']}
    image = content['images'][0]
    ids = np.array(
        Image.open(rooms / 'masks' / image['file_name'].replace('jpg', 'png')))
    shown = np.zeros_like(ids, dtype=bool)
    for annotation in content['annotations']:
        if annotation['image_id'] == image['id']:
            x, y, width, height = annotation['bbox']
            window = slice(y, y + height), slice(x, x + width)
            assert (ids[window] == annotation['category_id']).any()
            shown[window] = True
    assert names and not ids[~shown].any() and ids.max() > 1
    one, other = (
        cv2.imread(f'{rooms}/{x}/000.color.jpg')
        for x in ('train_00', 'val_00'))
    assert (one != other).any()


def test_masks_of_all_frames(rooms, tmp_path, capsys, monkeypatch):
    given = options(rooms, tmp_path / 'out', voxel=.04)
    work = MASKS.Work(**given)
    MASKS.write_masks(work, 1)
    assert 'votes of 2 scenes' in capsys.readouterr().out
    files = sorted((tmp_path / 'out').rglob('*.color.png'))
    assert len(files) == 2 * VIEWS
    true = [
        np.array(
            Image.open(rooms / 'masks' / x.relative_to(tmp_path / 'out')))
        for x in files
    ]
    found = [np.array(Image.open(x)) for x in files]
    known = np.concatenate([(x != 255).ravel() for x in found])
    right = np.concatenate([(x == y).ravel() for x, y in zip(found, true)])
    assert known.mean() > .5 and right[known].mean() > .85
    # what is there is kept, what is not is made again
    before = files[0].read_bytes()
    files[0].unlink()
    files[1].write_bytes(b'kept')
    MASKS.write_masks(MASKS.Work(**given), 1)
    assert files[0].read_bytes() == before
    assert files[1].read_bytes() == b'kept'
    with pytest.raises(UserError, match='other options or boxes'):
        MASKS.Work(**options(rooms, tmp_path / 'out', voxel=.1))


def test_judged_by_boxes(rooms, tmp_path, capsys):
    work = MASKS.Work(**options(rooms, tmp_path / 'out', voxel=.04))
    MASKS.write_masks(work, 1)
    capsys.readouterr()
    MASKS.judge(work, str(rooms / 'boxes' / 'all.json'))
    rows = capsys.readouterr().out.splitlines()
    assert rows[2].startswith('| chair |') and len(rows) == 8
    MASKS.compare(
        work,
        dict(
            options(rooms, tmp_path)['frames'],
            annotation_kinds=('sem_seg', ),
            data_prefix=dict(seg_map_path='masks')), True)
    rows = capsys.readouterr().out.splitlines()
    assert [x.split('|')[1].strip() for x in rows[2:]] == [
        'votes, boxed', 'votes, others', 'box, boxed', 'grabcut, boxed',
        'grabcut_ignore, boxed'
    ]


def writer_and_data(rooms, tmp_path, **changes):
    given = options(rooms, tmp_path)
    given['frames'].update(changes)
    work = MASKS.Work(**given)
    return work.writer, work.dataset, work.scenes['val_00']


def test_wrong_scale(rooms, tmp_path):
    writer, dataset, frames = writer_and_data(
        rooms, tmp_path, depth_scale=1000 / 40)
    with pytest.raises(UserError, match='val_00: half of .* depth_scale'):
        writer.vote(dataset, frames)


def test_skips_are_counted(rooms, tmp_path):
    """Frames without depth, boxes outside, views that do not overlap."""
    content = json.loads((rooms / 'boxes' / 'all.json').read_text())
    content['annotations'][-1]['bbox'] = [900, 900, 5, 5]
    (tmp_path / 'boxes.json').write_text(json.dumps(content))
    writer, dataset, frames = writer_and_data(rooms, tmp_path)
    given = options(rooms, tmp_path)
    given['masks']['boxes'] = str(tmp_path / 'boxes.json')
    writer = MultiViewMasks(**given['masks'], min_views=99, weight=0)
    writer.look_up(dataset)
    load = writer.view

    def view(dataset, index):
        return None if index == frames[1] else load(dataset, index)

    writer.view = view
    scene = writer.vote(dataset, frames)
    assert dict(writer.skipped) == {
        'frames without depth': 1,
        'boxes outside of the image or crowds': 1,
        'scenes without a point that 99 boxed views see': 1
    }
    assert (writer.mask(dataset, frames[1], scene) == 255).all()
    assert torch.isfinite(scene.scores).all()


def test_other_data(rooms, tmp_path):
    given = options(rooms, tmp_path)
    given['frames']['scenes'] = 'masks/train_00'
    with pytest.raises(UserError, match='source .* no image'):
        MASKS.Work(**given)
    given = options(rooms, tmp_path)
    given['frames']['metainfo']['seg_classes'] = ROOMS.CLASSES
    with pytest.raises(UserError, match='seg_classes='):
        MASKS.Work(**given)
    given = options(rooms, tmp_path)
    content = json.loads((rooms / 'boxes' / 'all.json').read_text())
    for image in content['images']:
        image['file_name'] = image['file_name'].split('/')[-1]
    (tmp_path / 'short.json').write_text(json.dumps(content))
    given['masks']['boxes'] = str(tmp_path / 'short.json')
    with pytest.raises(UserError, match='counts from data_root'):
        MASKS.Work(**given)


def test_a_view_says_what_grabcut_does(rooms, tmp_path):
    """Of a scene with one boxed view, and with a point for each of its pixels,
    that view shows the mask that its boxes make."""
    work = MASKS.Work(**options(rooms, tmp_path, voxel=1e-3))
    index = next(
        i for i in range(len(work.dataset))
        if work.dataset.get_data_info(i)['img_id'] in work.writer.boxes)
    wanted = work.writer.box_mask(work.dataset, index, 'grabcut')
    scene = work.writer.vote(work.dataset, [index])
    found = work.writer.mask(work.dataset, index, scene)
    assert len(np.unique(wanted)) > 2
    assert (found == wanted).all()


def test_method_is_known(rooms):
    with pytest.raises(UserError, match="must be 'box' or 'grabcut'"):
        MultiViewMasks(boxes='boxes.json', method='grab')
