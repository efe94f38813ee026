# Copyright (c) mmbombo contributors.
"""Predict boxes and masks of images or of a video.

    python demo/image_demo.py demo/demo.jpg CONFIG CHECKPOINT

For the image may stand a folder, a pattern ('photos/*.jpg') or a video.
Pictures, JSON files and palette PNGs go to ``--out-dir``. Exits with 1 if an
image could not be read, after the others.
"""
import argparse
import os.path as osp
import sys

from mmengine.config import DictAction

CHECKPOINTS = ('.onnx', '.pt2', '.pth', '.safetensors')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Predict boxes and masks of images or of a video')
    parser.add_argument(
        'inputs', help='image file, folder, quoted pattern, or video file')
    parser.add_argument(
        'config',
        nargs='?',
        help='config file, or a name of ours; may be left out if the '
        'checkpoint holds its config')
    parser.add_argument('checkpoint', nargs='?', help='checkpoint file')
    parser.add_argument('--weights', help='another way to say checkpoint')
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
        '--topk',
        type=int,
        help='keep and draw only so many boxes of an image, the most '
        'confident ones')
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
    args.weights = args.checkpoint or args.weights
    if args.config and args.config.endswith(CHECKPOINTS):
        if args.weights:
            parser.error('the config comes before the checkpoint')
        args.config, args.weights = None, args.config
    if not (args.config or args.weights):
        parser.error('give a checkpoint')
    if args.cfg_options and not args.config:
        parser.error('--cfg-options needs a config')
    if args.batch_size < 1 or (args.topk is not None and args.topk < 0):
        parser.error('--batch-size must be at least 1, --topk at least 0')
    return args


def predict(args: argparse.Namespace) -> dict:
    """Run the inferencer with the command-line options."""
    from mmbombo.apis import MultiTaskInferencer
    from mmbombo.apis.videos import VIDEO_SUFFIXES, predict_video
    from mmbombo.utils import UserError
    from mmbombo.utils.config_names import load_config, published_weights
    cfg = args.config and load_config(args.config, args.cfg_options)
    weights = args.weights or published_weights(args.config)
    if weights is None:
        raise UserError(f'no weights of {args.config} are published: give a '
                        'checkpoint, image_demo.py IMAGE CONFIG CHECKPOINT')
    inferencer = MultiTaskInferencer(
        cfg,
        weights,
        device=args.device,
        trust_checkpoint=args.trust_checkpoint)
    options = dict(
        batch_size=args.batch_size,
        pred_score_thr=args.pred_score_thr,
        topk=args.topk,
        out_dir=args.out_dir,
        no_save_vis=args.no_save_vis,
        no_save_pred=args.no_save_pred)
    if not args.inputs.lower().endswith(VIDEO_SUFFIXES):
        return inferencer(args.inputs, **options)
    return dict(
        frames=predict_video(inferencer, args.inputs, **options), failed=[])


def print_places(args: argparse.Namespace, results: dict) -> None:
    """Say where the results are."""
    predictions = results.get('predictions', [])
    print(f"{results['frames']} frame(s) predicted" if 'frames' in
          results else f'{len(predictions)} image(s) predicted')
    if not args.no_save_vis:
        print(f"pictures:  {osp.join(args.out_dir, 'vis')}")
    if not args.no_save_pred:
        print(f"JSON:      {osp.join(args.out_dir, 'preds')}")
        if any('mask_path' in item for item in predictions):
            print(f"masks:     {osp.join(args.out_dir, 'masks')}")
        if any('panoptic_path' in item for item in predictions):
            print(f"panoptic:  {osp.join(args.out_dir, 'panoptic')}")


def main() -> None:
    args = parse_args()
    from mmbombo.utils import user_errors
    with user_errors():
        results = predict(args)
    print_places(args, results)
    sys.exit(1 if results['failed'] else 0)


if __name__ == '__main__':
    main()
