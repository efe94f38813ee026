# Copyright (c) mmbombo contributors.
"""Which parts of the background photographs show which kind of stuff.

Each was looked at. A photograph serves one class only, and so does a place:
then dealing out the classes one by one gives no photograph to two parts of
the data set.
"""
from dataclasses import replace
from typing import List

import numpy as np

from .backdrops import MIN_SIDE
from .material import STUFF_CLASSES, Background

#: Left, top, right and bottom edge in percent of width and height.
REGIONS = {
    'sky': {
        'categorization/IndiaGate': (0, 0, 42, 39),
        'categorization/bayterek': (68, 0, 100, 70),
        'categorization/burj': (0, 0, 36, 80),
        'categorization/christTheRedeemer': (0, 0, 27, 80),
        'categorization/kutubMinar': (0, 0, 56, 75),
        'categorization/monument1': (0, 0, 33, 45),
        'categorization/statueOfLiberty': (75, 0, 100, 85),
        'categorization/usCapitol': (70, 0, 100, 52),
        'categorization/victoriaMemorial': (69, 8, 100, 60),
        'categorization/windmill1': (74, 0, 100, 60),
        'categorization/windmill5': (58, 0, 100, 28),
        'categorization/windmill6': (60, 35, 100, 80),
        'categorization/windmill8': (72, 0, 100, 75),
        'details/TourEiffel_background': (0, 0, 30, 70),
        'explore_monuments/chichenItza': (70, 0, 100, 48),
        'explore_monuments/eiffelTower': (0, 0, 42, 58),
        'explore_monuments/montStMichel': (0, 0, 50, 45),
        'explore_monuments/statueofLiberty': (0, 0, 38, 68),
        'explore_monuments/tajMahal': (0, 0, 46, 30),
    },
    'building': {
        'categorization/cathedral': (5, 55, 95, 92),
        'categorization/empireState': (70, 52, 98, 98),
        'categorization/leaningTowerOfPisa': (27, 15, 55, 80),
        'categorization/zimniPalace': (5, 30, 100, 85),
        'details/NDP_background': (18, 52, 85, 98),
        'explore_monuments/aulaPalatina': (52, 30, 80, 75),
        'explore_monuments/berlinCathedral': (22, 52, 85, 74),
        'explore_monuments/charminar': (3, 66, 70, 79),
        'explore_monuments/colosseum': (26, 45, 80, 76),
        'explore_monuments/hawaMahal': (12, 18, 90, 90),
        'explore_monuments/lincolnMemorial': (15, 40, 85, 68),
        'explore_monuments/mysorePalace': (8, 53, 75, 72),
        'explore_monuments/palaisdesPapes': (3, 35, 36, 85),
        'explore_monuments/petra': (14, 22, 80, 92),
        'explore_monuments/rangGhar': (12, 35, 75, 85),
        'explore_monuments/reimsCathedral': (15, 58, 70, 80),
    },
    'foliage': {
        'categorization/dam1': (0, 68, 20, 98),
        'categorization/dam4': (30, 6, 100, 36),
        'categorization/greatWall': (0, 25, 40, 78),
        'categorization/monument2': (0, 84, 100, 100),
        'categorization/windmill11': (0, 88, 100, 100),
        'categorization/windmill4': (0, 87, 88, 99),
        'details/Neuschwanstein_background': (0, 85, 100, 100),
        'explore_monuments/ajantaCave': (45, 70, 100, 100),
        'explore_monuments/chateaudeChambord': (0, 68, 100, 98),
        'explore_monuments/citedeCarcassonne': (15, 68, 90, 100),
        'explore_monuments/greatWallofChina': (48, 60, 100, 98),
        'explore_monuments/machuPicchu': (0, 70, 22, 100),
        'explore_monuments/neuschwansteinCastle': (0, 74, 45, 100),
        'explore_monuments/pontduGard': (55, 80, 100, 100),
        'explore_monuments/rocamadour': (0, 25, 32, 62),
        'explore_monuments/trierImperialBaths': (30, 85, 100, 100),
    },
    'water': {
        'categorization/dam2': (0, 69, 57, 100),
        'categorization/dam3': (22, 81, 57, 99),
        'categorization/dam5': (15, 45, 85, 85),
        'categorization/geothermal': (0, 83, 100, 100),
        'categorization/operaHouse': (0, 83, 100, 100),
        'categorization/windmill13': (0, 85, 42, 100),
        'clickgame/sea1': (0, 0, 100, 30),
        'clickgame/sea5': (0, 0, 70, 33),
        'details/Chenonceau_background': (0, 77, 88, 100),
        'details/EgeskovSlotSpejling_background': (0, 87, 100, 100),
        'details/EilanDonanCastle_background': (0, 72, 100, 100),
        'details/OperaSidney_background': (30, 86, 100, 100),
        'explore_monuments/chateaudeChenonceau': (0, 70, 48, 85),
        'explore_monuments/fortSumter': (10, 10, 100, 16),
        'explore_monuments/goldenTemple': (0, 73, 100, 100),
        'explore_monuments/schwerinPalace': (55, 89, 100, 100),
    },
    'ground': {
        'categorization/windmill12': (0, 83, 36, 96),
        'categorization/windmill15': (0, 92, 100, 100),
        'categorization/windmill3': (0, 87, 88, 98),
        'details/GizahPyramids_background': (0, 79, 100, 100),
        'explore_monuments/arlesAmphitheater': (5, 86, 70, 100),
        'explore_monuments/bentPyramid': (0, 70, 100, 100),
        'explore_monuments/canyondeChelly': (3, 15, 58, 27),
        'explore_monuments/greatStupa': (30, 84, 100, 98),
        'explore_monuments/konarkSunTemple': (24, 85, 76, 100),
        'explore_monuments/meidumPyramid': (0, 84, 100, 100),
        'explore_monuments/mountRushmore': (7, 54, 28, 72),
        'explore_monuments/navajo': (20, 0, 100, 32),
        'explore_monuments/redPyramid': (0, 74, 100, 100),
    },
}


def cut_stuff(photographs: List[Background]) -> List[Background]:
    """The part of each photograph that shows one class of stuff; those
    without one are left out."""
    found = []
    for photograph in photographs:
        for label, name in enumerate(STUFF_CLASSES):
            if photograph.name in REGIONS[name]:
                found.append(_cut(photograph, label))
    return found


def _cut(photograph: Background, label: int) -> Background:
    edges = REGIONS[STUFF_CLASSES[label]][photograph.name]
    height, width = photograph.pixels.shape[:2]
    left, right = (width * edge // 100 for edge in edges[::2])
    top, bottom = (height * edge // 100 for edge in edges[1::2])
    pixels = photograph.pixels[top:bottom, left:right]
    # Mirrored rather than enlarged far.
    missing = [max(0, MIN_SIDE - side) for side in pixels.shape[:2]]
    pixels = np.pad(pixels, [(0, n) for n in (*missing, 0)], 'symmetric')
    return replace(photograph, label=label, pixels=pixels)
