# Copyright (c) mmbombo contributors.
"""Pseudo masks from a network's own predictions, filtered by the boxes.

The variant of Box-for-Mask that looks at what the network sees (our
reconstruction; the paper only says that a coarse mask is filtered by what the
boxes say). Its rules, for each pixel, the first that applies:

1. In no box: the prepared mask, which is background there for certain (or
   ignored, where it is padding).
2. In a box that is left without any pixel, where the prepared mask shows a
   class of that box: the prepared mask.
3. The predicted class is a class of a box that covers the pixel: it is kept.
4. In a box that is left without any pixel: the prepared mask.
5. Otherwise ignored.

A box that says nothing, such as a difficult one, is left with nothing to find
and keeps no pixel; the others keep theirs inside it.

Which boxes cover a pixel is a set of bits, one per box: those of its row and
those of its column. So the work is linear in the pixels for up to 62 boxes in
an image, without a loop over boxes, and nothing waits for the device.
"""
from typing import Tuple

import torch
import torch.nn.functional as F
from torch import Tensor

from mmbombo.structures import IGNORE_INDEX
from .covered_cells import covered_lines, pixel_centers

#: Boxes in one int64, which keeps clear of the sign.
_BITS = 62
#: Values of a segmentation map.
_NUM_IDS = 256


@torch.no_grad()
def filter_predictions(predicted: Tensor, prepared: Tensor, boxes: Tensor,
                       agrees: Tensor) -> Tuple[Tensor, Tensor]:
    """Keep what a prediction and the boxes agree on.

    A pixel belongs to a box if its center does, as in
    :func:`mmbombo.weak_labels.boxes_to_mask`.

    Args:
        predicted (Tensor): ``(N, H, W)`` int64, predicted segmentation ids.
        prepared (Tensor): ``(N, H, W)`` int64, masks made from the boxes
            before; 255 is ignored.
        boxes (Tensor): ``(N, K, 4)`` in pixels; empty where there is none.
        agrees (Tensor): ``(N, K, S)`` bool, the box shows an object of
            segmentation id s; all false for boxes that say nothing.

    Returns:
        tuple[Tensor, Tensor]: ``(N, H, W)`` int64 masks, and ``(N, K)`` bool,
        the boxes left without a pixel.
    """
    cover = _cover(boxes, predicted.shape[1:])  # (N, B, H, W)
    table = _to_bits(F.pad(agrees, (0, _NUM_IDS - agrees.size(2))))

    hits = cover & _look_up(table, predicted)
    found = _from_bits(_any_pixel(hits), boxes.size(1))
    empty = agrees.any(dim=2) & ~found
    in_empty = cover & _to_bits(empty[..., None])[..., None]
    owned = in_empty & _look_up(table, prepared)

    mask = torch.where(_some(in_empty), prepared, IGNORE_INDEX)
    mask = torch.where(_some(hits), predicted, mask)
    mask = torch.where(_some(owned) | ~_some(cover), prepared, mask)
    return mask, empty


def _cover(boxes: Tensor, size: Tuple[int, int]) -> Tensor:
    """``(N, B, H, W)`` int64: the boxes that cover each pixel."""
    in_x, in_y = covered_lines(boxes, *pixel_centers(size, boxes.device))
    return _to_bits(in_y)[..., :, None] & _to_bits(in_x)[..., None, :]


def _to_bits(flags: Tensor) -> Tensor:
    """Pack ``(N, K, X)`` bool as ``(N, B, X)`` int64, box by box."""
    num_words = max(1, -(-flags.size(1) // _BITS))
    flags = F.pad(flags, (0, 0, 0, num_words * _BITS - flags.size(1)))
    shift = torch.arange(_BITS, device=flags.device)[:, None]
    words = flags.unflatten(1, (num_words, _BITS)).long()
    return (words << shift).sum(dim=2)


def _from_bits(words: Tensor, num: int) -> Tensor:
    """Unpack ``(N, B)`` int64 as ``(N, num)`` bool."""
    shift = torch.arange(_BITS, device=words.device)
    bits = (words[..., None] >> shift) & 1
    return bits.flatten(1)[:, :num].bool()


def _look_up(table: Tensor, ids: Tensor) -> Tensor:
    """Entries ``(N, B, H, W)`` of a table ``(N, B, 256)``."""
    index = ids.flatten(1)[:, None].expand(-1, table.size(1), -1)
    return table.gather(2, index).unflatten(2, ids.shape[1:])


def _some(words: Tensor) -> Tensor:
    """``(N, H, W)`` bool: a bit of ``(N, B, H, W)`` is set."""
    return (words != 0).any(dim=1)


def _any_pixel(words: Tensor) -> Tensor:
    """Bits ``(N, B)`` that some pixel of ``(N, B, H, W)`` has.

    torch has no such reduction, so the pixels are folded in halves.
    """
    words = words.flatten(2)
    while words.size(2) > 1:
        half = (words.size(2) + 1) // 2
        second = words[..., half:]
        second = F.pad(second, (0, half - second.size(2)))
        words = words[..., :half] | second
    return words.squeeze(2)
