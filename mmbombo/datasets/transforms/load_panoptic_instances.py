# Copyright (c) mmbombo contributors.
import numpy as np
from mmdet.datasets.transforms import LoadAnnotations

from mmbombo.registry import TRANSFORMS
from mmbombo.structures import IGNORE_INDEX
from ..errors import DatasetError
from ..image_size import open_image


@TRANSFORMS.register_module()
class LoadPanopticInstances(LoadAnnotations):
    """Boxes and masks of the instances, the map of a panoptic PNG.

    mmdet's ``LoadPanopticAnnotations`` takes masks from the PNG, too, where
    they never overlap, and asks for panopticapi. Where no image is loaded,
    a blank one takes its place, for transforms that look at its size.
    """

    def __init__(self, with_mask: bool = True, **kwargs) -> None:
        super().__init__(with_mask=with_mask, with_seg=True, **kwargs)

    def transform(self, results: dict) -> dict:
        """Add what :class:`mmdet.LoadAnnotations` does."""
        if 'img' not in results:
            shape = results['height'], results['width']
            results.update(
                img=np.zeros((*shape, 1), np.uint8),
                img_shape=shape,
                ori_shape=shape)
        return super().transform(results)

    def _load_seg_map(self, results: dict) -> None:
        with open_image(results['seg_map_path'], 'panoptic map',
                        self.backend_args) as png:
            ids = np.asarray(png.convert('RGB'), np.int64) @ (1, 256, 256**2)
        seg_map = np.full(ids.shape, IGNORE_INDEX, np.uint8)
        for segment in results['segments_info']:
            if segment['category'] >= IGNORE_INDEX:
                raise DatasetError(
                    f"{results['seg_map_path']}: class {segment['category']}, "
                    f'but a map has room for {IGNORE_INDEX} classes')
            seg_map[ids == segment['id']] = segment['category']
        results['gt_seg_map'] = seg_map
        results['ignore_index'] = IGNORE_INDEX
