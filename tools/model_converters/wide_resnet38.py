# Copyright (c) mmbombo contributors.
r"""Make an ``init_cfg`` checkpoint of ImageNet weights for WideResNet38.

    python tools/model_converters/wide_resnet38.py \
        ilsvrc-cls_rna-a1_cls1000_ep-0001.params

The file is model A1 of https://github.com/itijyou/ademxapp (MD5
``ff21f45d6bf03284100dcbec571edfad``), for RGB images that are normalized by
ImageNet's mean and standard deviation. It is read without MXNet, and its
tensors get the names that they have in PSA's checkpoints. Those, such as
``res38_cls.pth``, need no conversion.

The names are those of PSA's code and of ademxapp's. A file that MXNet 1.9.1
wrote of a network of these layers and names gives the features that MXNet
computes; the published file itself was not at hand when this was written.
"""
import argparse
import re
from pathlib import Path
from typing import Callable, Dict

DEFAULT_OUT = Path('checkpoints') / 'wide_resnet38_imagenet.pth'


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('params', type=Path, help='file of MXNet')
    parser.add_argument(
        '--out',
        type=Path,
        default=DEFAULT_OUT,
        help='checkpoint to write (default: %(default)s)')
    return parser.parse_args()


if __name__ == '__main__':  # --help waits for no library
    parse_args()

import numpy as np
import torch
from mobilenet_v2 import write_weights
from torch import Tensor, nn

from mmbombo.registry import MODELS
from mmbombo.utils import UserError, user_errors

#: What lists and arrays begin with. Arrays of before MXNet 1.0 begin with
#: their number of dimensions.
LIST_MAGIC, V1_MAGIC, V2_MAGIC = 0x112, 0xF993FAC8, 0xF993FAC9
NAME = re.compile(r'(?:arg:|aux:)?(?:(conv1a|bn7)|(res|bn)(\d)(?:a|b(\d+))_'
                  r'(branch\w+?))_(weight|gamma|beta|moving_mean|moving_var)')
LAYERS = dict(res='conv', bn='bn')
TENSORS = dict(
    weight='weight',
    gamma='weight',
    beta='bias',
    moving_mean='running_mean',
    moving_var='running_var')


def read_params(path: Path) -> Dict[str, np.ndarray]:
    """Read named arrays of float32 from a file of MXNet."""
    data, place = path.read_bytes(), 0

    def take(dtype: str, count: int = 1) -> np.ndarray:
        nonlocal place
        found = np.frombuffer(data, dtype, count, place)
        place += found.nbytes
        return found

    try:
        magic, _, count = take('<u8', 3)
        if magic != LIST_MAGIC:
            raise ValueError('it does not begin as one')
        arrays = [read_array(take) for _ in range(count)]
        names = [
            take('u1', int(take('<u8')[0])).tobytes().decode()
            for _ in range(int(take('<u8')[0]))
        ]
    except ValueError as error:
        raise UserError(
            f"{path} is no file of MXNet's arrays: {error}") from error
    return dict(zip(names, arrays))


def read_array(take: Callable[..., np.ndarray]) -> np.ndarray:
    """Read the array that is next."""
    dims = int(take('<u4')[0])
    if dims == V2_MAGIC and take('<i4')[0] != 0:
        raise ValueError('an array is sparse')
    if dims in (V1_MAGIC, V2_MAGIC):
        shape = take('<i8', int(take('<u4')[0]))
    else:
        shape = take('<u4', dims)
    take('<i4', 2)  # the device that it was on
    if take('<i4')[0] != 0:
        raise ValueError('an array is not float32')
    return take('<f4', int(shape.prod())).reshape(shape)


def rename(name: str) -> str:
    """PSA's name of a tensor, '' for those of the last layer.

    For example 'arg:res4b2_branch2b1_weight' is
    'b4_2.conv_branch2b1.weight'.
    """
    match = NAME.fullmatch(name)
    if match is None:
        return ''
    whole, kind, stage, block, branch, tensor = match.groups()
    if whole is None:
        block = f'_{block}' if block else ''
        whole = f'b{stage}{block}.{LAYERS[kind]}_{branch}'
    return f'{whole}.{TENSORS[tensor]}'


def convert(arrays: Dict[str, np.ndarray],
            backbone: nn.Module) -> Dict[str, Tensor]:
    """State dict of the backbone, filled; both must match one to one."""
    weights = {
        rename(name): torch.from_numpy(array.copy())
        for name, array in arrays.items()
    }
    weights.pop('', None)
    try:
        backbone.load_state_dict(weights)
    except RuntimeError as error:
        raise UserError(
            f'These are not the weights of model A1: {error}') from error
    return backbone.state_dict()


@user_errors()
def main() -> None:
    args = parse_args()
    if not args.params.is_file():
        raise UserError(f'there is no file {args.params}')
    state_dict = convert(
        read_params(args.params), MODELS.build(dict(type='WideResNet38')))
    write_weights(
        state_dict,
        args.out,
        architecture='WideResNet38',
        source=args.params.name)


if __name__ == '__main__':
    main()
