# Copyright (c) mmbombo contributors.
"""Every file of a source is judged before training."""
import struct
import threading
import time

import mmcv
import numpy as np
import pytest
from PIL import Image, ImageFile

from mmbombo.datasets import DatasetError, PartialVOCDataset
from mmbombo.datasets.checks import files
from mmbombo.datasets.checks.files import (ListedFile, check_masks,
                                           read_image_sizes)
from mmbombo.datasets.seg_ids import build_id_table, build_mmseg_id_table


def make(root):
    return PartialVOCDataset(
        data_root=str(root),
        ann_file='ImageSets/Main/all.txt',
        annotation_kinds=('bbox', 'sem_seg'),
        source='mine',
        metainfo=dict(classes=('cat', 'dog')))


def refused(root):
    with pytest.raises(DatasetError) as error:
        make(root)
    assert "source 'mine'" in str(error.value)
    return str(error.value)


@pytest.mark.parametrize('path', [
    'JPEGImages/im2.jpg', 'Annotations/im2.xml', 'SegmentationClass/im2.png'
])
def test_missing_files_are_named_with_their_line(voc, path):
    (voc / path).unlink()
    message = refused(voc)
    assert str(voc / path) in message and 'all.txt line 3' in message
    assert '(1 in all)' in message


def test_many_missing_files_are_counted(voc):
    for path in (voc / 'JPEGImages').iterdir():
        path.unlink()
    message = refused(voc)
    assert '(6 in all)' in message and '... and 1 more' in message


@pytest.mark.parametrize('path',
                         ['JPEGImages/im1.jpg', 'SegmentationClass/im1.png'])
@pytest.mark.parametrize('share', [0., 0.5, 0.9])
def test_truncated_files_are_named(voc, path, share):
    content = (voc / path).read_bytes()
    (voc / path).write_bytes(content[:int(share * len(content))])
    message = refused(voc)
    assert str(voc / path) in message and 'truncated' in message


def test_bytes_after_the_end_are_tolerated(voc):
    path = voc / 'JPEGImages/im1.jpg'
    path.write_bytes(path.read_bytes() + b'\0\0camera notes')
    assert make(voc).get_data_info(1)['height'] == 41


def test_mask_of_another_size_is_named(voc, voc_files):
    voc_files.write_mask(voc / 'SegmentationClass/im1.png',
                         np.zeros((41, 61)))
    message = refused(voc)
    assert 'im1.png: the mask is 61x41 but its image is 62x41' in message


@pytest.mark.parametrize('mode', ['RGB', 'RGBA', 'LA', 'I;16', '1'])
def test_mask_without_one_byte_per_pixel_is_named(voc, mode):
    path = voc / 'SegmentationClass/im1.png'
    Image.new(mode, (62, 41)).save(path)
    message = refused(voc)
    assert 'im1.png: the mask is stored as' in message
    assert 'palette (P) or gray (L)' in message


@pytest.mark.parametrize('mode', ['P', 'L'])
def test_ids_outside_the_class_map_are_named(voc, voc_files, mode):
    ids = np.zeros((41, 62))
    ids[0, 0], ids[3, 7], ids[5, 5] = 3, 200, 255
    voc_files.write_mask(voc / 'SegmentationClass/im1.png', ids, mode)
    message = refused(voc)
    assert 'im1.png: id(s) [3, 200] are outside the class map' in message
    assert 'seg_id_map' in message


def test_all_ignored_mask_is_fine(voc, voc_files):
    voc_files.write_mask(voc / 'SegmentationClass/im1.png',
                         np.full((41, 62), 255))
    make(voc)


def test_large_sources_are_sampled_evenly(tmp_path, voc_files, monkeypatch):
    monkeypatch.setattr(files, 'FULL_CHECK', 9)
    monkeypatch.setattr(files, 'SAMPLE_CHECK', 5)
    masks = []
    for number in range(10):
        masks.append(ListedFile(str(tmp_path / f'{number}.png'), 'list'))
        # Every odd mask has a bad id; of 10 masks 0, 2, 4, 6, 8 are looked at.
        voc_files.write_mask(masks[-1].path,
                             np.full((4, 5), 77 * (number % 2)))
    table = build_id_table(2)
    check_masks(masks, [(4, 5)] * 10, table, ('a', 'b'), 'x')
    with pytest.raises(DatasetError, match=r'\(5 in all\)'):
        check_masks(masks[1:] + masks[:1], [(4, 5)] * 10, table, ('a', 'b'),
                    'x')


def write_turned(path, kind):
    """A 30x20 image that is to be shown upright."""
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.new('RGB', (30, 20))
    if kind == 'xmp':
        image.save(path)
        xmp = (b'http://ns.adobe.com/xap/1.0/\0<x:xmpmeta><rdf:Description '
               b'tiff:Orientation="6"/></x:xmpmeta>')
        content = path.read_bytes()
        path.write_bytes(content[:2] + b'\xff\xe1' +
                         struct.pack('>H', len(xmp) + 2) + xmp + content[2:])
        return
    image.save(path, exif=exif)
    if kind == 'late':
        content = path.read_bytes()
        start = content.index(b'eXIf') - 4
        end = start + 12 + struct.unpack('>I', content[start:start + 4])[0]
        path.write_bytes(content[:start] + content[end:-12] +
                         content[start:end] + content[-12:])
    if kind == 'broken':
        content = path.read_bytes()
        assert b'MM\0*' in content
        path.write_bytes(content.replace(b'MM\0*', b'XXXX'))


@pytest.mark.parametrize('suffix, kind', [
    ('jpg', 'plain'), ('png', 'plain'), ('png', 'late'), ('webp', 'plain'),
    ('tiff', 'plain'), ('jpg', 'xmp'), ('jpg', 'broken')])
def test_sizes_are_those_of_the_decoded_image(tmp_path, suffix, kind):
    """Whatever this OpenCV does about the orientation of a format."""
    path = tmp_path / f'turned.{suffix}'
    write_turned(path, kind)
    size = read_image_sizes([ListedFile(str(path), 'list')], 'x')[0]
    assert size == mmcv.imread(str(path)).shape[:2]
    if (suffix, kind) == ('jpg', 'plain'):
        assert size == (30, 20)


@pytest.mark.parametrize('kind', ['plain', 'late'])
@pytest.mark.parametrize('turns, size', [(True, (30, 20)),
                                         (False, (20, 30))])
def test_orientation_counts_if_opencv_applies_it(tmp_path, monkeypatch, turns,
                                                 size, kind):
    path = tmp_path / 'turned.png'
    write_turned(path, kind)
    shape = (2, 1, 3) if turns else (1, 2, 3)
    monkeypatch.setattr(files.cv2, 'imdecode',
                        lambda *_: np.zeros(shape, np.uint8))
    files._opencv_turns.cache_clear()
    try:
        found = read_image_sizes([ListedFile(str(path), 'list')], 'x')
    finally:
        files._opencv_turns.cache_clear()
    assert found == [size]


def test_pixels_that_look_like_exif_data(tmp_path):
    path = tmp_path / 'plain.png'
    Image.new('RGB', (30, 20)).save(path)
    content = path.read_bytes()
    path.write_bytes(content[:-12] + b'\0\0\0\4eXIf' + content[-12:])
    assert files._late_png_exif(str(path)) is None


@pytest.mark.parametrize('waits', [False, True])
def test_threads_read_where_files_keep_waiting(monkeypatch, waits):
    monkeypatch.setattr(files, 'CHUNK', 8)
    # what the thread works in the time that passes
    monkeypatch.setattr(files.time, 'thread_time',
                        (lambda: 0.) if waits else time.monotonic)
    threads = []

    def square(number):
        threads.append(threading.get_ident())
        return number**2

    found = files._for_each(square, range(40), 'numbers')
    assert found == [number**2 for number in range(40)]
    here = threading.get_ident()
    assert set(threads[:8]) == {here}  # the first portion shows it
    assert (here in threads[8:]) is not waits


@pytest.mark.parametrize('suffix', ['jpg', 'png'])
def test_whole_images_are_not_decoded(tmp_path, monkeypatch, suffix):
    path = tmp_path / f'image.{suffix}'
    Image.new('RGB', (320, 240)).save(path)

    def refuse(image):
        raise AssertionError('decoded')

    monkeypatch.setattr(ImageFile.ImageFile, 'load', refuse)
    file = ListedFile(str(path), 'list')
    assert read_image_sizes([file], 'x') == [(240, 320)]


def reference_mmseg(ids, reduce_zero_label, label_map, ignore_index=255):
    """MMSegmentation's own loading, on an array."""
    ids = ids.copy()
    if reduce_zero_label:
        ids[ids == 0] = 255
        ids = ids - 1
        ids[ids == 254] = 255
    if label_map is not None:
        old = ids.copy()
        for before, after in label_map.items():
            ids[old == before] = after
    return ids


@pytest.mark.parametrize('reduce_zero', [False, True])
@pytest.mark.parametrize('label_map', [None, {0: 1, 1: 255, 2: 0}])
def test_mmseg_table_equals_mmseg(reduce_zero, label_map):
    num_classes = 3 if label_map is None else 2
    table = build_mmseg_id_table(num_classes, reduce_zero, label_map, 255)
    allowed = np.array([*range(3 + reduce_zero), 255], np.uint8)
    np.testing.assert_array_equal(
        table[allowed], reference_mmseg(allowed, reduce_zero, label_map))
    assert (np.delete(table, allowed) == -1).all()


@pytest.mark.parametrize('id_map, ignore, match', [
    ({300: 0}, (), '300 is not in 0..255'),
    ({3: 2}, (), '3 -> 2, but the 2'),
    (None, (-1, ), '-1 is not in 0..255'),
])
def test_bad_id_maps_are_refused(id_map, ignore, match):
    with pytest.raises(ValueError, match=match):
        build_id_table(2, id_map, ignore)
