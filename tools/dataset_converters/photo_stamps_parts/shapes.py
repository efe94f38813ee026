# Copyright (c) mmbombo contributors.
"""Procedural material: textured shapes and backgrounds, no download."""
from typing import List

import cv2
import numpy as np

from .material import (BACKGROUND, SHAPE_CLASSES, SHAPE_STUFF_CLASSES,
                       Background, Cutout, Material)

PER_CLASS = 24
NUM_BACKGROUNDS = 24
SUPERSAMPLING = 3
NOTICE = """\
These images were drawn by a program (photo_stamps.py --data shapes)
and contain no third-party material.
"""


def draw_material(seed: int, size: int, stuff: bool = False) -> Material:
    """Draw cut-outs of :data:`SHAPE_CLASSES`, and backgrounds: textures of one
    class, or of several (``stuff``). ``size`` is the largest short side of an
    image to come, in pixels."""
    rng = np.random.default_rng([seed, 2])
    cutouts: List[Cutout] = []
    for label, kind in enumerate(SHAPE_CLASSES):
        for i in range(PER_CLASS):
            name = f'{kind}/{i:02d}'
            cutouts.append(
                Cutout(name, label, kind, name, _shape(kind, size, rng),
                       False))
    backgrounds = []
    for i in range(NUM_BACKGROUNDS):
        name = f'background/{i:02d}'
        label = i % len(SHAPE_STUFF_CLASSES) if stuff else 0
        family = SHAPE_STUFF_CLASSES[label]
        texture = _texture(family, 2 * size, rng)
        backgrounds.append(Background(name, family, name, texture, label))
    return Material(SHAPE_CLASSES, cutouts, backgrounds, [],
                    {'NOTICE.txt': NOTICE},
                    SHAPE_STUFF_CLASSES if stuff else BACKGROUND)


def _shape(kind: str, size: int, rng: np.random.Generator) -> np.ndarray:
    """One textured shape, ``(h, w, 4)`` uint8 RGBA, edges smooth."""
    side = max(24, size // 2)
    big = side * SUPERSAMPLING
    outline = _outline(kind, rng) * (big / 2 - 1) + big / 2
    alpha = np.zeros((big, big), np.uint8)
    cv2.fillPoly(alpha, [np.round(outline).astype(np.int32)], 255)
    alpha = cv2.resize(alpha, (side, side), interpolation=cv2.INTER_AREA)
    pixels = np.dstack([_pattern(side, rng), alpha])
    rows, columns = np.nonzero(alpha)
    return pixels[rows.min():rows.max() + 1,
                  columns.min():columns.max() + 1].copy()


def _outline(kind: str, rng: np.random.Generator) -> np.ndarray:
    """Corners ``(N, 2)`` inside [-1, 1]."""
    squeeze = np.array([1, rng.uniform(.55, 1)])
    if kind == 'disc':
        angles = np.linspace(0, 2 * np.pi, 64, endpoint=False)
        return _on_circle(angles, 1) * squeeze
    if kind == 'rectangle':
        return np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * squeeze
    if kind == 'triangle':
        return np.array([[rng.uniform(-.6, .6), -1], [1, 1], [-1, 1]])
    spikes = rng.integers(4, 7)
    angles = np.arange(2 * spikes) * np.pi / spikes
    radii = np.where(np.arange(2 * spikes) % 2, rng.uniform(.35, .5), 1)
    return _on_circle(angles, radii)


def _on_circle(angles: np.ndarray, radii) -> np.ndarray:
    return np.stack([np.cos(angles), np.sin(angles)], 1) * np.reshape(
        radii, (-1, 1))


def _pattern(side: int, rng: np.random.Generator) -> np.ndarray:
    """Stripes, checks or dots in two strong colors with some grain."""
    first, second = rng.integers(0, 256, (2, 3))
    y, x = np.mgrid[:side, :side] * (2 * np.pi / side)
    angle, waves = rng.uniform(0, np.pi), rng.uniform(2, 6)
    u = np.sin(waves * (x * np.cos(angle) + y * np.sin(angle)))
    v = np.sin(waves * (y * np.cos(angle) - x * np.sin(angle)))
    mix = [u, u * v, np.maximum(u, v)][rng.integers(3)]
    mix = (.5 + .5 * np.tanh(4 * mix))[..., None]
    grain = rng.normal(0, 8, (side, side, 1))
    return np.clip(mix * first + (1 - mix) * second + grain, 0,
                   255).astype(np.uint8)


def _texture(kind: str, side: int, rng: np.random.Generator) -> np.ndarray:
    """A texture of a class of stuff, ``(side, side, 3)`` uint8."""
    clouds = _clouds(side, rng)
    if kind == 'layers':
        return cv2.resize(clouds[:, :side // 16], (side, side))
    if kind == 'gravel':
        stones = rng.uniform(.5, 1.5, (side // 3, side // 3))
        stones = cv2.resize(
            stones, (side, side), interpolation=cv2.INTER_NEAREST)
        return np.clip(clouds * stones[..., None], 0, 255).astype(np.uint8)
    return clouds


def _clouds(side: int, rng: np.random.Generator) -> np.ndarray:
    """Soft noise of several scales, ``(side, side, 3)`` uint8."""
    image = np.broadcast_to(
        rng.uniform(60, 190, 3).astype(np.float32), (side, side, 3)).copy()
    for cells, strength in ((2, 30), (5, 20), (16, 12), (side // 4, 10)):
        noise = rng.normal(0, strength, (cells, cells, 3))
        image += cv2.resize(
            noise.astype(np.float32), (side, side),
            interpolation=cv2.INTER_CUBIC)
    return np.clip(image, 0, 255).astype(np.uint8)
