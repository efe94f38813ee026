# Copyright (c) mmbombo contributors.
from pathlib import Path

import numpy as np
import pytest
from mmcv.transforms import BaseTransform
from mmengine.config import Config
from toolbox import CLASSES, SEG_CLASSES, class_ids, load_script, write_voc

from mmbombo.registry import DATASETS, TRANSFORMS

ROOT = Path(__file__).resolve().parents[2]
TOOL = str(ROOT / 'tools/dataset_converters/pseudo_masks.py')
CONFIG = """
class_map = dict(det_classes={classes}, seg_classes={seg_classes})
pipeline = [
    dict(type='LoadImageFromFile'), dict(type='LoadPartialAnnotations'),
    dict(type='LoadPseudoMask', class_map=class_map, method='grabcut_ignore',
         cache_dir={cache!r}),
    dict(type='PackMultiTaskInputs')]
source = dict(
    type='PartialVOCDataset', data_root={root!r},
    ann_file='ImageSets/Main/train.txt',
    metainfo=dict(classes={classes}, seg_classes={seg_classes}),
    pipeline=pipeline)
train_dataloader = dict(dataset=dict(type='MixedSourceDataset', datasets=[
    dict(source, source='boxes', annotation_kinds=('bbox', )),
    dict(source, source='masks', annotation_kinds=('sem_seg', ))]))
"""


@pytest.fixture
def config(tmp_path):
    root = write_voc(tmp_path / 'voc', num_images=6)
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

    return main


def test_masks_are_made_ahead_and_then_only_read(config, run, tmp_path,
                                                 capsys):
    run()
    assert '6 pseudo masks' in capsys.readouterr().out
    files = sorted((tmp_path / 'cache').rglob('*.npz'))
    assert len(files) == 6
    times = [file.stat().st_mtime_ns for file in files]

    dataset = DATASETS.build(Config.fromfile(config).train_dataloader.dataset)
    for index in range(6):
        sample = dataset[index]['data_samples']
        mask = class_ids(sample.pseudo_sem_seg.sem_seg, sample.pseudo_classes)
        assert (mask == 0).any() and mask.shape == (1, 80, 96)
        assert np.isin(mask, [0, 1, 2, 3, 255]).all()
    assert sorted((tmp_path / 'cache').rglob('*.npz')) == files
    assert [file.stat().st_mtime_ns for file in files] == times


@TRANSFORMS.register_module()
class LoadHalfSize(BaseTransform):

    def transform(self, results):
        return dict(results, img=results['img'][::2, ::2])


@pytest.mark.parametrize('old, new, message', [
    ("dict(type='LoadPseudoMask'",
     "dict(type='LoadHalfSize'), dict(type='LoadPseudoMask'",
     'LoadPseudoMask must come directly after'),
    ("('bbox', )", "('bbox', 'sem_seg')", 'no training source'),
])
def test_error_is_one_line(config, run, old, new, message):
    """One of a worker process too."""
    config.write_text(config.read_text().replace(old, new))
    with pytest.raises(SystemExit, match=message):
        run()
