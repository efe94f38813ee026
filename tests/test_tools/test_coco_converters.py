# Copyright (c) mmbombo contributors.
"""Lists and semantic maps of COCO, on files with every kind of annotation."""
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image
from pycocotools import mask as mask_utils
from toolbox import coco_categories, load_script, write_coco

from mmbombo.datasets import DatasetError
from mmbombo.datasets.coco_json import MAP_RECORD
from mmbombo.registry import DATASETS

ROOT = Path(__file__).resolve().parents[2]
CONVERTERS = ROOT / 'tools/dataset_converters'
sys.path.insert(0, str(CONVERTERS))  # where the tools find their parts
NAMES = [category['name'] for category in coco_categories()]
IDS = {category['name']: category['id'] for category in coco_categories()}


semantic = load_script(CONVERTERS / 'coco_semantic.py')
lists = load_script(CONVERTERS / 'coco_lists.py')


def run(tool, *args):
    tool.main([*map(str, args)])


def rectangle(x1, y1, x2, y2):
    return [float(v) for v in (x1, y1, x2, y1, x2, y2, x1, y2)]


def run_lengths(mask):
    """Uncompressed run lengths, column by column, the first of zeros."""
    pixels = np.r_[0, mask.T.ravel()]
    ends = np.flatnonzero(np.diff(np.r_[pixels, 2]))
    counts = np.diff(np.r_[0, ends])
    return dict(size=list(mask.shape), counts=[int(n) for n in counts])


def block(shape, rows, columns):
    mask = np.zeros(shape, np.uint8)
    mask[rows, columns] = 1
    return mask


def annotation(number, name, segmentation, image=1, crowd=0, **kwargs):
    return dict(
        dict(id=number, image_id=image, category_id=IDS[name],
             bbox=[0, 0, 5, 5], area=25, iscrowd=crowd,
             segmentation=segmentation), **kwargs)


def write_instances(path, annotations, num_images=2, **changes):
    images = [
        dict(id=i, file_name=f'{i:012d}.jpg', height=20, width=30)
        for i in range(1, num_images + 1)
    ]
    path.write_text(
        json.dumps(
            dict(
                dict(info=dict(year=2017), images=images,
                     annotations=annotations, categories=coco_categories()),
                **changes)))
    return path


def read_map(path):
    with Image.open(path) as image:
        assert image.mode == 'P'
        return np.array(image)


def test_every_kind_of_segmentation(tmp_path):
    shape = (20, 30)
    compressed = mask_utils.encode(
        np.asfortranarray(block(shape, slice(0, 4), slice(0, 6))))
    compressed['counts'] = compressed['counts'].decode()
    annotations = [
        # small, first in the file, inside the large one
        annotation(1, 'cat', [rectangle(12, 8, 16, 12)]),
        # large, in two parts
        annotation(2, 'dog',
                   [rectangle(10, 6, 20, 14),
                    rectangle(24, 6, 28, 10)]),
        annotation(3, 'person', compressed),
        annotation(4, 'toothbrush',
                   run_lengths(block(shape, slice(16, 20), slice(0, 5)))),
        # a crowd that reaches over the large one
        annotation(
            5,
            'person',
            run_lengths(block(shape, slice(12, 20), slice(8, 30))),
            crowd=1),
        # a line has no pixels
        annotation(6, 'bus', [[1., 1., 9., 9.]]),
    ]
    file = write_instances(tmp_path / 'instances.json', annotations)
    run(semantic, file, tmp_path / 'maps', '--jobs', 2)
    expected = np.zeros(shape, np.uint8)
    expected[12:20, 8:30] = 255
    expected[6:14, 10:20] = expected[6:10, 24:28] = 1 + NAMES.index('dog')
    expected[8:12, 12:16] = 1 + NAMES.index('cat')
    expected[0:4, 0:6] = 1
    expected[16:20, 0:5] = 80
    np.testing.assert_array_equal(
        read_map(tmp_path / 'maps/000000000001.png'), expected)
    # an image without annotations is background
    assert not read_map(tmp_path / 'maps/000000000002.png').any()


@pytest.mark.parametrize('order', [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_the_smaller_object_is_on_top_whatever_the_order(order):
    # by drawn pixels, though the large one says that its area is 1
    objects = [
        (annotation(1, 'cat', [rectangle(0, 0, 20, 20)], area=1), 7),
        (annotation(2, 'cat', [rectangle(4, 4, 16, 16)], area=900), 8),
        (annotation(3, 'cat', [rectangle(8, 8, 12, 12)], area=500), 9),
    ]
    ids = semantic.draw_map((20, 30), [objects[i] for i in order])
    expected = np.zeros((20, 30), int)
    expected[:, :20], expected[4:16, 4:16], expected[8:12, 8:12] = 7, 8, 9
    np.testing.assert_array_equal(ids, expected)


def test_interrupted_run_continues(tmp_path, capsys):
    file = write_instances(
        tmp_path / 'instances.json',
        [annotation(1, 'cat', [rectangle(2, 2, 9, 9)])],
        num_images=5)
    out = tmp_path / 'maps'
    run(semantic, file, out, '--jobs', 2)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    times = {path.name: path.stat().st_mtime_ns for path in out.glob('*.png')}
    (out / '000000000001.png').unlink()
    run(semantic, file, out, '--jobs', 2)
    assert '4 of 5 maps are there' in capsys.readouterr().out
    assert {p.name: p.read_bytes() for p in out.iterdir()} == before
    for path in out.glob('*[2-5].png'):
        assert path.stat().st_mtime_ns == times[path.name]
    # maps of two files do not mix
    write_instances(file, [annotation(1, 'cat', [rectangle(2, 2, 9, 9)])])
    with pytest.raises(SystemExit, match='maps of another file'):
        run(semantic, file, out, '--jobs', 1)
    (out / 'semantic.json').unlink()
    with pytest.raises(SystemExit, match='maps of another file'):
        run(semantic, file, out, '--jobs', 1)


def test_maps_are_named_as_the_images(tmp_path):
    images = [
        dict(id=i, file_name=name, height=20, width=30)
        for i, name in enumerate(['a/1.jpg', 'b/1.jpg', '1.v2.jpg'], start=1)
    ]
    file = write_instances(
        tmp_path / 'instances.json',
        [annotation(1, 'person', [rectangle(0, 0, 30, 20)], image=2)],
        images=images)
    out = tmp_path / 'maps'
    run(semantic, file, out, '--jobs', 1)
    assert {
        path.relative_to(out).as_posix(): read_map(path).max()
        for path in out.rglob('*.png')
    } == {'a/1.png': 0, 'b/1.png': 1, '1.v2.png': 0}


@pytest.mark.parametrize('name',
                         [None, '/1.jpg', 'a/../1.jpg'])
@pytest.mark.parametrize('tool', [semantic, lists])
def test_names_outside_the_folder(tmp_path, tool, name):
    image = dict(id=5, file_name=name, height=20, width=30)
    if name is None:  # as in LVIS
        del image['file_name']
    file = write_instances(
        tmp_path / 'bad.json',
        [annotation(1, 'cat', [rectangle(2, 2, 9, 9)], image=5)],
        images=[image])
    message = f'bad.json: image 5 has the file_name {name!r}'
    with pytest.raises(SystemExit, match=message):
        run(tool, file, *['maps'] * (tool is semantic))


@pytest.mark.parametrize('segmentation, message', [
    (None, 'must be polygons'),
    (dict(size=[30, 20], counts=[600]), r'of the size \[20, 30\]'),
    (dict(size=[20, 30], counts=[599]), 'sum up to 599 of 600'),
])
def test_bad_segmentations(tmp_path, segmentation, message):
    file = write_instances(tmp_path / 'bad.json',
                           [annotation(7, 'cat', segmentation)])
    with pytest.raises(SystemExit, match=f'annotation 7: .*{message}'):
        run(semantic, file, tmp_path / 'maps', '--jobs', 1)
    assert not (tmp_path / 'maps/000000000001.png').exists()
    assert not list((tmp_path / 'maps').glob('.*'))


def test_other_categories(tmp_path):
    categories = [dict(id=4, name='tree'), dict(id=2, name='tank')]
    file = write_instances(
        tmp_path / 'own.json', [
            annotation(1, 'cat', [rectangle(2, 2, 9, 9)], category_id=4),
        ],
        categories=categories)
    with pytest.raises(SystemExit, match="own.json has no category.*'tank'"):
        run(semantic, file, tmp_path / 'maps', '--jobs', 1)
    run(semantic, file, tmp_path / 'maps', '--jobs', 1,
        '--any-classes')
    ids = read_map(tmp_path / 'maps/000000000001.png')
    assert set(np.unique(ids)) == {0, 2}
    record = json.loads((tmp_path / 'maps/semantic.json').read_text())
    assert record['classes'] == ['background', 'tank', 'tree']


def ids_of(path):
    return {image['id'] for image in json.loads(path.read_text())['images']}


def test_lists(tmp_path, capsys):
    annotations = [
        annotation(i, NAMES[i % 3], [rectangle(2, 2, 9, 9)], image=i)
        for i in range(1, 41)
    ]
    # One image has only a crowd region, and one has none; both are unusable.
    annotations[7]['iscrowd'] = 1
    annotations.append(annotation(99, 'bus', [[0] * 6], image=1, crowd=1))
    file = write_instances(tmp_path / 'all.json', annotations, num_images=41)
    small, large = tmp_path / 'small', tmp_path / 'large'
    run(lists, file, '--out', small)  # an eighth each
    run(lists, file, '--out', large, '--det', '0.4', '--seg', 20)
    sizes = [(small, 4, 4), (large, 15, 20)]
    for out, num_det, num_seg in sizes:
        det, seg = (ids_of(out / f'{n}_train.json') for n in ('det', 'seg'))
        assert (len(det), len(seg)) == (num_det, num_seg)
        assert not det & seg and not (det | seg) & {8, 41}
    for name in ('det', 'seg'):
        assert ids_of(small / f'{name}_train.json') < ids_of(
            large / f'{name}_train.json')

    again = tmp_path / 'again'
    run(lists, file, '--out', again)
    for path in small.iterdir():
        assert path.read_bytes() == (again / path.name).read_bytes()
    run(lists, file, '--out', again, '--seed', 1)
    assert ids_of(again / 'det_train.json') != ids_of(small / 'det_train.json')

    det = json.loads((large / 'det_train.json').read_text())
    assert 'segmentation' not in det['annotations'][0]
    assert det['categories'] == coco_categories()


def test_the_order_does_not_depend_on_the_machine():
    for ids in (range(1, 9), range(8, 0, -1)):
        assert lists.rank(ids, 0) == [6, 4, 2, 1, 7, 5, 8, 3]


@pytest.mark.parametrize('args, message', [
    (('--det', 3, '--seg', 2), r'ask for 3 \+ 2 images; 4 are'),
    (('--det', '0.01', '--seg', 1), r'ask for 0 \+ 1 images; 4 are'),
])
def test_lists_that_cannot_be(tmp_path, args, message):
    file = write_instances(
        tmp_path / 'all.json',
        [annotation(i, 'cat', [], image=i) for i in range(1, 5)],
        num_images=4)
    with pytest.raises(SystemExit, match=message):
        run(lists, file, *args)
    with pytest.raises(SystemExit):
        run(lists, file, '--det', 'some')


@pytest.fixture(scope='module')
def coco(tmp_path_factory):
    """A small COCO 2017 with lists and maps."""
    root = write_coco(tmp_path_factory.mktemp('coco') / 'coco')
    folder = root / 'annotations'
    run(lists, folder / 'instances_train2017.json', '--det', '1/3', '--seg',
        '1/3')
    run(semantic, folder / 'instances_train2017.json',
        root / 'semantic/train2017', '--jobs', 2, '--only',
        folder / 'mmbombo/seg_train.json', folder / 'mmbombo/det_train.json')
    run(semantic, folder / 'instances_val2017.json', root / 'semantic/val2017',
        '--jobs', 2)
    return root


def test_only_the_listed_images_are_drawn(coco, tmp_path):
    drawn = {int(p.stem) for p in (coco / 'semantic/train2017').glob('*.png')}
    folder = coco / 'annotations/mmbombo'
    assert drawn == ids_of(folder / 'det_train.json') | ids_of(
        folder / 'seg_train.json')
    assert len(drawn) == 6
    with pytest.raises(SystemExit, match='3 images of --only'):
        run(semantic, coco / 'annotations/instances_val2017.json',
            tmp_path / 'maps', '--only', folder / 'det_train.json')


@pytest.mark.parametrize('name', ['coco', 'coco_paper'])
def test_data_configs(coco, monkeypatch, name):
    monkeypatch.setenv('COCO_ROOT', str(coco))
    cfg = Config.fromfile(ROOT / f'configs/_base_/datasets/{name}.py')
    assert list(cfg.det_classes) == NAMES
    det, seg = DATASETS.build(cfg.train_dataloader.dataset).datasets
    assert len(det) == len(seg) == 3
    for index in range(3):
        sample = det[index]['data_samples']
        assert 'gt_instances' in sample and 'gt_sem_seg' not in sample
        sample = seg[index]['data_samples']
        assert 'gt_sem_seg' in sample and 'gt_instances' not in sample
        ids = set(sample.gt_sem_seg.sem_seg.unique().tolist())
        assert ids & set(range(1, 81))
    val = DATASETS.build(cfg.val_dataloader.dataset)
    assert len(val) == 4
    crowds = 0
    for index in range(4):
        packed = val[index]
        sample = packed['data_samples']
        # ground truth stays at the original size, the image is resized
        assert sample.gt_sem_seg.shape == (80, 96)
        assert packed['inputs'].shape[1:] == ((320, 320) if name
                                              == 'coco_paper' else (640, 768))
        ids = sample.gt_sem_seg.sem_seg[0].numpy()
        for instance in sample.instances:
            x1, y1, x2, y2 = map(int, instance['bbox'])
            inside = ids[y1:y2, x1:x2]
            crowds += instance['ignore_flag']
            expected = 255 if instance['ignore_flag'] else \
                1 + instance['bbox_label']
            assert (inside == expected).any()
        assert (ids == 0).any()
    assert crowds == 1


def test_background_ignored_with_the_same_files(coco, monkeypatch):
    monkeypatch.setenv('COCO_ROOT', f'{coco}/')
    name = 'configs/bombo/bombo_r18_cem-fpn_anchor_coco'
    plain, paper = (
        DATASETS.build(
            Config.fromfile(ROOT / f'{name}{what}.py').val_dataloader.dataset)
        for what in ('', '-foreground'))
    for index in range(4):
        with_it, without = (
            data[index]['data_samples'].gt_sem_seg.sem_seg
            for data in (plain, paper))
        assert (with_it == 0).any()
        expected = with_it.clone()
        expected[expected == 0] = 255
        assert (without == expected).all()


def test_maps_of_other_classes_are_refused(coco, monkeypatch):
    monkeypatch.setenv('COCO_ROOT', f'{coco}/')
    cfg = Config.fromfile(ROOT / 'configs/_base_/datasets/coco.py')
    dataset = cfg.val_dataloader.dataset
    classes = list(cfg.seg_classes)
    classes[3], classes[4] = classes[4], classes[3]
    dataset.metainfo.seg_classes = classes
    with pytest.raises(DatasetError, match="id 3 of these maps is 'car'"):
        DATASETS.build(dataset)
    (coco / 'semantic/val2017' / MAP_RECORD).write_text('[]')
    with pytest.raises(DatasetError, match='not a record of coco_semantic'):
        DATASETS.build(dataset)


def test_masks_that_are_not_drawn_yet(coco, monkeypatch):
    monkeypatch.setenv('COCO_ROOT', f'{coco}/')
    cfg = Config.fromfile(ROOT / 'configs/_base_/datasets/coco.py')
    dataset = cfg.val_dataloader.dataset
    assert f'{coco}/semantic/train2017 ' in dataset.data_help
    dataset.dataset.data_prefix.seg = 'semantic/nowhere/'
    with pytest.raises(DatasetError) as error:
        DATASETS.build(dataset)
    assert 'semantic/nowhere' in str(error.value)
    assert 'coco_semantic.py' in str(error.value)
