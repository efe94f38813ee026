# Copyright (c) mmbombo contributors.
"""Maps, boxes and texts drawn on RGB arrays with OpenCV and Pillow.

Matplotlib, which MMEngine's drawing functions use, takes most of a second for
a crowded image; these take milliseconds.
"""
import functools
import os.path as osp
from typing import List, NamedTuple, Optional, Sequence, Tuple

import cv2
import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mmbombo.structures import Regions
from .palette import ClassStyle, Color, distinct_color, style_of, text_color

Corners = Tuple[float, float, float, float]
HATCH_DARK = (96, 96, 96)
HATCH_LIGHT = (190, 190, 190)
#: Brightness of what is not salient.
DIM = 0.2
#: Regions that are painted, and the color of the outlines of superpixels.
SHOWN_REGIONS, OUTLINE = 6, (255, 255, 255)
#: Width of a dark and a light stripe together, in pixels.
HATCH_PERIOD = 10


class Box(NamedTuple):
    """A box in pixels of the panel; dashed if training ignores it."""
    xyxy: Corners
    color: Color
    text: str
    dashed: bool = False


@functools.lru_cache(maxsize=16)
def load_font(size: int) -> ImageFont.FreeTypeFont:
    """Load the font that ships with Matplotlib, ``size`` pixels high."""
    path = osp.join(matplotlib.get_data_path(), 'fonts/ttf/DejaVuSans.ttf')
    return ImageFont.truetype(path, size)


def text_size(text: str, size: int) -> Tuple[int, int]:
    """Return width and height of a text in pixels."""
    font = load_font(size)
    ascent, descent = font.getmetrics()
    return int(np.ceil(font.getlength(text))), ascent + descent


def shorten(text: str, size: int, width: int) -> str:
    """Cut a text at its end until it is at most ``width`` pixels wide."""
    if text_size(text, size)[0] <= width:
        return text
    while text and text_size(text + '…', size)[0] > width:
        text = text[:-1]
    return text.rstrip() + '…'


def font_size(height: int, width: int) -> int:
    """Return a font height that suits a panel, in pixels."""
    return max(12, int(round(0.028 * np.sqrt(height * width))))


def hatch(height: int, width: int) -> np.ndarray:
    """Return diagonal gray stripes (height, width, 3), "ignored"."""
    diagonal = np.arange(height)[:, None] + np.arange(width)[None]
    light = (diagonal % HATCH_PERIOD) < HATCH_PERIOD // 2
    return np.where(light[..., None], np.uint8(HATCH_LIGHT),
                    np.uint8(HATCH_DARK))


def draw_map(image: np.ndarray,
             ids: np.ndarray,
             styles: Sequence[ClassStyle],
             background_id: Optional[int] = None,
             ignore_index: int = 255,
             alpha: float = 0.5) -> np.ndarray:
    """Blend a segmentation map (H, W) into a copy of an image (H, W, 3).

    ``background_id`` stays transparent, ``ignore_index`` is gray stripes, and
    the outlines of regions are opaque.
    """
    ids = ids.astype(np.int64)
    layer, solid = image.copy(), image.copy()
    rims = np.zeros(ids.shape, dtype=bool)
    for label in np.unique(ids).tolist():
        if label in (background_id, ignore_index):
            continue
        mask = (ids == label).astype(np.uint8)
        # The rim lies inside its own region: it hides no neighbor.
        rim = (mask > 0) & (cv2.erode(mask, np.ones((5, 5), np.uint8)) == 0)
        layer[mask > 0] = solid[rim] = style_of(styles, label).color
        rims |= rim
    ignored = ids == ignore_index
    layer[ignored] = hatch(*ids.shape)[ignored]
    blended = cv2.addWeighted(layer, alpha, image, 1 - alpha, 0)
    blended[rims] = solid[rims]
    return blended


def draw_saliency(image: np.ndarray, saliency: np.ndarray) -> np.ndarray:
    """Dim a copy of an image (H, W, 3) where its saliency (H, W) is low.

    What is unknown, below 0, is gray stripes.
    """
    dimmed = image * (DIM + (1 - DIM) * saliency[..., None])
    unknown = saliency[..., None] < 0
    stripes = hatch(*saliency.shape)
    return np.where(unknown, stripes, np.round(dimmed)).astype(np.uint8)


def draw_regions(image: np.ndarray, regions: Regions,
                 alpha: float) -> Tuple[np.ndarray, List[Box]]:
    """Outline superpixels and paint a few regions on a copy of an image (H,
    W, 3), whose size may differ; their boxes are for :func:`draw_boxes`."""
    height, width = image.shape[:2]
    numbers = cv2.resize(
        regions.superpixels.cpu().numpy().astype(np.int16), (width, height),
        interpolation=cv2.INTER_NEAREST_EXACT)
    layer, boxes = image.copy(), []
    rows, columns = regions.superpixels.shape
    scale = np.array([width / columns, height / rows] * 2)
    # from large to small, without the whole image
    whole = regions.bboxes[:1].tolist() == [[0, 0, columns, rows]]
    step = max(1, len(regions) // SHOWN_REGIONS)
    for region in range(whole, len(regions), step):
        color = distinct_color(len(boxes))
        members = regions.pairs[1, regions.pairs[0] == region].cpu().numpy()
        layer[np.isin(numbers, members)] = color
        corners = regions.bboxes[region].cpu().numpy() * scale
        boxes.append(Box(tuple(corners), color, f'region {region}'))
    painted = cv2.addWeighted(layer, alpha, image, 1 - alpha, 0)
    painted[:-1][numbers[1:] != numbers[:-1]] = OUTLINE
    painted[:, :-1][numbers[:, 1:] != numbers[:, :-1]] = OUTLINE
    return painted, boxes


def _draw_outline(image: np.ndarray, box: Box, thickness: int) -> None:
    """Draw one box in place, dark under its color so that it stands out."""
    x1, y1, x2, y2 = np.round(box.xyxy).astype(int).tolist()
    # The last pixel column of a box [x1, x2) is x2 - 1.
    x2, y2 = max(x1, x2 - 1), max(y1, y2 - 1)
    drawn = image.copy() if box.dashed else image
    for color, width in (((0, 0, 0), thickness + 2), (box.color, thickness)):
        cv2.rectangle(drawn, (x1, y1), (x2, y2), color, width)
    if box.dashed:
        dashes = hatch(*image.shape[:2]) == HATCH_DARK
        np.copyto(image, drawn, where=dashes)


def _overlap(first: Corners, second: Corners) -> bool:
    """Say whether two rectangles have an area in common."""
    return (first[0] < second[2] and second[0] < first[2]
            and first[1] < second[3] and second[1] < first[3])


def place_tag(box: Corners, tag: Tuple[int, int], panel: Tuple[int, int],
              taken: Sequence[Corners]) -> Optional[Corners]:
    """Find a place for a tag (width, height) at its box where it hides no tag
    placed so far, within a panel (height, width) if it fits."""
    x1, y1, x2, y2 = box
    width, height = tag
    for y in (y1 - height, y1, y2 - height, y2, (y1 + y2 - height) / 2):
        for x in (x1, x2 - width):
            left = int(np.clip(x, 0, max(panel[1] - width, 0)))
            top = int(np.clip(y, 0, max(panel[0] - height, 0)))
            place = (left, top, left + width, top + height)
            if not any(_overlap(place, other) for other in taken):
                return place
    return None


def draw_boxes(image: np.ndarray, boxes: Sequence[Box]) -> np.ndarray:
    """Draw boxes with their tags on a copy of an image (H, W, 3).

    The most important box comes first: its tag gets the best place.
    """
    height, width = image.shape[:2]
    size = font_size(height, width)
    image = image.copy()

    def area(box: Box) -> float:
        return (box.xyxy[2] - box.xyxy[0]) * (box.xyxy[3] - box.xyxy[1])

    # Small boxes lie over large ones, not under them.
    for box in sorted(boxes, key=area, reverse=True):
        _draw_outline(image, box, thickness=max(2, size // 7))
    picture = Image.fromarray(image)
    draw = ImageDraw.Draw(picture)
    taken: List[Corners] = []
    for box in boxes:
        text = shorten(box.text, size, width - 6)
        text_width, text_height = text_size(text, size)
        tag = place_tag(box.xyxy, (text_width + 6, text_height + 2),
                        (height, width), taken)
        if tag is None:
            # In a crowd the color must do; the legend explains it.
            continue
        taken.append(tag)
        draw.rectangle((tag[0], tag[1], tag[2] - 1, tag[3] - 1),
                       fill=box.color,
                       outline=(0, 0, 0))
        draw.text((tag[0] + 3, tag[1] + 1),
                  text,
                  font=load_font(size),
                  fill=text_color(box.color))
    return np.array(picture)
