# Copyright (c) mmbombo contributors.
"""Build PhotoStamps: photographs of objects pasted on photographs.

``--data photos`` pastes cut-outs of Debian's ``tuxpaint-stamps-default`` on
photographs of Debian's ``gcompris-qt-data``; both are downloaded (200 MB), no
root is needed. ``--data shapes`` draws textured shapes and downloads nothing.
The result has the layout of PASCAL VOC, with boxes and masks for every
image::

    python tools/dataset_converters/photo_stamps.py --data photos

With ``--stuff`` there is no background class: objects lie on two to four
irregular regions that show a class of stuff each, such as sky or water. They
are in the masks, and no box shows them.

Beside it lie COCO's panoptic segments (``panoptic/train.json``, ``val.json``
and PNG files) and its instances (``instances/*.json``), whose masks overlap:
they are whole also where others hide them. Without ``--stuff`` the background
is the only class of stuff. Who hides whom is chance; with ``--order`` it is a
rule that can be learned, of the pair of classes (a circle: no class is above
all others) or of the size (the smaller one is on top). Sizes are those of no
class, and two objects of one class still lie at random.

The images of ``det_train.txt``, of ``seg_train.txt`` and of ``val.txt``
have no cut-out and no background in common. ``sha256sum --check
files.sha256`` in the folder tells whether all files, but for COCO's, are as
they were drawn.
"""
import argparse
import os
import sys
from pathlib import Path

from photo_stamps_parts.material import PhotoStampsError
from photo_stamps_parts.order import RULES
from photo_stamps_parts.photos import gather_photos
from photo_stamps_parts.shapes import draw_material
from photo_stamps_parts.tree import make_tree

#: Where the configs look for what ``--data`` makes.
DEFAULT_OUT = dict(photos='data/photo_stamps', shapes='data/shapes')
# Part of the recorded options: a change of the drawing code that changes
# pixels raises it, so that old trees are not taken for up to date.
FORMAT = 1
SMALLEST_SIDE = 48


def parse_args(args=None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        '--data',
        choices=('photos', 'shapes'),
        default='photos',
        help='photographs, or drawn shapes (default: %(default)s)')
    parser.add_argument(
        '--stuff',
        action='store_true',
        help='regions of several classes of stuff instead of a background')
    parser.add_argument(
        '--order',
        choices=('random', *RULES),
        default='random',
        help='who hides whom (default: %(default)s)')
    parser.add_argument(
        '--out',
        help='folder (default: data/photo_stamps for photos, data/shapes for '
        'shapes; --stuff adds _stuff, --order pairs _pairs, and so on)')
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
        default=[200, 320],
        metavar=('MIN', 'MAX'),
        help='range of the shorter side of the images, in pixels (default: '
        '200 320)')
    parser.add_argument(
        '--jobs',
        type=int,
        default=os.cpu_count(),
        help='processes (default: all cores)')
    parser.add_argument(
        '--download-dir',
        type=Path,
        help='where packages are unpacked and kept (default: '
        'data/photo_stamps_sources, or beside --out <out>_sources)')
    args = parser.parse_args(args)
    low, high = args.short_side
    if not SMALLEST_SIDE <= low <= high:
        parser.error(f'--short-side {low} {high}: the smaller one first, at '
                     f'least {SMALLEST_SIDE}')
    if args.num_train < 2 or args.num_val < 1:
        parser.error('--num-train is 2 or more, --num-val 1 or more')
    out = Path(args.out or DEFAULT_OUT[args.data])
    # The packages are the same for all options.
    if args.download_dir is None:
        args.download_dir = out.with_name(f'{out.name}_sources')
    if args.out is None:
        kind = ('_stuff' if args.stuff else '') + (f'_{args.order}' if
                                                   args.order in RULES else '')
        out = out.with_name(out.name + kind)
    args.out = out
    return args


def main(args=None) -> None:
    args = parse_args(args)
    from mmbombo.utils import user_errors  # --help needs no torch
    options = dict(
        data=args.data,
        num_train=args.num_train,
        num_val=args.num_val,
        seed=args.seed,
        short_side=args.short_side,
        # as in the manifests of version 0.1
        stamps_dir=None,
        backgrounds_dir=None,
        format=FORMAT)
    if args.stuff:
        options['stuff'] = True
    if args.order in RULES:
        options['order'] = args.order

    def gather():
        if args.data == 'shapes':
            return draw_material(args.seed, args.short_side[1], args.stuff)
        return gather_photos(args.download_dir, args.stuff)

    try:
        with user_errors():
            drawn = make_tree(args.out, options, gather, args.jobs)
    except PhotoStampsError as error:
        sys.exit(f'photo_stamps: error: {error}')
    print(f'{args.out}: {"drawn" if drawn else "is there already"}')


if __name__ == '__main__':
    main()
