# Copyright (c) mmbombo contributors.
import logging
from copy import deepcopy

import torch
from mmcv.cnn import fuse_conv_bn
from mmengine.config import ConfigDict
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import CheckpointLoader
from torch.utils._pytree import tree_flatten

from mmbombo.engine.initializers import stock_checkpoint_as_ours
from mmbombo.models.context import from_stock_model, is_stock_model
from mmbombo.models.detectors import MultiTaskDetector
from mmbombo.registry import HOOKS, MODELS
from mmbombo.structures.class_names import TaskClasses
from mmbombo.utils import MissingFileError, UserError
from mmbombo.utils.checkpoint import load_weights
from mmbombo.utils.checkpoint_classes import (find_class_changes,
                                              require_trained_classes)
from mmbombo.utils.config_names import load_config
from mmbombo.utils.distributed import unwrapped


@HOOKS.register_module()
class TeacherHook(Hook):
    """Gives the weak losses a teacher: another, trained and frozen network.

    The teacher is handed to the detector under a name, by which weak losses
    such as :class:`SoftDetectionLoss` ask it. It is a plain reference, in
    evaluation mode: no part of the model, its checkpoint, its optimizer or
    its distributed copies. It gets the images as the student's preprocessor
    has normalized them.

    What does not fit is an error before the first step: weights that the
    config does not have or lacks, classes, normalization, and, asked of each
    weak loss, tasks and architecture.

    Args:
        name (str): Name under which weak losses find the teacher.
        config (str): Config that the teacher was trained with, its path or
            name: one of ours, of one task or several, a single-stage detector
            of MMDetection or an encoder-decoder of MMSegmentation.
        checkpoint (str): Its checkpoint, a path or URL.
    """

    def __init__(self, name: str, config: str, checkpoint: str) -> None:
        if name in ('self', 'ema', 'none'):
            raise UserError(
                f'TeacherHook: to weak losses the name {name!r} does not mean '
                "a teacher, but the network in training ('self'), its moving "
                "average ('ema') or nobody ('none'); choose another")
        self.name = name
        self.config = config
        self.checkpoint = checkpoint

    def before_train(self, runner) -> None:
        """Build, load and check the teacher, and hand it over."""
        model = unwrapped(runner.model)
        if not isinstance(model, MultiTaskDetector):
            raise UserError(f'{type(model).__name__} takes no teacher; use '
                            'MultiTaskDetector')
        where = f"teacher '{self.name}' ({self.config})"
        teacher = self._load(model.classes)
        check_normalization(model, teacher, where)
        teacher = fold_batch_norm(teacher)
        teacher.to(next(model.parameters()).device)
        for weak_loss in model.weak_losses:
            if weak_loss.predictor == self.name:
                weak_loss.check_teacher(model, teacher)
        model.set_teacher(self.name, teacher)
        runner.logger.info(f'{where}: {sorted(teacher.tasks)} from '
                           f'{self.checkpoint}')

    def _load(self, classes: TaskClasses) -> MultiTaskDetector:
        """The frozen teacher, in evaluation mode, on the CPU."""
        where = f"teacher '{self.name}' ({self.config})"
        cfg = load_config(self.config).model
        stock = is_stock_model(cfg)
        teacher = build_teacher(cfg, classes, where)
        try:
            checkpoint = CheckpointLoader.load_checkpoint(
                self.checkpoint, map_location='cpu')
        except FileNotFoundError as error:
            raise MissingFileError(f'{where}: {error}. ' + (
                'Download it, or train it with the library of its config'
                if stock else
                f'Train it first: python tools/train.py {self.config}')
                                   ) from None
        if stock:
            checkpoint = stock_checkpoint_as_ours(checkpoint, *teacher.tasks)
            if not checkpoint['meta']['dataset_meta']:
                print_log(
                    f'{where}: the checkpoint names no classes; they are '
                    "taken to be the student's, in its order",
                    logger='current',
                    level=logging.WARNING)
        load_weights(
            teacher, checkpoint, f'{where}, {self.checkpoint}: ', exact=True)
        require_trained_classes(find_class_changes(teacher, checkpoint), where)
        return teacher.requires_grad_(False).eval()


def build_teacher(cfg: ConfigDict, classes: TaskClasses,
                  where: str) -> MultiTaskDetector:
    """Build the network of a config, without weights.

    ``classes`` are the student's: a stock network has none.
    """
    if is_stock_model(cfg):
        try:
            return MODELS.build(from_stock_model(cfg, classes))
        except (TypeError, ValueError) as error:
            raise UserError(f'{where}: {error}') from error
    # they teach nobody, and no weights are wanted for what they own
    cfg.pop('weak_losses', None)
    return MODELS.build(cfg)


def check_normalization(model: MultiTaskDetector, teacher: MultiTaskDetector,
                        where: str) -> None:
    """Raise ``UserError`` if the networks were made for other images."""
    ours, theirs = normalization(model), normalization(teacher)
    differences = [
        f'{key} is {theirs[key]}, the student has {ours[key]}' for key in ours
        if ours[key] != theirs[key]
    ]
    if differences:
        raise UserError(
            f'{where} was made for other input, and the images are normalized '
            f'once, for the student: {"; ".join(differences)}')


def normalization(model: MultiTaskDetector) -> dict:
    """What a model's preprocessor does to the pixels."""
    preprocessor = model.data_preprocessor
    facts: dict = dict(
        swaps_red_and_blue=getattr(preprocessor, '_channel_conversion', False))
    for key in ('mean', 'std'):
        value = getattr(preprocessor, key, None)
        facts[key] = None if value is None else [
            round(x, 4) for x in value.flatten().tolist()
        ]
    return facts


@torch.no_grad()
def fold_batch_norm(teacher: MultiTaskDetector) -> MultiTaskDetector:
    """Fold batch normalization into convolutions, which saves time.

    MMCV folds what follows a convolution in the order of definition; a
    network that applies its layers in another order would be changed, so the
    outputs are compared, and such a network stays as it is.
    """
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(1, 3, 128, 128, generator=generator)
    before = tree_flatten(teacher(image, mode='tensor'))[0]
    folded = fuse_conv_bn(deepcopy(teacher)).requires_grad_(False)
    after = tree_flatten(folded(image, mode='tensor'))[0]
    is_same = all((x - y).abs().max() <= 1e-3 * x.abs().max().clamp(min=1.)
                  for x, y in zip(before, after))
    return folded if is_same else teacher
