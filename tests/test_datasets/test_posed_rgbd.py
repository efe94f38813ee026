# Copyright (c) mmbombo contributors.
"""Frames with depth and poses: 7-Scenes, TUM, ScanNet, 2D-3D-S."""
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from toolbox import load_script

from mmbombo.datasets import (DatasetError, PosedRGBDDataset,
                              Stanford2D3DSDataset)
from mmbombo.datasets.coco_json import read_coco_json
from mmbombo.datasets.posed_rgbd_dataset import quaternion_pose
from mmbombo.datasets.stanford_2d3ds_dataset import CLASSES
from mmbombo.datasets.transforms.load_depth import fit_depth

MASKS = load_script(
    Path(__file__).resolve().parents[2] /
    'tools/dataset_converters/multiview_masks.py')
LOAD = [dict(type='LoadImageFromFile'), dict(type='LoadPartialAnnotations')]
PACK = dict(type='PackMultiTaskInputs')
KINDS = ('depth', 'pose')
K = np.array([[30., 0, 16], [0, 30, 12], [0, 0, 1]])
#: A camera at (1, 2, 3) that looks along the world's x, y of the world up.
POSE = np.array([[0., 0, 1, 1], [0, -1, 0, 2], [1, 0, 0, 3], [0, 0, 0, 1]])


def write_frame(folder, name, pose=POSE, millimeters=2000, size=(24, 32)):
    folder.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(f'{folder}/{name}.color.jpg', np.full((24, 32, 3), 99, 'u1'))
    depth = np.full(size, millimeters, np.uint16)
    depth[0, :2] = 0, 65535
    depth[:, -4:] = 3000
    cv2.imwrite(f'{folder}/{name}.depth.png', depth)
    np.savetxt(f'{folder}/{name}.pose.txt', pose)
    np.savetxt(f'{folder}/camera-intrinsics.txt', K)


@pytest.fixture
def root(tmp_path):
    for scene in ('a', 'b'):
        for name in ('0', '1'):
            write_frame(tmp_path / scene, name)
    return tmp_path


def build(root, kinds=KINDS, pipeline=(), **kwargs):
    return PosedRGBDDataset(
        kinds,
        str(root),
        **dict(dict(scenes='*'), **kwargs),
        pipeline=[*LOAD, *pipeline, PACK])


def test_seven_scenes(root):
    dataset = build(root)
    assert dataset.frames_of_scenes() == {'a': [0, 1], 'b': [2, 3]}
    sample = dataset[0]['data_samples']
    depth = sample.depth.data
    assert depth.shape == (1, 24, 32) and depth.dtype == torch.float32
    assert depth[0, 0, :3].tolist() == [0, 0, 2] and depth[0, 5, 30] == 3
    assert torch.equal(sample.camera[0, :3, :3], torch.tensor(K).float())
    # world to camera: the place of the camera is its origin
    assert torch.allclose(sample.camera[1] @ torch.tensor([1., 2, 3, 1]),
                          torch.tensor([0., 0, 0, 1]))
    assert torch.allclose(sample.camera[1] @ torch.tensor([3., 2, 3, 1]),
                          torch.tensor([0., 0, 2, 1]))


def test_geometry_moves_depth_and_intrinsics(root):
    """What a pixel shows stays where it is in the world."""
    moves = [
        dict(type='mmdet.Resize', scale=(64, 48), keep_ratio=True),
        dict(type='mmdet.RandomFlip', prob=1.),
        dict(type='mmdet.RandomCrop', crop_size=(30, 20))  # width, height
    ]

    def points(sample, rows, columns):
        """World's places of pixels."""
        z = sample.depth.data[0, rows, columns]
        at = torch.stack([columns + .5, rows + .5, torch.ones_like(z)])
        rays = sample.camera[0, :3, :3].inverse() @ at * z
        rays = torch.cat([rays, torch.ones(1, len(z))])
        return (sample.camera[1].inverse() @ rays)[:3]

    for seed in range(3):
        dataset = build(root, pipeline=moves)
        sample = dataset[seed]['data_samples']
        depth = sample.depth.data[0]
        assert depth.shape == (20, 30)
        rows, columns = (depth > 0).nonzero().T
        # from x on, z of 3 m: in the file that is where y of K's plane ends
        x, y, z = points(sample, rows, columns)
        edge = 3 + 12 / 30 * depth[rows, columns]
        far = depth[rows, columns] == 3
        # the camera's x is the world's z; its wall changes at column 28
        assert ((z > edge)[far]).all() and (z <= edge)[~far].all()
        assert torch.allclose(x, 1 + depth[rows, columns])


def test_axes_directions_and_sizes(root):
    reference = build(root).get_data_info(0)['extrinsics']
    blender = POSE * [1, -1, -1, 1]  # y of the camera up, z backward
    for kwargs, pose in ((dict(axes='opengl'), blender),
                         (dict(world_to_camera=True), np.linalg.inv(POSE)),
                         (dict(world_to_camera=True,
                               axes='opengl'), np.linalg.inv(blender))):
        write_frame(root / 'a', '0', pose, size=(12, 16))
        dataset = build(root, scenes='a', **kwargs)
        assert np.allclose(dataset.get_data_info(0)['extrinsics'], reference)
        assert dataset[0]['data_samples'].depth.data.shape[1:] == (24, 32)


def test_registration(root):
    """Depth and intrinsics move alike, the places of pixels do not change."""
    plain, moved = (
        build(root, registration=x)[0]['data_samples']
        for x in (None, (.5, 3, -2)))
    pixels = plain.camera[0, :3, :3] @ torch.tensor([.1, .2, 2])
    other = moved.camera[0, :3, :3] @ torch.tensor([.1, .2, 2])
    wanted = (pixels[:2] / 2 - torch.tensor([16., 12])) / 2 + torch.tensor(
        [19., 10])
    assert torch.allclose(other[:2] / 2, wanted)
    seen = moved.depth.data[0] > 0
    rows, columns = seen.nonzero().T
    assert 0 < seen.sum() < 24 * 32 / 2
    assert (rows.min(), columns.min()) == (4, 11)


def test_scannet_and_tum(root):
    """Lost poses are left out and counted; poses of a trajectory are found by
    their times."""
    write_frame(root / 'a', '1', np.full((4, 4), -np.inf))
    dataset = build(root)
    lost = {'have no pose and are left out': 1}
    assert len(dataset) == 3 and dataset.skipped == lost

    scene = root / 'tum'
    write_frame(scene, '0')
    lines = dict(
        rgb='# color\n1.00 0.color.jpg\n2.00 0.color.jpg\n3.00 0.color.jpg\n',
        depth='1.01 0.depth.png\n2.01 0.depth.png\n3.01 0.depth.png\n')
    lines['rgb'] = lines['rgb'].replace('2.00 0',
                                        '2.00 1').replace('3.00 0', '3.00 2')
    lines['groundtruth'] = ('1.0 1 2 3 0 0 0 1\n'
                            '2.005 0 0 0 0 0 .7071068 .7071068\n')
    for name, text in lines.items():
        (scene / f'{name}.txt').write_text(text)
    dataset = build(
        root,
        scenes='tum',
        pose='groundtruth.txt',
        intrinsics=K.tolist(),
        depth_scale=5000,
        depth_missing=(0, ))
    assert len(dataset) == 2 and dataset.skipped == lost
    assert np.allclose(
        dataset.get_data_info(0)['extrinsics'][:3, 3], [-1, -2, -3])
    # a quarter turn to the left: the camera's x is the world's y
    assert np.allclose(
        quaternion_pose(np.array([0, 0, 0, 0, 0, 1, 1.]))[:3, 0], [0, 1, 0])
    assert dataset[0]['data_samples'].depth.data[0, 5, 5] == .4


def test_boxes_of_some_frames(root):
    images = [dict(id=7, file_name='a/1.color.jpg', height=24, width=32)]
    annotation = dict(
        id=1, image_id=7, category_id=3, bbox=[1, 2, 3, 4], area=12)
    (root / 'boxes.json').write_text(
        json.dumps(
            dict(
                images=images,
                annotations=[annotation],
                categories=[dict(id=3, name='mug')])))
    given = dict(ann_file='boxes.json', metainfo=dict(classes=('mug', )))
    boxed = build(root, ('bbox', ), frames='boxed', **given)
    assert len(boxed) == 1
    instances = boxed[0]['data_samples'].gt_instances
    assert instances.bboxes.tensor.tolist() == [[1, 2, 4, 6]]
    others = build(root, frames='unboxed', **given)
    assert [others.get_data_info(i)['img_id'] for i in range(3)
            ] == ['a/0.color.jpg', 'b/0.color.jpg', 'b/1.color.jpg']
    for kwargs in (dict(kinds=('bbox', )), dict(frames='boxed'),
                   dict(frames='some'), dict(axes='blender'),
                   dict(kinds=('regions', ))):
        with pytest.raises(DatasetError):
            build(root, **kwargs)


@pytest.mark.parametrize('pose, message', [
    (POSE[:3] * 1000, 'not rigid'),
    (POSE * [-1, 1, 1, 1], 'mirrors'),
    (POSE[:2], 'is a matrix 4x4'),
    (POSE.T, 'is it transposed'),
])
def test_bad_poses(root, pose, message):
    write_frame(root / 'b', '0', pose)
    with pytest.raises(DatasetError, match=f'b/0.pose.txt: .*{message}'):
        build(root)


def test_pose_of_three_rows(root):
    whole = build(root).get_data_info(0)['extrinsics']
    write_frame(root / 'a', '0', POSE[:3])
    assert np.array_equal(build(root).get_data_info(0)['extrinsics'], whole)


@pytest.mark.parametrize('matrix', [K.T, [[30., 30, 16, 12]], K[:2]])
def test_bad_intrinsics(root, matrix):
    np.savetxt(root / 'b/camera-intrinsics.txt', matrix)
    with pytest.raises(DatasetError, match='b/camera-intrinsics.txt: .* 3x3'):
        build(root)


def test_depth_without_files(root):
    """One frame may lack it, all may not."""
    (root / 'a/0.depth.png').unlink()
    dataset = build(root)
    assert dataset.skipped == {'have no file of depth': 1}
    depths = [dataset[i]['data_samples'].depth.data for i in (0, 1)]
    assert depths[0].shape == depths[1].shape
    assert not depths[0].any() and depths[1].any()
    with pytest.raises(DatasetError, match="no frame .* depth='{}.png'"):
        build(root, depth='{}.png')


def test_depth_of_scannet_is_almost_of_the_same_proportions():
    depth = np.arange(480 * 640, dtype=np.float32).reshape(480, 640)
    fitted = fit_depth(depth, (968, 1296), 'a.png')
    assert fitted.shape == (968, 1296) and fitted[0, 0] == 0
    assert fitted[-1, -1] == depth[-1, -1]
    # the nearest pixel of each center
    assert fitted[484, 648] == depth[int(484.5 * 480 / 968),
                                     int(648.5 * 640 / 1296)]


def test_boxes_of_another_size_of_image(root):
    image = dict(id=7, file_name='a/1.color.jpg', height=48, width=64)
    box = dict(id=1, image_id=7, category_id=3, bbox=[1, 2, 3, 4], area=12)
    content = dict(
        images=[image], annotations=[box], categories=[dict(id=3, name='mug')])
    (root / 'boxes.json').write_text(json.dumps(content))
    with pytest.raises(DatasetError, match='32x24, not 64x48'):
        build(
            root, ('bbox', ),
            frames='boxed',
            ann_file='boxes.json',
            metainfo=dict(classes=('mug', )))[0]


@pytest.mark.parametrize('depth, message', [
    (np.zeros((24, 16), np.uint16), '16x24 but its image is 32x24'),
    (np.zeros((24, 32), np.uint8), '16 bits'),
    (np.zeros((24, 32, 3), np.uint8), '16 bits'),
])
def test_bad_depth(root, depth, message):
    cv2.imwrite(f'{root}/a/0.depth.png', depth)
    with pytest.raises(DatasetError, match=f'a/0.depth.png: .*{message}'):
        build(root)[0]


# --- 2D-3D-S

START = 'camera_0d600f92f8d14e288ddc590c32584a5a_conferenceRoom_1_frame_'
LABELS = [
    '<UNK>_0_<UNK>_0_<UNK>', 'chair_1_conferenceRoom_1_area_1',
    'table_1_conferenceRoom_1_area_1', 'chair_2_conferenceRoom_1_area_1'
] + ['clutter_1_conferenceRoom_1_area_1'] * 300 + [
    'bookcase_7_conferenceRoom_1_area_1'
]


@pytest.fixture
def stanford(tmp_path):
    """Two frames of area 1 and one of area 5b, named as in the set, with what
    is not read beside them."""
    (tmp_path / 'assets').mkdir()
    (tmp_path / 'assets' / 'semantic_labels.json').write_text(
        json.dumps(LABELS))
    indices = np.zeros((40, 40), int)
    indices[:, :10], indices[:10, 10:20], indices[30:, 20:] = 1, 3, 304
    indices[20, 20] = 2  # less than 1 %
    indices[25, :] = 0x0D0D0D
    pixels = np.stack([indices >> 16, indices >> 8 & 255, indices & 255], -1)
    for area, number in (('area_1', 0), ('area_1', 12), ('area_5b', 3)):
        data = tmp_path / area / 'data'
        for kind in ('rgb', 'depth', 'semantic', 'pose'):
            (data / kind).mkdir(parents=True, exist_ok=True)

        for folder in ('pano/rgb', 'data/global_xyz'):
            (tmp_path / area / folder).mkdir(parents=True, exist_ok=True)
            (tmp_path / area / folder /
             f'{START}{number}_domain_rgb.png').write_bytes(b'no image')

        def path(kind, end='png'):
            return f'{data}/{kind}/{START}{number}_domain_{kind}.{end}'

        cv2.imwrite(path('rgb'), np.full((40, 40, 3), 50, 'u1'))
        depth = np.full((40, 40), 1024, np.uint16)
        depth[0, 0] = 65535
        cv2.imwrite(path('depth'), depth)
        cv2.imwrite(path('semantic'), pixels[..., ::-1].astype(np.uint8))
        (data / 'pose' / f'{START}{number}_domain_pose.json').write_text(
            json.dumps(
                dict(
                    camera_k_matrix=[[40, 0, 20], [0, 40, 20], [0, 0, 1]],
                    camera_rt_matrix=np.linalg.inv(POSE)[:3].tolist(),
                    camera_location=[1, 2, 3],
                    final_camera_rotation=[1.57, 0, -1.57])))
    return tmp_path


def test_stanford(stanford, monkeypatch):
    said = []
    monkeypatch.setattr('mmbombo.datasets.stanford_2d3ds_dataset.print_log',
                        lambda text, logger: said.append(text))
    classes = ('chair', 'bookcase')
    meta = dict(classes=classes, seg_classes=('background', *classes))
    dataset = Stanford2D3DSDataset((*KINDS, 'sem_seg'),
                                   str(stanford),
                                   scenes='area_*',
                                   metainfo=meta,
                                   pipeline=[*LOAD, PACK])
    assert len(said) == 1 and 'area_5b' in said[0]
    # rooms are scenes; area_5b is another scene
    assert dataset.frames_of_scenes() == {
        'area_1/conferenceRoom_1': [0, 1],
        'area_5b/conferenceRoom_1': [2]
    }
    sample = dataset[0]['data_samples']
    # 1/512 m; 65535 is missing
    assert sample.depth.data[0, 0, :2].tolist() == [0, 2]
    # from the world to the camera, as it stands there
    assert torch.allclose(sample.camera[1] @ torch.tensor([1., 2, 3, 1]),
                          torch.tensor([0., 0, 0, 1]))
    ids = sample.gt_sem_seg.sem_seg[0]
    assert (ids[:20, :10] == 1).all()  # chair
    assert (ids[:10, 10:20] == 1).all()  # another one
    assert (ids[35:, 25:] == 2).all()  # the index 304 needs two bytes
    assert (ids[25] == 255).all()  # 0x0D0D0D is no index
    assert (ids[12, 12:] == 255).all()  # <UNK>
    assert ids[20, 20] == 0  # a table is background here
    assert dataset.instances(0) == [([0, 0, 10, 40], 0, False),
                                    ([10, 0, 20, 10], 0, False),
                                    ([20, 30, 40, 40], 1, False)]
    tables = Stanford2D3DSDataset(('sem_seg', ),
                                  str(stanford),
                                  scenes='area_1',
                                  pipeline=[*LOAD, PACK])
    assert ([20, 20, 21, 21], 7, True) in tables.instances(0)
    moved = Stanford2D3DSDataset(
        KINDS, str(stanford), registration=(1, 3, 0), pipeline=[*LOAD, PACK])
    assert moved[0]['data_samples'].camera[0, 0, 2] == 23
    with pytest.raises(TypeError, match='world_to_camera'):
        Stanford2D3DSDataset(KINDS, str(stanford), world_to_camera=False)


def test_boxes_that_are_drawn(stanford):
    """Of a seeded share of the frames; what is small is a crowd."""
    path = stanford / 'boxes.json'
    frames = dict(
        type='Stanford2D3DSDataset',
        annotation_kinds=KINDS,
        data_root=str(stanford),
        scenes='area_1')
    MASKS.draw_boxes(frames, path, share=.5, seed=0)
    content = json.loads(path.read_text())
    image, = content['images']
    assert image['file_name'].startswith('area_1/data/rgb/camera_')
    found = {(CLASSES[x['category_id'] - 1], *x['bbox'], x['iscrowd'])
             for x in content['annotations']}
    assert found == {('chair', 0, 0, 10, 40, 0), ('chair', 10, 0, 10, 10, 0),
                     ('table', 20, 20, 1, 1, 1),
                     ('bookcase', 20, 30, 20, 10, 0)}
    names = []
    for seed in range(9):
        MASKS.draw_boxes(frames, path, .5, seed)
        names += [x['file_name'] for x in read_coco_json(str(path))['images']]
    assert len(names) == 9 and len({*names}) == 2


def test_stanford_mistakes(stanford):
    with pytest.raises(DatasetError, match='match no folder'):
        Stanford2D3DSDataset(KINDS, str(stanford), scenes='area_9')
    labels = stanford / 'assets' / 'semantic_labels.json'
    labels.write_text(json.dumps(LABELS[:100]))
    with pytest.raises(DatasetError, match='semantic.png: the index 304'):
        Stanford2D3DSDataset(('sem_seg', ),
                             str(stanford),
                             pipeline=[*LOAD, PACK],
                             scenes='area_1')
    labels.unlink()
    with pytest.raises(DatasetError, match='semantic_labels.json'):
        Stanford2D3DSDataset(('sem_seg', ), str(stanford), scenes='area_1')
    pose, = (stanford / 'area_5b/data/pose').iterdir()
    pose.write_text('{"camera_k_matrix": 1}')
    with pytest.raises(DatasetError, match='pose.json: not a pose of 2D-3D-S'):
        Stanford2D3DSDataset(KINDS, str(stanford), scenes=['area_5b'])
    # of semantic masks of our own nothing of the set's is needed
    folder = stanford / 'mine/area_1/data/rgb'
    folder.mkdir(parents=True)
    for number in (0, 12):
        cv2.imwrite(f'{folder}/{START}{number}_domain_rgb.png',
                    np.full((40, 40), 2, np.uint8))
    dataset = Stanford2D3DSDataset(('sem_seg', ),
                                   str(stanford),
                                   scenes='area_1',
                                   data_prefix=dict(seg_map_path='mine'),
                                   pipeline=[*LOAD, PACK])
    assert (dataset[1]['data_samples'].gt_sem_seg.sem_seg == 2).all()
