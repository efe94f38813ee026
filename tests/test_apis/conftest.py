# Copyright (c) mmbombo contributors.
"""A model whose predictions are known, and images to ask it about."""
import copy
import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.structures import InstanceData, PixelData
from PIL import Image

from mmbombo.registry import MODELS

REPO = Path(__file__).resolve().parents[2]
CLASSES = ('dog', 'car')
SEG_CLASSES = ('background', 'car', 'dog')
CAR, DOG = (0, 200, 0), (250, 10, 20)


@MODELS.register_module()
class HalvesModel(BaseModel):
    """Predicts one box per half of the image, and a map of three parts.

    The score of the first box is the model's only weight, that of the second
    the mean of the red channel (0-1); so weights and images both count.
    """

    def __init__(self, data_preprocessor=None, class_map=None, size=1):
        super().__init__(data_preprocessor)
        self.weight = torch.nn.Parameter(torch.full((size, ), 0.5))

    def forward(self, inputs, data_samples=None, mode='tensor'):
        for image, sample in zip(inputs, data_samples):
            height, width = sample.ori_shape
            red = image[0, :sample.img_shape[0], :sample.img_shape[1]].mean()
            sample.pred_instances = InstanceData(
                bboxes=torch.tensor([[0, 0, width / 2, height],
                                     [width / 2, 0, width, height]]),
                labels=torch.tensor([0, 1]),
                scores=torch.stack([self.weight[0], red / 255]))
            ids = torch.zeros(1, height, width, dtype=torch.long)
            ids[:, :height // 2, :width // 2] = 2
            ids[:, :height // 2, width // 2:] = 1
            sample.pred_sem_seg = PixelData(sem_seg=ids, data=ids)
        return data_samples


def make_config(**metainfo):
    return Config(
        dict(
            default_scope='mmbombo',
            model=dict(
                type='HalvesModel',
                class_map=dict(
                    det_classes=('d0', 'd1'), seg_classes=('b', 's1', 's2')),
                data_preprocessor=dict(
                    type='mmdet.DetDataPreprocessor',
                    mean=[0, 0, 0],
                    std=[1, 1, 1],
                    bgr_to_rgb=True,
                    pad_size_divisor=32)),
            test_dataloader=dict(
                dataset=dict(
                    type='MixedSourceDataset',
                    datasets=[
                        dict(
                            type='PartialVOCDataset',
                            metainfo=metainfo,
                            pipeline=[
                                dict(type='LoadImageFromFile'),
                                dict(
                                    type='mmdet.Resize',
                                    scale=(64, 64),
                                    keep_ratio=True),
                                dict(type='LoadPartialAnnotations'),
                                dict(
                                    type='LabelComponents',
                                    class_map=dict(),
                                    min_area=1),
                                dict(type='PackMultiTaskInputs')
                            ])
                    ])),
            visualizer=dict(
                type='MultiTaskLocalVisualizer',
                vis_backends=[dict(type='LocalVisBackend')],
                min_size=8)))


@pytest.fixture
def config():
    return make_config()


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / 'weights.pth'
    meta = dict(
        classes=CLASSES,
        palette=[DOG, CAR],
        seg_classes=SEG_CLASSES,
        seg_palette=[(0, 0, 0), CAR, DOG])
    torch.save(
        dict(
            state_dict={'weight': torch.tensor([0.875])},
            meta=dict(dataset_meta=copy.deepcopy(meta))), path)
    return str(path)


def save_image(path, height, width, red, **kwargs):
    image = np.zeros((height, width, 3), dtype=np.uint8)
    image[..., 0] = red
    Image.fromarray(image).save(path, **kwargs)
    return str(path)


@pytest.fixture
def photos(tmp_path):
    """Three images, of red 51, 102 and 204, among other files."""
    folder = tmp_path / 'photos'
    folder.mkdir()
    save_image(folder / 'b.PNG', 40, 60, 102)
    save_image(folder / 'a.png', 30, 20, 51)
    save_image(folder / 'c.png', 50, 50, 204)
    (folder / 'notes.txt').write_text('not an image')
    (folder / 'sub').mkdir()
    save_image(folder / 'sub' / 'd.png', 10, 10, 0)
    return folder


@pytest.fixture
def run_script(monkeypatch):
    """Runs a script of the repository in this process; its exit status."""

    def run(name, *arguments):
        monkeypatch.setattr(sys, 'argv', [name, *map(str, arguments)])
        try:
            runpy.run_path(str(REPO / name), run_name='__main__')
        except SystemExit as ended:
            return ended.code
        return 0

    return run


@pytest.fixture(scope='session')
def known():
    """What the tests know of the model's classes, and how to make inputs."""
    return SimpleNamespace(
        classes=CLASSES,
        seg_classes=SEG_CLASSES,
        car=CAR,
        dog=DOG,
        make_config=make_config,
        save_image=save_image)
