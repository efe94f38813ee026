# Copyright (c) mmbombo contributors.
"""The distillation configs build, and their teachers fit them."""
from pathlib import Path

import pytest
import torch
import yaml
from mmengine.config import Config

from mmbombo.testing import model_of_config, samples_of_config

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / 'configs' / 'distillation'
PHOTO_STAMPS = 'mobilenetv2_fpn-gfl_photo-stamps'
VOC = 'r18_cem-fpn_anchor_voc'
STUDENTS = [
    f'{row}_{PHOTO_STAMPS}'
    for row in ('kd-soft', 'kd-mse', 'kd-pdf', 'kd-defeat', 'kd-boxes',
                'kd-naive', 'bombo-kd', 'self-training-complement')
] + [f'kd-soft_{VOC}', f'self-training-complement_{VOC}']
SIZE = 64


@pytest.mark.parametrize('name', STUDENTS)
def test_teachers_fit_their_students(name):
    cfg = Config.fromfile(FOLDER / f'{name}.py')
    hooks = [x for x in cfg.custom_hooks if x.type == 'TeacherHook']
    teachers = {
        x.name: model_of_config(Config.fromfile(ROOT / x.config), SIZE)
        for x in hooks
    }
    student = model_of_config(cfg, SIZE)
    asked = [
        x for x in student.weak_losses
        if x.predictor not in ('none', 'self', 'ema')
    ]
    assert {x.predictor for x in asked} == set(teachers)
    for weak_loss in asked:
        weak_loss.check_teacher(student, teachers[weak_loss.predictor])
    for key, teacher in teachers.items():
        student.set_teacher(key, teacher.requires_grad_(False))
    samples = samples_of_config(cfg, SIZE)
    losses = student.train()(
        torch.randn(len(samples), 3, SIZE, SIZE), samples, 'loss')
    assert {x.name for x in student.weak_losses} <= {
        key.split('/')[0] for key in losses if 'loss' in key
    }
    loss, _ = student.parse_losses(losses)
    loss.backward()
    assert loss.isfinite()
    assert not [
        key for key, p in student.named_parameters()
        if p.requires_grad and p.grad is None
    ]
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
    student = model_of_config(cfg, SIZE)
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


def test_self_training_on_voc():
    """The teacher has the first images of both years, students the others, or
    all; they sum to the 7,558 of det_train."""

    def ids(name):
        source, = Config.fromfile(
            FOLDER / f'{name}.py').train_dataloader.dataset.datasets
        found = {}
        for part, count in zip(source.datasets, (4589, 2969)):
            year = [(part.data_root, i) for i in range(count)]
            taken = part.get('indices', count)
            found.update(dict.fromkeys(
                year[:taken] if taken > 0 else year[taken:]))
        return set(found), tuple(source.annotation_kinds)

    taught, kinds = ids('weak-teacher_r50_cem-pafpn_anchor_voc')
    assert kinds == ('bbox', ) and len(taught) == 1889
    unseen, none = ids(f'self-training-complement_{VOC}')
    every, neither = ids(f'self-training-overlap_{VOC}')
    assert none == neither == ()
    assert not taught & unseen and taught | unseen == every
    assert len(every) == 7558


def test_metafile_names_every_config():
    models = yaml.safe_load((FOLDER / 'metafile.yml').read_text())['Models']
    assert {ROOT / x['Config'] for x in models} == set(FOLDER.glob('*.py'))
    readme = (FOLDER / 'README.md').read_text()
    assert all(Path(x['Config']).name in readme for x in models)
