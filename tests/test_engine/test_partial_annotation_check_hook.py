# Copyright (c) mmbombo contributors.
import os
from types import SimpleNamespace

import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.dataset import (Compose, DefaultSampler, InfiniteSampler,
                              pseudo_collate)
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.runner import Runner
from toolbox import CLASSES, SEG_CLASSES, make_sample, tiny_model_cfg
from torch.utils.data import DataLoader

from mmbombo.datasets import DatasetError
from mmbombo.datasets.samplers import PartialAnnotationSampler
from mmbombo.datasets.transforms import ImplyImageLabels, LabelComponents
from mmbombo.engine.hooks import (PredictorEMAHook, TeacherHook,
                                  partial_annotation_check_hook)
from mmbombo.engine.hooks.partial_annotation_check_hook import (
    check_class_maps, check_classes, check_predictors, check_sampler,
    check_sources, check_tasks, check_weak_labels, first_samples,
    kinds_of_stages, unrelated_classes)
from mmbombo.evaluation import SourceSummary
from mmbombo.registry import MODELS
from mmbombo.structures import ClassMap
from mmbombo.utils import UserError


class Source:
    """Gray images with declared annotations."""

    def __init__(self, source, kinds, size):
        self.source, self.annotation_kinds, self.size = source, kinds, size

    def __len__(self):
        return self.size

    def __getitem__(self, i):
        sample = make_sample(self.annotation_kinds, seed=int(i), size=64)
        sample.set_metainfo(dict(source=self.source, sample_idx=int(i)))
        return dict(
            inputs=torch.full((3, 64, 64), 7, dtype=torch.uint8),
            data_samples=sample)


class Sources:
    """Several of them, as MixedSourceDataset presents them."""

    def __init__(self, *datasets, **metainfo):
        self.datasets = datasets
        self.metainfo = dict(
            dict(classes=CLASSES, seg_classes=SEG_CLASSES), **metainfo)
        self.source_sizes = [len(d) for d in datasets]

    def __len__(self):
        return sum(self.source_sizes)

    def __getitem__(self, i):
        for dataset in self.datasets:
            if i < len(dataset):
                return dataset[i]
            i -= len(dataset)


class Wrapper:
    """What RepeatDataset and its like look like."""

    def __init__(self, dataset):
        self.dataset, self.metainfo = dataset, dataset.metainfo

    def __len__(self):
        return len(self.dataset)

    def __getitem__(self, i):
        return self.dataset[i]


def boxes(size=4):
    return Source('boxes', ('bbox', ), size)


def masks(size=6):
    return Source('masks', ('sem_seg', ), size)


class CountSteps(Hook):

    def __init__(self):
        self.steps = 0

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.steps += 1


def train(work_dir,
          train_set,
          val_set=None,
          hooks=(),
          sampler_size=3,
          sampler=None,
          train_cfg=None,
          model=None,
          **model_kwargs):
    """Train one step."""
    sampler = sampler or PartialAnnotationSampler(
        train_set, sampler_size, source_ratio=[1, 2], seed=0)
    val = {}
    if val_set is not None:
        val = dict(
            val_dataloader=DataLoader(
                val_set, batch_size=2, collate_fn=pseudo_collate),
            val_cfg=dict(),
            val_evaluator=dict(
                type='MultiTaskEvaluator',
                metrics=dict(
                    det=dict(type='BoxAPMetric'),
                    seg=dict(type='SegIoUMetric'))))
    runner = Runner(
        model=model or MODELS.build(tiny_model_cfg(**model_kwargs)),
        work_dir=str(work_dir),
        train_dataloader=DataLoader(
            train_set,
            batch_size=3,
            sampler=sampler,
            collate_fn=pseudo_collate),
        train_cfg=train_cfg or dict(by_epoch=False, max_iters=1),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=.001)),
        custom_hooks=[dict(type='PartialAnnotationCheckHook'), *hooks],
        default_scope='mmbombo',
        experiment_name=os.urandom(8).hex(),
        **val)
    runner.train()


def test_fitting_run_trains_and_logs_the_sources(tmp_path):
    counter = CountSteps()
    train(tmp_path, Sources(boxes(), masks()), hooks=[counter])
    assert counter.steps == 1
    log, = tmp_path.glob('*/*.log')
    rows = [[cell.strip() for cell in line.split('|')[1:-1]]
            for line in log.read_text().splitlines() if line.startswith('| ')]
    assert rows == [
        ['source', 'annotation kinds', 'images', 'images per step'],
        ['boxes', 'bbox', '4', '1'],
        ['masks', 'sem_seg', '6', '2'],
    ]


@pytest.mark.parametrize('kwargs, error, message', [
    (dict(train_set=Sources(boxes(), boxes())), ValueError,
     "task 'seg' needs the annotation kind 'sem_seg'"),
    (dict(
        train_set=Sources(masks(), masks()),
        weak_losses=[dict(type='BoxForMaskLoss')]), ValueError,
     "weak loss 'b4m' .*needs the annotation kind 'bbox'"),
    (dict(
        train_set=Sources(boxes(), masks()),
        weak_losses=[dict(type='BoxForMaskLoss')]), UserError,
     '0.jpg has boxes and no mask.*LoadPseudoMask'),
    (dict(
        train_set=Sources(boxes(), masks()),
        weak_losses=[dict(type='MaskForBoxLoss')]), UserError,
     '0.jpg has a mask and no boxes.*LabelComponents'),
    (dict(train_set=Sources(boxes(), masks()),
          sampler_size=6), ValueError, 'batch_size=3.*batch_size=6'),
    (dict(train_set=Sources(boxes(), masks(), classes=('cat', 'dog', 'pig'))),
     ValueError, r"task 'det'.*\['cow'\].*\['pig'\]"),
    (dict(
        train_set=Sources(boxes(), masks()),
        val_set=Sources(boxes(), masks(0))), ValueError,
     "SegIoUMetric.*'sem_seg'.*no validation image"),
])
def test_misfit_stops_before_the_first_step(tmp_path, kwargs, error, message):
    counter = CountSteps()
    with pytest.raises(error, match=message):
        train(tmp_path, hooks=[counter], **kwargs)
    assert counter.steps == 0


def test_sampler_of_a_distributed_run():
    data = Sources(boxes(), masks())
    loader = SimpleNamespace(sampler=DefaultSampler(data), batch_size=2)
    check_sampler(loader, world_size=1)
    with pytest.raises(
            UserError, match='DefaultSampler.*PartialAnnotationSampler'):
        check_sampler(loader, world_size=2)
    fitting = SimpleNamespace(
        sampler=PartialAnnotationSampler(data, 4), batch_size=4)
    check_sampler(fitting, world_size=2)


class StockModel(BaseModel):
    """No detector of ours: it takes any batch."""

    def __init__(self):
        super().__init__(
            data_preprocessor=dict(type='mmdet.DetDataPreprocessor'))
        self.layer = torch.nn.Conv2d(3, 1, 1)

    def forward(self, inputs, data_samples, mode='tensor'):
        return dict(loss=self.layer(inputs).mean())


class StockSet:
    """No source of ours: nothing declares annotation kinds."""

    metainfo = dict(classes=('any', ))

    def __len__(self):
        return 4

    def __getitem__(self, i):
        return dict(
            inputs=torch.full((3, 64, 64), 7, dtype=torch.uint8),
            data_samples=DetDataSample(metainfo=dict(img_shape=(64, 64))))


@pytest.mark.parametrize('wrapped', [False, True])
def test_stock_parts_are_not_refused_beside_ours(tmp_path, monkeypatch,
                                                 wrapped):
    """Whatever the sampler, wrapper and number of ranks."""
    monkeypatch.setattr(
        'mmbombo.engine.hooks.partial_annotation_check_hook.get_world_size',
        lambda: 2)
    data = Wrapper(StockSet()) if wrapped else StockSet()
    counter = CountSteps()
    train(
        tmp_path,
        data,
        hooks=[counter],
        sampler=DefaultSampler(data),
        model=StockModel())
    assert counter.steps == 1


def test_our_detector_needs_declared_kinds(tmp_path):
    data = StockSet()
    data.metainfo = dict(classes=CLASSES)
    with pytest.raises(DatasetError, match='StockSet .*PartialAnnotationData'):
        train(tmp_path, data, sampler=DefaultSampler(data))


def test_our_detector_needs_its_sampler_in_a_distributed_run(
        tmp_path, monkeypatch):
    monkeypatch.setattr(
        'mmbombo.engine.hooks.partial_annotation_check_hook.get_world_size',
        lambda: 2)
    data = Sources(boxes(), masks())
    with pytest.raises(UserError, match="sampler=dict.type='PartialAnno"):
        train(tmp_path, data, sampler=DefaultSampler(data))


def test_wrapper_is_found_with_any_sampler(tmp_path):
    """One process and another sampler: nothing else would notice."""
    wrapped = Wrapper(Sources(boxes(), masks()))
    with pytest.raises(UserError, match="Wrapper hides .*'boxes', 'masks'"):
        train(tmp_path, wrapped, sampler=DefaultSampler(wrapped))


def epoch_loop(**kwargs):
    return dict(type='EpochBasedTrainLoop', max_epochs=1, **kwargs)


@pytest.mark.parametrize('sampler', [
    lambda data: PartialAnnotationSampler(data, 3, [1, 2], seed=0),
    InfiniteSampler
])
def test_epoch_that_never_ends(tmp_path, sampler):
    counter = CountSteps()
    data = Sources(boxes(), masks())
    with pytest.raises(ValueError, match='IterBasedTrainLoop.*infinite=False'):
        train(
            tmp_path,
            data,
            hooks=[counter],
            sampler=sampler(data),
            train_cfg=epoch_loop())
    assert counter.steps == 0


def test_epoch_that_ends(tmp_path):
    counter = CountSteps()
    data = Sources(boxes(), masks())
    sampler = PartialAnnotationSampler(data, 3, [1, 2], seed=0, infinite=False)
    train(
        tmp_path,
        data,
        hooks=[counter],
        sampler=sampler,
        train_cfg=epoch_loop())
    assert counter.steps == 4  # one pass over four images with boxes


def test_empty_source():
    with pytest.raises(ValueError, match=r"'masks'.*\['sem_seg'\]"):
        check_sources([
            SourceSummary('boxes', ('bbox', ), 3),
            SourceSummary('masks', ('sem_seg', ), 0)
        ])


def test_classes_in_another_order():
    model = SimpleNamespace(classes=dict(det=('a', 'b'), seg=('x', 'a', 'b')))
    check_classes(model, dict(classes=('a', 'b'), seg_classes=('x', 'a', 'b')))
    check_classes(model, dict(classes=('a', 'b')))
    check_classes(SimpleNamespace(), dict(classes=('a', )))
    with pytest.raises(ValueError, match='another order'):
        check_classes(model, dict(classes=('b', 'a')))
    with pytest.raises(ValueError, match=r"'seg_classes'.*\['x'\].*\[\]"):
        check_classes(model, dict(seg_classes=('a', 'b')))


def test_transforms_with_another_class_map():
    """A model whose classes are related differently than the weak labels."""
    classes = dict(det_classes=('a', 'b'), seg_classes=('background', 'a'))
    source = boxes()
    source.pipeline = Compose([LabelComponents(class_map=dict(classes))])
    model = SimpleNamespace(
        class_map=ClassMap(**classes),
        classes=dict(det=('a', 'b'), seg=('background', 'a')))
    check_class_maps(model, Sources(source))
    model.class_map = ClassMap(**classes, det_to_seg=dict(b='a'))
    with pytest.raises(UserError, match="LabelComponents.*'boxes'"):
        check_class_maps(model, Sources(source))
    # also where the model needs no map
    model.class_map = None
    check_class_maps(model, Sources(source))
    model.classes['seg'] = ('a', 'background')
    with pytest.raises(UserError, match="task 'seg'.*another order"):
        check_class_maps(model, Sources(source))


def test_tags_are_implied_in_the_order_of_the_model():
    source = boxes()
    source.pipeline = Compose([
        ImplyImageLabels(
            dict(det_classes=('b', 'a'), seg_classes=('background', 'a')))
    ])
    model = SimpleNamespace(class_map=None, classes=dict(cls=('b', 'a')))
    check_class_maps(model, Sources(source))
    model.classes['cls'] = ('a', 'b')
    with pytest.raises(UserError, match="ImplyImageLabels.*task 'cls'"):
        check_class_maps(model, Sources(source))


def test_weakly_supervised_task_needs_no_images_of_its_own():
    cfg = tiny_model_cfg(weak_losses=[dict(type='BoxForMaskLoss')])
    del cfg['task_heads']['det']
    sources = [SourceSummary('boxes', ('bbox', ), 3)]
    samples = [make_sample(('bbox', ))]
    check_tasks(MODELS.build(cfg), samples, sources, ())
    with pytest.raises(ValueError, match="task 'seg'"):
        check_tasks(
            MODELS.build(dict(cfg, weak_losses=[])), samples, sources, ())


def test_a_task_cannot_wait_for_its_only_teacher_on_several_ranks(monkeypatch):
    """Parameters that only its head reads would have no gradient."""
    cfg = tiny_model_cfg(weak_losses=[dict(type='BoxForMaskLoss', start=.5)])
    del cfg['task_heads']['det']
    sources = [SourceSummary('boxes', ('bbox', ), 3)]
    found = MODELS.build(cfg), [make_sample(('bbox', ))], sources, ()
    check_tasks(*found)
    monkeypatch.setattr(partial_annotation_check_hook, 'get_world_size',
                        lambda: 2)
    with pytest.raises(UserError, match="task 'seg'.*start=0"):
        check_tasks(*found)


def test_a_task_may_wait_for_a_later_stage(monkeypatch):
    """On several ranks only where parameters may be without a gradient."""
    runner = SimpleNamespace(
        model=SimpleNamespace(find_unused_parameters=False),
        train_loop=SimpleNamespace(kinds_of_stages={'sem_seg'}))
    cfg = tiny_model_cfg()
    del cfg['task_heads']['det']
    found = MODELS.build(cfg), [make_sample(('bbox', ))], []
    check_tasks(*found, kinds_of_stages(runner))
    monkeypatch.setattr(partial_annotation_check_hook, 'get_world_size',
                        lambda: 2)
    with pytest.raises(UserError, match="'seg'.*find_unused_parameters=True"):
        check_tasks(*found, kinds_of_stages(runner))
    runner.model.find_unused_parameters = True
    check_tasks(*found, kinds_of_stages(runner))


def test_only_the_images_that_need_a_weak_label_are_asked_for_it():
    """Not those with both annotations, nor for losses that need no field."""
    both = Source('both', ('bbox', 'sem_seg'), 4)
    model = MODELS.build(
        tiny_model_cfg(weak_losses=[
            dict(type='BoxForMaskLoss'),
            dict(type='BoxProjectionLoss', outside=False)
        ]))
    check_weak_labels(model, first_samples(Sources(both, masks())))
    with pytest.raises(UserError, match='LoadPseudoMask'):
        check_weak_labels(model, first_samples(Sources(both, boxes())))


def test_ema_predictor_needs_its_hook():
    model = SimpleNamespace(
        weak_losses=[SimpleNamespace(name='m4b', predictor='ema')])
    check_predictors(model, [PredictorEMAHook()])
    with pytest.raises(ValueError, match="'m4b'.*PredictorEMAHook"):
        check_predictors(model, [])


def test_teacher_needs_its_hook():
    model = SimpleNamespace(
        weak_losses=[SimpleNamespace(name='kd', predictor='expert')])
    hook = TeacherHook('expert', config='a.py', checkpoint='a.pth')
    check_predictors(model, [hook])
    hook.name = 'another'
    with pytest.raises(ValueError, match="'kd'.*TeacherHook', name='expert'"):
        check_predictors(model, [hook])


def related(det_classes, seg_classes, weak_losses, **kwargs):
    return SimpleNamespace(
        class_map=ClassMap(det_classes, ('background', *seg_classes),
                           **kwargs),
        weak_losses=[
            SimpleNamespace(source_kind=x, task='seg') for x in weak_losses
        ])


def test_classes_whose_names_do_not_meet_are_named():
    names = ('cat', 'dog'), ('cat', 'Dog')
    assert unrelated_classes(related(*names, [])) == []
    assert unrelated_classes(related(*names, [None])) == []  # a teacher
    boxes_only, masks_only = unrelated_classes(related(*names, ['bbox']))
    assert "class(es) ['dog']" in boxes_only and 'ignored' in boxes_only
    assert "class(es) ['Dog']" in masks_only and 'det_to_seg' in masks_only
    assert 'wherever no box is' in masks_only
    assert unrelated_classes(
        related(*names, ['bbox'], det_to_seg=dict(dog='Dog'))) == []
    with pytest.raises(ValueError, match='no detection class is a'):
        unrelated_classes(related(('cat', ), ('Cat', ), ['sem_seg']))
