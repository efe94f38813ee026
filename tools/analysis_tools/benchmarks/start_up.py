# Copyright (c) mmbombo contributors.
"""The start of a training in fresh processes, ours against MMDetection's.

No import of mmbombo: MMDetection's side does without.
"""
import sys
from argparse import Namespace
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Iterator, List

import mmdet
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from .rows import compare
from .stock import CONFIGS, detector_cfg, network_cfg


def start_up(options: Namespace) -> Iterator[dict]:
    """Import, data set index, build, and the first step, on as many of the
    same images, with the default hooks. Ours reads boxes of one list and masks
    of the other, MMDetection boxes of both. The first start of ours, which is
    not counted, makes the pseudo masks."""
    with TemporaryDirectory() as folder:
        data = data_cfg(options.data, f'{folder}/pseudo_masks')
        cfgs = our_cfg(options, data), mmdet_cfg(options, data)
        for cfg in cfgs:
            cfg.work_dir = folder
            cfg.train_cfg = dict(type='IterBasedTrainLoop', max_iters=1)
            cfg.optim_wrapper = dict(optimizer=dict(type='AdamW', lr=1e-7))
            cfg.log_processor = dict(type='LogProcessor', by_epoch=False)
            cfg.log_level = 'ERROR'
            cfg.default_hooks.checkpoint = None
            cfg.train_dataloader.batch_size = 2 * options.batch
            cfg.train_dataloader.num_workers = 0
            cfg.train_dataloader.persistent_workers = False
        ours, stock = (cfg.to_dict() for cfg in cfgs)
        yield compare(
            options,
            f'start_up_{options.model}',
            'time of a process that starts training / of mmdet',
            1.1,
            ours=lambda: start(ours, options.threads),
            mmdet=lambda: start(stock, options.threads))


def start(cfg: dict, threads: int) -> None:
    """Train for a step in a process of its own."""
    process = get_context('spawn').Process(target=train, args=(cfg, threads))
    process.start()
    process.join()
    if process.exitcode:
        raise RuntimeError('a training failed; its error is printed above')


def train(cfg: dict, threads: int) -> None:
    """The process."""
    torch.set_num_threads(threads)
    Runner.from_cfg(Config(cfg)).train()


def our_cfg(options: Namespace, data: Config) -> Config:
    """BoMBo, with our runtime."""
    cfg = Config.fromfile(CONFIGS / 'default_runtime.py')
    cfg.custom_imports = dict(imports=['mmbombo'])
    cfg.model = network_cfg(options.model, len(data.det_classes))
    cfg.model.class_map = data.class_map
    losses = ('BoxForMaskLoss', 'MaskForBoxLoss')
    cfg.model.weak_losses = [dict(type=loss) for loss in losses]
    cfg.train_dataloader = data.train_dataloader
    cfg.train_dataloader.sampler.batch_size = 2 * options.batch
    for source in cfg.train_dataloader.dataset.datasets:
        source.pipeline = data.weak_pipeline
    return cfg


def mmdet_cfg(options: Namespace, data: Config) -> Config:
    """The detector, with MMDetection's own runtime."""
    stock = Path(mmdet.__file__).parent / '.mim' / 'configs' / '_base_'
    cfg = Config.fromfile(stock / 'default_runtime.py')
    model = network_cfg(options.model, len(data.det_classes))
    if model.backbone.type.startswith('mmbombo.'):
        cfg.custom_imports = dict(imports=['mmbombo.models'])
    cfg.model = detector_cfg(model)
    sources = [
        dict(
            type='XMLDataset',
            data_root=source.data_root,
            data_prefix=dict(sub_data_root=source.data_root),
            ann_file=source.ann_file,
            metainfo=dict(classes=data.det_classes),
            pipeline=mmdet_pipeline(data, with_seg=False))
        for source in (data.det_source, data.seg_source)
    ]
    cfg.train_dataloader = dict(
        sampler=dict(type='InfiniteSampler'),
        dataset=dict(type='ConcatDataset', datasets=sources))
    return cfg


def data_cfg(root: Path, cache_dir: str) -> Config:
    """``configs/_base_/datasets/photo_stamps.py`` in another place, with a
    folder for the pseudo masks."""
    cfg = Config.fromfile(CONFIGS / 'datasets' / 'photo_stamps.py')
    if not (root / 'classes.txt').exists():
        sys.exit(f'{root / "classes.txt"} is missing; make the data set with '
                 f'{cfg.data_help}, or name it with --data')
    text = cfg.pretty_text.replace(f'{cfg.data_root}pseudo_masks', cache_dir)
    return Config.fromstring(text.replace(cfg.data_root, f'{root}/'), '.py')


def mmdet_pipeline(cfg: Config, with_seg: bool) -> List[dict]:
    """MMDetection's way to read the same, to be built in its scope: some of
    the transforms are MMCV's, and there have no prefix."""
    geometry = [{
        key:
        value.replace('mmdet.', '') if isinstance(value, str) else value
        for key, value in step.items()
    } for step in cfg.geometry]
    load = dict(
        type='LoadAnnotations',
        with_bbox=True,
        with_seg=with_seg,
        imdecode_backend='pillow')
    pack = dict(type='PackDetInputs')
    return [dict(type='LoadImageFromFile'), load, *geometry, pack]
