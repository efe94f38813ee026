# Copyright (c) mmbombo contributors.
"""Draw what a data pipeline really yields.

``python tools/analysis_tools/browse_dataset.py CONFIG`` draws the samples of
the configured sampler after augmentation: boxes, ignored boxes, map, pseudo
mask, components, annotation kinds and source.
"""
import argparse
import itertools
import os.path as osp
from collections import Counter
from typing import Iterator, Tuple

import cv2
import numpy as np
from mmengine.config import Config, DictAction


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Draw what a data pipeline yields')
    parser.add_argument('config', help='config file, or a name of ours')
    parser.add_argument(
        '--phase',
        choices=['train', 'val', 'test'],
        default='train',
        help='which data loader (default: %(default)s)')
    parser.add_argument(
        '--output-dir',
        help='where pictures go; by default work_dirs/CONFIG/browse_PHASE')
    parser.add_argument(
        '--number',
        type=int,
        default=24,
        help='number of samples (default: %(default)s)')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        help='override settings of the config, key=value')
    args = parser.parse_args()
    if args.number < 1:
        parser.error('--number must be at least 1')
    return args


if __name__ == '__main__':  # --help waits for no library
    parse_args()

import torch
from mmdet.structures import DetDataSample
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from mmbombo.models.utils import unpadded_shape
from mmbombo.registry import VISUALIZERS
from mmbombo.utils import UserError, user_errors
from mmbombo.utils.config_names import load_config
from mmbombo.visualization.layers import annotation_text


def build_loader(cfg: Config, phase: str) -> DataLoader:
    """Build the loader of a phase in this process, with its own sampler."""
    config = cfg.get(f'{phase}_dataloader')
    if config is None:
        raise UserError(f'the config has no {phase}_dataloader')
    config = dict(config, num_workers=0, persistent_workers=False)
    config.pop('prefetch_factor', None)
    seed = cfg.get('randomness', {}).get('seed') or 0
    return Runner.build_dataloader(config, seed=seed)


def iterate(loader: DataLoader, number: int,
            phase: str) -> Iterator[Tuple[np.ndarray, DetDataSample]]:
    """Yield at most ``number`` samples as RGB image (H, W, 3) and sample.

    The annotation of validation and test is that of the original image, whose
    size the picture gets again.
    """
    samples = (
        pair for batch in loader
        for pair in zip(batch['inputs'], batch['data_samples']))
    for packed, sample in itertools.islice(samples, number):
        # Pipelines load BGR; the preprocessor of the model turns it.
        image = packed.permute(1, 2, 0).flip(-1).numpy()
        if phase != 'train':
            image = at_original_size(image, sample)
        yield image, sample


def at_original_size(image: np.ndarray, sample: DetDataSample) -> np.ndarray:
    """An image (H, W, 3) of a test pipeline without padding and scaling."""
    height, width = unpadded_shape(sample)
    # OpenCV wants (width, height)
    return cv2.resize(
        np.ascontiguousarray(image[:height, :width]), sample.ori_shape[1::-1])


def browse(args: argparse.Namespace) -> Counter:
    """Draw samples; return how many by source and annotation kinds."""
    cfg = load_config(args.config, args.cfg_options)
    init_default_scope(cfg.get('default_scope', 'mmbombo'))
    # Transforms of a sampler that seeds no draw still repeat between calls.
    torch.manual_seed(0)
    np.random.seed(0)
    loader = build_loader(cfg, args.phase)
    config = dict(cfg.get('visualizer') or {}, name=f'browse_{id(loader)}')
    config.setdefault('type', 'MultiTaskLocalVisualizer')
    config.pop('vis_backends', None)
    visualizer = VISUALIZERS.build(config)
    visualizer.dataset_meta = loader.dataset.metainfo
    totals: Counter = Counter()
    samples = iterate(loader, args.number, args.phase)
    for place, (image, sample) in enumerate(samples):
        source, kinds = sample.get('source', ''), annotation_text(sample)
        stem = osp.splitext(osp.basename(sample.img_path))[0]
        name = '_'.join(
            part for part in (f'{place:04d}', source, stem) if part)
        visualizer.add_datasample(
            name,
            image,
            sample,
            draw_pred=False,
            out_file=osp.join(args.output_dir, f'{name}.png'))
        totals[f'source {source or "?"} ({kinds})'] += 1
        height, width = image.shape[:2]
        print(f'{name}: {kinds}; {width}x{height}')
    return totals


@user_errors()
def main() -> None:
    args = parse_args()
    if args.output_dir is None:
        name = osp.splitext(osp.basename(args.config))[0]
        args.output_dir = osp.join('work_dirs', name, f'browse_{args.phase}')
    for source, number in browse(args).items():
        print(f'{source}: {number} sample(s)')
    print(f'pictures: {osp.abspath(args.output_dir)}')


if __name__ == '__main__':
    main()
