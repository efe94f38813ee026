# Copyright (c) mmbombo contributors.
"""Every config builds, and its seven rows differ in what they say."""
from pathlib import Path

import pytest
import yaml
from mmengine.config import Config

from mmbombo.registry import MODELS

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = sorted((ROOT / 'configs').glob('bombo*.py')) + sorted(
    (ROOT / 'configs' / 'bombo').glob('*.py'))
ROWS = dict(
    det=([('bbox', )], []),
    seg=([('sem_seg', )], []),
    naive=([('bbox', ), ('sem_seg', )], []),
    b4m=([('bbox', ), ('sem_seg', )], ['BoxForMaskLoss']),
    m4b=([('bbox', ), ('sem_seg', )], ['MaskForBoxLoss']),
    bombo=([('bbox', ), ('sem_seg', )], ['BoxForMaskLoss', 'MaskForBoxLoss']),
    oracle=([('bbox', 'sem_seg')] * 2, []))


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_config_builds_without_pretrained_weights(path):
    cfg = Config.fromfile(path)
    cfg.model.backbone.init_cfg = None
    model = MODELS.build(cfg.model)
    frozen = [n for n, p in model.named_parameters() if not p.requires_grad]
    # the detector alone does not read the finest level of the pyramid
    unread = 'backbone.' if len(model.task_heads) > 1 else (
        'backbone.', 'neck.fpn_convs.0.', 'neck.lateral_convs.0.')
    assert all(name.startswith(unread) for name in frozen)
    assert cfg.train_dataloader.batch_size == \
        cfg.train_dataloader.sampler.batch_size


@pytest.mark.parametrize('row', ROWS)
def test_rows_of_the_ablation(row):
    cfg = Config.fromfile(ROOT / 'configs' / 'bombo' /
                          f'{row}_mobilenetv2_fpn-gfl_photo-stamps.py')
    kinds, weak = ROWS[row]
    sources = cfg.train_dataloader.dataset.datasets
    assert [tuple(source.annotation_kinds) for source in sources] == kinds
    losses = cfg.model.get('weak_losses', [])
    assert [loss.type for loss in losses] == weak
    tasks = {'det'} if row == 'det' else {'seg'} if row == 'seg' else {
        'det', 'seg'
    }
    assert set(cfg.model.task_heads) == set(cfg.val_evaluator.metrics) == tasks
    # the same number of images of each kind in every step
    assert cfg.train_dataloader.batch_size == 6 * len(sources)


def test_model_index_names_files_that_exist():
    index = yaml.safe_load((ROOT / 'model-index.yml').read_text())
    for metafile in index['Import']:
        content = yaml.safe_load((ROOT / metafile).read_text())
        for model in content['Models']:
            stem = model['Name']
            assert (ROOT / model['Config']).is_file()
            assert Path(model['Config']).stem == stem
