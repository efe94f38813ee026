# Copyright (c) mmbombo contributors.
"""Parameters and multiply-adds of a network, by part.

    python tools/analysis_tools/get_flops.py CONFIG --shape 320 320

For one image. Counted are convolutions and matrix products, attention
included, by PyTorch's own ``FlopCounterMode``, and one multiply-add is one:
what papers call FLOPs is this number or twice it. Shapes alone are sent
through the network, so that this takes no time and no memory.

MMEngine's ``get_model_complexity_info`` is not used: it really runs the
network, and adds normalization, pooling and enlargement to the count, 0.2 % of
these networks. A head of regions is not counted: it depends on how many an
image has.
"""
import argparse
from typing import List, NamedTuple, Tuple

from mmengine.config import DictAction


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file, or a name of ours')
    parser.add_argument(
        '--shape',
        type=int,
        nargs='+',
        default=[320, 320],
        metavar='PIXELS',
        help='height and width of an image, or one side of a square '
        '(default: 320 320)')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        help='override settings of the config, key=value')
    args = parser.parse_args()
    args.shape = (args.shape[0], args.shape[-1])
    return args


if __name__ == '__main__':  # --help waits for no library
    parse_args()

import torch
from mmengine.registry import init_default_scope
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from mmbombo.registry import MODELS
from mmbombo.utils import user_errors
from mmbombo.utils.config_names import load_config


class Part(NamedTuple):
    """One row of the table."""
    name: str  # such as 'backbone' or 'task_heads.det'
    parameters: int  # number of parameters, frozen ones included
    multiply_adds: int  # for one image


def complexity(model: nn.Module, shape: Tuple[int, int]) -> List[Part]:
    """Count parameters and multiply-adds of backbone, neck and heads.

    The model is left in evaluation mode on PyTorch's meta device, without its
    weights.
    """
    model = model.eval().to('meta')
    x = torch.empty(1, 3, *shape, device='meta')
    modules = dict(backbone=model.backbone)
    if getattr(model, 'neck', None) is not None:
        modules['neck'] = model.neck
    parts = []
    for name, module in modules.items():
        x, part = count(name, module, x)
        parts.append(part)
    if hasattr(model, 'task_heads'):
        heads = {f'task_heads.{k}': v for k, v in model.task_heads.items()}
    else:  # of a segmentor of MMSegmentation
        heads = dict(decode_head=model.decode_head)
    return parts + [count(name, head, x)[1] for name, head in heads.items()]


@torch.no_grad()
def count(name: str, module: nn.Module, inputs) -> Tuple[object, Part]:
    """Run one part and count."""
    with FlopCounterMode(display=False) as counter:
        outputs = module(inputs)
    parameters = sum(p.numel() for p in module.parameters())
    return outputs, Part(name, parameters, counter.get_total_flops() // 2)


def table(parts: List[Part]) -> str:
    """The counts as text, with shares and a sum."""
    total = Part('sum', *(sum(column) for column in list(zip(*parts))[1:]))
    lines = [
        f'{"part":<16}{"parameters":>14}{"multiply-adds":>16}{"share":>8}'
    ]
    for name, parameters, multiply_adds in (*parts, total):
        lines.append(f'{name:<16}{parameters / 1e6:>12.2f} M'
                     f'{multiply_adds / 1e9:>14.2f} G'
                     f'{multiply_adds / total.multiply_adds:>8.1%}')
    return '\n'.join(lines)


@user_errors()
def main() -> None:
    args = parse_args()
    cfg = load_config(args.config, args.cfg_options)
    init_default_scope(cfg.get('default_scope', 'mmbombo'))
    parts = complexity(MODELS.build(cfg.model), args.shape)
    print(f'{args.config}, one image of {args.shape[0]} x {args.shape[1]}')
    print(table(parts))


if __name__ == '__main__':
    main()
