# Copyright (c) mmbombo contributors.
"""Gathering of photographs from Debian's packages."""
from pathlib import Path

from .backdrops import read_backdrops
from .debian import fetch_package
from .material import BACKGROUND, PHOTO_CLASSES, STUFF_CLASSES, Material
from .stamps import read_stamps
from .stuff import cut_stuff

STAMPS = 'tuxpaint-stamps-default'
BACKDROPS = 'gcompris-qt-data'
# A byte of this text is a byte of the data set, whose digest is recorded
# with results.
NOTICE = f"""\
PhotoStamps images are made from parts of other people's pictures.
Cut-outs: Debian package {STAMPS}
Backgrounds: Debian package {BACKDROPS}
The licences of the sources apply to these images; the notices of packages
lie beside this file. provenance.json names the sources of each image.
"""


def gather_photos(downloads: Path, stuff: bool = False) -> Material:
    """Collect cut-outs and backgrounds; with ``stuff`` these are cut to show
    one class each. ``downloads`` is where packages are unpacked and kept."""
    packages, notices = [], {'NOTICE.txt': NOTICE}
    roots = {}
    for name in (STAMPS, BACKDROPS):
        roots[name], package = fetch_package(name, downloads)
        packages.append(package)
        notice = roots[name] / 'usr/share/doc' / name / 'copyright'
        notices[f'{name}.copyright'] = notice.read_text(encoding='utf-8')
    cutouts = read_stamps(roots[STAMPS] / 'usr/share/tuxpaint/stamps')
    backgrounds = read_backdrops(roots[BACKDROPS])
    if stuff:
        backgrounds = cut_stuff(backgrounds)
    return Material(PHOTO_CLASSES, cutouts, backgrounds, packages, notices,
                    STUFF_CLASSES if stuff else BACKGROUND)
