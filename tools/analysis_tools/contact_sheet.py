# Copyright (c) mmbombo contributors.
"""Validation images, their annotations and predictions in one picture.

``python tools/analysis_tools/contact_sheet.py CONFIG CHECKPOINT``
"""
import argparse
import os
import os.path as osp
from typing import List

import numpy as np
from mmengine.config import DictAction


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Draw predictions on validation images in one picture')
    parser.add_argument('config', help='config file, or a name of ours')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument(
        '--out',
        default='contact_sheet.png',
        help='where the picture goes (default: %(default)s)')
    parser.add_argument(
        '--number',
        type=int,
        default=12,
        help='number of images (default: %(default)s)')
    parser.add_argument(
        '--pred-score-thr',
        type=float,
        default=0.3,
        help='lowest score of a box that is drawn (default: %(default)s)')
    parser.add_argument(
        '--device', help='such as cpu or cuda:0; by default what there is')
    parser.add_argument(
        '--trust-checkpoint',
        action='store_true',
        help='load checkpoints that run code when they are loaded; only for '
        'files that you made yourself')
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

import mmcv
from mmengine.utils import track_iter_progress

from mmbombo.apis import MultiTaskInferencer
from mmbombo.registry import DATASETS
from mmbombo.utils import user_errors
from mmbombo.utils.config_names import load_config
from mmbombo.visualization import MultiTaskLocalVisualizer
from mmbombo.visualization.layout import pad_to, stack, text_bar

#: Width of an image with its panels in pixels, and height of the title.
WIDTH, FONT = 1080, 16


def grid(pictures: List[np.ndarray]) -> List[np.ndarray]:
    """Set pictures of one width side by side, two to a line."""
    lines = []
    for place in range(0, len(pictures), 2):
        pair = pictures[place:place + 2]
        height = max(picture.shape[0] for picture in pair)
        lines.append(
            np.concatenate([pad_to(x, height, WIDTH) for x in pair], axis=1))
    return lines


def make_sheet(args: argparse.Namespace) -> np.ndarray:
    """Predict and draw."""
    cfg = load_config(args.config, args.cfg_options)
    inferencer = MultiTaskInferencer(
        cfg,
        args.checkpoint,
        device=args.device,
        trust_checkpoint=args.trust_checkpoint)
    dataset = DATASETS.build(cfg.val_dataloader.dataset)
    visualizer = MultiTaskLocalVisualizer(name='contact_sheet')
    visualizer.dataset_meta = inferencer.dataset_meta
    pictures = []
    last, number = len(dataset) - 1, min(args.number, len(dataset))
    places = np.linspace(0, last, number).round().astype(int).tolist()
    for index in track_iter_progress(places):
        sample, = inferencer.forward(inferencer.collate_fn([dataset[index]]))
        image = mmcv.imread(sample.img_path, channel_order='rgb')
        picture = visualizer.draw(
            image, sample, pred_score_thr=args.pred_score_thr)
        height = round(picture.shape[0] * WIDTH / picture.shape[1])
        pictures.append(
            mmcv.imresize(picture, (WIDTH, height), interpolation='area'))
    title = f'{osp.basename(args.config)}, {osp.basename(args.checkpoint)}'
    lines = grid(pictures)
    return stack([text_bar(title, lines[0].shape[1], FONT), *lines])


@user_errors()
def main() -> None:
    args = parse_args()
    sheet = make_sheet(args)
    os.makedirs(osp.dirname(osp.abspath(args.out)), exist_ok=True)
    mmcv.imwrite(sheet[..., ::-1], args.out)
    print(f'contact sheet: {osp.abspath(args.out)}')


if __name__ == '__main__':
    main()
