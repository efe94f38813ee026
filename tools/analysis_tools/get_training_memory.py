# Copyright (c) mmbombo contributors.
"""Memory that training a config takes, computed and not measured.

    python tools/analysis_tools/get_training_memory.py CONFIG --shape 320

Shapes alone are sent through the network, in training mode. What autograd
keeps for the backward pass is added up, every storage once, and so are what
the parameters need: weights, gradients, what the optimizer keeps, and a copy
of the weights for a moving average. All in float32.

Both heads are counted on all images, as in BoMBo and in an oracle. The losses'
own tensors, the workspaces of cuDNN and what the allocator loses come on top.
"""
from typing import Dict, List, Tuple

from mmengine.config import Config
from network_args import parse_args

DESCRIPTION = 'Memory that training a config takes, computed'

if __name__ == '__main__':  # --help waits for no library
    parse_args(DESCRIPTION)

import torch
from get_flops import build_model
from torch import Tensor, nn

from mmbombo.utils import user_errors
from mmbombo.utils.config_names import load_config

#: Numbers per parameter that an optimizer keeps.
OPTIMIZER_STATE = dict(SGD=1, AdamW=2)


def activation_bytes(model: nn.Module, shape: Tuple[int, int]) -> int:
    """What autograd keeps of one image, parameters and buffers aside.

    Args:
        model (nn.Module): A :class:`MultiTaskDetector`. It is left in
            training mode on PyTorch's meta device, without its weights.
        shape (tuple[int, int]): Height and width of the image in pixels.

    Returns:
        int: Bytes, the mean over a batch of two images.
    """
    model = model.train().to('meta')
    own = {
        x.untyped_storage()._cdata
        for x in (*model.parameters(), *model.buffers())
    }
    kept: Dict[int, torch.UntypedStorage] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in own:
            kept[storage._cdata] = storage
        return tensor

    images = torch.empty(2, 3, *shape, device='meta')
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        outputs = model._forward(images)
    total = sum(storage.nbytes() for storage in kept.values())
    del outputs  # until here the graph held what was counted
    return total // len(images)


def parameter_bytes(model: nn.Module, cfg: Config) -> int:
    """Weights, gradients, optimizer and moving average of a config."""
    weights = sum(p.numel() for p in model.parameters())
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    averaged = any('EMAHook' in hook.type
                   for hook in cfg.get('custom_hooks', ()))
    state = OPTIMIZER_STATE[cfg.optim_wrapper.optimizer.type]
    return 4 * ((1 + averaged) * weights + (1 + state) * trained)


def images_of_step(
        cfg: Config,
        shape: Tuple[int, int]) -> List[Tuple[Tuple[int, int], int]]:
    """Sizes of the images of a step, and how many have each, at most.

    With :class:`DetBatchResize` half of them may have its largest size, and
    all of them if the network only detects.
    """
    count = cfg.train_dataloader.batch_size
    resize = cfg.model.get('batch_resize')
    if resize is None:
        return [(shape, count)]
    largest = max(resize.sizes)
    resized = count if list(cfg.model.task_heads) == ['det'] else count // 2
    groups = [((largest, largest), resized), (shape, count - resized)]
    return [group for group in groups if group[1]]


@user_errors()
def main() -> None:
    args = parse_args(DESCRIPTION)
    cfg = load_config(args.config)
    cfg.merge_from_dict(args.cfg_options or {})
    model = build_model(cfg)
    total = parameter_bytes(model, cfg)
    print(f'parameters, gradients, optimizer, average {total / 2**20:10.0f} '
          'MiB')
    for shape, count in images_of_step(cfg, args.shape):
        one = activation_bytes(model, shape)
        total += count * one
        print(f'{count:2} images of {shape[0]} x {shape[1]}, '
              f'{one / 2**20:6.0f} MiB each {count * one / 2**20:16.0f} MiB')
    print(f'sum {total / 2**30:.1f} GiB')


if __name__ == '__main__':
    main()
