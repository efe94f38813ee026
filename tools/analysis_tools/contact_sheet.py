# Copyright (c) mmbombo contributors.
"""Validation images, their annotations and predictions in one picture.

``python tools/analysis_tools/contact_sheet.py CONFIG CHECKPOINT``
"""
import argparse
import os
import os.path as osp
from typing import List, Sequence, Tuple

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
from mmdet.structures import DetDataSample
from mmengine.dataset import BaseDataset
from mmengine.utils import track_iter_progress

from mmbombo.apis import MultiTaskInferencer
from mmbombo.registry import DATASETS
from mmbombo.utils import user_errors
from mmbombo.utils.config_names import load_config
from mmbombo.visualization import MultiTaskLocalVisualizer
from mmbombo.visualization.layers import Layer, gt_layer, pred_layer
from mmbombo.visualization.layout import GAP, PAPER, pad_to, stack, text_bar

CELL = (300, 340)
FONT = 16
HEADINGS = ('image', 'ground truth', 'prediction')


def pick_evenly(total: int, number: int) -> List[int]:
    """Return ``number`` indices, or all, evenly spaced in ``range(total)``."""
    number = min(number, total)
    return [(2 * place + 1) * total // (2 * number) for place in range(number)]


def predict(inferencer: MultiTaskInferencer, dataset: BaseDataset,
            index: int) -> Tuple[np.ndarray, DetDataSample]:
    """Return an image, RGB, and its sample with both truth and prediction."""
    sample, = inferencer.forward(inferencer.collate_fn([dataset[index]]))
    return mmcv.imread(sample.img_path, channel_order='rgb'), sample


def fit(image: np.ndarray) -> Tuple[int, int]:
    """Return height and width of the largest panel that fits a cell."""
    scale = min(cell / side for cell, side in zip(CELL, image.shape))
    return int(image.shape[0] * scale), int(image.shape[1] * scale)


def draw_panels(visualizer: MultiTaskLocalVisualizer, image: np.ndarray,
                layers: List[Layer]) -> List[np.ndarray]:
    """Return the pictures of one image, as large as a cell allows."""
    size = fit(image)
    panels = [visualizer.image_panel(image, size=size)]
    panels += [visualizer.layer_panel(image, layer, size) for layer in layers]
    return [panel.image for panel in panels]


def join(cells: List[np.ndarray], gap: int = GAP) -> np.ndarray:
    """Set pictures of one height side by side."""
    space = np.full((len(cells[0]), gap, 3), PAPER, dtype=np.uint8)
    joined = [part for cell in cells for part in (cell, space)]
    return np.concatenate(joined[:-1], axis=1)


def join_groups(groups: Sequence[List[np.ndarray]]) -> np.ndarray:
    """Set the panels of one or two images side by side, in cells."""
    height = max(panel.shape[0] for group in groups for panel in group)
    cells = [
        join([pad_to(panel, height, CELL[1], center=True) for panel in group])
        for group in groups
    ]
    return join(cells, 3 * GAP)


def compose(images: List[List[np.ndarray]], title: str) -> List[np.ndarray]:
    """Set images, with their panels, under a title and headings.

    Two images share a line, so that the sheet is not much higher than wide.
    """
    heading = join([text_bar(text, CELL[1], FONT) for text in HEADINGS])
    lines = [join([heading] * min(len(images), 2), 3 * GAP)]
    lines += [
        join_groups(images[place:place + 2])
        for place in range(0, len(images), 2)
    ]
    return [text_bar(title, lines[0].shape[1], FONT), *lines]


def make_sheet(args: argparse.Namespace) -> np.ndarray:
    """Predict and draw."""
    cfg = load_config(args.config)
    if args.cfg_options is not None:
        cfg.merge_from_dict(args.cfg_options)
    inferencer = MultiTaskInferencer(
        cfg,
        args.checkpoint,
        device=args.device,
        trust_checkpoint=args.trust_checkpoint)
    dataset = DATASETS.build(cfg.val_dataloader.dataset)
    visualizer = MultiTaskLocalVisualizer(name='contact_sheet')
    visualizer.dataset_meta = inferencer.dataset_meta
    images, all_layers = [], []
    for index in track_iter_progress(pick_evenly(len(dataset), args.number)):
        image, sample = predict(inferencer, dataset, index)
        layers = [
            gt_layer(sample) or Layer(''),
            pred_layer(sample, args.pred_score_thr) or Layer('')
        ]
        images.append(draw_panels(visualizer, image, layers))
        all_layers += layers
    title = (f'{osp.basename(args.config)}, {osp.basename(args.checkpoint)}, '
             f'boxes with score ≥ {args.pred_score_thr:g}')
    lines = compose(images, title)
    return stack(lines +
                 visualizer.legend(all_layers, lines[0].shape[1], FONT))


@user_errors()
def main() -> None:
    args = parse_args()
    sheet = make_sheet(args)
    os.makedirs(osp.dirname(osp.abspath(args.out)), exist_ok=True)
    mmcv.imwrite(sheet[..., ::-1], args.out)
    print(f'contact sheet: {osp.abspath(args.out)}')


if __name__ == '__main__':
    main()
