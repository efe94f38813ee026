# Copyright (c) mmbombo contributors.
"""Panels with captions, rows of panels, and the legend below them."""
from typing import List, NamedTuple, Sequence

import numpy as np
from PIL import Image, ImageDraw

from .drawing import hatch, load_font, shorten, text_size
from .palette import ClassStyle

PAPER = (255, 255, 255)
INK = (32, 32, 32)
GAP = 8


class Panel(NamedTuple):
    """A drawn picture, RGB (H, W, 3) uint8, and what stands above it."""
    caption: str
    image: np.ndarray


def _paper(height: int, width: int) -> np.ndarray:
    """Return an empty sheet."""
    return np.full((height, width, 3), PAPER, dtype=np.uint8)


def text_bar(text: str, width: int, size: int) -> np.ndarray:
    """Return one line of text on paper, cut to ``width`` pixels."""
    height = text_size(text, size)[1] + 6
    picture = Image.fromarray(_paper(height, width))
    ImageDraw.Draw(picture).text((2, 3),
                                 shorten(text, size, width - 4),
                                 font=load_font(size),
                                 fill=INK)
    return np.array(picture)


def pad_to(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Place an image at the top left of a sheet."""
    sheet = _paper(height, width)
    sheet[:image.shape[0], :image.shape[1]] = image
    return sheet


def join_row(panels: Sequence[Panel], size: int) -> np.ndarray:
    """Set panels side by side, each below its caption of font ``size``."""
    columns = []
    height = max(panel.image.shape[0] for panel in panels)
    for panel in panels:
        width = panel.image.shape[1]
        column = np.concatenate([
            text_bar(panel.caption, width, size),
            pad_to(panel.image, height, width)
        ])
        columns += [column, _paper(len(column), GAP)]
    return np.concatenate(columns[:-1], axis=1)


def stack(rows: Sequence[np.ndarray]) -> np.ndarray:
    """Set rows below each other, with a gap and a margin around all."""
    width = max(row.shape[1] for row in rows)
    sheet: List[np.ndarray] = [_paper(GAP, width)]
    for row in rows:
        sheet += [pad_to(row, row.shape[0], width), _paper(GAP, width)]
    middle = np.concatenate(sheet)
    margin = _paper(len(middle), GAP)
    return np.concatenate([margin, middle, margin], axis=1)


def legend(styles: Sequence[ClassStyle], with_ignored: bool, width: int,
           size: int) -> np.ndarray:
    """Draw a color field and the name of each class, in lines of ``width``
    pixels; ``with_ignored`` explains the gray stripes."""
    entries = [*styles] + [('ignored', None)] * with_ignored
    line_height = text_size('Ag', size)[1] + 6
    places, x, line = [], 0, 0
    for name, _ in entries:
        needed = size + 6 + text_size(name, size)[0] + 14
        if x and x + needed > width:
            x, line = 0, line + 1
        places.append((x, line * line_height))
        x += needed
    sheet = _paper((line + 1) * line_height, width)
    for (_, color), (x, y) in zip(entries, places):
        field = sheet[y + 4:y + 4 + size, x + 2:x + 2 + size]
        field[:] = hatch(*field.shape[:2]) if color is None else color
    picture = Image.fromarray(sheet)
    draw = ImageDraw.Draw(picture)
    for (name, _), (x, y) in zip(entries, places):
        draw.text((x + size + 7, y + 3),
                  shorten(name, size, width - size - 8),
                  font=load_font(size),
                  fill=INK)
    return np.array(picture)
