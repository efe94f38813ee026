# Copyright (c) mmbombo contributors.
"""Sets of MMDetection and MMSegmentation that no code of ours knows."""
import json
from importlib import import_module

import cv2
import numpy as np
import pytest
from mmdet.datasets import CocoDataset
from PIL import Image
from toolbox import class_ids

from mmbombo.datasets import (DatasetError, MixedSourceDataset,
                              PartialAnnotationDataset)
from mmbombo.datasets.coco_json import MAP_RECORD
from mmbombo.registry import DATASETS
from mmbombo.structures import AnnotationKind, register_kind

LOAD = [dict(type='LoadImageFromFile'), dict(type='LoadPartialAnnotations')]
CLASSES = ('tank', 'tree', 'tower')


@pytest.fixture
def foreign(tmp_path, voc_files):
    """COCO JSON and PNG masks with ids 11, 26 and 40, no background."""
    (tmp_path / 'images').mkdir()
    (tmp_path / 'masks').mkdir()
    images, annotations = [], []
    for k in range(4):
        image = np.full((30, 40 + k, 3), 90 + k, np.uint8)
        cv2.imwrite(str(tmp_path / f'images/{k}.jpg'), image)
        ids = np.full(image.shape[:2], 11)
        ids[4:14, 6:26], ids[0, 0], ids[1, 1] = 26, 0, 255
        voc_files.write_mask(tmp_path / f'masks/{k}.png', ids, 'L')
        images.append(
            dict(
                id=100 + k, file_name=f'{k}.jpg', height=30, width=40 + k))
        annotations.append(
            dict(
                id=k + 1,
                image_id=100 + k,
                category_id=50,
                bbox=[6, 4, 20, 10],
                area=200,
                iscrowd=int(k == 3),
                segmentation=[[6, 4, 26, 4, 26, 14, 6, 14]]))
    write_json(tmp_path, images, annotations)
    return tmp_path


def write_json(root, images, annotations):
    categories = [
        dict(id=i, name=name) for i, name in zip((7, 50, 90), CLASSES)
    ]
    (root / 'boxes.json').write_text(
        json.dumps(
            dict(
                images=images,
                annotations=annotations,
                categories=categories)))


def coco(root, **prefix):
    return dict(
        type='mmdet.CocoDataset',
        data_root=str(root),
        ann_file='boxes.json',
        data_prefix=dict(img='images/', **prefix),
        metainfo=dict(classes=CLASSES, palette=[(1, 2, 3)] * 3))


def folder(root, **kwargs):
    return dict(
        type='mmseg.BaseSegDataset',
        data_root=str(root),
        data_prefix=dict(img_path='images', seg_map_path='masks'),
        **{
            'metainfo': dict(classes=CLASSES, palette=[(9, 9, 9)] * 3),
            **kwargs
        })


def make(dataset, kinds, **kwargs):
    return PartialAnnotationDataset(
        dataset=dataset, annotation_kinds=kinds, pipeline=LOAD, **kwargs)


ID_MAP = dict(seg_id_map={11: 0, 26: 1, 40: 2}, seg_ignore_ids=(0, ))


def expected_map(k):
    ids = np.zeros((30, 40 + k), np.uint8)
    ids[4:14, 6:26], ids[0, 0], ids[1, 1] = 1, 255, 255
    return ids


def test_coco_boxes(foreign):
    data = make(coco(foreign), ('bbox', ), source='boxes')
    info = data.get_data_info(3)
    assert info['instances'] == [
        dict(bbox=[6., 4., 26., 14.], bbox_label=1, ignore_flag=1)
    ]
    # The polygon, from which a mask could be made, is gone.
    assert set(info) == {
        'img_id', 'img_path', 'height', 'width', 'instances', 'sample_idx',
        'annotation_kinds', 'source'
    }
    assert info['img_id'] == 103 and info['source'] == 'boxes'
    assert data.metainfo == dict(
        classes=CLASSES, palette=[(1, 2, 3)] * 3, ignore_index=255)


def test_mmseg_masks(foreign):
    data = make(folder(foreign), ('sem_seg', ), **ID_MAP)
    assert data.source == 'BaseSegDataset'
    assert data.metainfo['seg_classes'] == CLASSES
    assert 'classes' not in data.metainfo
    for k in range(4):
        sample = data[k]
        np.testing.assert_array_equal(sample['gt_seg_map'], expected_map(k))
        assert sample['img_id'].endswith(f'images/{k}.jpg')
        assert 'gt_bboxes' not in sample and 'instances' not in sample


@pytest.mark.parametrize('kinds', [('bbox', 'sem_seg'), ('sem_seg', ),
                                   ('bbox', ), ()])
def test_coco_with_masks_gives_what_is_declared(foreign, kinds):
    data = make(
        coco(foreign, seg='masks/'),
        kinds,
        metainfo=dict(seg_classes=CLASSES),
        **(ID_MAP if 'sem_seg' in kinds else {}))
    sample = data[2]
    assert ('gt_bboxes' in sample) == ('bbox' in kinds)
    assert ('instances' in sample) == ('bbox' in kinds)
    assert ('gt_seg_map' in sample) == ('sem_seg' in kinds)
    if 'sem_seg' in kinds:
        np.testing.assert_array_equal(sample['gt_seg_map'], expected_map(2))


def test_classes_of_the_source_are_those_of_the_wrapped_set(foreign, voc):
    boxes = coco(foreign)
    boxes.pop('metainfo')  # the set would read COCO's 80 classes
    data = make(
        boxes, ('bbox', ), metainfo=dict(classes=('tower', 'tree')))
    assert [[x['bbox_label'] for x in data.get_data_info(k)['instances']]
            for k in range(4)] == [[1]] * 4
    data = make(
        xml_set(voc), ('bbox', ), metainfo=dict(classes=('dog', 'cat')))
    assert data.get_data_info(1)['instances'][0]['bbox_label'] == 0


@pytest.mark.parametrize('key', ['img_path', 'seg_map_path'])
def test_missing_folders_of_mmseg_are_named(foreign, key):
    config = folder(foreign)
    config['data_prefix'][key] = 'elsewhere'
    with pytest.raises(DatasetError, match='/elsewhere.*run make_data'):
        make(config, ('sem_seg', ), data_help='run make_data', **ID_MAP)


def test_other_suffixes_than_the_files_are_hinted_at(foreign):
    with pytest.raises(DatasetError, match='img_suffix'):
        make(folder(foreign, img_suffix='.jpeg'), ('sem_seg', ))


def test_classes_are_given_once(foreign):
    with pytest.raises(DatasetError, match='give them once'):
        make(coco(foreign), ('bbox', ), metainfo=dict(classes=CLASSES[:2]))
    reverse = dict(seg_classes=CLASSES[::-1])
    with pytest.raises(DatasetError, match="'tank' is id 2 .* but 0 in"):
        make(folder(foreign), ('sem_seg', ), metainfo=reverse)
    ids = {11: 2, 26: 0, 40: 1}
    data = make(
        folder(foreign), ('sem_seg', ), metainfo=reverse, seg_id_map={
            **ids, 0: 2})
    assert data.metainfo['seg_classes'] == CLASSES[::-1]


def xml_set(root, **kwargs):
    return dict(
        type='mmdet.XMLDataset',
        data_root=str(root),
        ann_file='ImageSets/Main/all.txt',
        data_prefix=dict(sub_data_root=''),
        **kwargs)


def test_xml_set_of_mmdet(voc):
    data = make(
        xml_set(voc, metainfo=dict(classes=('cat', 'dog'))), ('bbox', ))
    # MMDetection's convention: one less than VOC's number on all sides.
    assert data.get_data_info(1)['instances'] == [
        dict(bbox=[10., 5., 29., 20.], bbox_label=1, ignore_flag=0)
    ]
    assert data.get_data_info(1)['img_id'] == 'im1'


def test_objects_that_an_xml_set_would_skip(voc, voc_files):
    """A misspelled class, also where no other object keeps the image."""
    voc_files.write_xml(voc / 'Annotations/im2.xml', [
        dict(name='catt', xmin=11, ymin=6, xmax=30, ymax=20)])
    config = xml_set(
        voc,
        metainfo=dict(classes=('cat', 'dog')),
        filter_cfg=dict(filter_empty_gt=True))
    with pytest.raises(DatasetError) as error:
        make(config, ('bbox', ), source='mine')
    for part in ("source 'mine'", '(1 in all)', "class 'catt' is not one of",
                 f'{voc}/Annotations/im2.xml: object 1'):
        assert part in str(error.value)
    # Nobody learns from its boxes here.
    assert len(make(config, ())) == 5


def test_subclasses_of_the_xml_set(voc):
    subset = xml_set(voc, metainfo=dict(classes=('cat', )))
    with pytest.raises(DatasetError, match=r"\(3 in all\)[^$]*class 'dog'"):
        make(dict(subset, type='mmdet.VOCDataset'), ('bbox', ))
    for path in (voc / 'Annotations').iterdir():
        path.write_text(path.read_text().replace(
            '<annotation>', '<annotation><folder>.</folder><size><width>60'
            '</width><height>40</height></size>'))
    # It reads where the files are from its data_prefix.
    faces = dict(
        type='mmdet.WIDERFaceDataset',
        data_root=str(voc),
        ann_file='ImageSets/Main/all.txt',
        data_prefix=dict(img=''))
    with pytest.raises(DatasetError, match=r'im0.xml: object 1 \(cat\)'):
        make(faces, ('bbox', ))


def test_broken_xml_of_a_wrapped_set_is_named(voc):
    (voc / 'Annotations/im2.xml').write_text('<annotation>')
    with pytest.raises(DatasetError, match='im2.xml: not well-formed XML'):
        make(xml_set(voc, metainfo=dict(classes=('cat', 'dog'))), ('bbox', ))


@pytest.mark.parametrize('box, complaint', [
    ((50, 6, 30, 20), 'is inverted'),
    ((30, 6, 30, 20), 'is degenerate'),  # 1 pixel, which mmdet makes 0
    ((11, 6, 66, 20), 'is outside the 62x41 image'),
])
def test_bad_boxes_of_xml_sets_do_not_vanish(voc, voc_files, box, complaint):
    """Neither in the reader nor in the sample."""
    corners = dict(zip(('xmin', 'ymin', 'xmax', 'ymax'), box))
    voc_files.write_xml(voc / 'Annotations/im1.xml', [
        dict(name='dog', **corners),
        dict(name='cat', xmin=2, ymin=2, xmax=9, ymax=9)])
    config = xml_set(voc, metainfo=dict(classes=('cat', 'dog')))
    data = make(config, ('bbox', ))
    assert len(data.get_data_info(1)['instances']) == 2
    with pytest.raises(DatasetError, match=f'im1.xml: box .* {complaint}'):
        data[1]
    data = make(config, ('bbox', ), drop_bad_boxes=True)
    assert data[1]['gt_bboxes_labels'].tolist() == [0]


@pytest.mark.parametrize('wrapper', ['RepeatDataset', 'ConcatDataset'])
def test_wrappers_hide_boxes_from_the_checks(foreign, voc, wrapper):
    """Labels would be those of the JSON file, in its order."""
    for inner in (coco(foreign),
                  xml_set(voc, metainfo=dict(classes=('cat', 'dog')))):
        config = dict(type=wrapper, dataset=inner, times=2)
        if wrapper == 'ConcatDataset':
            config = dict(type=wrapper, datasets=[inner, inner])
        with pytest.raises(
                DatasetError,
                match=f'{wrapper} hides (Coco|XML)Dataset.*ConcatSource'):
            make(config, ('bbox', ))
        assert len(make(config, ())) in (8, 12)


def test_scope_instead_of_prefix(foreign):
    config = folder(foreign)
    config.update(type='BaseSegDataset', _scope_='mmseg')
    assert len(make(config, ('sem_seg', ), **ID_MAP)) == 4


def test_reduce_zero_label_is_kept(foreign, voc_files):
    for k in range(4):
        ids = np.full((30, 40 + k), 1)
        ids[0, :4] = 0, 2, 3, 255
        voc_files.write_mask(foreign / f'masks/{k}.png', ids)
    config = folder(foreign, reduce_zero_label=True)
    sample = make(config, ('sem_seg', ))[0]
    assert sample['gt_seg_map'][0, :5].tolist() == [255, 1, 2, 255, 0]
    with pytest.raises(DatasetError, match='reduce_zero_label'):
        make(config, ('sem_seg', ), **ID_MAP)


def test_label_map_is_kept(foreign, voc_files):
    """Fewer classes than the set's METAINFO: the others are ignored."""
    for k in range(4):
        ids = np.full((30, 40 + k), 13)
        ids[0, :3] = 0, 5, 255
        voc_files.write_mask(foreign / f'masks/{k}.png', ids)
    config = folder(
        foreign,
        img_suffix='.jpg',
        seg_map_suffix='.png',
        metainfo=dict(classes=('car', 'road')))
    config['type'] = 'mmseg.CityscapesDataset'
    data = make(config, ('sem_seg', ))
    assert data.metainfo['seg_classes'] == ('car', 'road')
    # Cityscapes: 0 road, 5 pole, 13 car.
    assert data[0]['gt_seg_map'][0, :4].tolist() == [1, 255, 255, 0]
    assert len(data.metainfo['seg_palette']) == 2


def test_two_foreign_sources_as_one_set(foreign):
    data = MixedSourceDataset([
        dict(
            type='PartialAnnotationDataset',
            dataset=coco(foreign),
            annotation_kinds=('bbox', ),
            source='boxes'),
        dict(
            type='PartialAnnotationDataset',
            dataset=folder(foreign),
            annotation_kinds=('sem_seg', ),
            source='masks',
            **ID_MAP)
    ])
    assert data.metainfo == dict(
        classes=CLASSES,
        palette=[(1, 2, 3)] * 3,
        seg_classes=CLASSES,
        seg_palette=[(9, 9, 9)] * 3,
        ignore_index=255)
    infos = [data.get_data_info(i) for i in range(8)]
    assert len({info['img_id'] for info in infos}) == 8
    assert len({info['sample_idx'] for info in infos}) == 8


@pytest.mark.parametrize('kinds, dataset, missing', [
    (('bbox', 'sem_seg'), coco, 'sem_seg'),
    (('sem_seg', ), coco, 'sem_seg'),
    (('bbox', ), folder, 'bbox'),
])
def test_a_declared_kind_must_be_there(foreign, kinds, dataset, missing):
    with pytest.raises(DatasetError, match=rf"declares \['{missing}'\]"):
        make(dataset(foreign), kinds, source='x')


def test_classes_must_be_known(foreign):
    with pytest.raises(DatasetError, match="give metainfo.'seg_classes'."):
        make(coco(foreign, seg='masks/'), ('sem_seg', ))
    with pytest.raises(DatasetError, match="unknown key.*'labels'"):
        make(coco(foreign), ('bbox', ), metainfo=dict(labels=CLASSES))


def test_empty_and_missing(foreign):
    write_json(foreign, [], [])
    with pytest.raises(DatasetError, match='has no image.*boxes.json'):
        make(coco(foreign), ('bbox', ))
    (foreign / 'boxes.json').unlink()
    with pytest.raises(DatasetError, match="boxes.json' does not exist"):
        make(coco(foreign), ('bbox', ))
    with pytest.raises(DatasetError, match='nowhere.*does not exist'):
        make(coco(foreign / 'nowhere'), ('bbox', ))
    with pytest.raises(DatasetError, match='has no image'):
        make(folder(foreign, img_suffix='.tif'), ('sem_seg', ))


def test_missing_files_and_unknown_ids(foreign):
    with pytest.raises(DatasetError, match=r'0.png: id\(s\) \[11, 26\]'):
        make(folder(foreign), ('sem_seg', ))
    (foreign / 'masks/2.png').unlink()
    with pytest.raises(DatasetError, match='masks/2.png'):
        make(folder(foreign), ('sem_seg', ), **ID_MAP)[2]
    # Nobody asks for that mask here.
    make(coco(foreign), ('bbox', ))[2]
    (foreign / 'images/1.jpg').unlink()
    with pytest.raises(DatasetError, match=r'images/1.jpg.*boxes\.json'):
        make(coco(foreign), ('bbox', ))[1]


@pytest.mark.parametrize('missing', ['images/0.jpg', 'masks/0.png'])
def test_missing_first_files_come_with_what_to_do(foreign, missing):
    (foreign / missing).unlink()
    with pytest.raises(DatasetError, match=rf'{missing}[^\0]*run make_data'):
        make(
            coco(foreign, seg='masks/'), ('sem_seg', ),
            metainfo=dict(seg_classes=CLASSES),
            data_help='run make_data',
            **ID_MAP)


def test_record_of_maps_in_folders(foreign):
    content = json.loads((foreign / 'boxes.json').read_text())
    for kind in ('images', 'masks'):
        (foreign / kind / 'street').mkdir()
        for path in list((foreign / kind).glob('*.*')):
            path.rename(path.parent / 'street' / path.name)
    for image in content['images']:
        image['file_name'] = f'street/{image["file_name"]}'
    write_json(foreign, content['images'], content['annotations'])
    for k in range(4):
        path = foreign / f'masks/street/{k}.png'
        cv2.imwrite(str(path), np.zeros((30, 40 + k), np.uint8))
    record = foreign / 'masks' / MAP_RECORD
    source = coco(foreign, seg='masks/')
    meta = dict(metainfo=dict(seg_classes=CLASSES))
    record.write_text(json.dumps(dict(classes=CLASSES)))
    assert len(make(source, ('sem_seg', ), **meta)) == 4
    record.write_text(json.dumps(dict(classes=CLASSES[::-1])))
    with pytest.raises(DatasetError, match="id 0 of these maps is 'tower'"):
        make(source, ('sem_seg', ), **meta)


@pytest.mark.parametrize('changes, complaint', [
    (dict(bbox=[6, 4, 0, 10]), 'is degenerate'),
    (dict(bbox=[26, 4, -20, 10]), 'is inverted'),
    (dict(bbox=[30, 4, 20, 10]), 'is outside the 41x30 image'),
    (dict(bbox=[6, 4, .5, 10]), 'is thinner than a pixel'),
    (dict(area=0), "has 'area' 0"),
])
def test_boxes_that_mmdet_would_drop_silently(foreign, changes, complaint):
    content = json.loads((foreign / 'boxes.json').read_text())
    content['annotations'][1].update(changes)
    (foreign / 'boxes.json').write_text(json.dumps(content))
    data = make(coco(foreign), ('bbox', ))
    with pytest.raises(DatasetError, match=rf'1.jpg: box \[.*\] {complaint}'):
        data[1]
    data = make(coco(foreign), ('bbox', ), drop_bad_boxes=True)
    assert [len(data[i]['gt_bboxes']) for i in range(4)] == [1, 0, 1, 1]
    assert data[1]['instances'] == []


def test_what_is_marked_ignore_is_ignored(foreign):
    content = json.loads((foreign / 'boxes.json').read_text())
    content['annotations'][1].update(ignore=1)
    (foreign / 'boxes.json').write_text(json.dumps(content))
    data = make(coco(foreign), ('bbox', ))
    flags = [data[i]['gt_ignore_flags'].tolist() for i in range(4)]
    assert flags == [[False], [True], [False], [True]]  # the last is a crowd


def test_boxes_of_categories_that_are_no_class_are_counted(
        foreign, monkeypatch):
    said = []
    monkeypatch.setattr(
        'mmbombo.datasets.partial_annotation_dataset.print_log',
        lambda text, **kwargs: said.append(text))
    content = json.loads((foreign / 'boxes.json').read_text())
    for annotation in content['annotations'][:2]:
        annotation['category_id'] = 7
    write_json(foreign, content['images'], content['annotations'])
    config = coco(foreign)
    make(config, ('bbox', ))
    assert not any('leaves out' in text for text in said)
    config['metainfo'] = dict(classes=('tower', 'tree'))
    make(config, ('bbox', ))
    text, = (text for text in said if 'leaves out' in text)
    assert f'{{{CLASSES[0]!r}: 2}}' in text


PSEUDO = dict(
    type='LoadPseudoMask',
    class_map=dict(
        det_classes=('tower', 'tree'),
        seg_classes=('background', 'plant', 'tower'),
        det_to_seg=dict(tree='plant')),
    method='box')


@pytest.mark.parametrize('unlisted_categories', ['ignore', 'background'])
def test_boxes_of_left_out_categories_are_ignored_in_weak_masks(
        foreign, unlisted_categories):
    content = json.loads((foreign / 'boxes.json').read_text())
    content['annotations'] = [
        dict(content['annotations'][0], id=k, category_id=category, bbox=box)
        for k, category, box in (
            (1, 50, [2, 2, 8, 8]),
            (2, 7, [30, 20, 50, 4]),  # half of it outside
            (3, 7, [4, 4, 2, 2]),  # in the box of a class
            (4, 7, [90, 4, 2, 2]))
    ]
    write_json(foreign, content['images'], content['annotations'])
    config = dict(coco(foreign), metainfo=dict(classes=('tower', 'tree')))
    data = PartialAnnotationDataset(
        dataset=config,
        annotation_kinds=('bbox', ),
        unlisted_categories=unlisted_categories,
        pipeline=[*LOAD, PSEUDO,
                  dict(type='mmdet.RandomFlip', prob=1.),
                  dict(type='PackMultiTaskInputs')])
    expected = np.zeros((30, 40), np.uint8)
    expected[2:10, 2:10] = 1
    if unlisted_categories == 'ignore':
        expected[4:6, 4:6] = expected[20:24, 30:] = 255
    sample = data[0]['data_samples']
    np.testing.assert_array_equal(
        class_ids(sample.pseudo_sem_seg.sem_seg[0], sample.pseudo_classes),
        expected[:, ::-1])
    # To the detector, and to metrics, they do not exist.
    assert sample.gt_instances.labels.tolist() == [1]
    assert len(sample.ignored_instances) == 0
    assert [x['bbox_label'] for x in sample.instances] == [1]
    if unlisted_categories == 'ignore':
        assert sample.unlisted_instances.bboxes.tolist() == [
            [0, 20, 10, 24], [34, 4, 36, 6]]
    for other in (sample, data[1]['data_samples']):
        assert ('unlisted_instances' in other) == (
            other is sample and unlisted_categories == 'ignore')


def test_left_out_is_one_of_two(foreign):
    with pytest.raises(
            DatasetError, match="unlisted_categories is 'foreground'"):
        make(coco(foreign), ('bbox', ), unlisted_categories='foreground')


def rewrite(root, image=None, box=None):
    """Change every entry of the COCO file by a function."""
    content = json.loads((root / 'boxes.json').read_text())
    for entry in content['images'] if image else ():
        image(entry)
    for entry in content['annotations'] if box else ():
        entry['bbox'] = box(entry['bbox'])
    write_json(root, content['images'], content['annotations'])


@pytest.mark.parametrize('change', [
    lambda x: x.update(width=x['width'] + 2, height=x['height'] - 1),
    lambda x: x.update(width=8, height=8),  # outside of it are boxes
    lambda x: x.update(width=x['height'], height=x['width']),
    lambda x: x.update(width=0, height=0),
    lambda x: x.update(width=None, height=None),
])
def test_other_sizes_that_move_no_box(foreign, change):
    # in images of 40x30, but not in those of 30x40
    rewrite(foreign, change, lambda box: [32, 20, 8, 10])
    config = coco(foreign)
    data = make(config, ('bbox', ))
    for k in range(4):
        assert data[k]['gt_bboxes'].tensor.tolist() == [[32, 20, 40, 30]]
    if data.get_data_info(0).get('width') is None:
        # Sizes that nobody knows filter nothing.
        config['filter_cfg'] = dict(filter_empty_gt=True, min_size=16)
        assert len(make(config, ('bbox', ))) == 4


@pytest.mark.parametrize('factor, box, cause', [
    (2, [6, 4, 20, 10], 'Perhaps it was scaled or cropped'),
    (2, [40, 4, 20, 10], 'Boxes reach out of it: it was scaled'),
    (.5, [6, 4, 12, 10], 'Perhaps it was scaled or cropped'),
    (None, [6, 4, 20, 10], 'Width and height are swapped'),
    (None, [6, 20, 20, 19], 'Width and height are swapped'),
])
def test_other_sizes_stop_where_boxes_may_be_wrong(
        foreign, factor, box, cause):

    def change(image):
        width, height = image['width'], image['height']
        if factor is None:
            image.update(width=height, height=width)
        else:
            image.update(
                width=int(factor * width), height=int(factor * height))

    rewrite(foreign, change, lambda _: box)
    with pytest.raises(DatasetError) as error:
        make(coco(foreign), ('bbox', ), drop_bad_boxes=True)
    message = str(error.value)
    assert 'images/0.jpg: the image is 40x30, not ' in message
    assert cause in message and 'ignore_listed_sizes=True' in message
    # no box, nothing beside its object
    metainfo = dict(seg_classes=CLASSES)
    make(coco(foreign, seg='masks/'), ('sem_seg', ), metainfo=metainfo,
         **ID_MAP)


def test_listed_sizes_are_ignored_on_demand(foreign):
    rewrite(foreign, lambda x: x.update(width=30, height=16))
    config = coco(foreign)
    with pytest.raises(DatasetError, match='is 40x30, not 30x16'):
        make(config, ('bbox', ))
    data = make(config, ('bbox', ), ignore_listed_sizes=True)
    assert data[2]['gt_bboxes'].tensor.tolist() == [[6, 4, 26, 14]]


def test_a_reader_of_a_users_own_loses_no_box(foreign):
    """MMDetection drops what is outside the listed size."""

    class OwnCoco(CocoDataset):
        pass

    DATASETS.register_module(module=OwnCoco, force=True)
    rewrite(foreign, lambda x: x.update(width=6))
    data = make(
        dict(coco(foreign), type='OwnCoco'), ('bbox', ),
        ignore_listed_sizes=True)
    assert data[0]['gt_bboxes'].tensor.tolist() == [[6, 4, 26, 14]]


@pytest.mark.parametrize('box, cause', [
    ([16, 10, 36, 25], 'look like corners'),
    ([.1, .2, .4, .3], 'look like fractions'),
])
def test_boxes_that_are_wrong_altogether(foreign, box, cause):
    rewrite(foreign, box=lambda _: box)
    with pytest.raises(DatasetError, match=f'boxes.json: the boxes {cause}'):
        # to drop them would be to teach their objects as background
        make(coco(foreign), ('bbox', ), drop_bad_boxes=True)


def test_boxes_of_categories_that_are_no_class_are_not_judged(foreign):
    content = json.loads((foreign / 'boxes.json').read_text())
    config = coco(foreign)
    config['metainfo'] = dict(classes=('tower', 'tree'))
    bad = content['annotations'][1]
    for category in (7, 90):  # not asked for, and asked for
        bad.update(category_id=category, bbox=[6, 4, .5, 10], iscrowd=1)
        write_json(foreign, content['images'], content['annotations'])
        data = make(config, ('bbox', ))
        if category == 7:
            assert [[x['bbox_label'] for x in data[i]['instances']]
                    for i in range(4)] == [[1], [], [1], [1]]
        else:
            # A crowd of a class would become a negative.
            with pytest.raises(DatasetError, match='1.jpg: box'):
                data[1]


def test_pipeline_belongs_to_the_wrapper(foreign):
    with pytest.raises(DatasetError, match='belongs to'):
        make(dict(coco(foreign), pipeline=LOAD), ('bbox', ))


def test_filter_of_the_wrapped_set_counts_in_training_only(foreign):
    content = json.loads((foreign / 'boxes.json').read_text())
    write_json(foreign, content['images'], content['annotations'][:1])
    config = dict(coco(foreign), filter_cfg=dict(filter_empty_gt=True))
    assert len(make(config, ('bbox', ))) == 1
    assert len(make(config, ('bbox', ), test_mode=True)) == 4


@pytest.fixture
def weather(monkeypatch):
    """A kind that only one test knows."""
    registry = import_module('mmbombo.structures.annotation_kinds')
    monkeypatch.setattr(registry, '_KINDS', dict(registry._KINDS))
    register_kind(
        AnnotationKind(
            'weather',
            task='weather',
            info_key='sky',
            fields=(),
            classes_key='weather_classes'))


def test_a_kind_of_somebody_elses_is_kept_under_its_key(weather, tmp_path):
    Image.new('RGB', (8, 6)).save(tmp_path / '0.png')
    (tmp_path / 'list.json').write_text(
        json.dumps(
            dict(
                metainfo=dict(),
                data_list=[dict(img_path='0.png', sky='gray', secret=1)])))
    names = dict(weather_classes=['gray'])

    def source(*kinds, metainfo=names):
        return PartialAnnotationDataset(
            dict(
                type='mmdet.BaseDetDataset',
                ann_file='list.json',
                data_root=str(tmp_path),
                data_prefix=dict(img_path='')),
            annotation_kinds=kinds,
            metainfo=metainfo)

    with_kind = source('weather')
    assert with_kind[0]['sky'] == 'gray' and 'secret' not in with_kind[0]
    assert with_kind.metainfo['weather_classes'] == ('gray', )
    assert 'sky' not in source()[0]
    with pytest.raises(DatasetError, match=r"metainfo\['weather_classes'\]"):
        source('weather', metainfo=None)
    with pytest.raises(DatasetError, match=r"\['bbox'\].*no image with that"):
        source('weather', 'bbox')
