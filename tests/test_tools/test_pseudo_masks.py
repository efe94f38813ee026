# Copyright (c) mmbombo contributors.
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mmbombo.registry import DATASETS
from mmbombo.testing import CLASSES, SEG_CLASSES, write_voc

ROOT = Path(__file__).resolve().parents[2]
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


def run(config, *options):
    path = os.pathsep.join([str(ROOT), os.environ.get('PYTHONPATH', '')])
    return subprocess.run(
        [
            sys.executable,
            str(ROOT / 'tools/dataset_converters/pseudo_masks.py'),
            str(config), *options
        ],
        env=dict(os.environ, PYTHONPATH=path),
        capture_output=True,
        text=True)


def test_masks_are_made_ahead_and_then_only_read(config, tmp_path):
    from mmengine.config import Config
    result = run(config, '--jobs', '2')
    assert result.returncode == 0, result.stderr
    assert '6 pseudo masks' in result.stdout
    files = sorted((tmp_path / 'cache').rglob('*.png'))
    assert len(files) == 6
    times = [file.stat().st_mtime_ns for file in files]

    dataset = DATASETS.build(Config.fromfile(config).train_dataloader.dataset)
    for index in range(6):
        mask = dataset[index]['data_samples'].pseudo_sem_seg.sem_seg
        assert (mask == 0).any() and mask.shape == (1, 80, 96)
        assert np.isin(mask.numpy(), [0, 1, 2, 3, 255]).all()
    assert sorted((tmp_path / 'cache').rglob('*.png')) == files
    assert [file.stat().st_mtime_ns for file in files] == times


def add_step(config, before, step):
    text = config.read_text()
    assert before in text
    config.write_text(text.replace(before, f'{step}, {before}'))


def check_message(result, message):
    assert result.returncode == 1
    assert result.stderr.strip().splitlines()[-1].startswith(message)
    assert 'Traceback' not in result.stderr


def test_error_of_a_worker_is_shown_without_its_traceback(
        config, tmp_path, monkeypatch):
    (tmp_path / 'half_size.py').write_text(
        'from mmcv.transforms import BaseTransform\n'
        'from mmbombo.registry import TRANSFORMS\n'
        '@TRANSFORMS.register_module()\n'
        'class LoadHalfSize(BaseTransform):\n'
        '    def transform(self, results):\n'
        "        return dict(results, img=results['img'][::2, ::2])\n")
    monkeypatch.setenv('PYTHONPATH', str(tmp_path))
    config.write_text("custom_imports = dict(imports=['half_size'])\n" +
                      config.read_text())
    add_step(config, "dict(type='LoadPseudoMask'", "dict(type='LoadHalfSize')")
    check_message(
        run(config, '--jobs', '1'),
        'DatasetError: LoadPseudoMask must come directly after')


def test_nothing_to_do_is_said(config):
    text = config.read_text().replace("('bbox', )", "('bbox', 'sem_seg')")
    config.write_text(text)
    result = run(config)
    assert result.returncode != 0 and 'no training source' in result.stderr
