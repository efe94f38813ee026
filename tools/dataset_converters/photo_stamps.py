# Copyright (c) mmbombo contributors.
"""Build PhotoStamps: photographs of objects pasted on photographs.

``--data photos`` pastes cut-outs of Debian's ``tuxpaint-stamps-default`` on
photographs of Debian's ``gcompris-qt-data``; both are downloaded, no root
is needed. ``--data shapes`` draws textured shapes and downloads nothing.
The result has the layout of PASCAL VOC, with boxes and masks for every
image::

    python tools/dataset_converters/photo_stamps.py --data photos

The images of ``det_train.txt``, of ``seg_train.txt`` and of ``val.txt``
have no cut-out and no background in common.
"""
import argparse
import sys
from pathlib import Path
from typing import Optional, Tuple

from jobs_option import add_jobs_option
from photo_stamps_parts.classes import PHOTO_CLASSES, SHAPE_CLASSES
from photo_stamps_parts.items import PhotoStampsError
from photo_stamps_parts.manifest import read_manifest
from photo_stamps_parts.photos import gather_photos
from photo_stamps_parts.shapes import draw_material
from photo_stamps_parts.tree import Options, make_tree

#: Where the configs look for what ``--data`` makes.
DEFAULT_OUT = dict(photos='data/photo_stamps', shapes='data/shapes')

__all__ = [
    'PHOTO_CLASSES', 'SHAPE_CLASSES', 'PhotoStampsError', 'build_photos',
    'build_shapes', 'main'
]


def build_shapes(out,
                 num_train: int = 1600,
                 num_val: int = 400,
                 seed: int = 0,
                 short_side: Tuple[int, int] = (200, 320),
                 jobs: int = 1) -> bool:
    """Draw the procedural data set.

    Args:
        out: Folder to write to.
        num_train: Training images; the first half is for boxes.
        num_val: Validation images.
        seed: Seed of everything.
        short_side: Smallest and largest shorter side of an image, pixels.
        jobs: Processes to draw with.

    Returns:
        Whether anything was drawn (False: it was there already).

    Raises:
        PhotoStampsError: If an option is bad or ``out`` is taken.
    """
    options = Options('shapes', num_train, num_val, seed, tuple(short_side))
    return make_tree(
        Path(out), options, lambda: draw_material(seed, short_side[1]), jobs)


def build_photos(out,
                 num_train: int = 1600,
                 num_val: int = 400,
                 seed: int = 0,
                 short_side: Tuple[int, int] = (200, 320),
                 jobs: int = 1,
                 stamps_dir: Optional[str] = None,
                 backgrounds_dir: Optional[str] = None,
                 download_dir: Optional[str] = None) -> bool:
    """Build the data set of photographs.

    Args:
        out, num_train, num_val, seed, short_side, jobs: As for
            :func:`build_shapes`.
        stamps_dir: Own cut-outs: one folder of RGBA images per class, or
            the ``stamps`` folder of a Tux Paint installation.
        backgrounds_dir: Own backgrounds: a folder of photographs.
        download_dir: Where Debian's packages are unpacked and kept
            (default: a folder beside ``out``).

    Returns:
        Whether anything was drawn.

    Raises:
        PhotoStampsError: If an option is bad, a package cannot be fetched
            or there are too few pictures.
    """
    out = Path(out)
    options = Options('photos', num_train, num_val, seed, tuple(short_side),
                      _absolute(stamps_dir), _absolute(backgrounds_dir))
    downloads = Path(download_dir or out.with_name(f'{out.name}_sources'))
    return make_tree(
        out, options, lambda: gather_photos(options.stamps_dir, options.
                                            backgrounds_dir, downloads), jobs)


def parse_args(args=None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Build the PhotoStamps data set (VOC layout).')
    parser.add_argument(
        '--data',
        choices=('photos', 'shapes'),
        default='photos',
        help='photographs, which are downloaded, or drawn shapes (default: '
        '%(default)s)')
    parser.add_argument(
        '--out',
        help='folder (default: data/photo_stamps for photos, data/shapes for '
        'shapes)')
    parser.add_argument(
        '--num-train',
        type=int,
        default=1600,
        help='training images, half for boxes, half for masks (default: '
        '%(default)s)')
    parser.add_argument(
        '--num-val',
        type=int,
        default=400,
        help='validation images (default: %(default)s)')
    parser.add_argument(
        '--seed', type=int, default=0, help='default: %(default)s')
    parser.add_argument(
        '--short-side',
        type=int,
        nargs=2,
        default=(200, 320),
        metavar=('MIN', 'MAX'),
        help='range of the shorter side of the images, in pixels (default: '
        '200 320)')
    add_jobs_option(parser)
    parser.add_argument(
        '--stamps-dir',
        help='own cut-outs instead of the Debian package: one folder of RGBA '
        "images per class, or Tux Paint's stamps folder")
    parser.add_argument(
        '--backgrounds-dir',
        help='own photographs instead of the Debian package')
    parser.add_argument(
        '--download-dir',
        help='where packages are unpacked and kept (default: <out>_sources)')
    args = parser.parse_args(args)
    args.out = args.out or DEFAULT_OUT[args.data]
    return args


def main(args=None) -> int:
    """Run the command; returns its exit status."""
    args = parse_args(args)
    common = (args.out, args.num_train, args.num_val, args.seed,
              args.short_side, args.jobs)
    try:
        if args.data == 'shapes':
            drawn = build_shapes(*common)
        else:
            drawn = build_photos(*common, args.stamps_dir,
                                 args.backgrounds_dir, args.download_dir)
    except PhotoStampsError as error:
        print(f'photo_stamps: error: {error}', file=sys.stderr)
        return 1
    _report(Path(args.out), drawn)
    return 0


def _report(out: Path, drawn: bool) -> None:
    manifest = read_manifest(out)
    print(f'{out}: {"drawn" if drawn else "is there already"}, classes '
          f'{", ".join(manifest["classes"])}')
    for part, numbers in manifest['statistics'].items():
        print(f'  {part}: {numbers["images"]} images, '
              f'{numbers["objects"]} objects, {numbers["touching"]} images '
              'with touching objects of one class')


def _absolute(folder: Optional[str]) -> Optional[str]:
    return None if folder is None else str(Path(folder).resolve())


if __name__ == '__main__':
    sys.exit(main())
