# Copyright (c) mmbombo contributors.
"""Rebuild the batch of a training step, and name its images.

    python tools/misc/replay_batch.py CONFIG --iter N [--checkpoint FILE]

Images and augmentation follow from the seed of the run and the number of the
step, as the log counts it: nothing is trained. With a checkpoint, the losses
on the batch are shown. Batches of the later stages of a StagedTrainLoop come
with the labels of the first.
"""
import argparse
import tempfile
from itertools import islice

from mmengine.config import Config, DictAction


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file, or a name of ours')
    parser.add_argument(
        '--iter', type=int, required=True, help='step, from 1 on')
    parser.add_argument('--checkpoint', help='show the losses of its network')
    parser.add_argument(
        '--rank', type=int, default=0, help='process (default: 0)')
    parser.add_argument(
        '--world-size', type=int, default=1, help='processes (default: 1)')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        help='override settings of the config, key=value')
    args = parser.parse_args()
    if args.iter < 1:
        parser.error('--iter counts from 1')
    return args


if __name__ == '__main__':  # --help waits for no library
    parse_args()

import torch
from mmengine.runner import CheckpointLoader, Runner
from torch.utils.data import DataLoader

from mmbombo.engine.hooks import StepSeedHook
from mmbombo.engine.runner import QuietRunner
from mmbombo.utils import use_checked_loader, user_errors
from mmbombo.utils.checkpoint import load_weights
from mmbombo.utils.config_names import load_config


def build_runner(cfg: Config, work_dir: str) -> Runner:
    """Build what the training builds before its first step, in its order: a
    sampler without a seed draws one."""
    cfg.update(
        work_dir=work_dir, resume=False, load_from=None, log_level='WARNING')
    cfg.setdefault('default_scope', 'mmbombo')
    cfg.train_dataloader.update(num_workers=0, persistent_workers=False)
    cfg.train_dataloader.pop('prefetch_factor', None)
    return QuietRunner.from_cfg(cfg)


def batch_of(loader: DataLoader, args: argparse.Namespace) -> dict:
    """The batch of a step, of one of several processes."""
    sampler, step = loader.sampler, args.iter - 1
    sampler.rank, sampler.world_size = args.rank, args.world_size
    if hasattr(sampler, 'skip'):
        sampler.skip(step * loader.batch_size)
        step = 0
    indices = next(islice(loader.batch_sampler, step, None))
    return loader.collate_fn([loader.dataset[i] for i in indices])


def show_losses(runner: Runner, batch: dict, args: argparse.Namespace) -> None:
    """Print the losses of a batch, as in a training at this step."""
    model = runner.model.train()
    checkpoint = CheckpointLoader.load_checkpoint(args.checkpoint, 'cpu')
    load_weights(model, checkpoint, f'{args.checkpoint}: ')
    runner.train_loop._iter = args.iter - 1
    runner.message_hub.update_info_dict(
        dict(iter=args.iter - 1, max_iters=runner.max_iters))
    StepSeedHook().before_train_iter(runner, 0)
    with torch.no_grad():
        data = model.data_preprocessor(batch, True)
        losses = model(**data, mode='loss')
    for key, value in model.parse_losses(losses)[1].items():
        print(f'{key}: {float(value):g}')


@user_errors()
def main() -> None:
    args = parse_args()
    use_checked_loader()
    cfg = load_config(args.config, args.cfg_options)
    with tempfile.TemporaryDirectory() as folder:
        runner = build_runner(cfg, folder)
        batch = batch_of(runner.train_dataloader, args)
        for image, sample in zip(batch['inputs'], batch['data_samples']):
            print(f'{sample.get("source", "")}: {sample.img_path} '
                  f'{[*image.shape[1:]]}, {image.min():g} to {image.max():g}')
        if args.checkpoint:
            show_losses(runner, batch, args)


if __name__ == '__main__':
    main()
