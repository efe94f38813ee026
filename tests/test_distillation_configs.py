# Copyright (c) mmbombo contributors.
"""The distillation configs build, and their teachers fit them."""
from pathlib import Path

import pytest
import yaml
from mmengine.config import Config

from mmbombo.registry import MODELS

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / 'configs' / 'distillation'
STUDENTS = [
    'kd-soft', 'kd-mse', 'kd-pdf', 'kd-defeat', 'kd-boxes', 'bombo-kd',
    'self-training-complement'
]


def build(cfg):
    cfg.model.backbone.init_cfg = None
    return MODELS.build(cfg.model)


@pytest.mark.parametrize('row', STUDENTS + ['kd-soft-voc'])
def test_teachers_fit_their_students(row):
    name = f'{row}_mobilenetv2_fpn-gfl_photo-stamps'
    if row == 'kd-soft-voc':
        name = 'kd-soft_r18_cem-fpn_anchor_voc'
    cfg = Config.fromfile(FOLDER / f'{name}.py')
    hooks = [x for x in cfg.custom_hooks if x.type == 'TeacherHook']
    teachers = {x.name: build(Config.fromfile(ROOT / x.config)) for x in hooks}
    student = build(cfg)
    asked = [
        x for x in student.weak_losses
        if x.predictor not in ('none', 'self', 'ema')
    ]
    assert {x.predictor for x in asked} == set(teachers)
    for weak_loss in asked:
        weak_loss.check_teacher(student, teachers[weak_loss.predictor])
    for hook in hooks:
        assert Path(hook.checkpoint).parent.name == Path(hook.config).stem
        last = Config.fromfile(ROOT / hook.config).train_cfg.max_iters
        assert Path(hook.checkpoint).stem == f'iter_{last}'


@pytest.mark.parametrize('name', [
    'ema_mobilenetv2_fpn-gfl_photo-stamps', 'ema_r18_cem-fpn_anchor_voc'
])
def test_moving_average_teaches_both_tasks(name):
    cfg = Config.fromfile(FOLDER / f'{name}.py')
    assert [x.type for x in cfg.custom_hooks] == ['PredictorEMAHook']
    student = build(cfg)
    assert {x.task for x in student.weak_losses} == {'det', 'seg'}
    assert {x.predictor for x in student.weak_losses} == {'ema'}


@pytest.mark.parametrize('subset, wanted', [('same', range(200)),
                                            ('complement', range(200, 800)),
                                            ('overlap', range(800))])
def test_self_training_sees_no_annotation(subset, wanted):
    cfg = Config.fromfile(
        FOLDER /
        f'self-training-{subset}_mobilenetv2_fpn-gfl_photo-stamps.py')
    source, = cfg.train_dataloader.dataset.datasets
    indices = source.get('indices', 800)
    indices = range(indices) if isinstance(indices, int) else indices
    assert list(indices) == list(wanted) and not source.annotation_kinds


def test_metafile_names_every_config():
    models = yaml.safe_load((FOLDER / 'metafile.yml').read_text())['Models']
    assert {ROOT / x['Config'] for x in models} == set(FOLDER.glob('*.py'))
    readme = (FOLDER / 'README.md').read_text()
    assert all(Path(x['Config']).name in readme for x in models)
