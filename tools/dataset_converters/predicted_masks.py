# Copyright (c) mmbombo contributors.
"""Write the masks of a training set with a trained network.

    python tools/dataset_converters/predicted_masks.py CONFIG CHECKPOINT \\
        --out DIR

predicts the images of the config's training sources that have no masks, whole
and without augmentation, and writes a PNG with class ids for each. Classes
that the tags of an image rule out are never written. The folder is the
``ann_dir`` of any segmentor that is to learn from it. Masks that are there
already are kept, so an interrupted run continues; another checkpoint needs
another folder.
"""
import argparse

from mmengine.config import DictAction


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file, or a name of ours')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument('--out', required=True, help='folder of the masks')
    parser.add_argument(
        '--sources',
        nargs='+',
        help='names of training sources (default: those without masks)')
    parser.add_argument(
        '--threshold',
        type=float,
        default=0.,
        help='a pixel is 255 where no class reaches this probability '
        '(default: %(default)s)')
    parser.add_argument(
        '--cam-threshold',
        type=float,
        help='write the class activation maps of the task cls instead, with '
        'background where none of them reaches this, such as 0.3')
    parser.add_argument(
        '--cam-scales',
        nargs='+',
        type=float,
        default=[.5, 1, 1.5, 2],
        help='sizes of the image whose maps are averaged, each mirrored too '
        '(default: %(default)s)')
    parser.add_argument(
        '--ignore-tags',
        action='store_true',
        help='write classes that the tags of an image rule out, too')
    parser.add_argument(
        '--batch-size',
        type=int,
        default=4,
        help='images of a forward pass (default: %(default)s)')
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
    if args.ignore_tags and args.cam_threshold is not None:
        parser.error('--cam-threshold needs the tags: the maps of absent '
                     'classes mean nothing')
    return args


if __name__ == '__main__':  # --help waits for no library
    parse_args()

from pathlib import Path
from typing import List, Optional, Sequence

from mmengine.config import Config
from mmengine.dataset import BaseDataset

from mmbombo.apis import MultiTaskInferencer
from mmbombo.engine.pseudo_labels import (CamMasks, PredictedMasks,
                                          write_pseudo_labels)
from mmbombo.registry import DATASETS
from mmbombo.structures import SEM_SEG
from mmbombo.utils import UserError, user_errors
from mmbombo.utils.config_names import load_config
from mmbombo.utils.config_parts import find_dataset


def build_sources(cfg: Config, names: Optional[Sequence[str]]) -> BaseDataset:
    """The training sources of some names, with the test pipeline."""
    whole = cfg.train_dataloader.dataset
    sources: List[BaseDataset] = [
        DATASETS.build(
            dict(
                source, test_mode=True,
                pipeline=find_dataset(cfg)['pipeline']))
        for source in whole.get('datasets', [whole])
    ]
    known = [source.source for source in sources]
    if names is None:
        names = [
            source.source for source in sources
            if SEM_SEG not in source.annotation_kinds
        ]
    unknown = sorted({*names} - {*known})
    if unknown or not names:
        raise UserError(
            (f'no training source is named {unknown}' if unknown else
             'all training sources have masks; choose some with --sources') +
            f'; there are {known}')
    return DATASETS.build(
        dict(
            type='MixedSourceDataset',
            datasets=[x for x in sources if x.source in names]))


@user_errors()
def main() -> None:
    args = parse_args()
    cfg = load_config(args.config)
    cfg.merge_from_dict(args.cfg_options or {})
    inferencer = MultiTaskInferencer(
        cfg,
        args.checkpoint,
        device=args.device,
        trust_checkpoint=args.trust_checkpoint)
    dataset = build_sources(cfg, args.sources)
    if args.cam_threshold is None:
        writer = PredictedMasks(args.threshold, not args.ignore_tags)
    else:
        writer = CamMasks(args.cam_threshold, args.cam_scales)
    written = write_pseudo_labels(writer, inferencer.model, dataset,
                                  dict(masks=Path(args.out)), args.batch_size)
    kept = len(dataset) - written
    print(f'{written} masks written to {args.out}' +
          (f', {kept} were there' if kept else ''))


if __name__ == '__main__':
    main()
