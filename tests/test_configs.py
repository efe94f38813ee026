# Copyright (c) mmbombo contributors.
"""Every config fits together, every model takes a step, and rows differ in
what they say."""
import copy
import json
from functools import lru_cache
from pathlib import Path

import pytest
import torch
import yaml
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from toolbox import (CLASSES, SEG_CLASSES, model_of_config, run_local_modules,
                     samples_of_config, write_voc)

from mmbombo.datasets import SeededIndex
from mmbombo.registry import DATASETS
from mmbombo.structures import Regions

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / 'configs'
ALL_CONFIGS = [
    path for path in sorted(FOLDER.rglob('*.py')) if '_base_' not in path.parts
]
#: Of models and data sets of MMSegmentation, and of ours.
SEG_CONFIGS = [
    path for path in ALL_CONFIGS
    if path.parent.name == 'e2s2' or 'cityscapes' in path.stem
]
#: Multi-task networks; those of oanet/ are built in
#: tests/test_models/test_oanet.py.
CONFIGS = [
    path for path in ALL_CONFIGS
    if path not in SEG_CONFIGS and path.parent.name != 'oanet'
]
#: Keys of a model that name things, or count what is named.
NAMES = ('det_classes', 'seg_classes', 'num_classes', 'teacher')
#: Weak loss -> kind of its images, and what prepares them in the workers.
PREPARED = dict(
    BoxForMaskLoss=('bbox', 'LoadPseudoMask'),
    MaskForBoxLoss=('sem_seg', 'LabelComponents'))
ROWS = dict(
    det=([('bbox', )], []),
    seg=([('sem_seg', )], []),
    naive=([('bbox', ), ('sem_seg', )], []),
    b4m=([('bbox', ), ('sem_seg', )], ['BoxForMaskLoss']),
    m4b=([('bbox', ), ('sem_seg', )], ['MaskForBoxLoss']),
    bombo=([('bbox', ), ('sem_seg', )], ['BoxForMaskLoss', 'MaskForBoxLoss']),
    oracle=([('bbox', 'sem_seg')] * 2, []))
#: Network and data -> images of each task in a step. The first two have all
#: rows.
GRID = {
    'mobilenetv2_fpn-gfl_photo-stamps': 6,
    'r18_cem-fpn_anchor_voc': 7,
    'mobilenetv2_fpn-gfl_photo-stamps-stuff': 6,
    'r18_cem-fpn_anchor_coco': 7,
    'r50_cem-pafpn_anchor_voc': 7,
    'r50_cem-pafpn_anchor_coco': 7,
    'swin-t_cem-fpn_anchor_voc': 7,
    'swin-t_cem-fpn_anchor_coco': 7,
    'r50_fpn-gfl_voc': 8,
    'r50_fpn-gfl_coco': 8
}
SIZE = 64


@lru_cache(maxsize=None)
def load(path):
    """A config that several tests read, and none changes."""
    return Config.fromfile(path)


def hooks_of(cfg, name):
    return [x for x in cfg.get('custom_hooks', []) if x.type == name]


def without_names(value):
    if isinstance(value, dict):
        return {
            key: without_names(item)
            for key, item in value.items() if key not in NAMES
        }
    if isinstance(value, (list, tuple)):
        return [without_names(item) for item in value]
    return value


def parts_of(cfg, teachers):
    """What decides how a step runs: the parts of the models, whatever they
    call things."""
    return {
        json.dumps([key, without_names(value)], sort_keys=True)
        for x in (cfg, *teachers.values())
        for key, value in x.model.to_dict().items()
    }


@pytest.fixture(scope='module')
def stepped():
    """Parts that have taken a step."""
    return set()


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_config(path, stepped):
    cfg = load(path)
    teachers = {
        hook.name: load(ROOT / hook.config)
        for hook in hooks_of(cfg, 'TeacherHook')
    }
    check_parts_fit(cfg, teachers)
    parts = parts_of(cfg, teachers)
    if not parts <= stepped:
        stepped |= parts
        check_step(cfg, teachers)


def check_parts_fit(cfg, teachers):
    """What must hold in each config, and needs no model."""
    loader = cfg.train_dataloader
    assert loader.batch_size == loader.sampler.batch_size
    for task, head in cfg.model.task_heads.items():
        if head.type == 'AuxSegTaskHead':  # of the tasks 'cls' and 'seg'
            heads = dict(cls=head.cls, seg=head)
        elif head.type == 'ProposalTaskHead':
            heads = dict(cls=head, det=head)
        elif head.type == 'PanopticTaskHead':  # of the classes of others
            heads = {}
        else:
            heads = {task: head.get('head', head)}
        for name, part in heads.items():
            names = cfg.model.get('classes', {}).get(name)
            names = names or cfg.model.class_map[f'{name}_classes']
            assert part.num_classes == len(names)

    losses = cfg.model.get('weak_losses', [])
    for source in loader.dataset.datasets:
        steps = {step.type for step in source.pipeline}
        for loss, (kind, step) in PREPARED.items():
            if tuple(source.get('annotation_kinds', ())) == (kind, ):
                assert (step in steps) == (loss in {x.type for x in losses})

    asked = {x.get('teacher', x.get('predictor', 'none')) for x in losses}
    assert asked - {'none', 'self', 'ema'} == set(teachers)
    assert 'ema' not in asked or hooks_of(cfg, 'PredictorEMAHook')
    for hook in hooks_of(cfg, 'TeacherHook'):
        checkpoint = Path(hook.checkpoint)
        assert checkpoint.parent.name == Path(hook.config).stem
        last = teachers[hook.name].train_cfg.max_iters
        assert checkpoint.stem == f'iter_{last}'


def untrained(cfg):
    return model_of_config(copy.deepcopy(cfg), SIZE)


def check_step(cfg, teachers):
    """The model takes a step, beside untrained teachers, and all of it
    learns."""
    model = run_local_modules(untrained(cfg))
    others = {name: untrained(teacher) for name, teacher in teachers.items()}
    for weak_loss in model.weak_losses:
        if weak_loss.predictor in teachers:
            weak_loss.check_teacher(model, others[weak_loss.predictor])
        if weak_loss.predictor == 'ema':
            others['ema'] = copy.deepcopy(model)
    for name, other in others.items():
        model.set_teacher(name, other.requires_grad_(False))
    samples = samples_of_config(cfg, SIZE)
    for sample in samples:
        if 'gt_image_label' in sample:
            classes = len(model.classes['cls'])
            sample.gt_image_label.label = torch.arange(classes) % 3 - 1
    losses = model.train()(torch.randn(len(samples), 3, SIZE, SIZE), samples,
                           'loss')
    named = {key.split('/')[0] for key in losses if 'loss' in key}
    assert {x.name for x in model.weak_losses} <= named
    loss, _ = model.parse_losses(losses)
    loss.backward()
    assert loss.isfinite()
    learned = {n: p for n, p in model.named_parameters() if p.requires_grad}
    assert all(p.grad is not None for p in learned.values())
    unread = ['backbone.']
    if len(model.task_heads) == 1 or 'proposals' in model.task_heads:
        # a detector alone does not read the finest level of the pyramid, a
        # classifier and proposals read one
        unread += ['neck.fpn_convs.', 'neck.lateral_convs.0.']
    frozen = [n for n, _ in model.named_parameters() if n not in learned]
    assert all(name.startswith(tuple(unread)) for name in frozen)


@pytest.mark.parametrize('path', SEG_CONFIGS, ids=lambda path: path.stem)
def test_segmentor(path):
    """The model takes a step, and all that it reads learns."""
    cfg = copy.deepcopy(load(path))
    head = cfg.model.decode_head
    if head.type == 'RegionHead':
        head.fc_channels, head.vgg16 = 16, None
        steps = [x.type for x in cfg.train_dataloader.dataset.pipeline]
        assert steps[2] == 'LoadRegions'
        assert steps[-1] == 'PackRegions'
        # tags alone must not choose regions by masks
        assert ('AddGTRegions' in steps) == ('loss_decode' not in head)
        assert bool(cfg.custom_hooks) == ('loss_decode' not in head)
    if 'auxiliary_head' in cfg.model:  # a large network
        cfg.model.backbone.backbone.base_channels = 8
        for part in (head, cfg.model.auxiliary_head):
            part.in_channels //= 8
            part.channels = 8
    dataset = cfg.train_dataloader.dataset
    if 'metainfo' in dataset:
        assert head.num_classes == len(dataset.metainfo.classes)
        assert head.num_classes == len(dataset.metainfo.palette)
    model = revert_sync_batchnorm(model_of_config(cfg, SIZE))
    run_local_modules(model)
    samples = []
    for seed in range(2):
        halves = torch.arange(SIZE).expand(SIZE, SIZE) * 2 // SIZE
        sample = SegDataSample(metainfo=dict(img_shape=(SIZE, SIZE)))
        sample.gt_sem_seg = PixelData(data=halves[None])
        sample.regions = Regions(
            bboxes=torch.tensor([[0., 0, 32, 64], [32, 0, 64, 64]]),
            pairs=torch.tensor([[0, 1], [0, 1]]),
            superpixels=halves)
        samples.append(sample)
    losses = model.train()(torch.randn(2, 3, SIZE, SIZE), samples, 'loss')
    loss, _ = model.parse_losses(losses)
    loss.backward()
    assert loss.isfinite()
    unread = [n for n, p in model.named_parameters()
              if p.requires_grad and p.grad is None]
    assert bool(unread) == cfg.get('find_unused_parameters', False)
    assert all(name.startswith(('neck.', 'backbone.')) for name in unread)


@pytest.mark.parametrize(
    'name, row',
    [(name, row) for name in GRID for row in ROWS
     if name in list(GRID)[:2] or row in ('naive', 'bombo', 'oracle')])
def test_rows_of_a_network(name, row):
    cfg = load(FOLDER / 'bombo' / f'{row}_{name}.py')
    kinds, weak = ROWS[row]
    sources = cfg.train_dataloader.dataset.datasets
    if row == 'oracle' and name.endswith('_voc'):
        # not all of the images with boxes have a mask on disk
        kinds = [('bbox', )] + kinds
    assert [tuple(source.annotation_kinds) for source in sources] == kinds
    assert [x.type for x in cfg.model.get('weak_losses', [])] == weak
    tasks = {row} if row in ('det', 'seg') else {'det', 'seg'}
    assert set(cfg.model.task_heads) == set(cfg.val_evaluator.metrics) == tasks
    if 'forward_groups' in cfg.model:
        assert sum(cfg.model.forward_groups.values(), []) == [
            source.source for source in sources]
    else:
        assert row != 'oracle' or cfg.model.get('forward_mode') != 'per_task'
    # as many images of each task as the single-task rows have
    assert cfg.train_dataloader.batch_size == GRID[name] * len(tasks)


def test_guide_to_less_memory(tmp_path):
    text = (ROOT / 'docs/en/user_guides/less_memory.md').read_text()
    block = text.split('```python\n')[1].split('```')[0]
    (tmp_path / 'guide.py').write_text(
        block.replace("'./", f"'{FOLDER}/bombo/"))
    ours = load(FOLDER / 'infopro' /
                'infopro-bombo_mobilenetv2_fpn-gfl_photo-stamps.py').model
    assert {
        **Config.fromfile(tmp_path / 'guide.py').model.backbone, 'head_share':
        ours.backbone.head_share
    } == ours.backbone


@pytest.mark.parametrize('subset, wanted', [('same', range(200)),
                                            ('complement', range(200, 800)),
                                            ('overlap', range(800))])
def test_self_training_sees_no_annotation(subset, wanted):
    cfg = load(FOLDER / 'distillation' /
               f'self-training-{subset}_mobilenetv2_fpn-gfl_photo-stamps.py')
    source, = cfg.train_dataloader.dataset.datasets
    indices = source.get('indices', 800)
    indices = range(indices) if isinstance(indices, int) else indices
    assert list(indices) == list(wanted) and not source.annotation_kinds


@pytest.mark.parametrize('data', ['photo_stamps', 'voc'])
@pytest.mark.parametrize('kind', ['bbox', 'sem_seg'])
def test_preparing_a_weak_label_changes_no_augmentation(data, kind, tmp_path):
    """So rows differ in what they learn from, not in what they see."""
    cfg = Config.fromfile(FOLDER / '_base_' / 'datasets' / f'{data}.py')
    root = write_voc(tmp_path / 'data', num_images=3)
    for step in cfg.weak_pipeline:
        if 'class_map' in step:
            step.class_map = dict(det_classes=CLASSES, seg_classes=SEG_CLASSES)
    # addressed by its place in configs/ablation.yml
    assert cfg.weak_pipeline[2].type == 'LoadPseudoMask'
    cfg.weak_pipeline[2].cache_dir = None
    plain, weak = (
        DATASETS.build(
            dict(
                type='PartialVOCDataset',
                data_root=str(root),
                ann_file='ImageSets/Main/train.txt',
                source='x',
                annotation_kinds=(kind, ),
                metainfo=dict(classes=CLASSES, seg_classes=SEG_CLASSES),
                pipeline=pipeline))
        for pipeline in (cfg.train_pipeline, cfg.weak_pipeline))
    for index in (SeededIndex(i, seed) for i in range(3) for seed in (1, 2)):
        one, other = plain[index], weak[index]
        assert torch.equal(one['inputs'], other['inputs'])
        added = ('pseudo_sem_seg' if kind == 'bbox' else 'components')
        assert added in other['data_samples']
        assert added not in one['data_samples']
        if kind == 'bbox':
            boxes, others = (
                x['data_samples'].gt_instances.bboxes.tensor
                for x in (one, other))
            assert torch.equal(boxes, others)


@pytest.mark.parametrize(
    'folder', sorted(path.parent.name for path in FOLDER.glob('*/README.md')))
def test_metafile_and_readme_name_every_method(folder):
    # others of BoMBo's folder are what it is compared with
    prefix = 'bombo_' if folder == 'bombo' else ''
    folder = FOLDER / folder
    index = yaml.safe_load((ROOT / 'model-index.yml').read_text())
    metafile = folder / 'metafile.yml'
    assert metafile.relative_to(ROOT).as_posix() in index['Import']
    models = yaml.safe_load(metafile.read_text())['Models']
    assert {model['Name']: ROOT / model['Config'] for model in models} == {
        path.stem: path for path in folder.glob(f'{prefix}*.py')}
    readme = (folder / 'README.md').read_text()
    assert all(f'{model["Name"]}.py' in readme for model in models)


@pytest.mark.parametrize(
    'name', sorted(path.stem for path in FOLDER.glob('ablation*.yml')))
def test_rows_of_the_bench(name, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / 'tools' / 'analysis_tools'))
    from ablation_parts.bench import fingerprint, load_config, read_bench
    monkeypatch.setenv('PHOTO_STAMPS_SHORT_SIDE', '160')
    bench = read_bench(FOLDER / f'{name}.yml')
    side = bench.environment.get('PHOTO_STAMPS_SHORT_SIDE')
    fingerprints = set()
    for row in bench.rows.values():
        cfg = load_config(bench, row, 0, {x: f'{x}.pth' for x in row.needs})
        pipeline = cfg.val_dataloader.dataset.get('pipeline', [])
        scales = [x.scale for x in pipeline if 'Resize' in x.type]
        assert side is None or scales == [(2 * int(side), int(side))]
        fingerprints.add(fingerprint(cfg))
    # no row is another one under a new name
    assert len(fingerprints) == len(bench.rows)
