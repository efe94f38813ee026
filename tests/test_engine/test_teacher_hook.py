# Copyright (c) mmbombo contributors.
import copy
import os
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.logging import MMLogger
from mmengine.runner import Runner
from toolbox import CLASSES, SEG_CLASSES, make_sample, tiny_model_cfg
from torch import nn
from torch.utils._pytree import tree_flatten
from torch.utils.data import DataLoader

from mmbombo.engine.hooks import teacher_hook
from mmbombo.registry import HOOKS, MODELS
from mmbombo.utils import load_checkpoint_safely

SIZE = 64
KD = [
    dict(type='SoftDetectionLoss', teacher='det_teacher'),
    dict(type='SegmentationKLLoss', teacher='seg_teacher')
]


class Images:
    """Images with boxes and images with masks, in turn."""

    def __len__(self):
        return 4

    def __getitem__(self, i):
        kind = ('bbox', ) if i % 2 else ('sem_seg', )
        generator = torch.Generator().manual_seed(i)
        return dict(
            inputs=torch.randint(0, 255, (3, SIZE, SIZE),
                                 generator=generator).byte(),
            data_samples=make_sample(kind, seed=i, size=SIZE))


def one_task_cfg(task, **kwargs):
    cfg = tiny_model_cfg(**kwargs)
    cfg['task_heads'] = {task: cfg['task_heads'][task]}
    return cfg


def write_teacher(folder, cfg, meta=None, change=None, seed=1):
    """Write config and checkpoint of a teacher with its own statistics."""
    folder.mkdir(parents=True, exist_ok=True)
    Config(dict(model=cfg)).dump(str(folder / 'config.py'))
    torch.manual_seed(seed)
    teacher = MODELS.build(copy.deepcopy(cfg))
    for module in teacher.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(std=.1)
            module.running_var.uniform_(.5, 2.)
    state = teacher.state_dict()
    if change:
        change(state)
    torch.save(
        dict(state_dict=state, meta=dict(dataset_meta=meta or {})),
        str(folder / 'teacher.pth'))
    return dict(
        type='TeacherHook',
        name=f'{"_".join(cfg["task_heads"])}_teacher',
        config=str(folder / 'config.py'),
        checkpoint=str(folder / 'teacher.pth'))


def student(weak_losses=KD):
    torch.manual_seed(0)
    return MODELS.build(tiny_model_cfg(weak_losses=weak_losses))


def hand_over(hook, weak_losses=KD[:1]):
    """Hand the teacher over as a runner does, without a step."""
    model = student(weak_losses)
    HOOKS.build(hook).before_train(
        SimpleNamespace(model=model, logger=MMLogger.get_current_instance()))
    return model.teachers.get(hook['name'])


def train(work_dir, hooks, weak_losses=KD, max_iters=2, **kwargs):
    runner = Runner(
        model=student(weak_losses),
        work_dir=str(work_dir),
        train_dataloader=DataLoader(
            Images(), batch_size=2, collate_fn=pseudo_collate),
        train_cfg=dict(by_epoch=False, max_iters=max_iters),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=.01, momentum=.9)),
        default_hooks=dict(
            checkpoint=dict(type='CheckpointHook', interval=2,
                            by_epoch=False)),
        custom_hooks=hooks,
        default_scope='mmbombo',
        experiment_name=os.urandom(8).hex(),
        log_level='WARNING',
        **kwargs)
    runner.train()
    return runner


@pytest.fixture()
def hooks(tmp_path):
    return [
        write_teacher(tmp_path / task, one_task_cfg(task), seed=seed)
        for seed, task in enumerate(('det', 'seg'))
    ]


def test_teachers_are_no_part_of_the_student(tmp_path, hooks):
    runner = train(tmp_path / 'run', hooks)
    model = runner.model
    stored = load_checkpoint_safely(str(tmp_path / 'run' /
                                        'iter_2.pth'))['state_dict']
    assert set(stored) == set(MODELS.build(tiny_model_cfg()).state_dict())
    train(tmp_path / 'alone', [], weak_losses=[])
    sizes = [(tmp_path / folder / 'iter_2.pth').stat().st_size
             for folder in ('run', 'alone')]
    # (the log has more keys)
    assert abs(sizes[0] - sizes[1]) < 10_000 < sizes[1] / 10
    optimized = {
        id(p)
        for group in runner.optim_wrapper.optimizer.param_groups
        for p in group['params']
    }
    for hook in hooks:
        teacher = model.teachers.get(hook['name'])
        assert not any(m.training for m in teacher.modules())
        for parameter in teacher.parameters():
            assert not parameter.requires_grad and parameter.grad is None
            assert id(parameter) not in optimized
    assert not any('teacher' in name for name, _ in model.named_modules())


def test_resumed_run_equals_the_whole_one(tmp_path, hooks):
    whole = train(tmp_path / 'whole', hooks, max_iters=4)
    resumed = train(
        tmp_path / 'resumed',
        hooks,
        max_iters=4,
        resume=True,
        load_from=str(tmp_path / 'whole' / 'iter_2.pth'))
    for key, value in whole.model.state_dict().items():
        torch.testing.assert_close(
            resumed.model.state_dict()[key], value, rtol=0, atol=0, msg=key)


def test_folding_changes_no_output(hooks, monkeypatch):
    image = torch.randn(2, 3, SIZE, SIZE)
    for hook in hooks:
        pair = [hand_over(dict(hook), [])]
        with monkeypatch.context() as patch:
            patch.setattr(teacher_hook, 'fold_batch_norm', lambda x: x)
            pair.append(hand_over(dict(hook), []))
        norms = [
            sum(isinstance(m, nn.BatchNorm2d) for m in x.modules())
            for x in pair
        ]
        assert norms[0] == 0 < norms[1]
        outputs = (tree_flatten(p(image, mode='tensor'))[0] for p in pair)
        for x, y in zip(*outputs):
            torch.testing.assert_close(x, y, rtol=1e-3, atol=1e-3)


def test_layers_in_another_order_are_not_folded():

    class Backwards(nn.Module):

        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 1)
            self.norm = nn.BatchNorm2d(3)

        def forward(self, inputs, mode):
            return self.conv(self.norm(inputs).abs())

    torch.manual_seed(0)
    network = Backwards().eval()
    network.norm.running_mean.fill_(2.)
    assert teacher_hook.fold_batch_norm(network) is network


def test_weak_losses_of_the_teachers_own_training_are_left_out(tmp_path):
    cfg = tiny_model_cfg(weak_losses=[
        dict(
            type='FeatureMSELoss',
            teacher='ema',
            task='det',
            adapt=dict(in_channels=16, out_channels=16, num_levels=3))
    ])
    hook = dict(write_teacher(tmp_path / 'both', cfg), name='det_teacher')
    assert len(hand_over(hook).weak_losses) == 0


def renamed(state):
    state['backbone.convolution.weight'] = state.pop('backbone.conv1.weight')


def added(state):
    state['backbone.convolution.weight'] = torch.zeros(1)


def misshaped(state):
    state['backbone.conv1.weight'] = torch.zeros(4, 3, 7, 7)


@pytest.mark.parametrize('change, message', [
    (renamed, r'lacks.*backbone\.conv1\.weight'),
    (added, r'not use its.*backbone\.convolution\.weight'),
    (misshaped, r'size mismatch for backbone\.conv1\.weight'),
])
def test_no_weight_is_dropped(tmp_path, change, message):
    hook = write_teacher(tmp_path / 'det', one_task_cfg('det'), change=change)
    with pytest.raises(ValueError, match=f'(?s)does not fit.*{message}'):
        hand_over(hook)


ORDER = tuple(reversed(CLASSES))


@pytest.mark.parametrize('cfg, meta, message', [
    (dict(), dict(classes=ORDER), 'same names in another order.*checkpoint'),
    (dict(class_map=dict(det_classes=ORDER, seg_classes=SEG_CLASSES)), {},
     'same names in another order'),
    (dict(
        data_preprocessor=dict(
            type='MultiTaskDataPreprocessor',
            mean=[1., 120., 120.],
            std=[60., 60., 60.],
            bgr_to_rgb=True)), {},
     r'mean is \[1.0, 120.0, 120.0\], the student has'),
    (dict(
        data_preprocessor=dict(
            type='MultiTaskDataPreprocessor',
            mean=[120., 120., 120.],
            std=[60., 60., 60.],
            bgr_to_rgb=False)), {},
     'swaps_red_and_blue is False, the student has True'),
    (dict(data_preprocessor=dict(type='MultiTaskDataPreprocessor')), {},
     'mean is None'),
])
def test_teacher_that_does_not_fit_is_refused(tmp_path, cfg, meta, message):
    hook = write_teacher(
        tmp_path / 'det', one_task_cfg('det', **cfg), meta=meta)
    with pytest.raises(ValueError, match=message):
        hand_over(hook)


def test_task_that_the_teacher_lacks(hooks):
    hooks[0]['name'] = 'seg_teacher'
    with pytest.raises(ValueError, match="for the task 'seg', but it has"):
        hand_over(hooks[0], KD[1:])


@pytest.mark.parametrize('weak_loss, present', [
    (dict(type='MaskForBoxLoss', predictor='teacher'), 'seg'),
])
def test_teacher_that_makes_pseudo_labels_is_checked_too(
        hooks, weak_loss, present):
    hook = dict(hooks[present == 'seg'], name='teacher')
    with pytest.raises(ValueError, match=rf"only \['{present}'\]"):
        hand_over(hook, [weak_loss])


def test_missing_checkpoint_says_how_to_make_it(tmp_path, hooks):
    hook = dict(hooks[0], checkpoint=str(tmp_path / 'none.pth'))
    with pytest.raises(
            FileNotFoundError, match='none.pth.*python tools/train.py'):
        hand_over(hook)


@pytest.mark.parametrize('name', ['self', 'ema', 'none'])
def test_names_that_mean_no_teacher(name):
    with pytest.raises(ValueError, match=f"name '{name}' does not mean"):
        HOOKS.build(
            dict(
                type='TeacherHook',
                name=name,
                config='a.py',
                checkpoint='a.pth'))


def test_moving_average_and_teacher_together(tmp_path, hooks):
    weak_losses = [KD[0], dict(KD[1], teacher='ema')]
    runner = train(
        tmp_path / 'run', [hooks[0], dict(type='PredictorEMAHook')],
        weak_losses=weak_losses)
    ema = runner.model.teachers.get('ema')
    assert ema.teachers.get('det_teacher') is None
    assert set(ema.state_dict()) == set(runner.model.state_dict())
