# Copyright (c) mmbombo contributors.
from collections import Counter
from functools import lru_cache
from typing import (Dict, Iterable, List, NamedTuple, Optional, Sequence,
                    Tuple, Union)

import mmcv
import numpy as np
import torch
from mmdet.structures import SampleList
from mmengine.dataset import BaseDataset, pseudo_collate
from torch import Tensor, nn

from mmbombo.datasets.boxes import clip_box
from mmbombo.datasets.errors import DatasetError
from mmbombo.datasets.posed_rgbd_dataset import read_boxes
from mmbombo.datasets.source_tree import leaf_datasets
from mmbombo.datasets.transforms.load_depth import LoadDepth, LoadPose
from mmbombo.models.utils import evaluation_mode
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
    """Boxes ``(M, 4)`` of a frame and their classes ``(M, )``."""
    boxes: Tensor
    labels: Tensor


@TASK_UTILS.register_module()
class MultiViewMasks(MaskWriter):
    """Masks of all frames of scenes from boxes on some, and depth and poses.

    See :mod:`mmbombo.weak_labels.multiview`. The data set is a
    :class:`PosedRGBDDataset` that declares 'depth' and 'pose'; its
    ``seg_classes`` are 'background' and then its ``classes``.

    Args:
        boxes (str): COCO file of boxes. The frames that it lists have all
            theirs; of others none is known.
        method (str): What a frame with boxes votes for at a pixel. 'grabcut':
            what Box-for-Mask finds there, see :func:`boxes_to_mask`; ours.
            'box': the classes of all boxes there, as in the paper, of which
            only views from other sides leave the object; good values are
            then ``min_views=2, fg_thr=.8, bg_thr=.6``. Defaults to 'grabcut'.
        voxel (float): A point stands for a cube of this side, in meters,
            which bounds the memory. Defaults to 0.02.
        min_views (float): See :class:`BoxVoteObjectness`. Defaults to 1.
        fg_thr (float): See :func:`scores_to_pseudo_label`. Defaults to 0.6.
        bg_thr (float): Defaults to 0.4.
        crf (str | dict, optional): Parameters of a CRF, see
            :class:`CRFParams`. Defaults to None.
        weight (float): How much a view with the network's probabilities
            counts beside one with boxes; 0 does without a network, as the
            first stage must. Defaults to 0.1.
        margin (float): Classes whose scores differ less are tied. Defaults to
            0.1.
        tolerance (float): Meters between a point and the depth of its pixel.
            Defaults to 0.05.
        relative (float): What is added to it, as a share of the distance.
            Defaults to 0.01.
    """

    def __init__(self,
                 boxes: str,
                 method: str = 'grabcut',
                 voxel: float = .02,
                 min_views: float = 1,
                 fg_thr: float = .6,
                 bg_thr: float = .4,
                 crf: Union[str, dict, None] = None,
                 weight: float = .1,
                 margin: float = .1,
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
        self.margin = margin
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

    def view(self, dataset: BaseDataset, index: int) -> Optional[View]:
        """Where the pixels of a frame are, or None without depth."""
        info = dataset.get_data_info(index)
        info['img'] = mmcv.imread(info['img_path'])
        info['ori_shape'] = info['img'].shape[:2]
        try:
            depth = LoadDepth().transform(info)['gt_depth']
        except DatasetError as error:
            if not isinstance(error.__cause__, FileNotFoundError):
                raise
            depth = np.zeros(0)
        if not (depth > 0).any():
            return None
        intrinsics, extrinsics = LoadPose().transform(info)['gt_camera']
        return View(*(torch.from_numpy(x).float()
                      for x in (depth, intrinsics, extrinsics)))

    def boxes_of(self, name: str, view: View) -> Optional[Boxes]:
        """Boxes of a frame inside of it, or None if it lists none."""
        if name not in self.boxes:
            return None
        height, width = view.depth.shape
        boxes, labels = [], []
        for instance in self.boxes[name]:
            box = clip_box(instance['bbox'], width, height)
            if box is None or instance['ignore_flag']:
                self.skipped['boxes outside of the image or crowds'] += 1
                continue
            boxes.append(box)
            labels.append(instance['bbox_label'])
        return Boxes(
            torch.tensor(boxes).reshape(-1, 4),
            torch.tensor(labels, dtype=torch.long))

    def vote(self,
             dataset: BaseDataset,
             indices: Sequence[int],
             model: Optional[nn.Module] = None) -> ScenePoints:
        """Scores of the points of a scene, whose frames are ``indices``."""
        load = lru_cache(64)(lambda i: self.view(dataset, i))
        usable = [i for i in indices if load(i) is not None]
        self.skipped['frames without depth'] += len(indices) - len(usable)
        points = point_cloud(map(load, usable), self.voxel)
        votes = BoxVoteObjectness(points, len(dataset.metainfo['classes']),
                                  self.min_views, **self.tolerance)
        for i in usable:
            view = load(i)
            boxes = self.boxes_of(dataset.get_data_info(i)['img_id'], view)
            if boxes is None:
                continue
            if self.method == 'box':
                votes.add_view(view, *boxes)
            else:
                votes.add_posteriors(*self.masked(dataset, i, view))
        self._check(dataset, indices, votes, [load(i) for i in usable[:1]])
        for i in usable if model is not None and self.weight else ():
            votes.add_posteriors(
                load(i), posteriors(model, dataset, i), self.weight)
        return ScenePoints(points, votes.settled(self.margin))

    def masked(self, dataset: BaseDataset, index: int,
               view: View) -> Tuple[View, Tensor]:
        """Of a frame with boxes, the view of what is certain, and what that
        is: ``(C, H, W)``, 0 or 1."""
        ids = torch.from_numpy(self.box_mask(dataset, index, self.method))
        certain = ids != IGNORE_INDEX
        classes = torch.arange(1, len(dataset.metainfo['seg_classes']))
        # nothing is seen where there is no depth
        return (view._replace(depth=view.depth * certain),
                (ids == classes[:, None, None]).float())

    def box_mask(self, dataset: BaseDataset, index: int,
                 method: str) -> np.ndarray:
        """Ids ``(H, W)`` of a frame from its boxes alone, see
        :func:`boxes_to_mask`."""
        info = dataset.get_data_info(index)
        class_map = ClassMap(dataset.metainfo['classes'],
                             dataset.metainfo['seg_classes'])
        boxes, labels, flags = (
            np.array([x[key] for x in self.boxes[info['img_id']]])
            for key in ('bbox', 'bbox_label', 'ignore_flag'))
        found = boxes_to_mask(
            mmcv.imread(info['img_path']), boxes, labels.astype(int), flags,
            class_map.compatible.numpy(),
            np.arange(class_map.num_seg_classes) == 0, method)
        ids = np.full(256, IGNORE_INDEX)
        single = found.classes.sum(1) == 1
        ids[:len(single)][single] = found.classes.argmax(1)[single]
        return ids[found.numbers]

    def _check(self, dataset: BaseDataset, indices: Sequence[int],
               votes: BoxVoteObjectness, views: List[View]) -> None:
        """Refuse a wrong scale, and say where no views overlap."""
        scene = dataset.get_data_info(indices[0])['scene']
        for view in views:
            median = view.depth[view.depth > 0].median().item()
            if median > FARTHEST:
                raise UserError(
                    f'{scene}: half of the first frame is more than '
                    f'{median:.0f} m away: correct depth_scale or '
                    'depth_missing of the data set')
        if not (votes.views >= self.min_views).any():
            self.skipped['scenes without a point that '
                         f'{self.min_views:g} boxed views see'] += 1

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
            scores = keep_in_boxes(scores, *boxes)
        image = torch.from_numpy(image).movedim(2, 0)
        return scores_to_pseudo_label(
            scores, known, image=image, crf=self.crf,
            **self.thresholds).numpy()

    def prepare(self, model: nn.Module, dataset: BaseDataset) -> None:
        """Count the votes of all scenes, the network's too."""
        dataset, = leaf_datasets(dataset)
        self.look_up(dataset)
        self.dataset, self.scenes = dataset, {}
        self.indices: Dict[str, int] = {}
        with evaluation_mode(model):
            for scene, indices in dataset.frames_of_scenes().items():
                self.scenes[scene] = self.vote(dataset, indices, model)
                for i in indices:
                    self.indices[dataset.get_data_info(i)['img_path']] = i

    def ids(self, model: nn.Module, inputs: Tensor,
            samples: SampleList) -> Iterable[Tensor]:
        """The votes, seen from each frame."""
        for sample in samples:
            index = self.indices[sample.img_path]
            scene = self.dataset.get_data_info(index)['scene']
            yield torch.from_numpy(
                self.mask(self.dataset, index, self.scenes[scene]))


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
