# Copyright (c) mmbombo contributors.
"""What each weak loss will teach, by images as training draws them."""
from typing import Any, Dict, List

import numpy as np
from mmdet.structures import DetDataSample

from mmbombo.models.context import StepContext
from mmbombo.structures.candidate_map import CandidateMap
from mmbombo.structures.image_labels import PRESENT

#: Images that are drawn, in all; one of each source is.
DRAWN = 200


def cover(model: Any, sources: List[Any],
          readable: List[List[int]]) -> List[Dict[str, Any]]:
    """For each weak loss and source that it learns from the number of images,
    and estimates from a few of the ``readable`` ones of ``objects``, which
    the label is made from or says where they are, and the share of ``pixels``
    that get one class."""
    rows = []
    for source, indices in zip(sources, readable):
        number = min(len(indices), max(1, DRAWN // len(sources)))
        drawn = np.linspace(0, len(indices) - 1, number).astype(int)
        samples = [source[indices[i]]['data_samples'] for i in drawn]
        ctx = StepContext(model, None, samples)
        for weak_loss in model.weak_losses:
            taught = [samples[i] for i in weak_loss.images(ctx)]
            if not taught:
                continue
            share = len(source) / number
            rows.append(dict(
                loss=weak_loss.name, task=weak_loss.task,
                source=source.source, images=round(share * len(taught)),
                objects=round(share * sum(map(num_objects, taught)))))
            masks = [CandidateMap.from_samples([x], len(ctx.classes['seg']))
                     for x in taught if weak_loss.labels_pixels
                     and 'pseudo_sem_seg' in x]
            if masks:
                rows[-1]['pixels'] = float(np.mean([
                    (x.single_classes() < len(ctx.classes['seg'])).numpy()
                    .mean() for x in masks]))
    return rows


def num_objects(sample: DetDataSample) -> int:
    """How many components, boxes or tags there are to learn from."""
    if 'components' in sample:
        return int((~sample.components.ignored).sum())
    if 'gt_instances' in sample:
        return len(sample.gt_instances)
    tags = sample.get('gt_image_label')
    return 0 if tags is None else int((tags.label == PRESENT).sum())
