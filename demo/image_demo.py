# Copyright (c) mmbombo contributors.
"""Predict boxes and masks of an image.

    python demo/image_demo.py PHOTO CONFIG --weights CHECKPOINT

A folder may stand for the photo. Pictures, JSON files and palette PNGs go to
``--out-dir``. Exits with 1 if an image could not be read, after the others.
"""
import argparse
import os.path as osp
import sys

from mmengine.config import Config, DictAction


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Predict boxes and masks for an image or a folder')
    parser.add_argument('inputs', help='image file or folder of images')
    parser.add_argument('config', help='config file')
    parser.add_argument('--weights', required=True, help='checkpoint file')
    parser.add_argument(
        '--out-dir',
        default='outputs',
        help='where results go (default: %(default)s)')
    parser.add_argument(
        '--device', help="such as cpu or cuda:0; by default what there is")
    parser.add_argument(
        '--pred-score-thr',
        type=float,
        default=0.3,
        help='lowest score of a box that is drawn; the JSON has all boxes '
        '(default: %(default)s)')
    parser.add_argument(
        '--batch-size',
        type=int,
        default=1,
        help='images per forward pass (default: %(default)s)')
    parser.add_argument(
        '--no-save-vis', action='store_true', help='write no pictures')
    parser.add_argument(
        '--no-save-pred', action='store_true', help='write no predictions')
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
    if args.batch_size < 1:
        parser.error('--batch-size must be at least 1')
    return args


if __name__ == '__main__':  # --help waits for no library
    parse_args()

from mmbombo.apis import MultiTaskInferencer
from mmbombo.utils import user_errors


def predict(args: argparse.Namespace) -> dict:
    """Run the inferencer with the command-line options."""
    cfg = Config.fromfile(args.config)
    if args.cfg_options is not None:
        cfg.merge_from_dict(args.cfg_options)
    inferencer = MultiTaskInferencer(
        cfg,
        args.weights,
        device=args.device,
        trust_checkpoint=args.trust_checkpoint)
    return inferencer(
        args.inputs,
        batch_size=args.batch_size,
        pred_score_thr=args.pred_score_thr,
        out_dir=args.out_dir,
        no_save_vis=args.no_save_vis,
        no_save_pred=args.no_save_pred)


def print_places(args: argparse.Namespace, results: dict) -> None:
    """Say where the results are."""
    print(f"{len(results['predictions'])} image(s) predicted")
    if not args.no_save_vis:
        print(f"pictures:  {osp.join(args.out_dir, 'vis')}")
    if not args.no_save_pred:
        print(f"JSON:      {osp.join(args.out_dir, 'preds')}")
        if any('mask_path' in item for item in results['predictions']):
            print(f"masks:     {osp.join(args.out_dir, 'masks')}")


@user_errors()
def main() -> None:
    args = parse_args()
    results = predict(args)
    print_places(args, results)
    sys.exit(1 if results['failed'] else 0)


if __name__ == '__main__':
    main()
