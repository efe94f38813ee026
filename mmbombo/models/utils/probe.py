# Copyright (c) mmbombo contributors.
import logging
from typing import Optional, Tuple

import torch
from mmdet.structures import DetDataSample
from mmengine.logging import print_log
from torch import Tensor, nn

from .evaluation_mode import evaluation_mode

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
    """Feature maps of one image of zeros.

    It goes through the model in evaluation mode, so normalization statistics
    stay as they are.

    Args:
        model (nn.Module): A model with ``extract_feat``.

    Returns:
        tuple[Tensor]: Maps ``(1, C, H_l, W_l)``, with the graph that they
        were computed by.
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
