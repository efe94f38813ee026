# Copyright (c) mmbombo contributors.
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate
from mmengine.runner import Runner
from mmengine.structures import InstanceData
from mmengine.visualization import Visualizer
from toolbox import (CLASSES, SEG_CLASSES, make_sample, tiny_model_cfg,
                     write_voc)
from torch.utils.data import DataLoader

from mmbombo.models.detectors import MultiTaskDetector
from mmbombo.registry import DATASETS, MODELS, VISUALIZERS


@VISUALIZERS.register_module()
class RecordingVisualizer(Visualizer):
    """Records what it is asked to draw."""

    def add_datasample(self, name, image, **kwargs):
        self.calls = getattr(self, 'calls', [])
        self.calls.append(dict(kwargs, name=name, image=image))


@MODELS.register_module()
class PseudoLabelDetector(MultiTaskDetector):
    """Attaches a pseudo box, as the mask-for-box loss does."""

    def loss(self, batch_inputs, batch_data_samples):
        losses = super().loss(batch_inputs, batch_data_samples)
        for sample in batch_data_samples:
            sample.pseudo_instances = InstanceData(
                bboxes=torch.tensor([[1., 2., 3., 4.]]),
                labels=torch.tensor([0]))
        return losses


class Images:
    """Files on disk; even ones are of source a, odd ones of source b."""
    metainfo = dict(classes=CLASSES, seg_classes=SEG_CLASSES)

    def __init__(self, folder, size):
        self.folder, self.size = folder, size
        for i in range(size):
            image = np.zeros((64, 64, 3), dtype=np.uint8)
            image[...] = (10, 20, 30 + i)  # blue, green, red
            cv2.imwrite(str(folder / f'{i}.png'), image)

    def __len__(self):
        return self.size

    def __getitem__(self, i):
        sample = make_sample(('bbox', 'sem_seg'), seed=i, size=64)
        path = str(self.folder / f'{i}.png')
        sample.set_metainfo(
            dict(
                img_path=path,
                source='ab'[i % 2],
                sample_idx=i,
                instances=[
                    dict(bbox=[4, 4, 20, 20], bbox_label=0, ignore_flag=0)
                ]))
        image = torch.from_numpy(cv2.imread(path)).permute(2, 0, 1)
        return dict(
            inputs=image[:, :60 if i % 2 else 64].contiguous(),
            data_samples=sample)


@pytest.fixture
def run(tmp_path):

    def start(visualizer, images=None, **hook):
        data = DataLoader(
            images or Images(tmp_path, 8),
            batch_size=4,
            collate_fn=pseudo_collate)
        evaluator = dict(
            type='MultiTaskEvaluator',
            metrics=dict(det=dict(type='BoxAPMetric')))
        return Runner(
            model=MODELS.build(tiny_model_cfg(type='PseudoLabelDetector')),
            work_dir=str(tmp_path / 'work'),
            train_dataloader=data,
            val_dataloader=data,
            test_dataloader=data,
            train_cfg=dict(by_epoch=False, max_iters=2, val_interval=2),
            val_cfg=dict(),
            test_cfg=dict(),
            val_evaluator=evaluator,
            test_evaluator=evaluator,
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=1e-4)),
            custom_hooks=[dict(hook, type='MultiTaskVisualizationHook')],
            visualizer=dict(visualizer, name=os.urandom(8).hex()),
            default_scope='mmbombo',
            experiment_name=os.urandom(8).hex(),
            log_level='WARNING')

    return start


def test_training_samples_with_pseudo_labels(run):
    runner = run(
        dict(type='RecordingVisualizer'),
        draw=True,
        train_interval=2,
        interval=1,
        score_thr=.1)
    runner.train()
    calls = runner.visualizer.calls
    assert [c['name']
            for c in calls] == ['train_a', 'train_b', 'val_img', 'val_img']
    for call in calls[:2]:
        sample = call['data_sample']
        assert call['step'] == 2 and not call['draw_pred']
        assert sample.pseudo_instances.bboxes.tolist() == [[1, 2, 3, 4]]
        assert call['image'].shape[:2] == sample.gt_sem_seg.shape
    # Images 4 and 5: RGB, and the lower one padded like its map.
    assert calls[0]['image'][63, 63].tolist() == [34, 20, 10]
    assert calls[1]['image'][59, 63].tolist() == [35, 20, 10]
    assert calls[1]['image'][60, 63].tolist() == [0, 0, 0]
    first = calls[2]
    assert first['image'][0, 0].tolist() == [30, 20, 10]
    assert first['pred_score_thr'] == .1 and 'draw_pred' not in first
    assert 'pred_instances' in first['data_sample']
    assert not runner.model.data_preprocessor._forward_hooks


def test_nothing_is_drawn_unless_asked(run):
    runner = run(dict(type='RecordingVisualizer'), train_interval=1)
    runner.train()
    assert not hasattr(runner.visualizer, 'calls')


def test_windows_instead_of_files(run):
    runner = run(
        dict(
            type='RecordingVisualizer',
            vis_backends=[dict(type='LocalVisBackend')]),
        draw=True,
        show=True,
        wait_time=.5,
        interval=1)
    runner.test()
    calls = runner.visualizer.calls
    assert len(calls) == 8
    assert all(c['show'] and c['wait_time'] == .5 for c in calls)
    assert runner.visualizer._vis_backends == {}


def test_real_pictures_of_a_test(run):
    runner = run(
        dict(type='MultiTaskLocalVisualizer'),
        draw=True,
        test_out_dir='pictures',
        score_thr=0.)
    runner.visualizer.dataset_meta = Images.metainfo
    runner.test()
    out = Path(runner.work_dir, runner.timestamp, 'pictures')
    written = sorted(out.rglob('*.*'))
    assert [(x.relative_to(out).parts[0], x.name) for x in written] == [
        *(('a', f'{i}.png') for i in (0, 2, 4, 6)),
        *(('b', f'{i}.png') for i in (1, 3, 5, 7))
    ]
    assert cv2.imread(str(written[0])).std() > 10


def voc_cfg(root):
    return dict(
        type='PartialVOCDataset',
        data_root=str(write_voc(root, num_images=2, size=(64, 64))),
        ann_file='ImageSets/Main/train.txt',
        metainfo=dict(classes=CLASSES))


def test_images_of_one_name_in_several_folders(tmp_path, run):
    """Each has a picture of its own, in the folders that tell them apart."""
    source = dict(
        annotation_kinds=('bbox', ),
        test_mode=True,
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='mmdet.Resize', scale=(64, 64)),
            dict(type='LoadPartialAnnotations'),
            dict(type='PackMultiTaskInputs')
        ])
    years = [voc_cfg(tmp_path / 'voc' / year) for year in ('2007', '2012')]
    images = DATASETS.build(
        dict(
            type='MixedSourceDataset',
            datasets=[
                dict(
                    source, type='ConcatSource', source='two', datasets=years),
                dict(source, source='one', **voc_cfg(tmp_path / 'flat'))
            ]))
    runner = run(
        dict(type='MultiTaskLocalVisualizer'),
        images,
        draw=True,
        test_out_dir='pictures')
    runner.visualizer.dataset_meta = Images.metainfo
    runner.test()
    out = Path(runner.work_dir, runner.timestamp, 'pictures')
    written = sorted(x.relative_to(out).as_posix() for x in out.rglob('*.jpg'))
    assert written == [
        'one/flat/JPEGImages/000.jpg', 'one/flat/JPEGImages/001.jpg',
        'two/2007/JPEGImages/000.jpg', 'two/2007/JPEGImages/001.jpg',
        'two/2012/JPEGImages/000.jpg', 'two/2012/JPEGImages/001.jpg'
    ]
