# Copyright (c) mmbombo contributors.
"""Every config takes a step, and rows differ in what they say."""
from pathlib import Path

import pytest
import torch
import yaml
from mmengine.config import Config

from mmbombo.datasets import SeededIndex
from mmbombo.registry import DATASETS
from mmbombo.testing import (CLASSES, SEG_CLASSES, model_of_config,
                             samples_of_config, write_voc)

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
#: Weak loss -> kind of its images, and what prepares them in the workers.
PREPARED = dict(
    BoxForMaskLoss=('bbox', 'LoadPseudoMask'),
    MaskForBoxLoss=('sem_seg', 'LabelComponents'))

SIZE = 64
FAMILIES = dict(
    mobilenetv2=('mobilenetv2_fpn-gfl_photo-stamps', 6),
    r18=('r18_cem-fpn_anchor_{}', 7),
    r50=('r50_cem-pafpn_anchor_{}', 7),
    swin=('swin-t_cem-fpn_anchor_{}', 7),
    gfl=('r50_fpn-gfl_{}', 8))


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_config_takes_a_step_without_pretrained_weights(path):
    cfg = Config.fromfile(path)
    assert cfg.train_dataloader.batch_size == \
        cfg.train_dataloader.sampler.batch_size
    model = model_of_config(cfg, SIZE)
    model.train()
    samples = samples_of_config(cfg, SIZE)
    losses = model(torch.randn(len(samples), 3, SIZE, SIZE), samples, 'loss')
    loss, _ = model.parse_losses(losses)
    loss.backward()
    assert loss.isfinite()
    unlearned = [
        name for name, p in model.named_parameters()
        if p.requires_grad and p.grad is None
    ]
    assert not unlearned
    frozen = [n for n, p in model.named_parameters() if not p.requires_grad]
    # the detector alone does not read the finest level of the pyramid
    unread = 'backbone.' if len(model.task_heads) > 1 else (
        'backbone.', 'neck.fpn_convs.0.', 'neck.lateral_convs.0.')
    assert all(name.startswith(unread) for name in frozen)


@pytest.mark.parametrize('row', ROWS)
@pytest.mark.parametrize('family', FAMILIES)
@pytest.mark.parametrize('data', ['voc', 'coco'])
def test_rows_of_a_family(row, family, data):
    name, images = FAMILIES[family]
    cfg = Config.fromfile(ROOT / 'configs' / 'bombo' /
                          f'{row}_{name.format(data)}.py')
    kinds, weak = ROWS[row]
    sources = cfg.train_dataloader.dataset.datasets
    if row == 'oracle' and data == 'voc' and family != 'mobilenetv2':
        # not all of the images with boxes have a mask on disk
        kinds = [('bbox', )] + kinds
    assert [tuple(source.annotation_kinds) for source in sources] == kinds
    losses = cfg.model.get('weak_losses', [])
    assert [loss.type for loss in losses] == weak
    for source in sources:
        steps = {step.type for step in source.pipeline}
        for loss, (kind, step) in PREPARED.items():
            if tuple(source.annotation_kinds) == (kind, ):
                assert (step in steps) == (loss in weak)
    tasks = {'det'} if row == 'det' else {'seg'} if row == 'seg' else {
        'det', 'seg'
    }
    assert set(cfg.model.task_heads) == set(cfg.val_evaluator.metrics) == tasks
    if 'forward_groups' in cfg.model:
        named = [n for names in cfg.model.forward_groups.values()
                 for n in names]
        assert named == [source.source for source in sources]
    else:
        assert row != 'oracle' or cfg.model.get('forward_mode') != 'per_task'
    # as many images of each task as the single-task rows have
    assert cfg.train_dataloader.batch_size == images * len(tasks)


@pytest.mark.parametrize('data', ['photo_stamps', 'voc'])
@pytest.mark.parametrize('kind', ['bbox', 'sem_seg'])
def test_preparing_a_weak_label_changes_no_augmentation(data, kind, tmp_path):
    """So rows differ in what they learn from, not in what they see."""
    cfg = Config.fromfile(
        ROOT / 'configs' / '_base_' / 'datasets' / f'{data}.py')
    root = write_voc(tmp_path / 'data', num_images=3)
    for step in cfg.weak_pipeline:
        if 'class_map' in step:
            step.class_map = dict(
                det_classes=CLASSES, seg_classes=SEG_CLASSES)
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
            boxes, others = (x['data_samples'].gt_instances.bboxes.tensor
                             for x in (one, other))
            assert torch.equal(boxes, others)


def test_model_index_names_files_that_exist():
    index = yaml.safe_load((ROOT / 'model-index.yml').read_text())
    for metafile in index['Import']:
        content = yaml.safe_load((ROOT / metafile).read_text())
        for model in content['Models']:
            stem = model['Name']
            assert (ROOT / model['Config']).is_file()
            assert Path(model['Config']).stem == stem


def test_rows_of_the_bench(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / 'tools' / 'analysis_tools'))
    from ablation_parts.bench import fingerprint, load_config, read_bench
    monkeypatch.setenv('PHOTO_STAMPS_SHORT_SIDE', '160')
    bench = read_bench(ROOT / 'configs' / 'ablation.yml')
    fingerprints = set()
    for row in bench.rows.values():
        cfg = load_config(bench, row, 0,
                          {need: 'checkpoint' for need in row.needs})
        resize, = (step for step in cfg.test_pipeline
                   if step.type == 'mmdet.Resize')
        assert resize.scale == (320, 160)
        fingerprints.add(fingerprint(cfg))
    # no row is another one under a new name
    assert len(fingerprints) == len(bench.rows)
