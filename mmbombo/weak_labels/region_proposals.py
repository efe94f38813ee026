# Copyright (c) mmbombo contributors.
"""Superpixels, and regions that are grouped of them, as Selective Search does.

Sources: Felzenszwalb and Huttenlocher, "Efficient Graph-Based Image
Segmentation", IJCV 2004; Uijlings et al., "Selective Search for Object
Recognition", IJCV 2013.
"""
import heapq
from typing import List, NamedTuple, Sequence, Tuple

import cv2
import numpy as np

from mmbombo.utils import UserError
from .membership import measure

#: Bins of the colors of a channel, and of its slopes in each direction.
COLOR_BINS, SLOPE_BINS, DIRECTIONS = 25, 10, 8
#: As many as 16 bits can number the regions of.
MAX_SUPERPIXELS = 2**14
COLOR_SPACES = dict(
    rgb=cv2.COLOR_BGR2RGB, hsv=cv2.COLOR_BGR2HSV_FULL, lab=cv2.COLOR_BGR2LAB)
#: By what superpixels are grouped, besides size and fill.
CUES = (*COLOR_SPACES, 'texture', 'none')


class RegionProposals(NamedTuple):
    """Superpixels uint16 (H, W), and pairs uint16 (2, K), sorted, of a region
    and a superpixel that it holds; the first region is the whole image."""
    superpixels: np.ndarray
    pairs: np.ndarray


def propose_regions(image: np.ndarray,
                    k: float = 50,
                    sigma: float = .8,
                    min_size: int = 25,
                    color_space: str = 'lab',
                    cues: Sequence[str] = ('lab', 'hsv', 'texture', 'none'),
                    max_regions: int = 2000,
                    max_side: int = 640) -> RegionProposals:
    """Group the superpixels of an image in several ways.

    By size and fill and, once each, by what ``cues`` name beside. The regions
    of all groupings, without repetition, come in the order of their merging
    from the last on, so those in front are large; those whose boxes repeat one
    before come last.

    The defaults find more small objects than what is published for E2S2: k and
    min_size 100, color_space 'rgb', cues 'rgb' and 'texture'.

    Args:
        image (np.ndarray): BGR uint8 (H, W, 3).
        k (float): How large the superpixels are. Defaults to 50.
        sigma (float): Of the Gaussian before, in pixels. Defaults to 0.8.
        min_size (int): Of superpixels, in pixels. Defaults to 25.
        color_space (str): Of superpixels and texture, 'rgb', 'hsv' or 'lab'.
            Defaults to 'lab'.
        cues (Sequence[str]): Out of 'texture', 'none', and color spaces, in
            which color and texture count. Defaults to ('lab', 'hsv',
            'texture', 'none').
        max_regions (int): Further ones are left out. Defaults to 2000.
        max_side (int): A larger image is scaled to this before, which bounds
            time and memory. Defaults to 640.
    """
    if color_space not in COLOR_SPACES or not {*cues} <= {*CUES}:
        raise UserError(
            f'regions: color_space={color_space!r} has to be one of '
            f'{[*COLOR_SPACES]}, and cues={cues!r} out of {CUES}')
    height, width = image.shape[:2]
    scale = min(1, max_side / max(height, width))
    small = cv2.resize(
        image, (max(1, round(scale * width)), max(1, round(scale * height))),
        interpolation=cv2.INTER_AREA)
    views = {x: cv2.cvtColor(small, y) for x, y in COLOR_SPACES.items()}
    numbers = superpixels(views[color_space], k, sigma, min_size)
    areas, extents = measure(numbers, numbers.max() + 1)
    if len(areas) > MAX_SUPERPIXELS:
        raise UserError(
            f'an image has {len(areas)} superpixels, of {MAX_SUPERPIXELS} at '
            'most; set a smaller max_side or a larger min_size of regions')
    edges, groupings = touching(numbers), []
    for cue in cues:
        colors, slopes = histograms(
            views.get(cue, views[color_space]), numbers)
        features = dict(
            texture=slopes,
            none=slopes[:, :0]).get(cue, np.concatenate([colors, slopes], 1))
        groupings.append(group(features, areas, extents, edges))
    numbers = cv2.resize(
        numbers.astype(np.uint16), (width, height),
        interpolation=cv2.INTER_NEAREST_EXACT)
    return RegionProposals(numbers, membership(groupings, extents,
                                               max_regions))


def superpixels(image: np.ndarray, k: float, sigma: float,
                min_size: int) -> np.ndarray:
    """Numbers (H, W) of connected pixels, by Felzenszwalb and Huttenlocher."""
    try:
        from skimage.segmentation import felzenszwalb
    except ImportError as error:
        raise UserError(
            'regions need scikit-image: pip install scikit-image') from error
    return felzenszwalb(
        image, scale=k, sigma=sigma, min_size=min_size, channel_axis=-1)


def touching(numbers: np.ndarray) -> np.ndarray:
    """Pairs (E, 2) of superpixels that share an edge of a pixel."""
    pairs = np.concatenate([
        np.stack([numbers[1:].ravel(), numbers[:-1].ravel()]),
        np.stack([numbers[:, 1:].ravel(), numbers[:, :-1].ravel()])
    ], 1)
    low, high = np.sort(pairs[:, pairs[0] != pairs[1]], 0)
    count = numbers.max() + 1
    return np.stack(np.divmod(np.unique(low * count + high), count), 1)


def histograms(image: np.ndarray,
               numbers: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """Of superpixels, the colors (S, 75) and slopes (S, 240), of sum 1."""
    smooth = cv2.GaussianBlur(image.astype(np.float32), (0, 0), 1)
    slopes: List[np.ndarray] = []
    dx, dy = (cv2.Sobel(smooth, cv2.CV_32F, *x) for x in ((1, 0), (0, 1)))
    for angle in np.arange(DIRECTIONS) * (2 * np.pi / DIRECTIONS):
        slope = np.maximum(np.cos(angle) * dx + np.sin(angle) * dy, 0)
        top = slope.max((0, 1)) + 1e-6
        slopes.append((slope * (SLOPE_BINS * (1 - 1e-6) / top)))
    colors = image.astype(np.int64) * COLOR_BINS // 256
    return (_count(colors, numbers, COLOR_BINS),
            _count(
                np.concatenate(slopes, 2).astype(np.int64), numbers,
                SLOPE_BINS))


def _count(bins: np.ndarray, numbers: np.ndarray, num_bins: int) -> np.ndarray:
    """Histograms (S, C x B) of maps (H, W, C) of bins."""
    count = numbers.max() + 1
    tables = [
        np.bincount(
            (numbers * num_bins + bins[..., i]).ravel(),
            minlength=count * num_bins).reshape(count, num_bins)
        for i in range(bins.shape[2])
    ]
    table = np.concatenate(tables, 1).astype(np.float32)
    return table / table.sum(1, keepdims=True)


def group(features: np.ndarray, areas: np.ndarray, extents: np.ndarray,
          edges: np.ndarray) -> np.ndarray:
    """Merge the two most similar neighbors until there is no more.

    Of features (S, F), whose intersection counts, areas (S, ), extents (S, 4)
    and edges (E, 2) of what touches. Returns pairs (M, 2); S + i is the result
    of the i-th.
    """
    count, total = len(areas), areas.sum()
    features, areas, extents = (
        np.concatenate([x, np.zeros_like(x)[1:]])
        for x in (features, areas.astype(np.float32), extents))
    near = [set() for _ in areas]
    for a, b in edges.tolist():
        near[a].add(b)
        near[b].add(a)

    def queued(a, b):
        """Pairs and what they lack in similarity, which is color, texture,
        size, 1 - (a + b) / total, and fill, 1 - (box - a - b) / total."""
        box = np.minimum(extents[a], extents[b])
        box = (box[:, 0] + box[:, 2]) * (box[:, 1] + box[:, 3])
        alike = np.minimum(features[a], features[b]).sum(1)
        lack = box / total - alike
        return zip(lack.tolist(), a.tolist(), b.tolist())

    queue = list(queued(*edges.T))
    heapq.heapify(queue)
    mergers: List[Tuple[int, int]] = []
    while queue:
        _, a, b = heapq.heappop(queue)
        if near[a] is None or near[b] is None:  # merged before
            continue
        new = count + len(mergers)
        mergers.append((a, b))
        areas[new] = areas[a] + areas[b]
        features[new] = (areas[a] * features[a] +
                         areas[b] * features[b]) / areas[new]
        extents[new] = np.minimum(extents[a], extents[b])
        near[new] = (near[a] | near[b]) - {a, b}
        near[a] = near[b] = None
        for other in near[new]:
            near[other] = near[other] - {a, b} | {new}
        if near[new]:
            others = np.array(list(near[new]))
            for entry in queued(others, np.full_like(others, new)):
                heapq.heappush(queue, entry)
    return np.array(mergers, np.int64).reshape(-1, 2)


def membership(groupings: Sequence[np.ndarray], extents: np.ndarray,
               max_regions: int) -> np.ndarray:
    """Pairs uint16 (2, K) of the regions of some groupings.

    Without repetition: the results of mergers, the last of each grouping
    first, and the superpixels; of these, those with boxes of their own first.
    """
    # equal sums of random numbers mean the same members
    count = len(extents)
    codes = np.random.RandomState(0).randint(2**40, size=count)
    # a region is a stretch of one of the rows, the leaves of a tree in order
    rows = [np.arange(count)]
    tables = [np.stack([codes, rows[0], rows[0] * 0 + 1, rows[0] * 0 + count])]
    for mergers in groupings:
        code, size = codes.tolist(), [1] * count
        for a, b in mergers.tolist():
            code.append(code[a] + code[b])
            size.append(size[a] + size[b])
        start = [0] * len(size)
        for new in reversed(range(count, len(size))):
            a, b = mergers[new - count]
            start[a], start[b] = start[new], start[new] + size[a]
        rows.append(np.argsort(start[:count]))
        table = np.array([code, start, size, np.arange(len(size))[::-1]])
        table[1] += count * (len(rows) - 1)
        tables.append(table[:, count:])
    table = np.concatenate(tables, 1)
    table = table[:, np.argsort(table[3], kind='stable')]
    table = table[:, np.sort(np.unique(table[0], return_index=True)[1])]
    members = _members(np.concatenate(rows), *table[1:3])
    boxes = np.minimum.reduceat(extents[members[1]],
                                np.cumsum(table[2]) - table[2])
    table = table[:, distinct_first(boxes * [1, 1, -1, -1], max_regions)]
    pairs = _members(np.concatenate(rows), *table[1:3])
    return pairs[:, np.lexsort(pairs[::-1])].astype(np.uint16)


def _members(row: np.ndarray, start: np.ndarray,
             size: np.ndarray) -> np.ndarray:
    """Pairs (2, K) of regions that are stretches of a row."""
    region = np.repeat(np.arange(len(size)), size)
    before = np.cumsum(size) - size
    return np.stack(
        [region, row[np.arange(len(region)) + (start - before)[region]]])


def distinct_first(boxes: np.ndarray,
                   limit: int,
                   max_iou: float = .8) -> np.ndarray:
    """Indices of at most so many boxes (R, 4), those in front that overlap no
    box before by more than an IoU, and the others if there is room."""
    kept = np.zeros(len(boxes), bool)
    sizes = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    front = np.zeros((0, 5))
    for i, (box, size) in enumerate(zip(boxes, sizes)):
        inside = (np.minimum(front[:, 2:4], box[2:]) -
                  np.maximum(front[:, :2], box[:2])).clip(0).prod(1)
        if (inside <= max_iou * (front[:, 4] + size - inside)).all():
            kept[i] = True
            front = np.concatenate([front, [[*box, size]]])
            if len(front) == limit:
                break
    return np.concatenate([np.flatnonzero(kept),
                           np.flatnonzero(~kept)])[:limit]
