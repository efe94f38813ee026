# Copyright (c) mmbombo contributors.
"""Checkpoints whose classes are not those of the config, in each use."""
import os

import pytest
import torch
from mmengine.dataset import pseudo_collate
from mmengine.runner import Runner
from toolbox import CLASSES, SEG_CLASSES, make_sample, tiny_model_cfg
from torch.utils.data import DataLoader

from mmbombo.registry import MODELS
from mmbombo.utils.checkpoint_classes import find_class_changes

SIZE = 64
PERMUTED = CLASSES[::-1]
OTHERS = (*CLASSES[:2], 'pig')


class Images:
    """Images with both annotations, of a config's classes."""
    annotation_kinds = ('bbox', 'sem_seg')
    source = 'both'

    def __init__(self, classes, seg_classes):
        self.metainfo = dict(classes=classes, seg_classes=seg_classes)

    def __len__(self):
        return 4

    def __getitem__(self, i):
        sample = make_sample(self.annotation_kinds, seed=i, size=SIZE)
        sample.set_metainfo(dict(sample_idx=i))
        return dict(
            inputs=torch.full((3, SIZE, SIZE), 7, dtype=torch.uint8),
            data_samples=sample)


def model_cfg(classes=CLASSES, seg_classes=SEG_CLASSES):
    cfg = tiny_model_cfg(
        class_map=dict(det_classes=classes, seg_classes=seg_classes))
    cfg['task_heads']['det']['head']['num_classes'] = len(classes)
    cfg['task_heads']['seg']['head']['num_classes'] = len(seg_classes)
    return cfg


def make_loader(classes, seg_classes):
    return DataLoader(
        Images(classes, seg_classes), batch_size=2, collate_fn=pseudo_collate)


def make_runner(work_dir,
                classes=CLASSES,
                seg_classes=SEG_CLASSES,
                scored=None,
                **kwargs):
    """A runner; ``scored`` are the classes of its other data sets."""
    loader = make_loader(scored or classes, seg_classes)
    evaluator = dict(
        type='MultiTaskEvaluator',
        metrics=dict(seg=dict(type='SegIoUMetric')))
    return Runner(
        model=model_cfg(classes, seg_classes),
        work_dir=str(work_dir),
        train_dataloader=make_loader(classes, seg_classes),
        train_cfg=dict(by_epoch=False, max_iters=2, val_interval=1),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=.001)),
        val_dataloader=loader,
        val_cfg=dict(),
        val_evaluator=evaluator,
        test_dataloader=loader,
        test_cfg=dict(),
        test_evaluator=evaluator,
        default_hooks=dict(
            checkpoint=dict(type='CheckpointHook', interval=1,
                            by_epoch=False),
            check=dict(type='PartialAnnotationCheckHook')),
        default_scope='mmbombo',
        experiment_name=os.urandom(8).hex(),
        **kwargs)


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """Checkpoint of the first of two steps, as a run leaves it."""
    folder = tmp_path_factory.mktemp('trained')
    make_runner(folder).train()
    return str(folder / 'iter_1.pth')


@pytest.mark.parametrize('use', ['test', 'val', 'train'])
def test_the_same_classes_pass(trained, tmp_path, use):
    runner = make_runner(tmp_path, load_from=trained, resume=use == 'train')
    getattr(runner, use)()


@pytest.mark.parametrize('use, where, changed, message', [
    ('test', 'test', dict(classes=PERMUTED),
     '; classes: same names in another order'),
    ('val', 'validation', dict(seg_classes=SEG_CLASSES[::-1]),
     '; seg_classes: same names'),
    ('train', 'resume', dict(classes=OTHERS),
     r"only the config has \['pig'\], only the checkpoint has \['cow'\]"),
])
def test_other_classes_are_not_tested_or_resumed(trained, tmp_path, use,
                                                 where, changed, message):
    runner = make_runner(
        tmp_path, load_from=trained, resume=use == 'train', **changed)
    with pytest.raises(ValueError, match=f'^{where}: .*{message}.*position'):
        getattr(runner, use)()


def test_no_training_starts_from_the_classes_in_another_order(
        trained, tmp_path):
    runner = make_runner(tmp_path, load_from=trained, classes=PERMUTED)
    with pytest.raises(ValueError, match='^load_from: .*another order'):
        runner.train()


@pytest.mark.parametrize('classes, notes', [(OTHERS, 1),
                                            ((*CLASSES, 'pig'), 0)])
def test_fine_tuning_on_other_classes(trained, tmp_path, classes, notes):
    """Its own validation and test are not judged by where it started."""
    runner = make_runner(tmp_path, load_from=trained, classes=classes)
    said = []
    runner.logger.warning = lambda text, *args: said.append(text)
    runner.train()
    runner.test()
    said = [text for text in said if text.startswith('load_from: ')]
    assert len(said) == notes
    assert all("['pig']" in text for text in said)


def test_a_better_checkpoint_may_be_loaded_after_training(trained, tmp_path):
    runner = make_runner(tmp_path)
    runner.train()
    runner.load_checkpoint(trained)
    runner.test()


@pytest.mark.parametrize('use, message', [('test', 'test'),
                                          ('val', 'validation'),
                                          ('train', 'validation')])
def test_predictions_are_scored_under_their_names(tmp_path, use, message):
    runner = make_runner(tmp_path, scored=PERMUTED)
    with pytest.raises(
            ValueError, match=f'of the {message} data set: same names in'):
        getattr(runner, use)()
    assert runner.iter == 0


def changes(meta, keep=lambda name: True, prefix=''):
    model = MODELS.build(model_cfg())
    weights = {
        prefix + name: x
        for name, x in model.state_dict().items() if keep(name)
    }
    return find_class_changes(model, dict(state_dict=weights, **meta))


def test_what_does_not_name_the_classes_of_its_weights_passes():
    named = dict(meta=dict(dataset_meta=dict(classes=PERMUTED)))
    assert changes({}) == changes(dict(meta=None)) == []
    assert changes(dict(meta=dict(dataset_meta=None))) == []
    assert changes(dict(meta=dict(dataset_meta=dict(classes=None)))) == []
    # a stock segmentor: its 'classes' are those of its maps
    assert changes(named, lambda name: not name.startswith('task_heads')) == []
    assert changes(named, lambda name: '.seg.' in name) == []
    assert len(changes(named, lambda name: '.det.' in name)) == 1
    assert len(changes(named, prefix='module.')) == 1
    assert find_class_changes(torch.nn.Conv2d(1, 1, 1), named) == []


def test_a_list_is_a_tuple():
    meta = dict(classes=list(CLASSES), seg_classes=list(SEG_CLASSES))
    assert changes(dict(meta=dict(dataset_meta=meta))) == []
