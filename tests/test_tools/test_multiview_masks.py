# Copyright (c) mmbombo contributors.
"""Rooms, and masks of all their views from boxes on some."""
import json
import shutil
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from toolbox import load_script
from torch import nn

from mmbombo.datasets import DatasetError
from mmbombo.engine.pseudo_labels import MultiViewMasks, write_pseudo_labels
from mmbombo.utils import UserError
from mmbombo.weak_labels.multiview import UNDEFINED, visibility

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
    """Boxes and masks are of one geometry."""
    content = json.loads((rooms / 'boxes' / 'all.json').read_text())
    assert len(content['images']) == 8
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
    assert not ids[~shown].any() and ids.max() > 1


def test_masks_of_all_frames(rooms, tmp_path, capsys):
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
    for changes in (dict(voxel=.1), dict(depth_scale=500)):
        other = options(rooms, tmp_path / 'out', voxel=.04)
        part = 'masks' if 'voxel' in changes else 'frames'
        other[part].update(changes)
        with pytest.raises(UserError, match='train_00 of other options'):
            MASKS.Work(**other)
    # masks are enough once all are there
    shutil.rmtree(tmp_path / 'out' / 'votes')
    MASKS.write_masks(MASKS.Work(**given), 1)
    assert 'votes of 0 scenes' in capsys.readouterr().out
    assert work.votes_file('a/b_c') != work.votes_file('a_b/c')
    # a part of the scenes, as it is
    given['frames']['scenes'] = 'val_00'
    MASKS.Work(**given)


def test_judged_by_boxes(rooms, tmp_path, capsys):
    work = MASKS.Work(**options(rooms, tmp_path / 'out', voxel=.04))
    MASKS.write_masks(work, 1)
    capsys.readouterr()
    content = json.loads((rooms / 'boxes' / 'all.json').read_text())
    lamp = 1 + ROOMS.CLASSES.index('lamp')
    content['annotations'] = [
        x for x in content['annotations'] if x['category_id'] != lamp
    ]
    (tmp_path / 'judge.json').write_text(json.dumps(content))
    MASKS.judge(work, str(tmp_path / 'judge.json'))
    rows = [x.split('|')[1:-1] for x in capsys.readouterr().out.splitlines()]
    found = {x[0].strip(): [*map(float, x[1:])] for x in rows[2:]}
    assert [*found] == [*ROOMS.CLASSES] and found.pop('lamp')[0] == 0
    for count, votes, warped in found.values():
        assert count > 0 and 0 < warped < votes <= 1
    turned = np.diag([-1., 1, -1, 1])
    turned[:3, 3] = 3, 0, 4
    assert MASKS.distance(np.eye(4), turned) == 5 + np.pi
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


class Colors(nn.Module):
    """In the place of a network: which classes the masks give to a color."""
    predicts_from_features = False
    extract_feat = None
    classes = dict(seg=('background', *ROOMS.CLASSES))

    def head(self, task):
        return self

    def data_preprocessor(self, data):
        return dict(data, inputs=torch.stack(data['inputs']))

    def full_logits(self, feats, inputs, samples, extract_feat, possible):
        for image in inputs:
            yield self.counts[self.color(image)].log().movedim(-1, 0)

    def color(self, image):
        red, green, blue = (image // 22).long()
        return (red * 12 + green) * 12 + blue

    def learn(self, dataset, masks):
        self.counts = torch.full((12**3, 7), .01)
        for i, ids in enumerate(masks):
            colors = self.color(dataset[i]['inputs'])[ids != 255]
            self.counts.index_put_((colors, ids[ids != 255].long()),
                                   torch.ones(()), True)


def test_three_rounds(rooms, tmp_path):
    """Masks become better as what has learned from them votes, too."""
    given = options(rooms, tmp_path, voxel=.04)
    dataset = MASKS.Work(
        **dict(given, frames=dict(given['frames'], scenes='val_00'))).dataset
    names = [f'val_00/{i:03d}.color.png' for i in range(VIEWS)]

    def read(folder):
        return [
            torch.from_numpy(np.array(Image.open(folder / x))) for x in names
        ]

    truth = torch.stack(read(rooms / 'masks'))
    found, model = [], Colors()
    for k in range(3):
        # the first round does without the network, which knows nothing
        writer = MultiViewMasks(**given['masks'], weight=.1 if k else 0)
        out = tmp_path / str(k)
        assert write_pseudo_labels(writer, model, dataset,
                                   dict(masks=out)) == VIEWS
        masks = read(out)
        model.learn(dataset, masks)
        masks = torch.stack(masks)
        both = [((masks == x) & (truth == x)).sum() for x in range(7)]
        either = [((masks == x) | (truth == x)).sum() for x in range(7)]
        found.append(np.mean([x / y for x, y in zip(both, either) if y > 0]))
    assert found[1] > found[0] + .01 and found[2] > found[1] - .002


def test_wrong_scale(rooms, tmp_path):
    writer, dataset, frames = writer_and_data(
        rooms, tmp_path, depth_scale=1000 / 40)
    with pytest.raises(UserError, match='val_00: half of .* depth_scale'):
        writer.vote(dataset, frames)


@pytest.mark.parametrize('method', ['box', 'grabcut'])
def test_what_does_not_count(rooms, tmp_path, method):
    """Frames without depth, boxes outside, crowds, views that do not overlap;
    the first frame has no file of depth."""
    root = tmp_path / 'rooms'
    shutil.copytree(rooms, root)
    (root / 'val_00' / '000.depth.png').unlink()
    content = json.loads((root / 'boxes' / 'all.json').read_text())
    content['annotations'][-1]['bbox'] = [900, 900, 5, 5]
    crowd = content['annotations'][-2]
    crowd['iscrowd'] = 1
    name, = (
        x['file_name'] for x in content['images']
        if x['id'] == crowd['image_id'])
    (root / 'boxes' / 'all.json').write_text(json.dumps(content))
    given = options(root, tmp_path / 'out', method=method, min_views=99)
    given['frames']['scenes'] = 'val_00'
    work = MASKS.Work(**given)
    assert work.dataset.skipped == {'have no file of depth': 1}
    assert (work.dataset[0]['data_samples'].depth.data == 0).all()
    frames = work.scenes['val_00']
    scene = work.writer.vote(work.dataset, frames)
    assert dict(work.writer.skipped) == {
        'frames without depth': 1,
        'boxes outside of the image': 1,
        'crowds': 1,
        'scenes without a point that 99 boxed views see': 1
    }
    assert (work.writer.mask(work.dataset, 0, scene) == 255).all()
    assert torch.isfinite(scene.scores).all()
    # where a crowd is, nothing is known of that frame
    index = next(
        i for i in frames if work.dataset.get_data_info(i)['img_id'] == name)
    x, y, width, height = crowd['bbox']
    ids = work.writer.mask(work.dataset, index, scene)
    assert (ids[y:y + height, x:x + width] == 255).all()
    # and what it shows has no vote of it
    work.writer.min_views = 1
    alone = work.writer.vote(work.dataset, [index])
    view = work.writer.view(work.dataset, index)
    sight = visibility(alone.points, view)
    rows, columns = sight.pixels // view.depth.shape[1], (
        sight.pixels % view.depth.shape[1])
    inside = (rows >= y) & (rows < y + height) & (columns >= x) & (
        columns < x + width) & sight.seen
    assert inside.any() and (alone.scores[inside] == UNDEFINED).all()
    # boxes of another size of image
    content['images'][-1].update(height=96, width=128)
    (root / 'boxes' / 'all.json').write_text(json.dumps(content))
    given['out'] = str(tmp_path / 'other')
    with pytest.raises(DatasetError, match='64x48, not 128x96'):
        MASKS.Work(**given).vote('val_00')


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
        image['file_name'] = f"{image['id']}.jpg"
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
