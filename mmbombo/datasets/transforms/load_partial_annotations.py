# Copyright (c) mmbombo contributors.
from typing import Optional, Sequence

import cv2
import numpy as np
from mmdet.datasets.transforms import LoadAnnotations

from mmbombo.registry import ANNOTATION_LOADERS, TRANSFORMS
from mmbombo.structures import BBOX, IGNORE_INDEX, SEM_SEG
from ..boxes import fit_instances
from ..errors import DatasetError
from ..image_size import open_image
from ..labelme_dataset import paint_shapes
from ..seg_ids import (colors_to_ids, describe_unknown_ids, read_index_map,
                       unknown_ids)
from ..unlisted_categories import unlisted_instances

#: Modes of a mask with one number per pixel.
MASK_MODES = ('P', 'L')


@TRANSFORMS.register_module()
class LoadPartialAnnotations(LoadAnnotations):
    """Load the annotations that the image's kinds name, and no others.

    How a kind is loaded is registered in ``ANNOTATION_LOADERS``.

    MMDetection's ``LoadAnnotations`` gives every image boxes, if only zero
    of them, decodes palette masks to colors and leaves a map out silently
    when there is no file. Here an image without the kind ``bbox`` gets no
    box keys, and a mask is read as ids, translated by the data set's table
    and checked.

    Added keys: with ``bbox`` ``gt_bboxes``, ``gt_bboxes_labels`` and
    ``gt_ignore_flags``, boxes of unlisted categories included, which are to
    be ignored and have the label :data:`UNLISTED_LABEL`; with ``sem_seg``
    ``gt_seg_map`` (uint8 (H, W)) and ``ignore_index``.

    Args:
        backend_args (dict, optional): File backend. Defaults to None.
    """

    def __init__(self, backend_args: Optional[dict] = None) -> None:
        super().__init__(
            with_bbox=True,
            with_label=True,
            with_seg=True,
            imdecode_backend='pillow',
            box_type='hbox',
            backend_args=backend_args)

    def transform(self, results: dict) -> dict:
        """Load what the kinds name."""
        if 'sample_idx' not in results:
            # of no data set: MMDetection's inferencer hands in an image
            results.setdefault('annotation_kinds', ())
        if 'annotation_kinds' not in results:
            raise DatasetError(
                f'{results.get("img_path")}: its data set does not declare '
                'annotation kinds; wrap it in PartialAnnotationDataset')
        for kind in results['annotation_kinds']:
            load = ANNOTATION_LOADERS.module_dict.get(kind)
            if load is not None:
                load(self, results)
        return results

    @ANNOTATION_LOADERS.register_module(name=BBOX)
    def load_boxes(self, results: dict) -> None:
        """Read boxes; unlisted ones too, which are to be ignored."""
        # They move with the image, but metrics do not count them.
        instances = fit_instances(results)
        results['instances'] = instances + unlisted_instances(results)
        self._load_bboxes(results)
        self._load_labels(results)
        results['instances'] = instances

    @ANNOTATION_LOADERS.register_module(name=SEM_SEG)
    def load_map(self, results: dict) -> None:
        """Read a mask as ids of the segmentation classes."""
        path = results['seg_map_path']
        if path.endswith('.json'):
            seg_map = paint_shapes(path, results['seg_classes'],
                                   results['ori_shape'])
        elif 'index_classes' in results:
            seg_map = read_index_map(path, results['index_classes'])
        else:
            seg_map = self._read_ids(path, results.get('seg_colors'))
        if seg_map.shape != tuple(results['ori_shape']):
            height, width = results['ori_shape']
            raise DatasetError(
                f'{path}: the mask is {seg_map.shape[1]}x{seg_map.shape[0]} '
                f'but its image is {width}x{height}')
        table = results['seg_id_table']
        ids = np.flatnonzero(np.bincount(seg_map.ravel(), minlength=256))
        unknown = unknown_ids(ids, table)
        if unknown:
            raise DatasetError(
                describe_unknown_ids(path, unknown, results['seg_classes']))
        if (table[ids] != ids).any():
            seg_map = cv2.LUT(seg_map, table.astype(np.uint8))
        results['gt_seg_map'] = seg_map
        results['ignore_index'] = IGNORE_INDEX

    def _read_ids(self,
                  path: str,
                  colors: Optional[Sequence] = None) -> np.ndarray:
        with open_image(path, 'mask', self.backend_args) as mask:
            if colors:
                return colors_to_ids(path, np.array(mask.convert('RGB')),
                                     colors)
            if mask.mode not in MASK_MODES:
                raise DatasetError(
                    f'{path}: the mask is stored as {mask.mode} pixels, where '
                    'an 8-bit palette (P) or gray (L) image with one class id '
                    'per pixel is due; name the colors in `seg_colors`')
            return np.array(mask)
