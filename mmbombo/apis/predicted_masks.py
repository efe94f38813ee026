# Copyright (c) mmbombo contributors.
"""Masks of a training set, written by a trained network for the next one."""
from pathlib import Path
from typing import Callable, Dict, Iterable, List, Optional, Sequence

import torch
from mmdet.structures import SampleList
from mmengine.dataset import BaseDataset, pseudo_collate
from mmengine.utils import track_iter_progress
from torch import Tensor, nn

from mmbombo.models.utils import evaluation_mode
from mmbombo.structures import IGNORE_INDEX, ClassMap
from mmbombo.structures.image_labels import ABSENT
from mmbombo.utils import UserError
from mmbombo.utils.atomic_write import atomic_file
from mmbombo.visualization import class_styles
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
        dict(dataset.metainfo, seg_classes=model.classes['seg']))[1]
    rules = tag_rules(model, dataset) if use_tags else None
    batches = [due[i:i + batch_size] for i in range(0, len(due), batch_size)]
    with evaluation_mode(model):
        for indices in track_iter_progress(batches):
            batch = pseudo_collate([dataset[i] for i in indices])
            batch = model.data_preprocessor(batch)
            samples = batch['data_samples']
            possible = possible_classes(model, samples, rules)
            maps = scores(model, batch['inputs'], samples, possible)
            for i, score in zip(indices, maps):
                best, ids = score.max(dim=0)
                # not a number, where no class is possible, reaches nothing
                ids[~(best >= threshold)] = IGNORE_INDEX
                with atomic_file(files[i]) as unfinished:
                    label_map_image(ids.cpu().numpy(), styles).save(
                        unfinished, format='PNG')
    return len(due)


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


def tag_rules(model: nn.Module, dataset: BaseDataset) -> Tensor:
    """Which tag ``(T, C)`` may belong to which segmentation class."""
    tags: Sequence[str] = dataset.metainfo.get('cls_classes', ())
    class_map = model.class_map or ClassMap((), model.classes['seg'], None)
    if not tags:
        return torch.zeros(0, class_map.num_seg_classes, dtype=torch.bool)
    return torch.from_numpy(ImpliedLabels(class_map, tags).may_seg)


def possible_classes(model: nn.Module,
                     samples: SampleList,
                     rules: Optional[Tensor] = None) -> Tensor:
    """Segmentation classes ``(n, C)`` that the tags of n images leave.

    A class is ruled out if there are tags for it, and all are absent.
    """
    num_classes = len(model.classes['seg'])
    possible = torch.ones(len(samples), num_classes, dtype=torch.bool)
    for row, sample in zip(possible, samples):
        if rules is not None and 'gt_image_label' in sample:
            seen = sample.gt_image_label.label.cpu() != ABSENT
            row &= ~rules.any(0) | rules[seen].any(0)
    return possible


def seg_scores(model: nn.Module, inputs: Tensor, samples: SampleList,
               possible: Tensor) -> Iterable[Tensor]:
    """Probabilities by the segmentation head, of the possible classes."""
    head = model.head('seg')
    feats = ()
    if head.predicts_from_features:
        feats = model.extract_feat(inputs)
    maps = head.full_logits(feats, inputs, samples, model.extract_feat)
    for logits, row in zip(maps, possible.to(inputs.device)):
        yield logits.masked_fill(~row[:, None, None], -torch.inf).softmax(0)
