# Copyright (c) mmbombo contributors.
"""PhotoStamps: what is on disk is true, disjoint and repeatable."""
import json
import os
import struct
import subprocess
import sys
import xml.etree.ElementTree as ET
import zlib
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

CONVERTERS = Path(__file__).parents[2] / 'tools' / 'dataset_converters'
sys.path.insert(0, str(CONVERTERS))

import photo_stamps  # noqa: E402
from photo_stamps_parts import (backdrops, debian, photos,  # noqa: E402
                                pictures, stamps, stuff, voc)
from photo_stamps_parts.material import (PARTS, SHAPE_CLASSES,  # noqa: E402
                                         SHAPE_STUFF_CLASSES, STUFF_CLASSES,
                                         Background, Cutout, Material,
                                         PhotoStampsError, divide)
from photo_stamps_parts.rcc import read_rcc  # noqa: E402

SMALL = '--num-train 24 --num-val 8'
# Sums of many images, for rates.
LARGE = '--num-train 120 --num-val 40'
# The digest of LARGE shapes when results with this code were first recorded.
RECORDED = 'c7e195cf222657b6101fa7d7aaf380139eea492c25d78e2c1488ee76d9757416'
RECORDED_WITH = dict(
    python='3.11', numpy='2.2.6', opencv='4.12.0', pillow='13.0.0')


def draw(out, options=SMALL, jobs=1, data='shapes'):
    photo_stamps.main([
        '--data', data, '--out',
        str(out), '--jobs',
        str(jobs), '--short-side', '64', '96', *options.split()
    ])


@pytest.fixture(scope='module')
def tree(tmp_path_factory):
    root = tmp_path_factory.mktemp('stamps') / 'shapes'
    draw(root, LARGE, jobs=2)
    return root


@pytest.fixture(scope='module')
def manifest(tree):
    return json.loads((tree / 'manifest.json').read_text())


@pytest.fixture(scope='module')
def provenance(tree):
    return json.loads((tree / 'provenance.json').read_text())


def read_list(root, name):
    return (root / 'ImageSets/Main' / f'{name}.txt').read_text().split()


def read_ids(path):
    with Image.open(path) as image:
        assert image.mode == 'P'
        return np.array(image)


def contents(root):
    return {
        p.relative_to(root).as_posix(): p.read_bytes()
        for p in root.rglob('*') if p.is_file()
    }


def read_objects(root, image_id):
    """Name, 0-based inclusive box and truncated flag of each object."""
    xml = ET.parse(root / 'Annotations' / f'{image_id}.xml').getroot()
    for node in xml.iter('object'):
        box = [int(node.findtext(f'bndbox/{k}')) - 1
               for k in ('xmin', 'ymin', 'xmax', 'ymax')]
        assert node.findtext('difficult') == '0'
        yield node.findtext('name'), box, node.findtext('truncated') == '1'


def test_lists_and_files(tree):
    det, seg, val = (read_list(tree, name)
                     for name in ('det_train', 'seg_train', 'val'))
    assert (len(det), len(seg), len(val)) == (60, 60, 40)
    assert read_list(tree, 'train') == det + seg
    for folder in ('JPEGImages', 'Annotations', 'SegmentationClass',
                   'SegmentationObject'):
        assert {p.stem for p in (tree / folder).iterdir()} == {
            *det, *seg, *val}
    # in the format of sha256sum
    subprocess.run(['sha256sum', '--check', '--quiet', 'files.sha256'],
                   cwd=tree, check=True)


def test_boxes_are_extents_of_visible_masks(tree):
    classes = (tree / 'classes.txt').read_text().split()
    assert classes == list(SHAPE_CLASSES)
    for image_id in read_list(tree, 'train') + read_list(tree, 'val'):
        masks = read_ids(tree / 'SegmentationClass' / f'{image_id}.png')
        objects = read_ids(tree / 'SegmentationObject' / f'{image_id}.png')
        with Image.open(tree / 'JPEGImages' / f'{image_id}.jpg') as image:
            assert image.mode == 'RGB'
            assert image.size == masks.shape[::-1] == objects.shape[::-1]
        expected = np.zeros_like(masks)
        found = list(read_objects(tree, image_id))
        assert 1 <= len(found) <= 5
        assert set(np.unique(objects)) - {0} == set(range(1, len(found) + 1))
        for i, (name, box, _) in enumerate(found, start=1):
            rows, columns = np.nonzero(objects == i)
            assert box == [
                columns.min(), rows.min(), columns.max(), rows.max()
            ]
            assert len(rows) >= 64
            expected[objects == i] = 1 + classes.index(name)
        # No 255 rim, nothing but the objects.
        np.testing.assert_array_equal(masks, expected)


def test_parts_share_nothing(provenance):
    used = {part: set() for part in PARTS}
    for image in provenance.values():
        used[image['part']].add(image['background'])
        used[image['part']].update(x['cutout'] for x in image['objects'])
    assert len(set.union(*used.values())) == sum(map(len, used.values()))


def test_scenes_are_crowded_as_promised(provenance):
    images = list(provenance.values())
    things = [x for image in images for x in image['objects']]
    assert .25 < np.mean([image['touching'] for image in images]) < .6
    assert .08 < np.mean([x['truncated'] for x in things]) < .5
    assert .08 < np.mean([x['occluded'] for x in things]) < .6
    assert {x['label'] for x in things} == set(SHAPE_CLASSES)


def test_files_are_those_of_version_0_1(manifest):
    if manifest['libraries'] != RECORDED_WITH:
        pytest.skip(f'drawn with {manifest["libraries"]}')
    assert manifest['digest'] == RECORDED


def test_same_bytes_for_any_number_of_jobs_and_images(tmp_path, tree):
    draw(tmp_path / 'one')
    draw(tmp_path / 'two', jobs=2)
    assert contents(tmp_path / 'one') == contents(tmp_path / 'two')
    for name in ('JPEGImages/seg_000011.jpg', 'Annotations/val_000007.xml'):
        assert (tmp_path / 'one' / name).read_bytes() == (
            tree / name).read_bytes()


def test_a_tree_is_drawn_once_beside_strangers(tmp_path, capsys):
    root = tmp_path / 'set'
    (root / 'cache').mkdir(parents=True)
    draw(root)
    times = {p: p.stat().st_mtime_ns for p in root.rglob('*')}
    draw(root)
    assert 'is there already' in capsys.readouterr().out
    assert times == {p: p.stat().st_mtime_ns for p in root.rglob('*')}
    with pytest.raises(SystemExit, match='of other options'):
        draw(root, '--num-train 24 --num-val 4')
    assert times == {p: p.stat().st_mtime_ns for p in root.rglob('*')}


def test_interrupted_run_leaves_nothing_finished(tmp_path, monkeypatch):
    root = tmp_path / 'set'

    def stop(*_):
        raise RuntimeError('stopped')

    monkeypatch.setattr(voc, 'write', stop)
    with pytest.raises(RuntimeError, match='stopped'):
        draw(root)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.undo()
    # as a killed run leaves it
    partial = tmp_path / 'set.partial' / 'JPEGImages'
    partial.mkdir(parents=True)
    (partial / 'det_000099.jpg').write_bytes(b'half')
    draw(root)
    assert not (root / 'JPEGImages/det_000099.jpg').exists()
    assert not partial.exists()


@pytest.mark.parametrize('manifest', [None, '{"name": "an app"}'])
def test_foreign_folder_is_not_overwritten(tmp_path, manifest):
    (tmp_path / 'Annotations').mkdir()
    if manifest:
        (tmp_path / 'manifest.json').write_text(manifest)
    with pytest.raises(SystemExit, match='did not finish'):
        draw(tmp_path)


@pytest.mark.parametrize('options', [
    '--short-side 96 64', '--short-side 4 8', '--num-train 1', '--num-val 0'
])
def test_bad_options(options, capsys):
    with pytest.raises(SystemExit):
        photo_stamps.parse_args(options.split())
    assert options.split()[0] in capsys.readouterr().err


def test_manifest_and_masks_tell_classes_and_colors(tree, manifest):
    assert manifest['classes'] == list(SHAPE_CLASSES)
    assert manifest['seg_classes'] == ['background', *SHAPE_CLASSES]
    assert manifest['libraries']['numpy'] == np.__version__
    with Image.open(next((tree / 'SegmentationClass').iterdir())) as image:
        palette = np.reshape(image.getpalette(), (-1, 3))
    # The published VOC colors of background, aeroplane, bicycle, person.
    np.testing.assert_array_equal(
        palette[[0, 1, 2, 15]],
        [[0, 0, 0], [128, 0, 0], [0, 128, 0], [192, 128, 128]])


# -- segments and instances ------------------------------------------------


def read_coco(root, name):
    """Of each image its id, segments, PNG and instances with masks."""
    files = [json.loads((root / folder / f'{name}.json').read_text())
             for folder in ('panoptic', 'instances')]
    assert files[0]['images'] == files[1]['images']
    for image, segments in zip(files[0]['images'], files[0]['annotations']):
        instances = [x for x in files[1]['annotations']
                     if x['image_id'] == image['id'] == segments['image_id']]
        for x in instances:
            x['mask'] = coco_mask.decode(x['segmentation']).astype(bool)
        with Image.open(
                root / 'panoptic' / name / segments['file_name']) as png:
            ids = np.array(png) @ [1, 256, 256**2]
        assert ids.shape == (image['height'], image['width'])
        yield (image['file_name'][:-4], segments['segments_info'], ids,
               instances, files[0]['categories'])


@pytest.mark.parametrize('options', ['', '--stuff'])
def test_segments_and_instances_are_those_of_the_masks(options, tmp_path):
    draw(tmp_path, f'{SMALL} {options}')
    names = json.loads((tmp_path / 'manifest.json').read_text())['seg_classes']
    found = {name: list(read_coco(tmp_path, name))
             for name in ('train', 'val')}
    assert {name: [x[0] for x in images] for name, images in found.items()
            } == {name: read_list(tmp_path, name) for name in found}
    hidden = 0
    for image_id, segments, ids, instances, categories in (
            x for images in found.values() for x in images):
        masks = read_ids(tmp_path / 'SegmentationClass' / f'{image_id}.png')
        objects = read_ids(tmp_path / 'SegmentationObject' / f'{image_id}.png')
        category = {x['id']: x for x in categories}
        assert sorted(x['id'] for x in segments) == np.unique(ids).tolist()
        for x in segments:
            mask = ids == x['id']
            kind = category[x['category_id']]
            assert {names[i] for i in np.unique(masks[mask])} == {kind['name']}
            assert kind['isthing'] == (kind['name'] in SHAPE_CLASSES)
            of_objects = objects[mask] > 0
            assert of_objects.all() == of_objects.any() == kind['isthing']
            rows, columns = np.nonzero(mask)
            x0, y0, width, height = x['bbox']
            assert (x0, y0) == (columns.min(), rows.min())
            assert (x0 + width - 1, y0 + height - 1) == (
                columns.max(), rows.max())
            assert x['area'] == mask.sum()
        things = [x for x in segments
                  if category[x['category_id']]['isthing']]
        assert len(things) == len(instances) == objects.max()
        for thing, instance in zip(things, instances):
            assert thing['category_id'] == instance['category_id']
            visible = objects == thing['id']
            assert instance['mask'][visible].all()
            hidden += instance['area'] > visible.sum()
            # nothing but another object hides it
            assert objects[instance['mask']].all()
    assert hidden > 10


def rule_holds(order, top, low):
    if order == 'size':
        return top['area'] <= low['area']
    return (low['category_id'] - top['category_id']) % 4 in (
        (1, 2) if top['category_id'] < low['category_id'] else (1, ))


@pytest.mark.parametrize('order', ['pairs', 'size'])
def test_a_rule_says_who_is_on_top(order, tmp_path):
    draw(tmp_path, f'--num-train 40 --num-val 1 --order {order}')
    smaller, pairs = 0, 0
    for _, _, ids, instances, _ in read_coco(tmp_path, 'train'):
        for i, low in enumerate(instances):
            # bottom to top, as they were pasted
            for j, top in enumerate(instances[i + 1:], start=i + 1):
                both = low['mask'] & top['mask']
                if not both.any():
                    continue
                assert not (ids[both] == i + 1).any()
                if low['category_id'] != top['category_id']:
                    assert rule_holds(order, top, low)
                    smaller += top['area'] < low['area']
                    pairs += 1
    assert pairs > 25
    if order == 'pairs':
        assert .3 < smaller / pairs < .7


# -- stuff -----------------------------------------------------------------


def test_scenes_with_stuff(tmp_path):
    draw(tmp_path, f'{SMALL} --stuff')
    manifest = json.loads((tmp_path / 'manifest.json').read_text())
    images = json.loads((tmp_path / 'provenance.json').read_text())
    names = manifest['seg_classes']
    assert names == [*SHAPE_STUFF_CLASSES, *SHAPE_CLASSES]
    seen = set()
    for image_id, record in images.items():
        masks = read_ids(tmp_path / 'SegmentationClass' / f'{image_id}.png')
        objects = read_ids(tmp_path / 'SegmentationObject' / f'{image_id}.png')
        for i, (name, _, _) in enumerate(read_objects(tmp_path, image_id), 1):
            assert {names[k] for k in np.unique(masks[objects == i])} == {name}
        shown = {names[k] for k in np.unique(masks[objects == 0])}
        # objects may hide a region
        assert shown <= set(record['background'])
        assert 2 <= len(record['background']) <= 3
        seen |= shown
    assert seen == set(SHAPE_STUFF_CLASSES)
    used = [{
        name
        for image in images.values() if image['part'] == part
        for name in image['background'].values()
    } for part in PARTS]
    assert len(set.union(*used)) == sum(map(len, used))


def test_a_place_shows_one_class_of_stuff():
    assert tuple(stuff.REGIONS) == STUFF_CLASSES
    class_of = {}
    for label, regions in stuff.REGIONS.items():
        for name, (left, top, right, bottom) in regions.items():
            assert 0 <= left < right <= 100 and 0 <= top < bottom <= 100
            place = name.split('/')[1].replace('_background', '').lower()
            place = backdrops.PLACES.get(place, place)
            assert class_of.setdefault(place, label) == label


def test_stuff_is_cut_from_photographs():
    pixels = np.random.default_rng(0).integers(
        0, 255, (300, 400, 3), dtype=np.uint8)
    found = stuff.cut_stuff([
        Background(name, 'f', 'g', pixels)
        for name in ('details/GizahPyramids_background', 'other')
    ])
    assert [STUFF_CLASSES[x.label] for x in found] == ['ground']
    # 63 rows, mirrored
    np.testing.assert_array_equal(found[0].pixels[:126],
                                  np.vstack([pixels[237:], pixels[:236:-1]]))
    assert found[0].pixels.shape == (200, 400, 3)


# -- selection -------------------------------------------------------------


def material(number, group_of=str):
    pixel = np.zeros((1, 1, 4), np.uint8)
    return Material(('a', ), [
        Cutout(f'a/{i:02d}', 0, 'f' + str(i % 2), group_of(i), pixel, True)
        for i in range(number)
    ], [
        Background(f'b/{i:02d}', 'f', str(i), pixel[..., :3])
        for i in range(number)
    ], [], {})


def test_division_gives_all_and_keeps_groups_together():
    pools = divide(material(24, lambda i: str(i // 4 * 4)), seed=0)
    names = {p: {c.name for c in pools[p].cutouts[0]} for p in PARTS}
    assert sum(map(len, names.values())) == 24
    assert len(set.union(*names.values())) == 24
    for part in PARTS:
        groups = [c.group for c in pools[part].cutouts[0]]
        # Whole groups, seen from both families.
        assert groups and all(groups.count(g) in (2, 4) for g in groups)


def test_division_shares():
    pools = divide(material(40), seed=3)
    assert [len(pools[p].cutouts[0]) for p in PARTS] == [15, 15, 10]
    assert [len(pools[p].backgrounds[0]) for p in PARTS] == [15, 15, 10]
    names = [{c.name for c in x['val'].cutouts[0]}
             for x in (pools, divide(material(40), seed=4))]
    assert names[0] != names[1]
    with pytest.raises(PhotoStampsError, match='class "a": 2'):
        divide(material(2), seed=0)
    few = replace(material(8), stuff=('sky', 'sea'))
    with pytest.raises(PhotoStampsError, match='class "sea": 0'):
        divide(few, seed=0)


def test_color_entropy():
    flat = np.full((8, 8, 4), 255, np.uint8)
    assert pictures.color_entropy(flat) == 0
    four = flat.copy()
    four[:4, :4, 0], four[:4, 4:, 1], four[4:, :4, 2] = 0, 0, 0
    assert pictures.color_entropy(four) == pytest.approx(2)
    # Invisible colors do not count.
    four[:, 4:, 3] = 0
    assert pictures.color_entropy(four) == pytest.approx(1)


def test_trim_keeps_colors_of_the_object():
    rgba = np.zeros((900, 500, 4), np.uint8)
    rgba[..., :3] = (0, 255, 0)
    rgba[50:850, 100:400] = (200, 10, 10, 255)
    small = pictures.trim_cutout(rgba)
    assert small.shape == (400, 150, 4)
    assert (small == (200, 10, 10, 255)).all()


def test_hard_edges_are_softened_and_soft_ones_kept():
    hard = np.full((40, 40, 4), 255, np.uint8)
    hard[:5, :, 3] = 0
    soft = pictures.soften_hard_edge(hard)
    assert soft[20, 20, 3] == 255 and soft[2, 20, 3] == 0
    assert 0 < soft[5, 20, 3] < 128 < soft[6, 20, 3] < 255
    assert pictures.soften_hard_edge(soft) is soft


def test_class_of_stamp():
    for name, expected in {
            'animals/birds/owl': 'bird',
            'animals/birds/cartoon/tux': None,
            'animals/mammals/bovines/cow': 'mammal',
            'animals/mammals/aquatic/whale': None,
            'food/fruit/apple_red': 'produce',
            'food/fruit/apple_green': None,
            'household/tools/measuring_tape_mirror': None,
            'clothes/clothespin_old': 'household',
            'clothes/hats/sombrero': None,
            'symbols/money/euro/coins/100': 'coin',
            'symbols/money/00_symbols/dollar': None
    }.items():
        assert stamps.class_of(name) == expected, name


# -- resource files --------------------------------------------------------


def make_rcc(files, compress=False):
    """A resource file (format 2) of one folder with the given files."""
    names, data, nodes = b'', b'', []

    def name_at(text):
        nonlocal names
        at, encoded = len(names), text.encode('utf-16-be')
        names += struct.pack('>HI', len(text), 0) + encoded
        return at

    nodes.append(struct.pack('>IHIIQ', 0, 2, 1, 1, 0))
    nodes.append(struct.pack('>IHIIQ', name_at('pics'), 2, len(files), 2, 0))
    for name, content in files.items():
        if compress:
            content = struct.pack('>I', len(content)) + zlib.compress(content)
        nodes.append(
            struct.pack('>IHHHIQ', name_at(name), int(compress), 0, 0,
                        len(data), 0))
        data += struct.pack('>I', len(content)) + content
    tree = b''.join(nodes)
    header = struct.pack('>4s4I', b'qres', 2, 20, 20 + len(tree),
                         20 + len(tree) + len(data))
    return header + tree + data + names


@pytest.mark.parametrize('compress', [False, True])
def test_read_rcc(compress):
    files = {'a.png': b'first', 'b-ü.jpg': b'second' * 9}
    content = make_rcc(files, compress)
    assert dict(read_rcc(content)) == {
        f'pics/{k}': v for k, v in files.items()}
    with pytest.raises(ValueError, match='no Qt resource file'):
        list(read_rcc(b'PK' + content[2:]))


# -- photographs -----------------------------------------------------------


@pytest.fixture(scope='module')
def packages(tmp_path_factory):
    """Four cut-outs of each class, and four backgrounds among others."""
    root = tmp_path_factory.mktemp('sources')
    rng = np.random.default_rng(0)

    def picture(*size):
        pixels = rng.integers(0, 255, size, dtype=np.uint8)
        return cv2.imencode('.png', pixels)[1].tobytes()

    folder = root / photos.STAMPS / 'usr/share/tuxpaint/stamps'
    for name in ('animals/birds', 'animals/mammals', 'plants/flowers',
                 'food/nuts', 'household', 'symbols/money'):
        (folder / name).mkdir(parents=True)
        for i in range(4):
            rgba = rng.integers(0, 255, (50, 60, 4), dtype=np.uint8)
            rgba[..., 3] = 0
            rgba[5:45, 5:55, 3] = 255
            Image.fromarray(rgba).save(folder / name / f'{i}.png')
        # clip art
        flat = np.full((60, 60, 4), 255, np.uint8)
        Image.fromarray(flat).save(folder / name / 'flat.png')
    place = 'gcompris/src/activities/explore_monuments/resource/egypt/'
    entries = {f'{place}{i}_background.png': picture(210, 300, 3)
               for i in range(4)}
    entries[place + 'again.png'] = entries[place + '0_background.png']
    entries[place + 'small.png'] = picture(100, 300, 3)
    entries[place + 'cut.png'] = picture(210, 300, 4)
    entries['gcompris/src/activities/erase/resource/horse.png'] = picture(
        210, 300, 3)
    for name in (photos.STAMPS, photos.BACKDROPS):
        notice = root / name / 'usr/share/doc' / name / 'copyright'
        notice.parent.mkdir(parents=True)
        notice.write_text(f'of {name}')
    (root / photos.BACKDROPS / 'a.rcc').write_bytes(make_rcc(entries))
    return root, entries[place + '1_background.png']


def test_photographs(packages, tmp_path):
    folder, background = packages
    draw(tmp_path / 'set', f'{SMALL} --download-dir {folder}', data='photos')
    record = json.loads((tmp_path / 'set/manifest.json').read_text())
    assert record['classes'] == [
        'bird', 'mammal', 'flower', 'produce', 'household', 'coin'
    ]
    assert [package['name'] for package in record['packages']] == [
        'tuxpaint-stamps-default', 'gcompris-qt-data'
    ]
    found = photos.gather_photos(folder)
    assert sorted(x.name for x in found.cutouts if x.label == 0) == [
        f'animals/birds/{i}' for i in range(4)]
    assert sorted(x.name for x in found.backgrounds) == [
        f'explore_monuments/{i}_background' for i in range(4)]
    notices = tmp_path / 'set/licences'
    assert (notices / 'gcompris-qt-data.copyright'
            ).read_text() == 'of gcompris-qt-data'
    assert 'tuxpaint-stamps-default' in (notices / 'NOTICE.txt').read_text()
    np.testing.assert_array_equal(
        found.backgrounds[1].pixels[..., ::-1],
        cv2.imdecode(np.frombuffer(background, np.uint8), 1))


# -- fetching --------------------------------------------------------------


@pytest.fixture
def apt(tmp_path, monkeypatch):
    """Puts tools on a PATH that has no other."""
    monkeypatch.setenv('PATH', str(tmp_path))

    def make_tool(name, script):
        (tmp_path / name).write_text('#!/bin/sh\n' + script)
        (tmp_path / name).chmod(0o755)

    return make_tool


@pytest.mark.parametrize('script, message', [
    (None, "No such file or directory: 'apt-get'"),
    ('exit 100', 'exit status 100(?s:.*)sudo apt-get update'),
])
def test_failed_download_names_the_remedy(apt, tmp_path, script, message):
    if script:
        apt('apt-get', script)
    with pytest.raises(PhotoStampsError, match=message) as error:
        debian.fetch_package('some-stamps', tmp_path / 'down')
    assert 'down/some-stamps, or draw shapes' in str(error.value)
    assert list((tmp_path / 'down').iterdir()) == []


def test_fetch_unpacks_once(apt, tmp_path):
    apt('apt-get', 'printf deb > some-stamps_1%3a2-3_all.deb\n')
    apt('dpkg', 'printf "%s %s" "$1" "$2" > unpacked\n')
    root, source = debian.fetch_package('some-stamps', tmp_path / 'down')
    assert (root / 'unpacked').read_text() == (
        '-x some-stamps_1%3a2-3_all.deb')
    assert source['version'] == '1:2-3'
    assert source['sha256'].startswith('9cfa1468')
    os.environ['PATH'] = ''
    assert debian.fetch_package('some-stamps',
                                tmp_path / 'down') == (root, source)


# -- the command -----------------------------------------------------------


def test_data_and_packages_have_places_of_their_own():
    photos = 'data/photo_stamps'
    wanted = {
        '': (photos, f'{photos}_sources'),
        '--data shapes': ('data/shapes', 'data/shapes_sources'),
        '--stuff': (f'{photos}_stuff', f'{photos}_sources'),
        '--order size': (f'{photos}_size', f'{photos}_sources'),
        '--stuff --out a/mine': ('a/mine', 'a/mine_sources'),
        '--out mine --download-dir here': ('mine', 'here')
    }
    for options, places in wanted.items():
        args = photo_stamps.parse_args(options.split())
        assert (args.out, args.download_dir) == (*map(Path, places), )
