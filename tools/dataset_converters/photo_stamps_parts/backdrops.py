# Copyright (c) mmbombo contributors.
"""Which of GCompris's pictures become backgrounds.

Buildings, landscapes and the sea floor: what shows animals, flowers, food,
tools or paintings was dropped after looking at it.
"""
import re
from io import BytesIO
from pathlib import Path
from typing import Dict, List

from .material import Background
from .pictures import decode, fit_background
from .rcc import read_rcc

MIN_SIDE = 200
WANTED = re.compile(r'.*/activities/('
                    r'categorization/resource/images/(?:monuments|renewable)|'
                    r'clickgame/resource|'
                    r'details/resource/image|'
                    r'explore_monuments/resource/[a-z]+)'
                    r'/([^/]+)\.(?:webp|jpe?g|png)')
DROPPED = {
    # Paintings.
    'Eglise_dAuvers-sur-Oise_background',
    'Gogh4_background',
    'PortraitOfPereTanguy_background',
    'Van_Gogh_The_Night_Cafe_background',
    'VincentVanGogh0012_background',
    'VincentVanGogh0013_background',
    'VincentVanGogh0019_background',
    'VincentVanGoghBridge_background',
    # Pots and people.
    'solar2',
    'solar3',
}
# The same place under several names goes to one part of the data set.
PLACES = {
    'qutubminar': 'kutubminar',
    'greatpyramid': 'gizahpyramids',
    'greatpyramidofgiza': 'gizahpyramids',
    'operahouse': 'operasidney',
    'neuschwansteincastle': 'neuschwanstein',
    'chateaudechenonceau': 'chenonceau',
    'toureiffel': 'eiffeltower',
    'greatwall': 'greatwallofchina',
}


def read_backdrops(package: Path) -> List[Background]:
    """Backgrounds in the ``.rcc`` files of the unpacked package."""
    found: Dict[str, Background] = {}
    contents = set()
    for path in sorted(package.rglob('*.rcc')):
        for inside, content in read_rcc(path.read_bytes()):
            match = WANTED.fullmatch(inside)
            # Some photographs are there twice, byte for byte.
            if not match or match[2] in DROPPED or content in contents:
                continue
            rgba = decode(BytesIO(content))
            if min(rgba.shape[:2]) < MIN_SIDE or rgba[..., 3].min() < 255:
                continue
            contents.add(content)
            name = f'{match[1].split("/")[0]}/{match[2]}'
            place = match[2].replace('_background', '').lower()
            found[name] = Background(
                name=name,
                family=match[1],
                group=PLACES.get(place, place),
                pixels=fit_background(rgba))
    return [found[name] for name in sorted(found)]
