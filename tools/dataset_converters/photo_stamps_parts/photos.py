# Copyright (c) mmbombo contributors.
"""Gathering of photographs: Debian's packages or the user's folders."""
from pathlib import Path
from typing import Dict, List, Optional, Tuple

from .backdrops import read_backdrops
from .classes import PHOTO_CLASSES
from .debian import fetch_package
from .items import Background, Cutout, Material, PhotoStampsError
from .pictures import (MIN_BACKGROUND_SIDE, MIN_CUTOUT_SIDE, decode,
                       fit_background, is_large_enough, soften_hard_edge,
                       trim_cutout)
from .stamps import is_stamps_folder, read_stamps

STAMPS_PACKAGE = 'tuxpaint-stamps-default'
BACKDROPS_PACKAGE = 'gcompris-qt-data'
STAMPS_PLACE = 'usr/share/tuxpaint/stamps'
# What the packages must give; less means that their layout has changed.
MIN_CUTOUTS = 24
MIN_BACKGROUNDS = 60
_SUFFIXES = ('.png', '.webp', '.jpg', '.jpeg', '.bmp', '.tif', '.tiff')

_NOTICE = """\
PhotoStamps images are made from parts of other people's pictures.
Cut-outs: {cutouts}
Backgrounds: {backgrounds}
The licenses of the sources apply to these images; the notices of packages
lie beside this file. provenance.json names the sources of each image.
"""


def gather_photos(stamps_dir: Optional[str], backgrounds_dir: Optional[str],
                  downloads: Path) -> Material:
    """Collect cut-outs and backgrounds.

    Args:
        stamps_dir: The user's folder of cut-outs; None: Debian's package.
        backgrounds_dir: The user's folder of photographs; likewise.
        downloads: Where packages are unpacked.

    Returns:
        The material.

    Raises:
        PhotoStampsError: If something cannot be fetched or read, or there
            is too little of it.
    """
    packages: List[dict] = []
    notices: Dict[str, str] = {}

    def fetch(name: str) -> Path:
        root, package = fetch_package(name, downloads)
        packages.append(package)
        notice = root / 'usr/share/doc' / name / 'copyright'
        notices[f'{name}.copyright'] = notice.read_text(encoding='utf-8')
        return root

    if stamps_dir is None:
        root = fetch(STAMPS_PACKAGE) / STAMPS_PLACE
        classes, cutouts = _stamps(root)
    else:
        classes, cutouts = _own_cutouts(Path(stamps_dir))
    if backgrounds_dir is None:
        backgrounds = read_backdrops(fetch(BACKDROPS_PACKAGE))
        _check_number(BACKDROPS_PACKAGE, 'backgrounds', len(backgrounds),
                      MIN_BACKGROUNDS)
    else:
        backgrounds = _own_backgrounds(Path(backgrounds_dir))
    notices['NOTICE.txt'] = _NOTICE.format(
        cutouts=stamps_dir or f'Debian package {STAMPS_PACKAGE}',
        backgrounds=backgrounds_dir or f'Debian package {BACKDROPS_PACKAGE}')
    return Material(classes, cutouts, backgrounds, packages, notices)


def _stamps(root: Path) -> Tuple[tuple, List[Cutout]]:
    cutouts = read_stamps(root)
    for label, name in enumerate(PHOTO_CLASSES):
        number = sum(c.label == label for c in cutouts)
        _check_number(root, f'cut-outs of class "{name}"', number, MIN_CUTOUTS)
    return PHOTO_CLASSES, cutouts


def _own_cutouts(root: Path) -> Tuple[tuple, List[Cutout]]:
    """The user's cut-outs; the classes are the folders, sorted."""
    _check_folder('--stamps-dir', root)
    if is_stamps_folder(root):
        return _stamps(root)
    classes = tuple(sorted(p.name for p in root.iterdir() if p.is_dir()))
    if not classes:
        raise PhotoStampsError(
            f'--stamps-dir {root} has no folders; one folder of cut-outs '
            '(pictures with alpha) per class is needed.')
    cutouts = []
    for label, name in enumerate(classes):
        for path in _pictures(root / name):
            pixels = soften_hard_edge(trim_cutout(_with_alpha(path)))
            if not is_large_enough(pixels):
                raise PhotoStampsError(
                    f'{path}: the visible part is too small for a cut-out, '
                    f'at least {MIN_CUTOUT_SIDE} pixels long is needed.')
            place = path.relative_to(root).as_posix()
            cutouts.append(Cutout(place, label, name, place, pixels, True))
    return classes, cutouts


def _with_alpha(path: Path):
    rgba = decode(path, str(path))
    if (rgba[..., 3] > 127).all():
        raise PhotoStampsError(
            f'{path} has no transparent pixels; a cut-out is a picture whose '
            'alpha channel is 0 outside the object.')
    return rgba


def _own_backgrounds(root: Path) -> List[Background]:
    _check_folder('--backgrounds-dir', root)
    backgrounds = []
    for path in _pictures(root):
        rgba = decode(path, str(path))
        if min(rgba.shape[:2]) < MIN_BACKGROUND_SIDE:
            raise PhotoStampsError(
                f'{path} is {rgba.shape[1]} x {rgba.shape[0]} pixels; a '
                f'background needs at least {MIN_BACKGROUND_SIDE} each way.')
        place = path.relative_to(root).as_posix()
        backgrounds.append(
            Background(place, 'own', place, fit_background(rgba)))
    return backgrounds


def _pictures(folder: Path) -> List[Path]:
    return sorted(p for p in folder.rglob('*')
                  if p.is_file() and p.suffix.lower() in _SUFFIXES)


def _check_folder(option: str, root: Path) -> None:
    if not root.is_dir():
        raise PhotoStampsError(f'{option} {root} is not a folder.')


def _check_number(where, what: str, number: int, least: int) -> None:
    if number < least:
        raise PhotoStampsError(
            f'{where} gave {number} {what}, at least {least} were expected; '
            'this release of it seems to be laid out differently. Use '
            '--stamps-dir / --backgrounds-dir, or --data shapes.')
