# Copyright (c) mmbombo contributors.
import cv2
from mmseg.datasets.transforms import Resize

from mmbombo.registry import TRANSFORMS


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
