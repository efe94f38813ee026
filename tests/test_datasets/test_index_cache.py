# Copyright (c) mmbombo contributors.
"""The index that is kept beside the data: same result, never a stale one."""
import json
import os
import shutil

import pytest
from mmengine.config import ConfigDict
from PIL import Image

from mmbombo.datasets import (DatasetError, PartialAnnotationDataset,
                              PartialVOCDataset, index_cache)
from mmbombo.testing import CLASSES, write_coco, write_voc

BOTH = ('bbox', 'sem_seg')


@pytest.fixture(autouse=True)
def small_sets_too(monkeypatch):
    monkeypatch.setattr(index_cache, 'MIN_FILES', 1)
    monkeypatch.setattr(index_cache, 'SETTLED_NS', -10**12)


@pytest.fixture
def no_reading(monkeypatch):
    """A function from whose call on no header, XML or JSON is read."""

    def forbid():
        from mmbombo.datasets import partial_annotation_dataset, partial_voc

        def refuse(*args):
            raise AssertionError('read anew')

        for module in (partial_annotation_dataset, partial_voc):
            for name in ('read_image_sizes', 'read_instances', 'check_masks',
                         'read_coco_json'):
                monkeypatch.setattr(module, name, refuse, raising=False)

    return forbid


def voc_set(root, kinds=BOTH, classes=CLASSES, **kwargs):
    return PartialVOCDataset(
        'ImageSets/Main/train.txt', str(root), kinds,
        metainfo=dict(classes=classes), **kwargs)


def coco_set(root, kinds=BOTH, **kwargs):
    return PartialAnnotationDataset(
        ConfigDict(
            type='mmdet.CocoDataset',
            data_root=str(root),
            ann_file='annotations/instances_train2017.json',
            data_prefix=dict(img='train2017', seg='maps')),
        kinds,
        metainfo=dict(seg_classes=['any']),
        drop_bad_boxes=True,
        **kwargs)


def with_maps(root):
    """COCO with masks, and a box without area."""
    write_coco(root)
    (root / 'maps').mkdir()
    for path in (root / 'train2017').iterdir():
        Image.new('L', (96, 80)).save(root / 'maps' / f'{path.stem}.png')
    path = root / 'annotations/instances_train2017.json'
    content = json.loads(path.read_text())
    content['annotations'][0]['bbox'][2] = 0
    path.write_text(json.dumps(content))
    return root


SETS = dict(voc=(write_voc, voc_set), coco=(with_maps, coco_set))


@pytest.fixture(params=SETS)
def made(request, tmp_path):
    write, build = SETS[request.param]
    return write(tmp_path / 'data'), build


def content_of(dataset):
    """Everything that a source hands over, with its types."""
    infos = [dataset.get_data_info(i) for i in range(len(dataset))]
    return repr((infos, dataset.metainfo, dataset.seg_id_table))


def entries(root):
    return sorted((root / index_cache.FOLDER).iterdir())


@pytest.mark.parametrize('kinds', [BOTH, ('bbox', ), ('sem_seg', ), ()])
def test_the_same_without_reading(made, no_reading, kinds):
    root, build = made
    first = content_of(build(root, kinds))
    assert len(entries(root)) == 1
    no_reading()
    assert content_of(build(root, kinds)) == first


def test_what_was_left_out_is_said_each_time(tmp_path, monkeypatch):
    from mmbombo.datasets import partial_annotation_dataset
    said = []
    monkeypatch.setattr(partial_annotation_dataset, 'print_log',
                        lambda message, **kwargs: said.append(message))
    root = with_maps(tmp_path / 'coco')
    coco_set(root), coco_set(root)
    assert len(said) == 2 and said[0] == said[1]
    assert 'left out' in said[0]


def test_another_question_has_another_index(made):
    root, build = made
    build(root), build(root, ('bbox', ))
    build(root, seg_ignore_ids=(9, ))
    assert len(entries(root)) == 3


def test_classes_are_part_of_the_question(tmp_path):
    root = write_voc(tmp_path / 'voc')
    voc_set(root)
    swapped = voc_set(root, classes=CLASSES[::-1])
    assert content_of(swapped) != content_of(voc_set(root))
    with pytest.raises(DatasetError, match='class'):
        voc_set(root, classes=('horse', ))


def edit_xml(root):
    """As many bytes as before, and the same time of modification."""
    path = root / 'Annotations/000.xml'
    before = path.stat()
    text = path.read_text()
    at = text.index('<xmin>') + len('<xmin>')
    digit = '1' if text[at] != '1' else '2'
    # until the file system's clock has ticked
    while path.stat().st_ctime_ns == before.st_ctime_ns:
        path.write_text(text[:at] + digit + text[at + 1:])
        os.utime(path, ns=(before.st_mtime_ns, before.st_mtime_ns))


def test_an_edited_file_is_noticed(tmp_path):
    root = write_voc(tmp_path / 'voc')
    before = content_of(voc_set(root))
    edit_xml(root)
    after = content_of(voc_set(root))
    assert after != before
    shutil.rmtree(root / index_cache.FOLDER)
    assert content_of(voc_set(root)) == after


@pytest.mark.parametrize('path', [
    'JPEGImages/003.jpg', 'SegmentationClass/003.png', 'Annotations/003.xml',
    'ImageSets/Main/train.txt'
])
@pytest.mark.parametrize('gone', [True, False])
def test_bad_files_are_found_as_before(tmp_path, path, gone):
    root = write_voc(tmp_path / 'voc')
    voc_set(root)
    file = root / path
    if gone:
        file.unlink()
    else:
        file.write_bytes(b'/ ' + file.read_bytes()[:40])
    with pytest.raises(DatasetError, match=file.name):
        voc_set(root)


def test_a_record_that_appears_beside_the_maps(tmp_path):
    root = with_maps(tmp_path / 'coco')
    coco_set(root)
    (root / 'maps/semantic.json').write_text('{"classes": ["other"]}')
    with pytest.raises(DatasetError, match="'other'"):
        coco_set(root)


@pytest.mark.parametrize('spoil', [
    lambda data: data[:-5], lambda data: data.replace(b'000.jpg', b'001.jpg'),
    lambda data: b'', lambda data: b'{}', lambda data: data[100:]
])
def test_a_damaged_entry_is_replaced(tmp_path, spoil):
    root = write_voc(tmp_path / 'voc')
    first = content_of(voc_set(root))
    entry, = entries(root)
    good = entry.read_bytes()
    assert spoil(good) != good
    entry.write_bytes(spoil(good))
    assert content_of(voc_set(root)) == first
    assert entries(root) == [entry] and entry.read_bytes() == good


def test_an_entry_under_another_key_is_foreign(tmp_path):
    root = write_voc(tmp_path / 'voc')
    voc_set(root, ('bbox', ))
    boxes, = entries(root)
    voc_set(root, ())
    images, = set(entries(root)) - {boxes}
    shutil.copy(images, boxes)
    assert 'instances' in voc_set(root, ('bbox', )).get_data_info(0)


def test_nothing_is_kept_where_nothing_can_be(made, monkeypatch):
    root, build = made
    (root / index_cache.FOLDER).write_text('no folder')
    first = content_of(build(root))
    assert content_of(build(root)) == first


def test_no_entry_of_small_sets_or_of_files_just_changed(tmp_path,
                                                         monkeypatch):
    root = write_voc(tmp_path / 'voc')
    monkeypatch.setattr(index_cache, 'SETTLED_NS', 2 * 10**9)
    voc_set(root)
    assert not (root / index_cache.FOLDER).exists()
    monkeypatch.setattr(index_cache, 'SETTLED_NS', -10**12)
    monkeypatch.setattr(index_cache, 'MIN_FILES', 26)
    voc_set(root)
    assert not (root / index_cache.FOLDER).exists(), '3 * 8 files and a list'
    monkeypatch.setattr(index_cache, 'MIN_FILES', 25)
    voc_set(root)
    assert len(entries(root)) == 1
