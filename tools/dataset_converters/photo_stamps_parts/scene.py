# Copyright (c) mmbombo contributors.
"""Composition of one image from a pool of cut-outs and backgrounds."""
from dataclasses import dataclass, field
from typing import List, Optional, Sequence, Tuple

import cv2
import numpy as np

from .layer import Layer, make_layer
from .light import add_grain, relight, soften
from .material import Background, Cutout, Pool
from .order import RULES, Rule, stack
from .regions import divide_image

# Odds of 1, 2, 3, 4 and 5 objects.
COUNT_ODDS = (.17, .26, .26, .18, .13)
# Odds that an image with several objects begins with a touching group.
TOUCHING_ODDS = .35
# Odds that an object is put across a border.
TRUNCATED_ODDS = .15
# An object of which less can be seen is not kept.
MIN_VISIBLE_PIXELS = 64
MIN_VISIBLE_PART = .3
# Part of an object that may be hidden where no occlusion is meant.
MAX_HIDDEN_BY_CHANCE = .08
ATTEMPTS = 14
# How far an object beside another may be pushed over it, in parts of the
# shorter side; the second where a rule says who is on top.
DEPTHS = (.3, .6)
# What an object covers of the square over its longer side, on average.
USUAL_FILL = .4
# Odds of 2, 3 and 4 classes of stuff in an image, if there are several.
STUFF_ODDS = (.3, .4, .3)


@dataclass(frozen=True)
class Thing:
    """An object in a scene; its id is its position in the list plus one."""
    label: int
    cutout: str
    truncated: bool
    occluded: bool


@dataclass(frozen=True, eq=False)
class Scene:
    """A finished image."""
    image: np.ndarray  # (H, W, 3) uint8 RGB
    instances: np.ndarray  # (H, W) uint8, 0 where no object is visible
    things: Tuple[Thing, ...]  # the objects with ids 1, 2, ...
    # (H, W) bool of each object, also where others hide it
    whole: Tuple[np.ndarray, ...]
    # (H, W) uint8, label of the background, also where objects hide it
    stuff: np.ndarray
    # the backgrounds, one for each label that occurs
    backgrounds: Tuple[Background, ...]
    # whether two objects of one class share a border, so that a connected
    # component of the class mask is not an object
    touching: bool
    jpeg_quality: int  # quality to save the image with


def windows(size: tuple, patch: tuple, x: int, y: int) -> Tuple[tuple, tuple]:
    """Slices of an image and of a patch where the two meet; both sizes are
    (height, width), the patch begins at (x, y), which may be outside."""
    y0, y1 = max(y, 0), max(0, y, min(y + patch[0], size[0]))
    x0, x1 = max(x, 0), max(0, x, min(x + patch[1], size[1]))
    there = slice(y0, y1), slice(x0, x1)
    here = slice(y0 - y, y1 - y), slice(x0 - x, x1 - x)
    return there, here


@dataclass(eq=False)
class _Canvas:
    """Who is visible where, while objects are being placed.

    ``instances`` is ``(H, W)`` uint8; later layers lie on top. ``visible``
    counts the pixels of each object; its first entry means nothing.
    """
    instances: np.ndarray
    layers: List[Layer] = field(default_factory=list)
    visible: np.ndarray = field(default_factory=lambda: np.zeros(1, int))

    @property
    def size(self) -> Tuple[int, int]:
        return self.instances.shape

    def windows(self, layer: Layer) -> Tuple[tuple, tuple]:
        """Slices of the image and of the layer where the two meet."""
        return windows(self.size, layer.mask.shape, layer.x, layer.y)

    def whole(self, layer: Layer) -> np.ndarray:
        """The layer's mask in the image, ``(H, W)`` bool."""
        mask = np.zeros(self.size, bool)
        there, here = self.windows(layer)
        mask[there] = layer.mask[here]
        return mask

    def covered(self, layer: Layer) -> np.ndarray:
        """Pixels the layer would cover, counted by what is there now."""
        there, here = self.windows(layer)
        return np.bincount(
            self.instances[there][layer.mask[here]],
            minlength=len(self.layers) + 1)

    def fits(self, layer: Layer, max_hidden: float) -> bool:
        """Whether everything stays visible enough with the layer on top,
        which may cover ``max_hidden`` of any earlier object."""
        covered = self.covered(layer)
        if covered.sum() < _least_visible(layer):
            return False
        for i, below in enumerate(self.layers, start=1):
            if covered[i] > max_hidden * below.area:
                return False
            if self.visible[i] - covered[i] < _least_visible(below):
                return False
        return True

    def add(self, layer: Layer) -> None:
        covered = self.covered(layer)
        self.visible = np.append(self.visible - covered, covered.sum())
        there, here = self.windows(layer)
        self.layers.append(layer)
        self.instances[there][layer.mask[here]] = len(self.layers)


@dataclass(eq=False)
class _RuledCanvas(_Canvas):
    """On top lies what a rule puts there, not what comes last."""
    rule: Optional[Rule] = None
    num_classes: int = 0

    def fits(self, layer: Layer, max_hidden: float) -> bool:
        """As above, in either order: who is on top must not show in which
        overlaps are kept."""
        layers = [*self.layers, layer]
        masks = [self.whole(x) for x in layers]
        shared = np.sum(masks, axis=0) > 1
        for each, mask in zip(layers, masks):
            hidden = np.sum(mask & shared)
            if hidden > max_hidden * each.area:
                return False
            if mask.sum() - hidden < _least_visible(each):
                return False
        return stack(layers, masks, self.rule, self.num_classes) is not None

    def add(self, layer: Layer) -> None:
        layers = [*self.layers, layer]
        masks = [self.whole(x) for x in layers]
        self.layers, self.visible = [], np.zeros(1, int)
        self.instances[:] = 0
        for i in stack(layers, masks, self.rule, self.num_classes):
            super().add(layers[i])


def draw_scene(pool: Pool,
               short_side: Tuple[int, int],
               rng: np.random.Generator,
               order: str = 'random') -> Scene:
    """Draw one image with its annotation, at least one object.

    ``short_side`` is the range of its shorter side in pixels; with ``order``
    one of :data:`RULES` says who is on top, else chance.
    """
    size = _image_size(short_side, rng)
    backgrounds = _pick_backgrounds(pool, rng)
    canvas = _Canvas(np.zeros(size, np.uint8))
    if order in RULES:
        canvas = _RuledCanvas(
            canvas.instances, rule=RULES[order], num_classes=len(pool.cutouts))
    while not canvas.layers:
        _place_objects(canvas, pool, rng)
    heights = [(b.label + .5) / len(pool.backgrounds) for b in backgrounds]
    regions = divide_image(size, heights, rng)
    image = _backdrop(backgrounds, regions, rng)
    for layer in canvas.layers:
        _paste(image, canvas, layer, rng)
    return Scene(
        image=_develop(image, rng),
        instances=canvas.instances,
        things=_things(canvas),
        whole=tuple(canvas.whole(layer) for layer in canvas.layers),
        stuff=np.array([b.label for b in backgrounds], np.uint8)[regions],
        backgrounds=backgrounds,
        touching=_same_class_touch(canvas),
        jpeg_quality=int(rng.integers(85, 96)))


def _image_size(short_side: Tuple[int, int],
                rng: np.random.Generator) -> Tuple[int, int]:
    short = int(rng.integers(short_side[0], short_side[1] + 1))
    long = round(short * rng.choice([1, 4 / 3, 3 / 2, rng.uniform(1, 1.7)]))
    return (short, long) if rng.random() < .65 else (long, short)


def _pick_backgrounds(pool: Pool,
                      rng: np.random.Generator) -> Tuple[Background, ...]:
    """One background, or one of each of several labels."""
    labels = [0]
    if len(pool.backgrounds) > 1:
        count = 2 + int(rng.choice(len(STUFF_ODDS), p=STUFF_ODDS))
        labels = rng.permutation(len(pool.backgrounds))[:count].tolist()
    choices = [pool.backgrounds[label] for label in labels]
    return tuple(some[rng.integers(len(some))] for some in choices)


def _place_objects(canvas: _Canvas, pool: Pool,
                   rng: np.random.Generator) -> None:
    count = 1 + int(rng.choice(len(COUNT_ODDS), p=COUNT_ODDS))
    group = 1
    ruled = isinstance(canvas, _RuledCanvas)
    # A rule shows where objects of different classes meet.
    if count > 1 and (ruled or rng.random() < TOUCHING_ODDS):
        group = min(count, 2 + int(rng.random() < .3))
    group_label = int(rng.integers(len(pool.cutouts)))
    for i in range(count):
        label = group_label
        if i >= group:
            label = int(rng.integers(len(pool.cutouts)))
        beside = canvas.layers[-1] if 0 < i < group and canvas.layers else None
        if ruled and beside is not None:
            label = int(rng.integers(1, len(pool.cutouts)))
            label = (label + beside.cutout.label) % len(pool.cutouts)
        _place_one(canvas, pool.cutouts[label], count, beside, rng)


def _place_one(canvas: _Canvas, cutouts: list, count: int,
               beside: Optional[Layer], rng: np.random.Generator) -> None:
    """Place one object, or none if there is no room for it."""
    short = min(canvas.size)
    # Log-uniform: as many small objects as large ones.
    length = short * np.exp(rng.uniform(np.log(.28), np.log(.95)))
    length *= 1 - .06 * (count - 1)
    if beside is not None:
        ratio = np.exp(rng.uniform(-.35, .35))
        length = ratio * max(beside.height, beside.width)
    cutout = cutouts[rng.integers(len(cutouts))]
    if isinstance(canvas, _RuledCanvas):
        # No class is larger than another.
        if beside is not None:
            length = ratio * np.sqrt(beside.area / USUAL_FILL)
        length *= np.sqrt(USUAL_FILL / _fill(cutout))
    layer = make_layer(cutout, length, rng)
    max_hidden = MAX_HIDDEN_BY_CHANCE
    if beside is not None or rng.random() < .3:
        max_hidden = .5
    depth = DEPTHS[isinstance(canvas, _RuledCanvas)]
    for _ in range(ATTEMPTS):
        if beside is None:
            _put_anywhere(layer, canvas.size, rng)
        elif not _put_beside(layer, beside, depth, rng):
            continue
        if canvas.fits(layer, max_hidden):
            canvas.add(layer)
            return


def _put_anywhere(layer: Layer, size: Tuple[int, int],
                  rng: np.random.Generator) -> None:
    """Put the layer inside the image, or across one of its borders."""
    layer.y, layer.x = (
        int(rng.integers(min(0, room),
                         max(0, room) + 1))
        for room in (size[0] - layer.height, size[1] - layer.width))
    if rng.random() > TRUNCATED_ODDS:
        return
    outside = rng.uniform(.1, .5)
    border = rng.integers(4)
    if border == 0:
        layer.y = -round(outside * layer.height)
    elif border == 1:
        layer.y = size[0] - round((1 - outside) * layer.height)
    elif border == 2:
        layer.x = -round(outside * layer.width)
    else:
        layer.x = size[1] - round((1 - outside) * layer.width)


def _fill(cutout: Cutout) -> float:
    """What the object covers of the square over its longer side."""
    alpha = cutout.pixels[..., 3]
    return max((alpha > 127).sum() / max(alpha.shape)**2, .05)


def _put_beside(layer: Layer, other: Layer, depth: float,
                rng: np.random.Generator) -> bool:
    """Move the layer towards another from a random side until the masks
    meet, then further; returns whether they meet at all."""
    angle = rng.uniform(0, 2 * np.pi)
    away = np.array([np.sin(angle), np.cos(angle)])
    center = np.array([
        other.y + (other.height - layer.height) / 2,
        other.x + (other.width - layer.width) / 2
    ])
    far = (np.hypot(layer.height, layer.width) +
           np.hypot(other.height, other.width)) / 2
    step = max(1., far / 40)
    for distance in np.arange(far, 0, -step):
        _move(layer, center + distance * away)
        if _masks_meet(layer, other):
            deeper = rng.uniform(0, depth) * min(layer.height, layer.width)
            _move(layer, center + max(0, distance - deeper) * away)
            # Lean shapes can slip past each other on the last bit.
            return _masks_meet(layer, other)
    return False


def _move(layer: Layer, corner: np.ndarray) -> None:
    layer.y, layer.x = int(round(corner[0])), int(round(corner[1]))


def _masks_meet(a: Layer, b: Layer) -> bool:
    y0, x0 = max(a.y, b.y), max(a.x, b.x)
    y1 = min(a.y + a.height, b.y + b.height)
    x1 = min(a.x + a.width, b.x + b.width)
    if y0 >= y1 or x0 >= x1:
        return False
    return bool(
        np.any(a.mask[y0 - a.y:y1 - a.y, x0 - a.x:x1 - a.x]
               & b.mask[y0 - b.y:y1 - b.y, x0 - b.x:x1 - b.x]))


def _least_visible(layer: Layer) -> float:
    return max(MIN_VISIBLE_PIXELS, MIN_VISIBLE_PART * layer.area)


def _backdrop(backgrounds: Sequence[Background], regions: np.ndarray,
              rng: np.random.Generator) -> np.ndarray:
    """Fill each region with its background, ``(H, W, 3)`` float32 RGB."""
    image = np.empty((*regions.shape, 3), np.float32)
    for i, background in enumerate(backgrounds):
        mask = regions == i
        x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
        window = slice(y, y + height), slice(x, x + width)
        part = _random_part(background, (height, width), rng)
        image[window][mask[window]] = part[mask[window]]
    return image


def _random_part(background: Background, size: Tuple[int, int],
                 rng: np.random.Generator) -> np.ndarray:
    """A random part of the background, ``(H, W, 3)`` float32 RGB."""
    source = background.pixels
    fit = min(source.shape[0] / size[0], source.shape[1] / size[1])
    fit *= rng.uniform(.55, 1)
    rows, columns = (max(1, int(s * fit)) for s in size)
    y = rng.integers(source.shape[0] - rows + 1)
    x = rng.integers(source.shape[1] - columns + 1)
    part = source[y:y + rows, x:x + columns]
    if rng.random() < .5:
        part = part[:, ::-1]
    how = cv2.INTER_AREA if fit > 1 else cv2.INTER_LINEAR
    part = cv2.resize(
        np.ascontiguousarray(part), (size[1], size[0]), interpolation=how)
    part = soften(part.astype(np.float32), rng.choice([0, rng.uniform(0, 2)]))
    return relight(part, .2, rng)


def _paste(image: np.ndarray, canvas: _Canvas, layer: Layer,
           rng: np.random.Generator) -> None:
    """Blend the layer, its light drawn towards that of its place, and the
    shadow it casts into the image, in place."""
    _cast_shadow(image, layer, rng)
    there, here = canvas.windows(layer)
    alpha = layer.alpha[here][..., None]
    place = sum(cv2.mean(image[there])[:3])
    own = sum(cv2.sumElems(layer.color)[:3]) / max(layer.alpha.sum(), 1)
    gain = np.clip((place / max(own, 1))**.2, .8, 1.2)
    image[there] *= 1 - alpha
    image[there] += np.minimum(layer.color[here] * np.float32(gain),
                               255 * alpha)


def _cast_shadow(image: np.ndarray, layer: Layer,
                 rng: np.random.Generator) -> None:
    """Darken, in place, what is a little beside and below the layer."""
    strength = np.float32(rng.uniform(0, .45))
    reach = .05 * max(layer.height, layer.width)
    blur = max(.8, reach * rng.uniform(.5, 1))
    room = int(np.ceil(3 * blur))
    shade = cv2.copyMakeBorder(layer.alpha, room, room, room, room,
                               cv2.BORDER_CONSTANT)
    shade = 1 - strength * soften(shade, blur)
    x = layer.x - room + round(rng.uniform(-1, 1) * reach)
    y = layer.y - room + round(rng.uniform(0, 1) * reach)
    there, here = windows(image.shape, shade.shape, x, y)
    image[there] *= shade[here][..., None]


def _develop(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """What a camera does to the whole image; returns uint8."""
    image = soften(image, rng.choice([0, 0, rng.uniform(.2, .8)]))
    image = relight(image, .12, rng)
    image = add_grain(image, rng.uniform(0, 5), rng)
    return np.round(image).astype(np.uint8)


def _things(canvas: _Canvas) -> Tuple[Thing, ...]:
    things = []
    for i, layer in enumerate(canvas.layers, start=1):
        inside = int(layer.mask[canvas.windows(layer)[1]].sum())
        things.append(
            Thing(
                label=layer.cutout.label,
                cutout=layer.cutout.name,
                truncated=inside < layer.area,
                occluded=int(canvas.visible[i]) < inside))
    return tuple(things)


def _same_class_touch(canvas: _Canvas) -> bool:
    """Whether pixels of two objects of one class are 4-neighbors."""
    labels = np.array([-1] + [la.cutout.label for la in canvas.layers])
    for axis in (0, 1):
        ahead = np.moveaxis(canvas.instances, axis, 0)
        first, second = ahead[:-1], ahead[1:]
        different = (first != second) & (first > 0)
        if np.any(labels[first[different]] == labels[second[different]]):
            return True
    return False
