# Copyright (c) mmbombo contributors.
import logging
from contextlib import contextmanager
from typing import Iterator, List, Optional, Tuple

import torch
from mmdet.structures import DetDataSample
from mmengine.logging import print_log
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten


@contextmanager
def evaluation_mode(network: nn.Module) -> Iterator[None]:
    """Evaluation mode for a while; then each module's own mode again.

    ``network.train()`` would wake parts that are kept in evaluation mode.
    """
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


#: Side of the probe image in pixels.
PROBE_SIZE = 128


def probe_sample() -> DetDataSample:
    """The sample of the probe image, which has no annotation."""
    side = (PROBE_SIZE, PROBE_SIZE)
    return DetDataSample(
        metainfo=dict(
            annotation_kinds=(),
            img_shape=side,
            ori_shape=side,
            pad_shape=side,
            batch_input_shape=side,
            scale_factor=(1., 1.)))


def run_probe(model: nn.Module) -> Tuple[Tensor, ...]:
    """Feature maps ``(1, C, H_l, W_l)`` of one image of zeros.

    They have the graph that they were computed by. The model is in evaluation
    mode meanwhile, so normalization statistics stay as they are.
    """
    image = next(model.parameters()).new_zeros(1, 3, PROBE_SIZE, PROBE_SIZE)
    with evaluation_mode(model), torch.enable_grad():
        return model.extract_feat(image)


def probe_features(model: nn.Module) -> Optional[Tuple[Tensor, ...]]:
    """What :func:`run_probe` gives; None if the model refuses the image."""
    try:
        return run_probe(model)
    except Exception as error:  # a backbone may refuse the image in any way
        print_log(
            'Could not compare strides of heads with those of feature maps, '
            'nor look for parameters that no output reaches (an operator may '
            f'need a GPU or a fixed image size): {error}',
            logger='current',
            level=logging.WARNING)
        return None


def freeze_unreached_parameters(model: nn.Module,
                                feats: Tuple[Tensor, ...]) -> List[str]:
    """Freeze the parameters that no output of the model depends on; their
    names. ``feats`` is what :func:`probe_features` gives for it.

    An example is MobileNetV2's last convolution when no head taps it. Such a
    parameter never gets a gradient, and distributed training then stops with
    "Expected to have finished reduction"; ``find_unused_parameters`` would
    hide it at the price of a graph walk in every step.

    The heads run in evaluation mode, so normalization statistics stay as they
    are. The task heads themselves, not their parts, are told that it is
    training, in which they run auxiliary heads too.
    """
    try:
        with evaluation_mode(model), torch.enable_grad():
            heads = [head for _, head in model.trained_heads()]
            for head in heads:
                head.training = True
            outputs = [head(feats, [probe_sample()]) for head in heads]
            total = sum(x.float().sum() for x in tree_flatten(outputs)[0]
                        if torch.is_tensor(x) and x.is_floating_point())
        named = [
            (name, parameter) for name, parameter in model.named_parameters()
            if parameter.requires_grad
            # they belong to losses, which no output can show
            and not name.startswith('weak_losses.') and '.local_modules.'
            not in name
        ]
        grads = torch.autograd.grad(
            total, [parameter for _, parameter in named], allow_unused=True)
    except Exception as error:  # a head may refuse the image in any way
        print_log(
            'Could not look for parameters that no output reaches (an '
            f'operator may need a GPU or a fixed image size): {error}',
            logger='current',
            level=logging.WARNING)
        return []

    frozen = []
    for (name, parameter), grad in zip(named, grads):
        if grad is None:
            parameter.requires_grad_(False)
            frozen.append(name)
    if frozen:
        print_log(
            'Frozen, because no output depends on them: ' + ', '.join(frozen),
            logger='current')
    return frozen
