# Copyright (c) mmbombo contributors.
"""Write pseudo labels of a training set with a trained network.

    python tools/dataset_converters/predicted_labels.py CONFIG CHECKPOINT \\
        --out DIR

predicts the images of the config's training sources that have no masks, whole
and without augmentation, and writes a mask for each, a PNG with class ids.
Classes that the tags of an image rule out are never written. The folder is the
``ann_dir`` of any segmentor that is to learn from it. Files that are there
already are kept, so an interrupted run continues; another checkpoint needs
another folder.

--labels says what is written, as a stage of StagedTrainLoop does:

  type=PredictedMasks threshold=.6  255 where no class reaches the threshold
  type=PredictedMasks use_tags=False  classes that the tags rule out, too
  type=CamMasks threshold=.3        the activation maps of the task cls, and
                                    background where none reaches that
  type=AuxSegLabels initial=True    these, where saliency maps agree; what has
                                    several folders, such as DIR/masks and
                                    DIR/saliency
"""
import argparse

from mmengine.config import DictAction


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file, or a name of ours')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument('--out', required=True, help='folder of the labels')
    parser.add_argument(
        '--sources',
        nargs='+',
        help='names of training sources (default: those without masks)')
    parser.add_argument(
        '--labels',
        nargs='+',
        action=DictAction,
        default=dict(type='PredictedMasks'),
        help='writer of the labels and its arguments, key=value (default: '
        'type=PredictedMasks)')
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
    return parser.parse_args()


if __name__ == '__main__':  # --help waits for no library
    parse_args()

from pathlib import Path
from typing import List, Optional, Sequence

from mmengine.config import Config
from mmengine.dataset import BaseDataset

from mmbombo.apis import MultiTaskInferencer
from mmbombo.engine.pseudo_labels import write_pseudo_labels
from mmbombo.registry import DATASETS, TASK_UTILS
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
    cfg = load_config(args.config, args.cfg_options)
    inferencer = MultiTaskInferencer(
        cfg,
        args.checkpoint,
        device=args.device,
        trust_checkpoint=args.trust_checkpoint)
    dataset = build_sources(cfg, args.sources)
    writer = TASK_UTILS.build(args.labels)
    out, folders = Path(args.out), [*writer.folders]
    out_dirs = {x: out / x if len(folders) > 1 else out for x in folders}
    written = write_pseudo_labels(writer, inferencer.model, dataset, out_dirs,
                                  args.batch_size)
    kept = len(dataset) - written
    print(f'labels of {written} images written to {out}' +
          (f', {kept} were there' if kept else ''))


if __name__ == '__main__':
    main()
