# Copyright (c) mmbombo contributors.
"""Our networks, and floors."""
from typing import Dict, Sequence, Tuple

import torch
from get_flops import complexity
from mmengine.config import ConfigDict
from mmengine.logging import MMLogger
from torch import Tensor, nn

from mmbombo.models.weak_losses import BaseWeakLoss
from mmbombo.registry import MODELS
from mmbombo.structures import BBOX, SEM_SEG
from .batches import raw_inputs
from .stock import NUM_CLASSES, network_cfg

#: Forward, gradient of the inputs, gradient of the weights.
PASSES_OF_TRAINING = 3
#: Cells and classes of an image that pass a detection score, on average.
CANDIDATES = 100


def bombo_losses(predictor: str, stride: int = 1) -> Sequence[dict]:
    """Configs of both weak losses."""
    return (dict(type='BoxForMaskLoss', stride=stride),
            dict(type='MaskForBoxLoss', predictor=predictor))


def build_ours(name: str,
               weak_losses: Sequence[dict] = (),
               num_classes: int = NUM_CLASSES) -> nn.Module:
    """A :class:`MultiTaskDetector` with random weights, the same each time."""
    # initialization says a line for every weight
    MMLogger.get_instance('benchmark', log_level='ERROR')
    classes = [f'class {i}' for i in range(num_classes)]
    cfg = network_cfg(name, num_classes)
    cfg.class_map = dict(
        det_classes=classes, seg_classes=['background', *classes])
    cfg.weak_losses = list(weak_losses)
    torch.manual_seed(0)
    model = MODELS.build(ConfigDict(_scope_='mmbombo', **cfg))
    model.init_weights()
    return model


def weights_of(ours: nn.Module) -> Dict[str, dict]:
    """States of the parts that the libraries' networks have, on the CPU."""
    heads = ours.task_heads
    parts = dict(
        backbone=ours.backbone,
        neck=ours.neck,
        det=heads.det.head,
        seg=heads.seg.head)
    return {
        name: {
            key: value.cpu()
            for key, value in part.state_dict().items()
        }
        for name, part in parts.items()
    }


class HeadOnAllImages(BaseWeakLoss):
    """Naive-all: a head runs on the images too that it learns nothing from.

    The gradient passes through what the head has done on them, as zeros.
    """

    def __init__(self, task: str, source_kind: str) -> None:
        super().__init__()
        self.name = f'all_{task}'
        self.task, self.source_kind = task, source_kind

    def loss(self, ctx, images) -> dict:
        """No loss; the images are planned, which makes the head run."""
        return {}


def build_naive_all(name: str, num_classes: int = NUM_CLASSES) -> nn.Module:
    """Naive partial training with both heads on all images."""
    model = build_ours(name, num_classes=num_classes)
    model.weak_losses.append(HeadOnAllImages('det', SEM_SEG))
    model.weak_losses.append(HeadOnAllImages('seg', BBOX))
    return model


@torch.no_grad()
def make_predict(model: nn.Module, batch: dict, score: float) -> None:
    """Let an untrained network predict about as many boxes as a trained one.

    The biases of its classification are moved, so that decoding and NMS have
    :data:`CANDIDATES` per image to work on.

    Args:
        model (nn.Module): Ours, in the mode that it will be measured in.
        batch (dict): Images.
        score (float): What these candidates pass.
    """
    head = model.task_heads.det
    maps = head(model.extract_feat(raw_inputs(model, batch)))[0]
    logits = torch.cat([scores.flatten() for scores in maps])
    count = min(CANDIDATES * len(maps[0]), len(logits))
    passing = logits.topk(count).values[-1]
    shift = torch.logit(passing.new_tensor(score)) - passing
    for module in head.modules():
        if isinstance(module,
                      nn.Conv2d) and module.out_channels == maps[0].shape[1]:
            module.bias += shift


def multiply_adds(name: str, size: Tuple[int, int]) -> Dict[str, int]:
    """Multiply-adds of one image: trunk (backbone and neck), det and seg."""
    parts = {
        part.name: part.multiply_adds
        for part in complexity(build_ours(name), size)
    }
    return dict(
        trunk=parts['backbone'] + parts['neck'],
        det=parts['task_heads.det'],
        seg=parts['task_heads.seg'])


def floor_of_inference(name: str, size: Tuple[int, int]) -> float:
    """Both tasks from one network, against one network for each."""
    cost = multiply_adds(name, size)
    heads = cost['det'] + cost['seg']
    return (cost['trunk'] + heads) / (2 * cost['trunk'] + heads)


def floor_of_bombo(name: str,
                   size: Tuple[int, int],
                   ema: bool = False) -> float:
    """A BoMBo step against a naive-own step, as many images of either kind.

    With an EMA predictor a further forward pass gives boxes on the images
    with masks; the averaging itself is not counted.
    """
    cost = multiply_adds(name, size)
    heads = cost['det'] + cost['seg']
    bombo = PASSES_OF_TRAINING * (cost['trunk'] + heads)
    if ema:
        bombo += (cost['trunk'] + cost['det']) / 2
    return bombo / (PASSES_OF_TRAINING * (cost['trunk'] + heads / 2))


def tensors_in(values) -> Sequence[Tensor]:
    """All tensors in nested containers."""
    if isinstance(values, Tensor):
        return [values]
    if isinstance(values, dict):
        values = values.values()
    elif not isinstance(values, (list, tuple)):
        return []
    return [tensor for value in values for tensor in tensors_in(value)]
