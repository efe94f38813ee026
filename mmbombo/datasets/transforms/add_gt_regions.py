# Copyright (c) mmbombo contributors.
import cv2
import numpy as np
from mmcv.transforms import BaseTransform

from mmbombo.registry import TRANSFORMS
from mmbombo.structures import IGNORE_INDEX
from .load_regions import superpixels_of

#: IoU of pixels with a true region, for a proposal to stay; and the share of
#: its pixels for a superpixel to belong to a true region.
MIN_IOU, MIN_COVER = .1, .5


@TRANSFORMS.register_module()
class AddGTRegions(BaseTransform):
    """Regions that E2S2 trains on: those like the truth, and the truth.

    It comes after augmentation and directly before the packing. The true
    regions are the 8-connected components of each class of ``gt_seg_map``.
    Proposals that overlap none of them are dropped, and each true region is
    added behind, as the superpixels that it covers the most of. An image
    without any label passes unchanged.

    Source: Caesar et al., "Region-Based Semantic Segmentation with End-to-End
    Training", ECCV 2016, and its code.

    """

    def transform(self, results: dict) -> dict:
        """Change the regions of one sample."""
        true, count = components(results['gt_seg_map'])
        if not count:
            return results
        numbers, pairs = superpixels_of(results), results['region_pairs']
        total = 1 + max(numbers.max(), pairs[1].max(initial=0))
        # pixels that a superpixel, or none, shares with a component, or none
        shared = np.bincount(
            ((numbers + 1) * (count + 1) + true).ravel(),
            minlength=(total + 1) * (count + 1))
        shared = shared.reshape(total + 1, count + 1)[1:].astype(np.float32)
        held = np.zeros((1 + pairs[0].max(initial=-1), total), np.float32)
        held[tuple(pairs)] = 1
        inside = held @ shared
        areas = np.bincount(true.ravel(), minlength=count + 1)
        union = inside.sum(1, keepdims=True) + areas - inside
        kept = (inside >= MIN_IOU * union)[:, 1:].any(1)
        size = shared.sum(1, keepdims=True)
        covered = ((shared >= MIN_COVER * size) & (size > 0))[:, 1:].T
        region, member = np.nonzero(
            np.concatenate([(held > 0) & kept[:, None], covered]))
        results['region_pairs'] = np.stack([region, member])
        return results


def components(seg_map: np.ndarray) -> tuple:
    """8-connected components of each class, 1.. in an int64 map (H, W), 0
    where pixels are ignored, and their number."""
    numbers, count = np.zeros(seg_map.shape, np.int64), 0
    for label in np.setdiff1d(seg_map, [IGNORE_INDEX]):
        found, part = cv2.connectedComponents(
            (seg_map == label).astype(np.uint8), connectivity=8)
        numbers += np.where(part > 0, part + count, 0)
        count += found - 1
    return numbers, count
