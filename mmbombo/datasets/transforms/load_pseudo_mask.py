# Copyright (c) mmbombo contributors.
from pathlib import Path
from typing import Optional, Tuple, Union

import numpy as np
from mmcv.transforms import BaseTransform

from mmbombo.registry import TRANSFORMS
from mmbombo.structures import BBOX, IGNORE_INDEX, SEM_SEG, ClassMap
from mmbombo.weak_labels import (PseudoMask, PseudoMaskCache, boxes_to_mask,
                                 check_method)
from mmbombo.weak_labels.prompted import key_options
from ..errors import DatasetError


@TRANSFORMS.register_module()
class LoadPseudoMask(BaseTransform):
    """Give an image that has boxes but no mask a pseudo mask.

    The mask is made from the original image and all its boxes, so this comes
    directly after the annotations are loaded; as ``gt_seg_map`` it moves with
    the image from then on. With a cache it is made once, by whichever worker
    or tool comes first. Other images pass unchanged.

    Added keys: ``gt_seg_map`` (uint8 (H, W)), the number of a set of
    candidate classes at each pixel, ``ignore_index``, ``pseudo_classes``
    (bool (T, S)), the sets, and ``seg_map_is_pseudo=True``, by which it is
    packed as a pseudo label.

    Args:
        class_map (dict | ClassMap): Relation of the classes, as the model's.
        method (str): How it is made, see
            :data:`mmbombo.weak_labels.METHODS`. Defaults to
            'grabcut_ignore'.
        rejected (str): What the pixels of a box that do not show its object
            may show: 'candidates', its class or what may be outside;
            'ignore', anything. Defaults to 'candidates'.
        hard_labels (bool): Whether each pixel has one class or none: several
            candidates are ignored, and boxes of a class that several
            segmentation classes show are painted with the first, as in
            version 0.1. Defaults to False.
        cache_dir (str, optional): Folder in which masks are kept under a key
            of image file, boxes, method and the files of its model. Defaults
            to None, they are made anew each time.
        **options: Options of the method, see
            :func:`mmbombo.weak_labels.boxes_to_mask`.

    Raises:
        UserError: If the method or an option is unknown, or there is no such
            model.
    """

    def __init__(self,
                 class_map: Union[dict, ClassMap],
                 method: str = 'grabcut_ignore',
                 rejected: str = 'candidates',
                 hard_labels: bool = False,
                 cache_dir: Optional[str] = None,
                 **options) -> None:
        check_method(method, rejected, options)
        if not isinstance(class_map, ClassMap):
            class_map = ClassMap(**class_map)
        self.class_map = class_map
        self.method = method
        self.rejected = 'ignore' if hard_labels else rejected
        self.hard_labels = hard_labels
        self.cache = None if cache_dir is None else PseudoMaskCache(cache_dir)
        self.options = options
        self.key_options = (
            key_options(**options) if 'checkpoint' in options else options)

    def transform(self, results: dict) -> dict:
        """Add the pseudo mask of one sample."""
        kinds = results['annotation_kinds']
        if BBOX not in kinds or SEM_SEG in kinds:
            return results
        if results['img'].shape[:2] != tuple(results['ori_shape']):
            raise DatasetError(
                'LoadPseudoMask must come directly after '
                'LoadPartialAnnotations: the pseudo mask is made from the '
                'original image, which an earlier transform has changed')
        mask = self.pseudo_mask(results)
        results['gt_seg_map'] = mask.numbers
        results['pseudo_classes'] = mask.classes
        results['ignore_index'] = IGNORE_INDEX
        results['seg_map_is_pseudo'] = True
        return results

    def pseudo_mask(self, results: dict) -> PseudoMask:
        """The pseudo mask of a loaded image, from the cache if it is there."""
        recipe = (results['gt_bboxes'].tensor.numpy(),
                  results['gt_bboxes_labels'], results['gt_ignore_flags'],
                  *self._class_tables(results), self.method, self.rejected)
        if self.cache is None:
            return boxes_to_mask(results['img'], *recipe, **self.options)
        key = self.cache.key(
            Path(results['img_path']).read_bytes(), *recipe, self.key_options)
        mask = self.cache.get(key)
        if mask is None:
            mask = boxes_to_mask(results['img'], *recipe, **self.options)
            self.cache.put(key, mask)
        return mask

    def _class_tables(self, results: dict) -> Tuple[np.ndarray, np.ndarray]:
        """``compatible`` (S, D) and ``outside`` (S,) bool of an image."""
        compatible = self.class_map.compatible.numpy()
        ids = np.arange(len(compatible))
        outside = np.isin(ids, self.class_map.outside_ids)
        if outside.any():  # else it is unknown what is there
            incomplete = list(results.get('incomplete_labels', ()))
            outside |= compatible[:, incomplete].any(axis=1)
        if self.hard_labels:
            compatible = ids[:, None] == self.class_map.det_to_seg.numpy()
            is_background = ids == self.class_map.background_id
            outside &= np.array_equal(outside, is_background)
        return compatible, outside
