# Copyright (c) mmbombo contributors.
import math
from collections import Counter
from functools import partial
from typing import Iterable, NamedTuple, Optional, Sequence, Tuple, Union

import mmcv
import numpy as np
import torch
from mmdet.structures import SampleList
from mmengine.dataset import BaseDataset, pseudo_collate
from mmengine.logging import print_log
from torch import Tensor, nn

from mmbombo.datasets.boxes import clip_box
from mmbombo.datasets.checks.image_size_check import find_doubt
from mmbombo.datasets.errors import DatasetError
from mmbombo.datasets.image_size import read_image_size
from mmbombo.datasets.posed_rgbd_dataset import read_boxes
from mmbombo.datasets.source_tree import leaf_datasets
from mmbombo.datasets.transforms.load_depth import camera_of, depth_of
from mmbombo.registry import TASK_UTILS
from mmbombo.structures import IGNORE_INDEX, ClassMap
from mmbombo.utils import UserError
from mmbombo.visualization import class_styles
from mmbombo.weak_labels import boxes_to_mask
from mmbombo.weak_labels.crf import crf_params
from mmbombo.weak_labels.multiview import (BoxVoteObjectness, View,
                                           keep_in_boxes, point_cloud,
                                           render_point_scores,
                                           scores_to_pseudo_label)
from .mask_writer import MaskWriter

#: A scene whose half is farther away, in meters, is in another unit.
FARTHEST = 20.


class ScenePoints(NamedTuple):
    """Points ``(N, 3)`` of a scene and their scores ``(N, C)``."""
    points: Tensor
    scores: Tensor


class Boxes(NamedTuple):
    """Boxes ``(M, 4)`` of a frame, their classes ``(M, )``, and where no box
    is to be ignored ``(H, W)``."""
    boxes: Tensor
    labels: Tensor
    certain: Tensor


@TASK_UTILS.register_module()
class MultiViewMasks(MaskWriter):
    """Masks of all frames of scenes from boxes on some, and depth and poses.

    See :mod:`mmbombo.weak_labels.multiview`. The data set is a
    :class:`PosedRGBDDataset` that declares 'depth' and 'pose'; its
    ``seg_classes`` are 'background' and then its ``classes``.

    Args:
        boxes (str): COCO file of boxes. The frames that it lists have all
            theirs; of others none is known. What is in a crowd is not known
            in its frame.
        method (str): What a frame with boxes votes for at a pixel. 'grabcut':
            what Box-for-Mask finds there, see :func:`boxes_to_mask`; ours.
            'box': the classes of all boxes there, as in the paper, of which
            only views from other sides leave the object; good values are
            then ``min_views=2, fg_thr=.8, bg_thr=.6``. Defaults to 'grabcut'.
        voxel (float): A point stands for a cube of this side, in meters,
            which bounds the memory: that of the points of one scene. Defaults
            to 0.02.
        min_views (int): See :class:`BoxVoteObjectness`. Defaults to 1.
        fg_thr (float): See :func:`scores_to_pseudo_label`. Defaults to 0.6.
        bg_thr (float): Defaults to 0.4.
        crf (str | dict, optional): Parameters of a CRF, see
            :class:`CRFParams`. Defaults to None.
        weight (float): How much a view with the network's probabilities
            counts beside one with boxes; 0 does without a network, as the
            first stage must. Defaults to 0.05.
        tolerance (float): Meters between a point and the depth of its pixel.
            Defaults to 0.05.
        relative (float): What is added to it, as a share of the distance.
            Defaults to 0.01.
    """

    def __init__(self,
                 boxes: str,
                 method: str = 'grabcut',
                 voxel: float = .02,
                 min_views: int = 1,
                 fg_thr: float = .6,
                 bg_thr: float = .4,
                 crf: Union[str, dict, None] = None,
                 weight: float = .05,
                 tolerance: float = .05,
                 relative: float = .01) -> None:
        if method not in ('box', 'grabcut'):
            raise UserError(f"method={method!r} of MultiViewMasks must be "
                            "'box' or 'grabcut'")
        self.ann_file = boxes
        self.method = method
        self.voxel = voxel
        self.min_views = min_views
        self.thresholds = dict(fg_thr=fg_thr, bg_thr=bg_thr)
        self.crf = None if crf is None else crf_params(crf)
        self.weight = weight
        self.tolerance = dict(tolerance=tolerance, relative=relative)
        #: Why frames, or boxes, do not count, and how many
        self.skipped: Counter = Counter()

    def look_up(self, dataset: BaseDataset) -> None:
        """Read the boxes, and the names and colors of the ids."""
        classes = dataset.metainfo.get('classes', ())
        names = dataset.metainfo.get('seg_classes', ())
        if tuple(names) != ('background', *classes):
            raise UserError(
                "MultiViewMasks: metainfo of the data set must have "
                f"seg_classes=('background', *classes), but has {names} and "
                f'{classes}')
        lacking = {'depth', 'pose'} - {*dataset.annotation_kinds}
        if lacking:
            raise UserError(f'MultiViewMasks: the source {dataset.source!r} '
                            f'does not declare {sorted(lacking)}')
        self.styles = class_styles(dict(dataset.metainfo))[1]
        self.boxes = read_boxes(self.ann_file, classes)
        known = {
            dataset.get_data_info(i)['img_id']
            for i in range(len(dataset))
        }
        if not known & {*self.boxes}:
            raise UserError(
                f'{self.ann_file}: none of its images is one of the data set: '
                f'it has {[*self.boxes][:1]}, that {sorted(known)[:1]}; '
                '`file_name` counts from data_root')
        others = len({*self.boxes} - known)
        if others:
            print_log(
                f'{self.ann_file}: {others} of its {len(self.boxes)} images '
                'are not in the data set',
                logger='current')

    def view(self, dataset: BaseDataset, index: int) -> Optional[View]:
        """Where the pixels of a frame are, or None without depth."""
        info = dataset.get_data_info(index)
        info['ori_shape'] = read_image_size(info['img_path'])
        depth = depth_of(info)
        if not (depth > 0).any():
            return None
        return View(*(torch.from_numpy(x).float()
                      for x in (depth, *camera_of(info))))

    def boxes_of(self, name: str, view: View) -> Optional[Boxes]:
        """Boxes of a frame inside of it, or None if it lists none."""
        if name not in self.boxes:
            return None
        listed, shape = self.boxes[name], view.depth.shape
        doubt = find_doubt((listed['height'], listed['width']), tuple(shape),
                           [x['bbox'] for x in listed['instances']])
        if doubt:
            raise DatasetError(f'{name} in {self.ann_file}: {doubt}')
        boxes, labels = [], []
        certain = torch.ones(shape, dtype=torch.bool)
        for instance in listed['instances']:
            box = clip_box(instance['bbox'], *shape[::-1])
            if box is None:
                self.skipped['boxes outside of the image'] += 1
            elif instance['ignore_flag']:
                self.skipped['crowds'] += 1
                x1, y1, x2, y2 = box
                certain[int(y1):math.ceil(y2), int(x1):math.ceil(x2)] = False
            else:
                boxes.append(box)
                labels.append(instance['bbox_label'])
        return Boxes(
            torch.tensor(boxes).reshape(-1, 4),
            torch.tensor(labels, dtype=torch.long), certain)

    def vote(self,
             dataset: BaseDataset,
             indices: Sequence[int],
             model: Optional[nn.Module] = None) -> ScenePoints:
        """Scores of the points of a scene, whose frames are ``indices``."""
        usable, load = self._usable(dataset,
                                    indices), partial(self.view, dataset)
        points = point_cloud(map(load, usable), self.voxel)
        votes = BoxVoteObjectness(points, len(dataset.metainfo['classes']),
                                  self.min_views, self.weight,
                                  **self.tolerance)
        for i in usable:
            view = load(i)
            found = self.boxes_of(dataset.get_data_info(i)['img_id'], view)
            if found is None:
                continue
            # nothing is seen where there is no depth
            view = view._replace(depth=view.depth * found.certain)
            if self.method == 'box':
                votes.add_view(view, found.boxes, found.labels)
            else:
                ids = self.box_mask(dataset, i, self.method)
                votes.add_mask(view, torch.from_numpy(ids))
        if not (votes.views >= self.min_views).any():
            self.skipped['scenes without a point that '
                         f'{self.min_views} boxed views see'] += 1
        for i in usable if model is not None and self.weight else ():
            votes.add_posteriors(load(i), posteriors(model, dataset, i))
        return ScenePoints(points, votes.settled())

    def _usable(self, dataset: BaseDataset,
                indices: Sequence[int]) -> Sequence[int]:
        """Frames with depth; a wrong scale is refused."""
        medians = {}
        for i in indices:
            view = self.view(dataset, i)
            if view is not None:
                medians[i] = view.depth[view.depth > 0].median().item()
        self.skipped['frames without depth'] += len(indices) - len(medians)
        if medians and np.median([*medians.values()]) > FARTHEST:
            raise UserError(
                f'{dataset.get_data_info(indices[0])["scene"]}: half of it is '
                f'more than {FARTHEST:.0f} m away: correct depth_scale or '
                'depth_missing of the data set')
        return [*medians]

    def box_mask(self, dataset: BaseDataset, index: int,
                 method: str) -> np.ndarray:
        """Ids ``(H, W)`` of a frame from its boxes alone, see
        :func:`boxes_to_mask`."""
        info = dataset.get_data_info(index)
        class_map = ClassMap(dataset.metainfo['classes'],
                             dataset.metainfo['seg_classes'])
        boxes, labels, flags = (
            np.array([x[key] for x in self.boxes[info['img_id']]['instances']])
            for key in ('bbox', 'bbox_label', 'ignore_flag'))
        found = boxes_to_mask(
            mmcv.imread(info['img_path']), boxes, labels.astype(int), flags,
            class_map.compatible.numpy(),
            np.arange(class_map.num_seg_classes) == 0, method)
        ids = np.full(256, IGNORE_INDEX)
        single = found.classes.sum(1) == 1
        ids[:len(single)][single] = found.classes.argmax(1)[single]
        return ids[found.numbers]

    def mask(self, dataset: BaseDataset, index: int,
             scene: ScenePoints) -> np.ndarray:
        """Ids ``(H, W)`` of a frame."""
        info = dataset.get_data_info(index)
        view = self.view(dataset, index)
        image = mmcv.imread(info['img_path'], channel_order='rgb')
        if view is None:
            return np.full(image.shape[:2], 255, np.uint8)
        scores, known = render_point_scores(*scene, view, **self.tolerance)
        boxes = self.boxes_of(info['img_id'], view)
        if boxes is not None:
            scores = keep_in_boxes(scores, boxes.boxes, boxes.labels)
            known &= boxes.certain
        image = torch.from_numpy(image).movedim(2, 0)
        return scores_to_pseudo_label(
            scores, known, image=image, crf=self.crf,
            **self.thresholds).numpy()

    def prepare(self, model: nn.Module, dataset: BaseDataset) -> None:
        """Look up the boxes and the frames of each scene."""
        self.dataset, = leaf_datasets(dataset)
        self.look_up(self.dataset)
        self.scenes = self.dataset.frames_of_scenes()
        self.current: Tuple[str, Optional[ScenePoints]] = ('', None)

    def ids(self, model: nn.Module, inputs: Tensor,
            samples: SampleList) -> Iterable[Tensor]:
        """The votes, the network's too, seen from each frame.

        Those of a scene are counted at its first frame, by each process.
        """
        for sample in samples:
            index = sample.sample_idx - self.dataset.index_offset
            scene = self.dataset.get_data_info(index)['scene']
            if scene != self.current[0]:
                self.skipped.clear()
                self.current = (scene,
                                self.vote(self.dataset, self.scenes[scene],
                                          model))
                for reason, count in (+self.skipped).items():
                    print_log(f'{scene}: {count} {reason}', logger='current')
            yield torch.from_numpy(
                self.mask(self.dataset, index, self.current[1]))


@torch.no_grad()
def posteriors(model: nn.Module, dataset: BaseDataset, index: int) -> Tensor:
    """Probabilities ``(C, H, W)`` of the classes of the data set that a
    network sees in a frame, at its original size."""
    data = model.data_preprocessor(pseudo_collate([dataset[index]]))
    inputs, samples = data['inputs'], data['data_samples']
    head = model.head('seg')
    feats = ()
    if head.predicts_from_features:
        feats = model.extract_feat(inputs)
    names = model.classes['seg']
    possible = torch.ones(1, len(names), dtype=torch.bool)
    logits, = head.full_logits(feats, inputs, samples, model.extract_feat,
                               possible.to(inputs.device))
    order = [names.index(x) for x in dataset.metainfo['classes']]
    return logits.float().softmax(0)[order].cpu()
