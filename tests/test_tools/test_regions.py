# Copyright (c) mmbombo contributors.
"""Regions made ahead, for data sets of ours and of MMSegmentation."""
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.registry import init_default_scope
from toolbox import CLASSES, SEG_CLASSES, load_script, write_voc

from mmbombo.registry import DATASETS

ROOT = Path(__file__).resolve().parents[2]
TOOL = str(ROOT / 'tools/dataset_converters/regions.py')
CONFIG = """
default_scope = 'mmseg'
regions = dict(type='mmbombo.LoadRegions', cache_dir={cache!r}, min_size=60)
stock = dict(
    type='BaseSegDataset', data_root={root!r}, img_suffix='.jpg',
    data_prefix=dict(img_path='JPEGImages', seg_map_path='SegmentationClass'),
    metainfo=dict(classes={seg_classes}),
    pipeline=[
        dict(type='LoadImageFromFile'), regions, dict(type='LoadAnnotations'),
        dict(type='RandomFlip', prob=.5), dict(type='mmbombo.PackRegions')])
ours = dict(
    type='mmbombo.PartialVOCDataset', data_root={root!r}, source='boxes',
    ann_file='ImageSets/Main/train.txt', annotation_kinds=('bbox', ),
    metainfo=dict(classes={classes}),
    pipeline=[
        dict(type='LoadImageFromFile'),
        dict(type='mmbombo.LoadPartialAnnotations'), regions,
        dict(type='mmbombo.PackMultiTaskInputs')])
train_dataloader = dict(dataset=dict(
    type='RepeatDataset', times=3, dataset=stock))
val_dataloader = dict(dataset=dict(
    type='mmbombo.MixedSourceDataset', datasets=[ours]))
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
            cache=str(tmp_path / 'cache')))
    return path


@pytest.fixture
def run(config, monkeypatch):

    def main():
        monkeypatch.setattr('sys.argv', [TOOL, str(config), '--jobs', '2'])
        load_script(TOOL).main()

    yield main
    init_default_scope('mmbombo')


def test_regions_are_made_ahead_and_then_only_read(config, run, tmp_path,
                                                   capsys):
    run()
    assert 'regions of 3 images in' in capsys.readouterr().out
    files = sorted((tmp_path / 'cache').rglob('*.npz'))
    assert len(files) == 3  # which both data sets read
    times = [file.stat().st_mtime_ns for file in files]
    cfg = Config.fromfile(config)
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        regions = DATASETS.build(loader.dataset)[1]['data_samples'].regions
        assert len(regions) and regions.superpixels.shape == (80, 96)
        assert regions.bboxes[0].tolist() == [0, 0, 96, 80]
    files[1].unlink()
    run()
    assert sorted((tmp_path / 'cache').rglob('*.npz')) == files
    kept = [file.stat().st_mtime_ns for file in files]
    assert [a == b for a, b in zip(times, kept)] == [True, False, True]


@pytest.mark.parametrize('old, new, message', [
    ('cache_dir=', 'cache_dir=None and ', 'no pipeline has LoadRegions with'),
    ('min_size=60', 'color_space="cmyk"', 'cmyk.* has to be one of'),
    ("regions, dict(type='LoadAn", "dict(type='Resize', scale=(9, 9)), "
     "regions, dict(type='LoadAn", 'LoadRegions must come before'),
])
def test_error_is_one_line(config, run, old, new, message):
    """One of a worker process too."""
    config.write_text(config.read_text().replace(old, new))
    with pytest.raises(SystemExit, match=message) as ended:
        run()
    assert '\n' not in ended.value.code
