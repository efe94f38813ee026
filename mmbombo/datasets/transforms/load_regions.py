# Copyright (c) mmbombo contributors.
"""Loading and packing regions.

Until they are packed, superpixels are a map ``gt_superpixels`` of codes, which
moves with the image as masks do. What transforms fill with 0 or, as they do
with masks, with 255 is no superpixel; so no code is one of these.
"""
import inspect
from typing import List, Optional, Sequence

import cv2
import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmdet.structures import DetDataSample
from mmseg.datasets.transforms import Resize

from mmbombo.registry import ANNOTATION_PACKERS, TRANSFORMS
from mmbombo.structures import IGNORE_INDEX, REGIONS, Regions, check_kinds
from mmbombo.weak_labels import (RegionCache, RegionProposals, fit_regions,
                                 propose_regions)
from ..errors import DatasetError
from .recorded_moves import frame_of, move_superpixels

REMEDY = ("use mmseg's or mmdet's transforms, with their prefix: mmcv's of "
          'the same names do not move it')
#: The code of each superpixel.
CODES = np.delete(np.arange(2**16, dtype=np.uint16), [0, IGNORE_INDEX])


@TRANSFORMS.register_module()
class LoadRegions(BaseTransform):
    """Give an image regions, whatever it is annotated with.

    They are made from the original image, so this comes directly after the
    image is loaded, or its annotations. With a cache they are made once, by
    whichever worker or tool comes first. Superpixels move with the image in
    transforms of MMSegmentation and, in a source, of MMDetection; what is left
    of them makes the boxes when they are packed.

    Added keys: ``gt_superpixels`` (uint16 (H, W)), ``region_pairs`` (int64
    (2, K)), ``min_region_area``; to annotation kinds, if any, ``regions``.

    Args:
        cache_dir (str, optional): Folder in which they are kept under a key
            of image and options. Defaults to None, they are made anew each
            time, which takes about 2 s at 640 pixels.
        min_area (int): What a crop leaves less of is dropped, in pixels of
            the network's input. Defaults to 16.
        **options: Options of
            :func:`mmbombo.weak_labels.propose_regions`.
    """

    def __init__(self,
                 cache_dir: Optional[str] = None,
                 min_area: int = 16,
                 **options) -> None:
        # with its defaults, which are part of the key
        recipe = inspect.signature(propose_regions).bind(None, **options)
        recipe.apply_defaults()
        self.options = {**recipe.arguments}
        del self.options['image']
        self.cache = None if cache_dir is None else RegionCache(cache_dir)
        self.min_area = min_area

    def adds_kinds(self, kinds: Sequence[str]) -> List[str]:
        """Kinds that images of some annotation kinds get."""
        return [] if REGIONS in kinds else [REGIONS]

    def transform(self, results: dict) -> dict:
        """Add the regions of one sample."""
        shape = results['img'].shape[:2]
        if shape != tuple(results['ori_shape'][:2]):
            raise DatasetError(
                'LoadRegions must come before all that changes the image: '
                'regions are made from the original image')
        found = self.proposals(results['img'].astype(np.uint8, copy=False))
        if found.superpixels.shape != shape:
            raise DatasetError(
                f'{results.get("img_path")}: the regions in {self.cache.root} '
                'under its key are of an image of another size; remove that '
                'folder, and they are made anew')
        results['gt_superpixels'] = CODES[found.superpixels]
        results['unflipped_superpixels'] = results['gt_superpixels']
        results['region_pairs'] = found.pairs.astype(np.int64)
        results['superpixels_frame'] = frame_of(results)
        results['min_region_area'] = self.min_area
        results.setdefault('seg_fields', []).append('gt_superpixels')
        if 'annotation_kinds' in results:
            results['annotation_kinds'] = check_kinds(
                {*results['annotation_kinds'], REGIONS})
        return results

    def proposals(self, image: np.ndarray) -> RegionProposals:
        """Regions of an image, from the cache if they are there."""
        if self.cache is None:
            return propose_regions(image, **self.options)
        key = self.cache.key(image, self.options)
        found = self.cache.get(key)
        if found is None:
            found = propose_regions(image, **self.options)
            self.cache.put(key, found)
        return found


@TRANSFORMS.register_module()
class PackRegions(BaseTransform):
    """Pack regions, as ``regions``, beside what MMSegmentation packs.

    PackMultiTaskInputs packs them by itself.
    """

    def __init__(self) -> None:
        self.packer = TRANSFORMS.build(dict(type='mmseg.PackSegInputs'))

    def transform(self, results: dict) -> dict:
        """Pack ``inputs`` and ``data_samples``."""
        packed = self.packer(results)
        pack_regions(results, packed['data_samples'])
        return packed


@TRANSFORMS.register_module()
class RegionResize(Resize):
    """MMSegmentation's Resize for images with regions.

    That takes a map's values half a new pixel too far up and left; here
    superpixels stay where the image shows them. Masks are resized as there.
    """

    def _resize_seg(self, results: dict) -> None:
        codes = results.get('gt_superpixels')
        super()._resize_seg(results)
        if codes is not None:
            results['gt_superpixels'] = cv2.resize(
                codes,
                results['img_shape'][1::-1],
                interpolation=cv2.INTER_NEAREST_EXACT)
            if codes is results['unflipped_superpixels']:
                results['unflipped_superpixels'] = results['gt_superpixels']


@ANNOTATION_PACKERS.register_module(name=REGIONS)
def pack_regions(results: dict, sample: DetDataSample) -> None:
    """Pack them as :obj:`Regions`, without what is not seen any more."""
    fitted = fit_regions(
        superpixels_of(results), results['region_pairs'],
        results['min_region_area'])
    sample.regions = Regions(
        bboxes=torch.from_numpy(fitted.boxes),
        pairs=torch.from_numpy(fitted.pairs),
        superpixels=torch.from_numpy(fitted.superpixels))
    sample.regions.num_superpixels  # counted here, it travels along


def superpixels_of(results: dict) -> np.ndarray:
    """Numbers int64 (H, W) of superpixels where the image is now, -1 where
    there is none."""
    if 'gt_superpixels' not in results:
        raise DatasetError(
            f'{results.get("img_path")} has no regions: put LoadRegions behind'
            ' the loading of the image, before all that changes it')
    codes = move_superpixels(results)['gt_superpixels']
    if codes.shape != results['img'].shape[:2]:
        raise DatasetError(
            f'{results.get("img_path")}: the map of superpixels is '
            f'{codes.shape[::-1]} but the image is '
            f'{results["img"].shape[1::-1]}: a transform moves only one of '
            f'them; {REMEDY}')
    # a crop is a view, a flipped map a copy
    unflipped = results['unflipped_superpixels']
    if results.get('flip') and (codes is unflipped or codes.base is unflipped):
        raise DatasetError(
            f'{results.get("img_path")}: the image is flipped, but the map of '
            f'superpixels is not; {REMEDY}')
    numbers = codes.astype(np.int64) - 1 - (codes > IGNORE_INDEX)
    numbers[codes == IGNORE_INDEX] = -1
    return numbers
