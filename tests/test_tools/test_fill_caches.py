# Copyright (c) mmbombo contributors.
"""Pseudo masks and regions made ahead, for our data sets and for others."""
from pathlib import Path

import numpy as np
import pytest
from mmcv.transforms import BaseTransform
from mmengine.config import Config
from mmengine.registry import init_default_scope
from toolbox import CLASSES, SEG_CLASSES, class_ids, load_script, write_voc

from mmbombo.registry import DATASETS, TRANSFORMS

ROOT = Path(__file__).resolve().parents[2]
TOOL = str(ROOT / 'tools/dataset_converters/fill_caches.py')
CONFIG = """
default_scope = 'mmseg'
class_map = dict(det_classes={classes}, seg_classes={seg_classes})
masks = dict(
    type='mmbombo.LoadPseudoMask', class_map=class_map, cache_dir={masks!r})
regions = dict(type='mmbombo.LoadRegions', cache_dir={regions!r}, min_size=60)
stock = dict(
    type='BaseSegDataset', data_root={root!r}, img_suffix='.jpg',
    data_prefix=dict(img_path='JPEGImages', seg_map_path='SegmentationClass'),
    metainfo=dict(classes={seg_classes}),
    pipeline=[
        dict(type='LoadImageFromFile'), regions, dict(type='LoadAnnotations'),
        dict(type='RandomFlip', prob=.5), dict(type='mmbombo.PackRegions')])
ours = dict(
    type='mmbombo.PartialVOCDataset', data_root={root!r},
    ann_file='ImageSets/Main/train.txt',
    metainfo=dict(classes={classes}, seg_classes={seg_classes}),
    pipeline=[
        dict(type='LoadImageFromFile'),
        dict(type='mmbombo.LoadPartialAnnotations'), masks, regions,
        dict(type='mmbombo.PackMultiTaskInputs')])
train_dataloader = dict(dataset=dict(
    type='RepeatDataset', times=3, dataset=stock))
val_dataloader = dict(dataset=dict(
    type='mmbombo.MixedSourceDataset', datasets=[
        dict(ours, source='boxes', annotation_kinds=('bbox', )),
        dict(ours, source='masks', annotation_kinds=('sem_seg', ))]))
"""


@pytest.fixture
def config(tmp_path):
    root = write_voc(tmp_path / 'voc', num_images=3)
    path = tmp_path / 'config.py'
    path.write_text(
        CONFIG.format(
            classes=CLASSES,
            seg_classes=SEG_CLASSES,
            root=str(root),
            masks=str(tmp_path / 'cache/masks'),
            regions=str(tmp_path / 'cache/regions')))
    return path


@pytest.fixture
def run(config, monkeypatch):

    def main():
        monkeypatch.setattr('sys.argv', [TOOL, str(config), '--jobs', '2'])
        load_script(TOOL).main()

    yield main
    init_default_scope('mmbombo')


def test_files_are_made_ahead_and_then_only_read(config, run, tmp_path,
                                                 capsys):
    run()
    assert '6 files in' in capsys.readouterr().out
    files = sorted((tmp_path / 'cache').rglob('*.npz'))
    # three masks, of the boxes; three of regions, which all sources read
    assert [x.parents[1].name for x in files] == ['masks'] * 3 + [
        'regions'] * 3
    times = [file.stat().st_mtime_ns for file in files]
    cfg = Config.fromfile(config)
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        sample = DATASETS.build(loader.dataset)[1]['data_samples']
        regions = sample.regions
        assert len(regions) and regions.superpixels.shape == (80, 96)
        assert regions.bboxes[0].tolist() == [0, 0, 96, 80]
    mask = class_ids(sample.pseudo_sem_seg.sem_seg, sample.pseudo_classes)
    assert (mask == 0).any() and mask.shape == (1, 80, 96)
    assert np.isin(mask, [0, 1, 2, 3, 255]).all()
    files[4].unlink()
    run()
    assert sorted((tmp_path / 'cache').rglob('*.npz')) == files
    kept = [file.stat().st_mtime_ns for file in files]
    assert [a == b for a, b in zip(times, kept)] == [
        True, True, True, True, False, True]


@TRANSFORMS.register_module()
class LoadHalfSize(BaseTransform):

    def transform(self, results):
        return dict(results, img=results['img'][::2, ::2])


@pytest.mark.parametrize('old, new, message', [
    ('cache_dir=', 'cache_dir=None and ', 'LoadRegions with a cache_dir'),
    ('min_size=60', 'color_space="cmyk"', 'cmyk.* has to be one of'),
    ("regions, dict(type='LoadAn", "dict(type='Resize', scale=(9, 9)), "
     "regions, dict(type='LoadAn", 'LoadRegions must come before'),
    ('masks, reg', "dict(type='mmbombo.LoadHalfSize'), masks, reg",
     'LoadPseudoMask must come directly after'),
])
def test_error_is_one_line(config, run, old, new, message):
    """One of a worker process too."""
    config.write_text(config.read_text().replace(old, new))
    with pytest.raises(SystemExit, match=message) as ended:
        run()
    assert '\n' not in ended.value.code
