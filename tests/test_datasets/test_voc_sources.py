# Copyright (c) mmbombo contributors.
"""The VOC configs on a miniature of VOC2007, VOC2012 and SBD."""
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from toolbox import class_ids

from mmbombo.datasets import (ConcatSource, DatasetError,
                              PartialAnnotationSampler, SeededIndex)
from mmbombo.registry import DATASETS
from mmbombo.structures import ClassMap

pytest.importorskip('scipy')
TESTS = Path(__file__).resolve().parents[1]
ROOT = TESTS.parent
sys.path[:0] = [str(TESTS), str(ROOT / 'tools/dataset_converters')]

import sbd_masks  # noqa: E402
import voc_devkit  # noqa: E402
import voc_lists  # noqa: E402

COARSE = ('background', 'transportation', 'animal', 'furniture', 'person')
#: VOC's ids 0..20 in them, written down from the definition of MXS.
COARSE_IDS = [0, 1, 1, 2, 1, 3, 1, 1, 2, 3, 2, 3, 2, 2, 1, 4, 3, 2, 3, 1, 3]


@pytest.fixture(scope='module')
def prepared(tmp_path_factory):
    """A devkit after all steps of the config's help."""
    folder = tmp_path_factory.mktemp('voc')
    root = voc_devkit.write_devkit(folder / 'VOCdevkit')
    sbd = voc_devkit.write_sbd(folder / 'dataset')
    assert sbd_masks.main([str(sbd), str(root / 'VOC2012')]) == 0
    voc_lists.main([str(root)])
    return root


@pytest.fixture
def root(prepared, tmp_path):
    """A copy that a test may change."""
    return Path(shutil.copytree(prepared, tmp_path / 'VOCdevkit'))


@pytest.fixture
def config(monkeypatch):

    def load(root, name='_base_/datasets/voc', **env):
        monkeypatch.setenv('VOC_ROOT', str(root))
        for key, value in env.items():
            monkeypatch.setenv(key, value)
        return Config.fromfile(ROOT / f'configs/{name}.py')

    return load


def by_id(source, image_id):
    """Index of an image in a source."""
    ids = [source.get_data_info(i)['img_id'] for i in range(len(source))]
    return ids.index(image_id)


def load_only(cfg):
    return dict(cfg, pipeline=cfg.pipeline[:2])


def test_two_years_are_one_source(prepared, config):
    cfg = config(prepared)
    data = DATASETS.build(cfg.train_dataloader.dataset)
    assert data.source_sizes == [9, 9]
    assert [(x.source, x.annotation_kinds) for x in data.datasets] == [
        ('det', ('bbox', )), ('seg', ('sem_seg', ))]
    infos = [data.get_data_info(i) for i in range(18)]
    assert [info['sample_idx'] for info in infos] == list(range(18))
    paths = [Path(info['img_path']) for info in infos]
    assert [path.parts[-3] for path in paths] == (
        ['VOC2007'] * 5 + ['VOC2012'] * 4 + ['VOC2007'] * 2 + ['VOC2012'] * 7)
    assert len({path.name for path in paths}) == 18
    masks = [Path(info['seg_map_path']).parts[-2] for info in infos[9:]]
    assert masks == ['SegmentationClass'] * 2 + ['SegmentationClassAug'] * 7
    assert all(('instances' in info) == (i < 9)
               for i, info in enumerate(infos))
    sampler = PartialAnnotationSampler(
        data, **{k: v for k, v in cfg.train_dataloader.sampler.items()
                 if k != 'type'}, seed=0)
    assert sampler.source_counts == [8, 8]


def test_both_years_are_read_for_what_they_are(prepared, config):
    cfg = config(prepared)
    det = DATASETS.build(load_only(cfg.det_source))
    seg = DATASETS.build(load_only(cfg.seg_source))
    for image_id in ('000003', '2008_000012'):
        sample = det[by_id(det, image_id)]
        assert sample['gt_bboxes'].tensor[0].tolist() == list(
            voc_devkit.rectangle(image_id))
        assert sample['gt_bboxes_labels'][0] == voc_devkit.label(image_id)
        assert 'gt_seg_map' not in sample
    sbd = [i for i in voc_devkit.SBD[2:] if i in {
        seg.get_data_info(k)['img_id'] for k in range(len(seg))}]
    for image_id, truth in [('000006', voc_devkit.official_mask),
                            ('2008_000001', voc_devkit.official_mask),
                            (sbd[0], voc_devkit.sbd_mask)]:
        sample = seg[by_id(seg, image_id)]
        np.testing.assert_array_equal(sample['gt_seg_map'], truth(image_id))
        assert 'gt_bboxes' not in sample


@pytest.mark.parametrize('name', ['', '-from-imagenet'])
def test_tags_come_from_the_boxes_files(root, config, name):
    for folder in ('SegmentationClassAug', 'SegmentationClass'):
        for image_id in voc_devkit.SEG_TRAIN_2012:  # no mask is read
            (root / 'VOC2012' / folder / f'{image_id}.png').unlink()
    cfg = config(root, f'rrm/rrm_wrn38_voc{name}')
    data = DATASETS.build(cfg.train_dataloader.dataset)
    train = {*voc_devkit.SEG_TRAIN_2012, *voc_devkit.SBD}
    train -= {*voc_devkit.SEG_VAL_2012}
    ids = [data.get_data_info(i)['img_id'] for i in range(len(data))]
    assert ids == sorted(train)
    for i, image_id in enumerate(ids):
        sample = data[i]['data_samples']
        labels = sample.gt_image_label.label
        assert labels[voc_devkit.label(image_id)] == 1
        # of a difficult object alone nothing is concluded
        difficult = (voc_devkit.is_difficult(image_id)
                     and voc_devkit.label(image_id) != voc_devkit.PERSON)
        assert labels[voc_devkit.PERSON] == (-1 if difficult else int(
            voc_devkit.label(image_id) == voc_devkit.PERSON))
        assert 'gt_sem_seg' not in sample
    val = DATASETS.build(cfg.val_dataloader.dataset)
    assert [val.get_data_info(i)['img_id'] for i in range(len(val))
            ] == voc_devkit.SEG_VAL_2012
    sample = val[3]
    assert sample['inputs'].shape[1:] == sample['data_samples'].ori_shape
    np.testing.assert_array_equal(
        sample['data_samples'].gt_sem_seg.sem_seg[0],
        voc_devkit.official_mask(voc_devkit.SEG_VAL_2012[3]))


def test_validation_is_official_and_at_full_size(prepared, config):
    cfg = config(prepared)
    val = DATASETS.build(cfg.val_dataloader.dataset)
    assert [val.get_data_info(i)['img_id'] for i in range(len(val))] == [
        '2007_000004', '2007_000009', '2008_000003'
    ]
    sample = val[2]['data_samples']
    np.testing.assert_array_equal(sample.gt_sem_seg.sem_seg[0],
                                  voc_devkit.official_mask('2008_000003'))
    assert sample.img_shape == (320, 384) and sample.ori_shape == (80, 96)


@pytest.mark.parametrize('method', ['box', 'grabcut_ignore'])
def test_difficult_boxes_are_ignored_but_inside_the_union(
        prepared, config, method):
    cfg = config(prepared)
    pipeline = cfg.weak_pipeline[:3]
    pipeline[2].update(method=method, cache_dir=None)
    det = DATASETS.build(dict(cfg.det_source, pipeline=pipeline))
    index = by_id(det, '2008_000012')
    sample = det[index]
    assert sample['gt_ignore_flags'].tolist() == [False, True]
    mask = class_ids(sample['gt_seg_map'], sample['pseudo_classes'])
    x1, y1, x2, y2 = voc_devkit.rectangle('2008_000012')
    inside = np.zeros(mask.shape, bool)
    inside[y1:y2, x1:x2] = True
    difficult = np.zeros(mask.shape, bool)
    difficult[:, -16:] = True
    # not background, and not a person either
    assert (mask[difficult] == 255).all()
    assert (mask[~inside & ~difficult] == 0).all()
    assert set(np.unique(mask[inside])) <= {13, 255}
    assert (mask[inside] == 13).mean() > 0.5

    pipeline = [*cfg.train_pipeline[:2], cfg.train_pipeline[-1]]
    packed = DATASETS.build(dict(
        cfg.det_source, pipeline=pipeline))[index]['data_samples']
    assert packed.gt_instances.labels.tolist() == [12]
    assert packed.ignored_instances.labels.tolist() == [voc_devkit.PERSON]
    assert [i['ignore_flag'] for i in packed.instances] == [0, 1]


def test_without_sbd_the_error_says_which_image_or_what_to_do(root, config):
    cfg = config(root)
    for path in (root / 'VOC2012/SegmentationClassAug').iterdir():
        if path.stem not in voc_devkit.SEG_TRAIN_2012:
            path.unlink()
    data = DATASETS.build(cfg.seg_source)
    seg = (root / 'VOC2012/ImageSets/mmbombo/seg_train.txt').read_text()
    first = next(i for i in seg.split() if i in voc_devkit.SBD[2:])
    with pytest.raises(DatasetError) as error:
        data[by_id(data, first)]
    message = str(error.value)
    assert f"source 'seg': {root}/VOC2012/SegmentationClassAug/{first}" in \
        message
    assert f'{root}/VOC2012/ImageSets/mmbombo/seg_train.txt' in message
    shutil.rmtree(root / 'VOC2012/SegmentationClassAug')
    with pytest.raises(DatasetError, match='dataset_converters/sbd_masks.py'):
        DATASETS.build(cfg.seg_source)


def test_missing_lists_and_images_say_what_to_do(root, config):
    cfg = config(root)
    voc_devkit.write_list(root / 'VOC2007', 'mmbombo/det_train',
                          ['000001', '004711'])
    with pytest.raises(DatasetError) as error:
        DATASETS.build(cfg.train_dataloader.dataset)
    assert 'Annotations/004711.xml' in str(error.value)
    assert 'det_train.txt line 2' in str(error.value)
    assert f'voc_lists.py {root}/' in str(error.value)
    (root / 'VOC2007/ImageSets/mmbombo/det_train.txt').unlink()
    with pytest.raises(DatasetError) as error:
        DATASETS.build(cfg.train_dataloader.dataset)
    assert "det_train.txt' does not exist" in str(error.value)
    assert f'voc_lists.py {root}/' in str(error.value)


def test_other_lists_by_name(root, config):
    for year, ids in (('VOC2007', ['000001']), ('VOC2012', ['2008_000005'])):
        voc_devkit.write_list(root / year, 'MXEdet/train', ids)
    cfg = config(
        root,
        VOC_DET='MXEdet/train',
        VOC_SEG='mmbombo/seg2_train',
        VOC_VAL='mmbombo/val1449')
    data = DATASETS.build(cfg.train_dataloader.dataset)
    assert data.source_sizes == [2, 4]
    assert data.get_data_info(1)['img_id'] == '2008_000005'
    # one of the 1,449 has no boxes
    with pytest.raises(DatasetError, match='2008_000763.xml'):
        DATASETS.build(cfg.val_dataloader.dataset)
    val = dict(cfg.val_dataloader.dataset, annotation_kinds=('sem_seg', ))
    assert len(DATASETS.build(val)) == 4


def test_an_oracle_reads_all_that_there_is(prepared, config):
    cfg = config(prepared)
    data = DATASETS.build(
        dict(type='MixedSourceDataset', datasets=cfg.oracle_sources))
    assert data.source_sizes == [6, 3, 9]
    # all of them have boxes, which is why there are lists for the masks
    with pytest.raises(DatasetError, match='SegmentationClass/000001.png'):
        DATASETS.build(
            dict(cfg.det_source, annotation_kinds=('bbox', 'sem_seg')))


def test_coarse_label_space(prepared, config):
    cfg = config(prepared, 'bombo/bombo_r50_fpn-gfl_voc-mxs')
    assert tuple(cfg.seg_classes) == COARSE
    class_map = ClassMap(**cfg.class_map)
    assert class_map.det_to_seg.tolist() == COARSE_IDS[1:]
    assert class_map.outside_ids == (0, ) and not class_map.seg_only
    data = DATASETS.build(cfg.train_dataloader.dataset)
    val = DATASETS.build(cfg.val_dataloader.dataset)
    table = [*COARSE_IDS, *[-1] * 234, 255]
    for source in (data.datasets[1], val):
        assert source.seg_id_table.tolist() == table
        assert source.metainfo['seg_classes'] == COARSE
    assert len(data.metainfo['classes']) == 20

    pipeline = cfg.weak_pipeline[:3]
    pipeline[2].update(method='box', cache_dir=None)
    # Box-for-Mask: the box of a horse paints the coarse class ...
    det = DATASETS.build(dict(cfg.det_source, pipeline=pipeline))
    sample = det[by_id(det, '2008_000012')]
    assert sample['gt_bboxes_labels'][0] == 12
    ids = class_ids(sample['gt_seg_map'], sample['pseudo_classes'])
    assert set(np.unique(ids)) == {
        0, COARSE.index('animal'), 255
    }
    # ... Mask-for-Box: the mask of a bird is an animal, any of six.
    pipeline = [*cfg.weak_pipeline[:2], cfg.weak_pipeline[-2]]
    seg = DATASETS.build(dict(cfg.seg_source, pipeline=pipeline))
    sample = seg[by_id(seg, '2008_000002')]
    labels = sample['components']['labels']
    assert labels.tolist() == [COARSE.index('animal')]
    possible = class_map.compatible[torch.as_tensor(labels[0])]
    assert [cfg.det_classes[i] for i in torch.where(possible)[0]] == [
        'bird', 'cat', 'cow', 'dog', 'horse', 'sheep'
    ]


def test_papers_pipeline(prepared, config):
    cfg = config(prepared, '_base_/datasets/voc_paper')
    assert cfg.train_dataloader.batch_size == 14
    data = DATASETS.build(cfg.train_dataloader.dataset)
    sampler = PartialAnnotationSampler(data, batch_size=14, seed=0)
    assert sampler.source_counts == [7, 7]
    batch = [data[index] for index, _ in zip(sampler, range(14))]
    assert {tuple(x['inputs'].shape) for x in batch} == {(3, 320, 320)}
    val = DATASETS.build(cfg.val_dataloader.dataset)[0]
    assert val['inputs'].shape == (3, 320, 320)
    assert val['data_samples'].scale_factor == (320 / 96, 320 / 80)
    assert val['data_samples'].gt_sem_seg.sem_seg.shape == (1, 80, 96)
    hue, = [t for t in data.datasets[0].pipeline.transforms
            if type(t).__name__ == 'PhotoMetricDistortion']
    # of 180, which is where OpenCV's 8-bit hue ends; mmdet's is of 360
    assert type(hue).__module__.startswith('mmseg') and hue.hue_delta == 18


def test_boxes_do_not_guide_the_crops_of_mask_images(root, config):
    cfg = config(root, '_base_/datasets/voc_paper')

    def read():
        seg = DATASETS.build(cfg.seg_source)
        return [seg[SeededIndex(i, seed)]['inputs'].numpy()
                for i in range(3) for seed in range(4)]

    before = read()
    shutil.rmtree(root / 'VOC2012/Annotations')
    shutil.rmtree(root / 'VOC2007/Annotations')
    np.testing.assert_array_equal(before, read())


def join(cfg, **changes):
    cfg = {**cfg, **changes}
    cfg.pop('type')
    return ConcatSource(**cfg)


def test_parts_that_do_not_fit_are_refused(prepared, config):
    cfg = config(prepared)
    seg = dict(cfg.seg_source, pipeline=[])
    old, new = seg['datasets']
    with pytest.raises(DatasetError, match='`datasets` is empty'):
        join(seg, datasets=[])
    with pytest.raises(DatasetError, match=r"\['pipeline'\] belong to Concat"):
        join(seg, datasets=[dict(old, pipeline=[]), new])
    with pytest.raises(DatasetError, match=r'datasets\[1\] gives ids'):
        join(seg, datasets=[old, dict(new, seg_ignore_ids=(20, ))])
    with pytest.raises(DatasetError, match=r'datasets\[1\] has metainfo'):
        join(seg, datasets=[
            old, dict(new, metainfo=dict(classes=cfg.det_classes[::-1]))])
    with pytest.raises(DatasetError,
                       match=r'is in datasets\[0\] and datasets\[2\]'):
        join(seg, datasets=[old, new, old])
