# Copyright (c) mmbombo contributors.
"""Masks of a training set, written by a trained network for the next one."""
from pathlib import Path
from typing import Callable, Dict, Iterable, List, Optional, Sequence

import torch
from mmdet.structures import DetDataSample, SampleList
from mmengine.dataset import BaseDataset, pseudo_collate
from mmengine.utils import track_iter_progress
from torch import Tensor, nn

from mmbombo.models.context.view import View, resize
from mmbombo.models.utils import evaluation_mode, unpadded_shape
from mmbombo.structures import IGNORE_INDEX, ClassMap
from mmbombo.structures.image_labels import ABSENT
from mmbombo.utils import UserError
from mmbombo.utils.atomic_write import atomic_file
from mmbombo.visualization import class_styles
from mmbombo.weak_labels.cam import mean_cam, normalize_cam
from mmbombo.weak_labels.implied_labels import ImpliedLabels
from .results import label_map_image

#: Model, inputs ``(n, 3, H, W)``, n samples and the classes ``(n, C)`` that
#: they may show -> scores ``(C, h, w)`` of each image at its original size,
#: not above 0 for other classes.
ScoreFunction = Callable[[nn.Module, Tensor, SampleList, Tensor],
                         Iterable[Tensor]]


@torch.no_grad()
def write_predicted_masks(model: nn.Module,
                          dataset: BaseDataset,
                          out_dir: str,
                          scores: Optional[ScoreFunction] = None,
                          threshold: float = 0.,
                          use_tags: bool = True,
                          batch_size: int = 4) -> int:
    """Write ``NAME.png`` for each image ``NAME.*`` of a data set.

    A file that is there is kept, so that an interrupted run continues.

    Args:
        model (nn.Module): A :class:`MultiTaskDetector` that segments.
        dataset (BaseDataset): A source, or several, with a test pipeline.
        out_dir (str): Folder of the masks: 8-bit palette PNG, ids of the
            model's segmentation classes, and 255.
        scores (Callable, optional): What says how sure each class is.
            Defaults to None, :func:`seg_scores`.
        threshold (float): A pixel is 255 where no score reaches it. Defaults
            to 0.
        use_tags (bool): Whether classes that the tags of an image rule out
            are never written. Defaults to True.
        batch_size (int): Images of a forward pass. Defaults to 4.

    Returns:
        int: Number of masks that were written.

    Raises:
        UserError: If two images would get the same file.
    """
    scores = scores or seg_scores
    files = mask_files(dataset, Path(out_dir))
    Path(out_dir).mkdir(parents=True, exist_ok=True)
    due = [i for i, file in enumerate(files) if not file.exists()]
    styles = class_styles(
        dict(dataset.metainfo, seg_classes=seg_classes(model, dataset)))[1]
    rules = tag_rules(model, dataset)
    batches = [due[i:i + batch_size] for i in range(0, len(due), batch_size)]
    with evaluation_mode(model):
        for indices in track_iter_progress(batches):
            batch = pseudo_collate([dataset[i] for i in indices])
            batch = model.data_preprocessor(batch)
            samples = batch['data_samples']
            possible = torch.stack(
                [possible_classes(x, rules & use_tags) for x in samples])
            maps = scores(model, batch['inputs'], samples, possible)
            for i, score in zip(indices, maps):
                ids = label_ids(score, threshold).cpu().numpy()
                with atomic_file(files[i]) as unfinished:
                    label_map_image(ids, styles).save(unfinished, 'PNG')
    return len(due)


def label_ids(scores: Tensor, threshold: float) -> Tensor:
    """The best class ``(H, W)`` of scores ``(C, H, W)``, or 255."""
    best, ids = scores.max(dim=0)
    # not a number, where no class is possible, reaches nothing
    ids[~(best >= threshold)] = IGNORE_INDEX
    return ids


def mask_files(dataset: BaseDataset, folder: Path) -> List[Path]:
    """The file of each image's mask."""
    images = [
        Path(dataset.get_data_info(i)['img_path'])
        for i in range(len(dataset))
    ]
    owners: Dict[str, Path] = {}
    for image in images:
        owner = owners.setdefault(image.stem, image)
        if owner != image:
            raise UserError(
                f'{owner} and {image} would both get the mask '
                f'{image.stem}.png; write one source at a time (--sources), '
                'each into a folder of its own')
    return [folder / f'{image.stem}.png' for image in images]


def seg_classes(model: nn.Module, dataset: BaseDataset) -> Sequence[str]:
    """Names of the ids: the model's, or the data set's of a classifier."""
    names = model.classes.get('seg') or dataset.metainfo.get('seg_classes')
    if not names:
        raise UserError(
            "masks need the names of their ids: give the source metainfo="
            "dict(seg_classes=('background', ...))")
    return names


def tag_rules(model: nn.Module, dataset: BaseDataset) -> Tensor:
    """Which tag ``(T, C)`` may belong to which segmentation class."""
    tags = (
        dataset.metainfo.get('cls_classes') or model.classes.get('cls', ()))
    names = seg_classes(model, dataset)
    if not tags:
        return torch.zeros(0, len(names), dtype=torch.bool)
    class_map = model.class_map or ClassMap(tags, names, background=None)
    return torch.from_numpy(ImpliedLabels(class_map, tags).may_seg)


def possible_classes(sample: DetDataSample, rules: Tensor) -> Tensor:
    """Segmentation classes ``(C, )`` that the tags of an image leave.

    A class is ruled out if there are tags for it, and all are absent.
    """
    may_be = ~rules.any(0)
    if 'gt_image_label' not in sample:
        return torch.ones_like(may_be)
    seen = sample.gt_image_label.label.cpu() != ABSENT
    return may_be | rules[seen].any(0)


def seg_scores(model: nn.Module, inputs: Tensor, samples: SampleList,
               possible: Tensor) -> Iterable[Tensor]:
    """Probabilities by the segmentation head, of the possible classes."""
    head = model.head('seg')
    feats = ()
    if head.predicts_from_features:
        feats = model.extract_feat(inputs)
    for logits in head.full_logits(feats, inputs, samples, model.extract_feat,
                                   possible.to(inputs.device)):
        yield logits.softmax(0)


class CamScores:
    """Class activation maps of the classes that the tags of an image leave.

    A pixel is background where no map reaches the threshold, as in what is
    called CAM in tables of weakly supervised segmentation.

    Args:
        rules (Tensor): What :func:`tag_rules` gave.
        threshold (float): Of maps with a maximum of 1.
        scales (Sequence[float]): Sizes of the image whose maps are averaged,
            each mirrored too.
    """

    def __init__(self, rules: Tensor, threshold: float,
                 scales: Sequence[float]) -> None:
        self.rules = rules
        self.threshold = threshold
        self.views = [(x, flip) for x in scales for flip in (False, True)]

    def __call__(self, model: nn.Module, inputs: Tensor, samples: SampleList,
                 possible: Tensor) -> Iterable[Tensor]:
        rest = ~self.rules.any(0)
        maps = []
        for scale, flip in self.views:
            view = View(model, inputs, samples, scale, flip, None, False,
                        False)
            found = view.outputs('cls')[1]
            maps.append(view.restore(found, found.shape[-2:]))
        for sample, cam in zip(samples, mean_cam(maps)):
            if 'gt_image_label' not in sample:
                raise UserError(
                    f'{sample.img_path} has no tags, which say whose maps '
                    'count (boxes give some with ImplyImageLabels in the test '
                    'pipeline)')
            height, width = unpadded_shape(sample)
            cam = resize(cam[None], inputs.shape[-2:])[..., :height, :width]
            cam = normalize_cam(resize(cam, sample.ori_shape[:2])[0])
            cam[sample.gt_image_label.label == ABSENT] = 0
            scores = torch.stack([
                cam[rule].amax(0) if rule.any() else torch.zeros_like(cam[0])
                for rule in self.rules.T
            ])
            # of several classes without tags none is known: 255
            scores[rest] = self.threshold if rest.sum() == 1 else -1.
            scores[:, scores.amax(0) < self.threshold] = -1.
            yield scores
