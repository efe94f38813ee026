# Copyright (c) mmbombo contributors.
"""What a network says of images, and how sure it is of their labels."""
import sys
from collections import defaultdict
from typing import Any, Dict, Iterator, List, Sequence

import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.utils import track_iter_progress
from pseudo_label_quality import load_network

from mmbombo.models.detectors import MultiTaskDetector
from mmbombo.registry import TRANSFORMS
from mmbombo.structures import BBOX, IGNORE_INDEX, SEM_SEG, annotation_kind
from mmbombo.structures.class_names import require_same_classes
from mmbombo.utils import UserError
from mmbombo.utils.config_parts import inference_steps
from .doubts import Answer, Region, find_doubts, own_scores
from .finding import Finding, Labels, Place
from .look import load_labels

#: Least area of a region, in areas of the image, and side of the square that
#: it must hold, in sides of the image: borders are always in doubt.
REGION, THICK = 1e-3, .02


class Network:
    """A network that doubts labels.

    Args:
        cfg (Config): With the test pipeline.
        model (MultiTaskDetector): Its network.
        checkpoint (str): Path of the weights; ``UserError`` if they are of
            other classes.
    """

    def __init__(self, cfg: Config, model: MultiTaskDetector,
                 checkpoint: str) -> None:
        if not isinstance(model, MultiTaskDetector):
            raise UserError(f'{cfg.filename}: {type(model).__name__} is not '
                            'asked: give no checkpoint')
        self.model = load_network(model, checkpoint).eval()
        self.pipeline = Compose(
            [TRANSFORMS.build(step) for step in inference_steps(cfg)])
        self.box_scores: Dict[int, List[float]] = defaultdict(list)
        #: labeled pixels of each class, and the sum of their scores
        self.pixels = np.zeros((2, IGNORE_INDEX + 1))

    def doubt(self, sources: Sequence[Any],
              places: Sequence[Place]) -> Iterator[Finding]:
        """What it doubts of the labels of images, when it has seen all."""
        for number in {x for x, _ in places}:
            self._check(sources[number])
        answers = {}
        for number, index in track_iter_progress(places, file=sys.stderr):
            source = sources[number]
            answers[number, index] = self._ask(
                source.get_data_info(index)['img_path'],
                load_labels(source, index)[1])
        of_boxes, of_pixels = self._means()
        for place, answer in answers.items():
            for finding in find_doubts(answer, of_boxes, of_pixels):
                yield finding._replace(place=place)

    def confidence(self) -> Dict[str, Dict[str, float]]:
        """The mean scores of labels by task and name of a class."""
        return {
            task: {self.model.classes[task][i]: x for i, x in means.items()}
            for task, means in zip(('det', 'seg'), self._means()) if means
        }

    def _check(self, source: Any) -> None:
        """Raise ``UserError`` if a source is of other classes."""
        for kind in map(annotation_kind, (BBOX, SEM_SEG)):
            if (kind.name in source.annotation_kinds
                    and kind.task in self.model.tasks):
                require_same_classes(
                    source.metainfo[kind.classes_key],
                    self.model.classes[kind.task],
                    (f'source {source.source!r}', 'the network'), kind.task)

    @torch.no_grad()
    def _ask(self, img_path: str, labels: Labels) -> Answer:
        """Predict the tasks of which there are labels."""
        packed = self.pipeline(dict(img_path=img_path, img_id=0, sample_idx=0,
                                    source='', annotation_kinds=()))
        data = self.model.data_preprocessor(pseudo_collate([packed]), False)
        feats = self.model.extract_feat(data['inputs'])
        asked = (feats, data['inputs'], data['data_samples'],
                 self.model.extract_feat)
        answer = Answer(labels._replace(seg_map=None))  # all are kept
        if labels.names and 'det' in self.model.tasks:
            self.model.head('det').add_predictions(*asked)
            found = data['data_samples'][0].pred_instances.cpu().numpy()
            answer = answer._replace(boxes=found.bboxes, scores=found.scores,
                                     classes=found.labels)
            for (_, label), score in zip(labels.objects(),
                                         own_scores(answer)):
                self.box_scores[label].append(score)
        if labels.seg_names and 'seg' in self.model.tasks:
            logits, = self.model.head('seg').full_logits(*asked)
            scores = logits.softmax(dim=0).cpu().numpy()
            answer = answer._replace(
                regions=[*self._regions(scores, labels.seg_map)])
        return answer

    def _regions(self, scores: np.ndarray,
                 seg_map: np.ndarray) -> Iterator[Region]:
        """Where the scores ``(C, H, W)`` are against a mask."""
        known = seg_map != IGNORE_INDEX
        predicted = scores.argmax(axis=0)
        own = np.take_along_axis(
            scores, np.where(known, seg_map, 0)[None].astype(int), 0)[0]
        for row, weights in zip(self.pixels, (None, own[known])):
            row += np.bincount(seg_map[known], weights, len(row))
        side = 1 + 2 * int(THICK * min(seg_map.shape) / 2)
        wrong = cv2.morphologyEx(
            (known & (predicted != seg_map)).astype(np.uint8), cv2.MORPH_OPEN,
            np.ones((side, side), np.uint8))
        _, parts, stats, _ = cv2.connectedComponentsWithStats(wrong)
        for part, (x, y, width, height, area) in enumerate(stats.tolist()):
            if part == 0 or area < REGION * seg_map.size:
                continue  # the rest of the image, or small
            view = slice(y, y + height), slice(x, x + width)
            inside = parts[view] == part
            ours, theirs = (int(np.bincount(ids[view][inside]).argmax())
                            for ids in (seg_map, predicted))
            yield Region((x, y, x + width, y + height), area / seg_map.size,
                         ours, theirs, own[view][inside].mean(),
                         scores[(theirs, *view)][inside].mean())

    def _means(self) -> Sequence[Dict[int, float]]:
        """Mean score of the labeled boxes and pixels of each class."""
        number, total = self.pixels
        return ({x: float(np.mean(y)) for x, y in self.box_scores.items()},
                {int(i): float(total[i] / number[i])
                 for i in np.flatnonzero(number)})
