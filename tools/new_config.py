# Copyright (c) mmbombo contributors.
"""Write a config for your own data, after a look at them.

    python tools/new_config.py --boxes data/street/boxes.json \\
        --images data/street/images --masks data/city/labels \\
        --mask-images data/city/images --out configs/street.py

Boxes are COCO JSON files or folders of VOC, YOLO or LabelMe; masks are
folders of PNG files with ids or colors, or of LabelMe; tags are CSV files of
lines ``file,label;label``. Folders of images pair up with them in their
order. Beside the config are a report
(street.md) and the lists of images for training and validation
(street_lists/). Nothing is overwritten, and the data are only read.
"""
import argparse
import os.path as osp
from pathlib import Path
from typing import Callable, Dict, List, Optional, Sequence


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    for what, meaning in (('boxes', 'boxes'), ('images', 'images of boxes'),
                          ('masks', 'masks'), ('mask-images',
                                               'images of masks'),
                          ('tags', 'tags'), ('tag-images', 'images of tags')):
        parser.add_argument(
            f'--{what}',
            nargs='+',
            action='extend',
            default=[],
            metavar='PATH',
            help=f'{meaning}; several are several sources')
        if not what.startswith('tag'):
            parser.add_argument(
                f'--val-{what}',
                nargs='+',
                action='extend',
                default=[],
                metavar='PATH',
                help='the same, for validation (default: a part of the others'
                ' is held out)')
    parser.add_argument(
        '--mask-classes',
        nargs='+',
        metavar='ID=NAME',
        help='names of the ids in masks: id=name, or names in the order of '
        'the ids, or a file of lines "id,name"')
    parser.add_argument(
        '--classes',
        nargs='+',
        metavar='NAME',
        help='classes of boxes to keep (default: all)')
    parser.add_argument(
        '--map',
        nargs='+',
        default=[],
        metavar='BOX=MASK',
        help='classes of boxes and masks that belong together, where their '
        'names differ')
    parser.add_argument('--val-fraction', type=float, default=.1)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--out', required=True, help='the config, *.py')
    return parser.parse_args()


if __name__ == '__main__':  # --help waits for no library
    parse_args()

import mmbombo  # noqa: F401, before anything of mmdet; isort: skip
from new_config_parts.boxes import look_at_boxes, look_at_tags
from new_config_parts.classes import gather_classes
from new_config_parts.found import Found
from new_config_parts.masks import look_at_masks
from new_config_parts.plan import Plan
from new_config_parts.split import split
from new_config_parts.writer import write_config, write_report

from mmbombo.utils import UserError, user_errors

WEIGHTS = 'checkpoints/mobilenet_v2_imagenet.pth'


def look(name: str, places: Sequence[str], images: Sequence[str],
         reader: Callable[..., Found], *args) -> List[Found]:
    """Read the sources of one kind."""
    if images and len(images) != len(places):
        raise UserError(f'{name}: {len(places)} place(s), but {len(images)} '
                        'folder(s) of images; name one for each, in the same '
                        'order')
    folders: Sequence[Optional[str]] = images or [None] * len(places)
    return [
        reader(name if k == 0 else f'{name}{k + 1}', place, folder, *args)
        for k, (place, folder) in enumerate(zip(places, folders))
    ]


def look_at_all(args: argparse.Namespace) -> List[Found]:
    """Read all sources, those for training first."""
    sources = [
        *look('boxes', args.boxes, args.images, look_at_boxes),
        *look('masks', args.masks, args.mask_images, look_at_masks,
              args.mask_classes),
        *look('tags', args.tags, args.tag_images, look_at_tags)
    ]
    if not sources:
        raise UserError('give --boxes, --masks or --tags')
    val = [
        *look('val_boxes', args.val_boxes, args.val_images, look_at_boxes),
        *look('val_masks', args.val_masks, args.val_mask_images, look_at_masks,
              args.mask_classes)
    ]
    for source in val:
        source.validation = True
    return sources + val


def make_plan(args: argparse.Namespace, out: Path) -> Plan:
    """Look at the data and decide."""
    sources = look_at_all(args)
    return Plan(
        name=out.stem,
        path=str(out),
        sources=sources,
        splits=split(sources, args.val_fraction, args.seed),
        classes=gather_classes(sources, args.classes, args.map),
        weights=WEIGHTS if osp.isfile(WEIGHTS) else '')


def write_all(plan: Plan, out: Path) -> str:
    """Write config, report and lists; the report."""
    lists = out.with_name(f'{out.stem}_lists')
    report = write_report(plan)
    files: Dict[Path, str] = {}
    for source in plan.sources:
        for part in ('train', 'val'):
            images = getattr(plan.splits[source.name], part)
            if images:
                files[lists / source.list_name(part)] = ''.join(
                    f'{image}\n' for image in images)
    files.update({out.with_suffix('.md'): report, out: write_config(plan)})
    lists.mkdir(parents=True)
    for path, text in files.items():
        with open(path, 'x', encoding='utf-8') as file:
            file.write(text)
    return report


@user_errors()
def main() -> None:
    args = parse_args()
    out = Path(args.out)
    if out.suffix != '.py':
        raise UserError(f'--out {out}: the name of a config ends with .py')
    for path in (out, out.with_suffix('.md'),
                 out.with_name(f'{out.stem}_lists')):
        if path.exists():
            raise UserError(f'{path} exists, and nothing is overwritten: '
                            'remove it, or give another --out')
    print(write_all(make_plan(args, out), out))
    print(f'{out} is written. Now: python tools/train.py {out}')


if __name__ == '__main__':
    main()
