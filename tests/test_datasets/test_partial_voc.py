# Copyright (c) mmbombo contributors.
import shutil

import numpy as np
import pytest
from PIL import Image
from toolbox import class_ids

from mmbombo.datasets import DatasetError, PartialVOCDataset
from mmbombo.datasets.voc_metainfo import VOC_CLASSES, voc_palette

LOAD = [dict(type='LoadImageFromFile'), dict(type='LoadPartialAnnotations')]


def make(root, kinds=('bbox', 'sem_seg'), ann='all', **kwargs):
    kwargs.setdefault('metainfo', dict(classes=('cat', 'dog')))
    return PartialVOCDataset(
        data_root=str(root),
        ann_file=f'ImageSets/Main/{ann}.txt',
        annotation_kinds=kinds,
        **kwargs)


def test_both_kinds(voc):
    data = make(voc, pipeline=LOAD)
    assert len(data) == 6
    info = data.get_data_info(3)
    assert info['img_id'] == 'im3'
    assert info['annotation_kinds'] == ('bbox', 'sem_seg')
    assert info['source'] == 'all' and info['sample_idx'] == 3
    # VOC's 11..30 and 6..23, 1-based and inclusive.
    assert info['instances'] == [
        dict(bbox=[10., 5., 30., 23.], bbox_label=1, ignore_flag=0)
    ]
    sample = data[3]
    expected = np.zeros((43, 66), np.uint8)
    expected[5:23, 10:30] = 2
    np.testing.assert_array_equal(sample['gt_seg_map'], expected)
    # The box encloses exactly the pixels of the object.
    rows, columns = np.nonzero(expected)
    assert sample['gt_bboxes'].tensor.tolist() == [[
        columns.min(),
        rows.min(),
        columns.max() + 1,
        rows.max() + 1
    ]]
    assert sample['gt_bboxes_labels'].tolist() == [1]


@pytest.mark.parametrize('kinds, gone', [
    (('bbox', ), 'SegmentationClass'),
    (('sem_seg', ), 'Annotations'),
    ((), 'SegmentationClass'),
    ((), 'Annotations'),
])
def test_files_of_other_kinds_are_never_opened(voc, kinds, gone):
    def read():
        data = make(voc, kinds, pipeline=LOAD)
        return [data[i] for i in range(len(data))]

    before = read()
    shutil.rmtree(voc / gone)
    for old, new in zip(before, read()):
        assert old.keys() == new.keys()
        for key in old.keys() - {'gt_bboxes'}:
            np.testing.assert_equal(old[key], new[key])
        if 'bbox' in kinds:
            assert old['gt_bboxes'].tensor.equal(new['gt_bboxes'].tensor)
        assert ('instances' in new) == ('gt_bboxes' in new) == \
            ('bbox' in kinds)
        assert ('seg_map_path' in new) == ('gt_seg_map' in new) == \
            ('sem_seg' in kinds)


def test_difficult_empty_and_clipped_boxes(voc, voc_files):
    voc_files.write_xml(voc / 'Annotations/im0.xml', [])
    voc_files.write_xml(voc / 'Annotations/im1.xml', [
        dict(name='dog', xmin=0, ymin=1, xmax=63, ymax=42, difficult=1),
        dict(name='cat', xmin=5, ymin=5, xmax=5, ymax=5),
        dict(name='cat', xmin=1.5, ymin=2, xmax=9.25, ymax=8),
    ])
    data = make(voc, ('bbox', ), pipeline=LOAD)
    assert data[0]['instances'] == []
    assert data[0]['gt_bboxes'].tensor.shape == (0, 4)
    assert data[1]['instances'] == [
        dict(bbox=[0., 0., 62., 41.], bbox_label=1, ignore_flag=1),
        dict(bbox=[4., 4., 5., 5.], bbox_label=0, ignore_flag=0),
        dict(bbox=[0.5, 1., 9.25, 8.], bbox_label=0, ignore_flag=0),
    ]


@pytest.mark.parametrize('box, complaint', [
    (dict(xmin=50, ymin=6, xmax=30, ymax=20), 'is inverted'),
    (dict(xmin=11, ymin=20, xmax=30, ymax=6), 'is inverted'),
    (dict(xmin=31, ymin=6, xmax=30, ymax=20), 'is degenerate'),
    (dict(xmin=11, ymin=6, xmax=64, ymax=20), 'is outside the 62x41 image'),
    (dict(xmin=-1, ymin=6, xmax=30, ymax=20), 'is outside the 62x41 image'),
    (dict(xmin='nan', ymin=6, xmax=30, ymax=20), 'is inverted'),
])
def test_bad_boxes_are_named(voc, voc_files, box, complaint):
    voc_files.write_xml(voc / 'Annotations/im1.xml',
                        [dict(name='dog', **box)])
    with pytest.raises(DatasetError, match=rf'im1.xml: box \[.* {complaint}'):
        make(voc, pipeline=LOAD)[1]


@pytest.mark.parametrize('change, complaint', [
    (dict(xmin=''), "<xmin> is '', where a number is due"),
    (dict(name='yak'), "class 'yak' is not one of"),
])
def test_all_bad_objects_are_named_at_once(voc, voc_files, change, complaint):
    whole = dict(name='cat', xmin=2, ymin=2, xmax=9, ymax=9)
    for k in (2, 4):
        voc_files.write_xml(voc / f'Annotations/im{k}.xml',
                            [whole, dict(whole, **change)])
    with pytest.raises(DatasetError, match=r'\(2 in all\)') as error:
        make(voc)
    assert str(error.value).count(complaint) == 2
    assert 'im4.xml: object 2' in str(error.value)
    assert 'all.txt line 5' in str(error.value)


def test_classes_that_are_left_out_by_name(voc, voc_files):
    yak = dict(name='yak', xmin=2, ymin=2, xmax=9, ymax=9)
    cat = dict(name='cat', xmin=21, ymin=21, xmax=30, ymax=30)
    voc_files.write_xml(voc / 'Annotations/im4.xml', [yak, cat])
    class_map = dict(
        det_classes=('cat', 'dog'), seg_classes=('background', 'cat', 'dog'))
    pseudo = dict(type='LoadPseudoMask', class_map=class_map, method='box')
    data = make(
        voc, ('bbox', ),
        unlisted_classes=['yak'],
        pipeline=[*LOAD, pseudo, dict(type='PackMultiTaskInputs')])
    sample = data[4]['data_samples']
    assert sample.gt_instances.labels.tolist() == [0]
    assert len(sample.ignored_instances) == 0 and len(sample.instances) == 1
    mask = class_ids(sample.pseudo_sem_seg.sem_seg[0], sample.pseudo_classes)
    expected = np.zeros_like(mask)
    expected[1:9, 1:9], expected[20:30, 20:30] = 255, 1
    np.testing.assert_array_equal(mask, expected)


@pytest.mark.parametrize('names, complaint', [
    ('yak', 'must be a list of names'),
    (['cat', 'yak'], r"names \['cat'\]"),
    (['gnu'], "class 'yak'.*unlisted_classes"),
])
def test_left_out_classes_that_are_not(voc, voc_files, names, complaint):
    voc_files.write_xml(
        voc / 'Annotations/im4.xml',
        [dict(name='yak', xmin=2, ymin=2, xmax=9, ymax=9)])
    with pytest.raises(DatasetError, match=complaint):
        make(voc, unlisted_classes=names)


@pytest.mark.parametrize('content', [
    '<!DOCTYPE a [<!ENTITY x "y">]><annotation>&x;</annotation>',
    '<!DOCTYPE a SYSTEM "file:///etc/passwd"><annotation/>',
])
def test_xml_declarations_are_refused(voc, content):
    (voc / 'Annotations/im2.xml').write_text(content)
    with pytest.raises(DatasetError, match=r'im2\.xml: a DTD or entity'):
        make(voc)


@pytest.mark.parametrize('content', ['', '<annotation>', 'no xml'])
def test_broken_xml_is_named(voc, content):
    (voc / 'Annotations/im2.xml').write_text(content)
    with pytest.raises(DatasetError, match=r'im2\.xml: not well-formed'):
        make(voc)


@pytest.mark.parametrize('line, complaint', [
    ('../../secret', 'is not an image id'),
    ('/etc/passwd', 'is not an image id'),
    ('a\\b', 'is not an image id'),
    ('..', 'is not an image id'),
    ('im5  1', 'per-class lists'),
    ('im0', 'is listed already in line 1'),
])
def test_bad_ids_are_named_with_their_line(voc, line, complaint):
    (voc / 'ImageSets/Main/all.txt').write_text(f'im0\nim1\n\n{line}\n')
    with pytest.raises(DatasetError, match='all.txt line 4') as error:
        make(voc)
    assert complaint in str(error.value)


def test_empty_and_missing_lists(voc):
    (voc / 'ImageSets/Main/all.txt').write_text('\n')
    with pytest.raises(DatasetError, match='has no image.*all.txt lists none'):
        make(voc)
    with pytest.raises(DatasetError, match="nothing.txt' does not exist"):
        make(voc, ann='nothing')


def test_missing_root_says_what_to_do(tmp_path):
    with pytest.raises(DatasetError, match='nowhere.*, or get them.$'):
        make(tmp_path / 'nowhere')
    with pytest.raises(DatasetError, match='nowhere.*Ask Alice for it'):
        make(tmp_path / 'nowhere', data_help='Ask Alice for it')


def test_relative_root_is_told_in_full(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DatasetError, match=str(tmp_path / 'nowhere')):
        make('nowhere')


def test_default_metainfo_is_voc(voc):
    data = make(voc, (), metainfo=None)
    assert data.metainfo['classes'] == VOC_CLASSES
    assert len(VOC_CLASSES) == 20
    assert data.metainfo['seg_classes'] == ('background', *VOC_CLASSES)
    # From the VOC development kit: 1 aeroplane, 15 person, 20 tvmonitor.
    palette = data.metainfo['seg_palette']
    assert (palette[0], palette[1], palette[15], palette[20]) == (
        (0, 0, 0), (128, 0, 0), (192, 128, 128), (0, 64, 128))
    assert data.metainfo['palette'] == palette[1:]
    assert voc_palette(256)[255] == (224, 224, 192)


def test_super_classes_by_id_map(voc):
    data = make(
        voc, ('sem_seg', ),
        metainfo=dict(
            classes=('cat', 'dog'), seg_classes=('background', 'animal')),
        seg_id_map={0: 0, 1: 1, 2: 1},
        pipeline=LOAD)
    assert np.unique(data[1]['gt_seg_map']).tolist() == [0, 1]
    assert data[1]['gt_seg_map'].sum() == 15 * 20 + 20


def test_ids_that_are_ignored(voc):
    data = make(voc, ('sem_seg', ), seg_ignore_ids=(0, ), pipeline=LOAD)
    assert np.unique(data[1]['gt_seg_map']).tolist() == [2, 255]


def test_folders_and_suffix(voc):
    (voc / 'JPEGImages').rename(voc / 'pictures')
    for path in (voc / 'pictures').iterdir():
        Image.open(path).save(path.with_suffix('.png'))
        path.unlink()
    data = make(
        voc, (), data_prefix=dict(img_path='pictures'), img_suffix='.png',
        pipeline=LOAD)
    assert data.get_data_info(0)['img_path'].endswith('pictures/im0.png')
