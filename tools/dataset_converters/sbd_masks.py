# Copyright (c) mmbombo contributors.
r"""Merge the masks of SBD and of Pascal VOC 2012 into one folder.

    python tools/dataset_converters/sbd_masks.py benchmark_RELEASE/dataset \
        data/VOCdevkit/VOC2012

The Semantic Boundaries Dataset (SBD, Hariharan et al., ICCV 2011) has masks of
11,355 images of VOC, most of which have none in VOC itself. They are read from
``cls/*.mat`` and written as palette PNG files to
``VOC2012/SegmentationClassAug``; where VOC has a mask (``SegmentationClass``),
that one is copied instead, because it is the more precise one. What is there
already is not made again, so that an interrupted run continues. Damaged files
are named at the end and leave no mask behind.

Needs scipy (``requirements/optional.txt``).
"""
import argparse
import multiprocessing
import sys
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Callable, List, Optional, Sequence, Tuple

import numpy as np
from jobs_option import add_jobs_option
from mmengine.utils import ProgressBar
from PIL import Image

from mmbombo.datasets.voc_metainfo import VOC_CLASSES, voc_palette
from mmbombo.utils.atomic_write import atomic_file, atomic_write

OUT = 'SegmentationClassAug'


class DamagedFile(Exception):
    """A file that is not what its name says."""


def read_sbd_mask(path: Path) -> np.ndarray:
    """Read the class mask of a file of SBD's ``cls`` folder.

    It is a MATLAB 5 file, which holds arrays and no code, with a structure
    ``GTcls`` whose field ``Segmentation`` has the class of each pixel.

    Args:
        path (Path): The ``.mat`` file.

    Returns:
        np.ndarray: (H, W) uint8, 0 is background, 1 to 20 are VOC's classes.

    Raises:
        DamagedFile: If the file cannot be read or holds something else.
    """
    from scipy.io import loadmat
    try:
        content = loadmat(path, variable_names=['GTcls'])
    except Exception as error:
        # scipy's reader raises many types on a broken file.
        raise DamagedFile(f'truncated or no MATLAB 5 file '
                          f'({type(error).__name__}: {error})') from error
    struct = content.get('GTcls')
    names = getattr(getattr(struct, 'dtype', None), 'names', None) or ()
    if 'Segmentation' not in names or struct.size != 1:
        raise DamagedFile('no structure GTcls with a field Segmentation')
    mask = struct['Segmentation'].item()
    if not isinstance(mask, np.ndarray) or mask.ndim != 2 or not mask.size:
        raise DamagedFile('GTcls.Segmentation is not a two-dimensional array')
    if mask.dtype.kind not in 'ui' or not (
            0 <= mask.min() and mask.max() <= len(VOC_CLASSES)):
        raise DamagedFile('GTcls.Segmentation holds something else than '
                          f'classes 0 to {len(VOC_CLASSES)}')
    return mask.astype(np.uint8)


def convert_sbd(path: Path, out: Path, images: Path) -> None:
    """Write the mask of one ``.mat`` file as a PNG.

    Raises:
        DamagedFile: If the file is damaged, or its image is missing or has
            another size.
    """
    if out.is_file():
        return
    mask = read_sbd_mask(path)
    image_path = images / f'{path.stem}.jpg'
    if not image_path.is_file():
        raise DamagedFile(f'its image {image_path} is missing')
    with Image.open(image_path) as image:
        size = image.size
    if size != mask.shape[::-1]:
        raise DamagedFile(f'the mask is {mask.shape[1]}x{mask.shape[0]} but '
                          f'its image {image_path} is {size[0]}x{size[1]}')
    picture = Image.fromarray(mask)
    picture.putpalette([value for rgb in voc_palette(256) for value in rgb])
    with atomic_file(out) as unfinished:
        picture.save(unfinished, format='PNG')


def copy_official(path: Path, out: Path) -> None:
    """Copy a mask of VOC, over whatever is there.

    Raises:
        DamagedFile: If it is no whole palette image.
    """
    content = path.read_bytes()
    if out.is_file() and out.read_bytes() == content:
        return
    try:
        with Image.open(BytesIO(content)) as mask:
            mask.load()
            mode = mask.mode
    except (OSError, SyntaxError, ValueError) as error:
        raise DamagedFile(f'truncated or not an image ({error})') from error
    if mode != 'P':
        raise DamagedFile(f'{mode} pixels, where a palette image is due')
    atomic_write(out, content)


def list_jobs(sbd: Path, voc: Path) -> List[Tuple[Path, Callable]]:
    """What to read, and the function that makes the mask of it.

    Args:
        sbd (Path): Folder of SBD with ``cls`` in it.
        voc (Path): Folder of VOC2012.

    Returns:
        list[tuple]: SBD's files that VOC has no mask of, and VOC's masks.
    """
    official = sorted((voc / 'SegmentationClass').glob('*.png'))
    known = {path.stem for path in official}
    jobs = [(path,
             partial(
                 convert_sbd,
                 out=voc / OUT / f'{path.stem}.png',
                 images=voc / 'JPEGImages'))
            for path in sorted((sbd / 'cls').glob('*.mat'))
            if path.stem not in known]
    jobs += [(path, partial(copy_official, out=voc / OUT / path.name))
             for path in official]
    return jobs


def run_job(job: Tuple[Path, Callable]) -> Optional[str]:
    """Make one mask; what is wrong with the file, if anything."""
    path, function = job
    try:
        function(path)
    except DamagedFile as error:
        return f'{path}: {error}'
    return None


def require_folders(sbd: Path, voc: Path) -> None:
    """Stop, with what to do, if a folder is not what it should be."""
    if not any((sbd / 'cls').glob('*.mat')):
        sys.exit(f'{sbd / "cls"} holds no .mat file: give the folder '
                 '`dataset` of SBD\'s benchmark_RELEASE (benchmark.tgz)')
    for folder in ('JPEGImages', 'SegmentationClass'):
        if not (voc / folder).is_dir():
            sys.exit(f'{voc / folder} does not exist: give the folder VOC2012 '
                     'of VOCtrainval_11-May-2012.tar')
    try:
        import scipy.io  # noqa: F401
    except ImportError:
        sys.exit('SBD\'s files are read with scipy: pip install scipy')


def parse_args(args: Optional[Sequence[str]]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        'sbd', type=Path, help='folder `dataset` of benchmark_RELEASE')
    parser.add_argument('voc', type=Path, help='folder of VOC2012')
    add_jobs_option(parser)
    return parser.parse_args(args)


def main(args: Optional[Sequence[str]] = None) -> int:
    """Run the command; returns its exit status."""
    args = parse_args(args)
    require_folders(args.sbd, args.voc)
    (args.voc / OUT).mkdir(exist_ok=True)
    jobs = list_jobs(args.sbd, args.voc)
    bar = ProgressBar(len(jobs))
    damaged = []
    with multiprocessing.get_context('fork').Pool(args.jobs) as pool:
        for problem in pool.imap_unordered(run_job, jobs, chunksize=16):
            bar.update()
            if problem is not None:
                damaged.append(problem)
    made = sum(1 for _ in (args.voc / OUT).glob('*.png'))
    print(f'\n{args.voc / OUT}: {made} masks')
    if damaged:
        print(
            f'{len(damaged)} damaged file(s), without a mask:\n  ' +
            '\n  '.join(sorted(damaged)),
            file=sys.stderr)
    return 1 if damaged else 0


if __name__ == '__main__':
    sys.exit(main())
