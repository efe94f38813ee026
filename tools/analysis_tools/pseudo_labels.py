# Copyright (c) mmbombo contributors.
"""What the weak losses of a config teach, image by image, the worst first.

    python tools/analysis_tools/pseudo_labels.py CONFIG [CHECKPOINT] --out FILE

The file is a page that any browser opens: each training image with its
annotation, what each weak loss makes of it, what the network of the checkpoint
says, and the truth, if its source can give what training hides, or else a
PseudoLabelQualityHook does. Augmentation is replaced as in
pseudo_label_quality.py.

Without a checkpoint nobody predicts: Mask-for-Box takes all rectangles as they
are, and what asks the network for its labels is left out.

The disagreement of two maps is 1 - the mean IoU of the classes in either, on
pixels that both label; of boxes it is 1 - the mean IoU of each with the best
one of its class on the other side. It is that with the truth, or without one
that with the prediction.
"""
import argparse
import sys
from contextlib import suppress
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple, Optional, Tuple

from mmengine.config import Config, DictAction
from mmengine.utils import track_iter_progress


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file, or a name of ours')
    parser.add_argument('checkpoint', nargs='?', help='checkpoint file')
    parser.add_argument(
        '--out', type=Path, required=True, help='HTML file to write')
    parser.add_argument(
        '--num-images',
        type=int,
        help='look at so many images, evenly spaced (default: all)')
    parser.add_argument(
        '--trust-checkpoint',
        action='store_true',
        help='load a checkpoint that runs code when it is loaded; only for '
        'files that you made yourself')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        help='override settings of the config, key=value')
    args = parser.parse_args()
    if args.num_images is not None and args.num_images < 1:
        parser.error('--num-images must be at least 1')
    return args


if __name__ == '__main__':  # --help waits for no library
    parse_args()

import cv2
import numpy as np
import torch
from mmdet.evaluation import bbox_overlaps
from mmdet.structures import DetDataSample
from mmengine.dataset import pseudo_collate
from mmengine.model import ModuleList
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData, PixelData
from page_parts.overlays import jpeg, layer_panel
from page_parts.page import Box, Card, Panel, write_page
from pseudo_label_quality import (HOOK, build_truth, fixed_pipeline,
                                  load_network)

from mmbombo.evaluation.pseudo_labels import (Dataset, boxes_and_labels,
                                              build_pair, ignored_objects,
                                              judged, one_image)
from mmbombo.models.context import StepContext
from mmbombo.models.detectors import MultiTaskDetector
from mmbombo.models.task_heads.ignore_regions import IgnoreRegions
from mmbombo.models.utils import evaluation_mode, unpadded_shape
from mmbombo.models.weak_losses import BaseWeakLoss, MaskForBoxLoss
from mmbombo.registry import DATASETS, MODELS
from mmbombo.structures import BBOX, IGNORE_INDEX, SEM_SEG
from mmbombo.utils import UserError, use_checked_loader, user_errors
from mmbombo.utils.atomic_write import require_writable
from mmbombo.utils.config_names import load_config
from mmbombo.utils.config_parts import base_type
from mmbombo.visualization import MultiTaskLocalVisualizer
from mmbombo.visualization.layers import (Layer, candidate_ids, gt_layer,
                                          labeled_boxes, map_ids, pred_layer)
from mmbombo.weak_labels.masks_to_boxes import ORIGINS

#: Images of a forward pass.
BATCH_SIZE = 8
#: Score from which a predicted box is shown and compared.
SCORE_THR = 0.3
#: Colors of :data:`ORIGINS`, those of Okabe and Ito, and of the rectangles.
ORIGIN_COLORS = ('#d55e00', '#e69f00', '#cc79a7', '#009e73', '#56b4e9')
RECTANGLE_COLOR, IGNORED_COLOR = '#ffffff', '#cccccc'
TEXT = '''What each weak loss teaches, the worst first: by its disagreement \
with the truth, or where that is not known with the prediction (facts: both).
Disagreement is 1 - mean IoU, of the classes of maps, or of boxes with the \
best one of their class. Dashed boxes and gray stripes are ignored.'''
#: What is compared, the first that there is deciding the order.
ANSWERS = ('truth', 'prediction')


class Lesson(NamedTuple):
    """What a weak loss teaches about one image, a map or boxes."""
    layer: Layer
    #: ``bboxes`` and ``labels``, perhaps ``origins``
    boxes: Optional[InstanceData] = None
    regions: Optional[IgnoreRegions] = None  #: of this image alone


def build_model(cfg: Config, checkpoint: Optional[str]) -> MultiTaskDetector:
    """Build the network with the weak losses that have pseudo labels."""
    model = MODELS.build(cfg.model)
    labeling = [
        x for x in getattr(model, 'weak_losses', ())
        if hasattr(x, 'pseudo_masks') or hasattr(x, 'pseudo_boxes')
    ]
    for asked in [*labeling, *(getattr(x, 'seeds', None) for x in labeling)]:
        if getattr(asked, 'predictor', 'none') != 'none' and checkpoint:
            asked.predictor = 'self'
        elif isinstance(asked, MaskForBoxLoss):
            asked.predictor = 'none'
    model.weak_losses = ModuleList(
        x for x in labeling if checkpoint or x.predictor == 'none')
    if not model.weak_losses:
        raise UserError(
            f'{cfg.filename}: ' +
            (f'{type(labeling[0]).__name__} asks the network for its labels: '
             'give a checkpoint' if labeling else
             'model.weak_losses has none that makes pseudo labels'))
    return load_network(model, checkpoint)


def build_data(cfg: Config) -> List[Tuple[Dataset, Optional[Dataset]]]:
    """Build the training sources without randomness, and the same with boxes
    and masks, None if they cannot give both."""
    dataset = (cfg.get('train_dataloader') or {}).get('dataset', {})
    declared = 'annotation_kinds' in dataset
    pairs = []
    for source in [dataset] if declared else dataset.get('datasets', ()):
        source = dict(
            source, pipeline=fixed_pipeline(cfg, source.get('pipeline', ())))
        weak, truth = DATASETS.build(source), None
        with suppress(UserError):
            truth = build_pair(weak, build_truth(source))[1]
        pairs.append((weak, truth))
    if any(truth for _, truth in pairs):
        return pairs
    hooks = [x for x in cfg.get('custom_hooks') or () if base_type(x) == HOOK]
    return [build_pair(x['weak'], x['truth']) for x in hooks] or pairs


def lessons(weak_loss: BaseWeakLoss, ctx: StepContext,
            images: List[int]) -> Iterator[Lesson]:
    """What a weak loss teaches about n images."""
    if hasattr(weak_loss, 'pseudo_masks'):
        masks = candidate_ids(weak_loss.pseudo_masks(ctx, images))
        for i, ids in zip(images, masks):
            yield Lesson(Layer('', ids=unpadded(ids, ctx.samples[i])))
        return
    targets, regions, *_ = weak_loss.pseudo_boxes(ctx, images)
    for n, boxes in enumerate(targets):
        yield Lesson(
            Layer('', boxes=labeled_boxes(boxes)), boxes,
            regions and one_image(regions, n))


def disagreement(lesson: Lesson, answer: DetDataSample) -> Optional[float]:
    """How far pseudo labels are from annotations, 0 to 1; None without
    any."""
    kinds = answer.annotation_kinds
    if lesson.boxes is not None:
        return box_disagreement(lesson, answer) if BBOX in kinds else None
    if SEM_SEG not in kinds:
        return None
    return map_disagreement(lesson.layer.ids,
                            unpadded(map_ids(answer.gt_sem_seg), answer))


def unpadded(pixels: np.ndarray, sample: DetDataSample) -> np.ndarray:
    """The image in a padded one, ``(H, W)`` or ``(H, W, 3)``."""
    height, width = unpadded_shape(sample)
    return pixels[:height, :width]


def map_disagreement(ids: np.ndarray, others: np.ndarray) -> float:
    """1 - the mean IoU of the classes in either map ``(H, W)``, on pixels that
    both give one class."""
    both = (ids < IGNORE_INDEX) & (others < IGNORE_INDEX)
    ids, others = ids[both], others[both]
    pairs = [(ids == x, others == x) for x in np.union1d(ids, others)]
    ious = [(x & y).sum() / (x | y).sum() for x, y in pairs]
    return 1 - float(np.mean(ious)) if ious else 0.


def box_disagreement(lesson: Lesson, answer: DetDataSample) -> float:
    """1 - the mean over all boxes of the IoU with the best one of the class on
    the other side; without those that the other side ignores."""
    boxes, labels = judged(*boxes_and_labels(lesson.boxes), answer)
    others, other_labels = boxes_and_labels(answer.gt_instances)
    ious = np.zeros((len(boxes) + 1, len(others) + 1))
    if len(boxes) and len(others):
        ious[1:, 1:] = bbox_overlaps(boxes, others)
        ious[1:, 1:] *= labels[:, None] == other_labels
    best = ious.max(axis=0)[1:]
    if lesson.regions is not None:
        areas, classes, unknown = lesson.regions
        if unknown is None:
            unknown = torch.zeros(1, 0, 0)
        ignored = ignored_objects(
            others, other_labels,
            *(x[0].cpu().numpy() for x in (areas, classes, unknown)))
        best = best[~ignored | (best >= .5)]
    found = [*ious.max(axis=1)[1:], *best]
    return 1 - float(np.mean(found)) if found else 0.


def predict(model: MultiTaskDetector, batch: dict) -> List[DetDataSample]:
    """Let the network predict, in pixels of its inputs; the same again as if
    images were annotated so."""
    answers = []
    for sample in model.predict(batch['inputs'], batch['data_samples']):
        answer = DetDataSample(metainfo=sample.metainfo)
        kinds = []
        if 'pred_instances' in sample:
            found = sample.pred_instances
            scale = found.bboxes.new_tensor([*sample.scale_factor[:2]] * 2)
            found.bboxes = found.bboxes * scale
            answer.gt_instances = found[found.scores >= SCORE_THR]
            answer.ignored_instances = found[:0]
            kinds.append(BBOX)
        if 'pred_sem_seg' in sample:
            ids = cv2.resize(
                map_ids(sample.pred_sem_seg).astype(np.uint8),
                unpadded_shape(sample)[::-1],
                interpolation=cv2.INTER_NEAREST)
            answer.gt_sem_seg = PixelData(sem_seg=torch.from_numpy(ids)[None])
            sample.pred_sem_seg = answer.gt_sem_seg
            kinds.append(SEM_SEG)
        answer.set_metainfo(dict(annotation_kinds=kinds))
        answers.append(answer)
    return answers


class Viewer:
    """Makes cards of images.

    Args:
        model (MultiTaskDetector): The network, with the weak losses that are
            looked at.
        predicts (bool): Whether its own answer is shown.
        metainfo (dict): That of the data set.
    """

    def __init__(self, model: MultiTaskDetector, predicts: bool,
                 metainfo: dict) -> None:
        self.model = model
        self.predicts = predicts
        self.visualizer = MultiTaskLocalVisualizer('pseudo_labels')
        self.visualizer.dataset_meta = metainfo

    def cards(self, weak: Dataset, truth: Optional[Dataset],
              indices: List[int]) -> Iterator[Card]:
        """Look at some images of a data set; ``truth`` are the same with more
        annotations, of which some may be missing."""
        batch = self._load(weak, indices)
        ctx = StepContext(self.model, batch['inputs'], batch['data_samples'])
        taught: List[Dict[str, Lesson]] = [{} for _ in indices]
        for weak_loss in self.model.weak_losses:
            images = weak_loss.images(ctx)
            found = lessons(weak_loss, ctx, images) if images else ()
            for i, lesson in zip(images, found):
                taught[i][weak_loss.name] = lesson
        predicted = predict(self.model, batch) if self.predicts else None
        for n, sample in enumerate(ctx.samples):
            answers = {}
            if truth is not None:
                with suppress(UserError):
                    answers['truth'], = self._load(
                        truth, [indices[n]])['data_samples']
            if predicted is not None:
                answers['prediction'] = predicted[n]
            if taught[n]:
                image = ctx.raw_images[n].permute(1, 2, 0).round().byte()
                yield self._card(
                    unpadded(image.cpu().numpy(), sample), sample, taught[n],
                    answers)

    def _load(self, dataset: Dataset, indices: List[int]) -> dict:
        return self.model.data_preprocessor(
            pseudo_collate([dataset[int(i)] for i in indices]), True)

    def _card(self, image: np.ndarray, sample: DetDataSample,
              taught: Dict[str, Lesson],
              answers: Dict[str, DetDataSample]) -> Card:
        """The card of an RGB image ``(H, W, 3)``."""
        layers = dict(annotation=gt_layer(sample))
        layers.update({name: x.layer for name, x in taught.items()})
        if 'prediction' in answers:
            layers['prediction'] = pred_layer(sample, SCORE_THR)
        if 'truth' in answers:
            layers['truth'] = gt_layer(answers['truth'])
        panels = {
            name: layer_panel(name, image, layer, self.visualizer)
            for name, layer in layers.items() if layer is not None
        }
        scores, facts = [], {}
        for name, lesson in taught.items():
            if lesson.boxes is not None:
                panels[name] = box_panel(panels[name], lesson, sample)
            found = {x: disagreement(lesson, answers[x]) for x in answers}
            found = {x: found[x] for x in ANSWERS if found.get(x) is not None}
            scores += [*found.values()][:1]
            facts.update(
                {f'{name}, {x}': f'{y:.2f}' for x, y in found.items()})
        styles = self.visualizer.styles_in([
            layer for name, layer in layers.items()
            if layer is not None and name != 'prediction'
        ])
        path = Path(sample.img_path)
        return Card(
            '/'.join(path.parts[-2:]),
            jpeg(image), (image.shape[1], image.shape[0]), [*panels.values()],
            max(scores, default=None), facts, {
                'class': [x.name for x in styles],
                'source': [sample.source],
                'weak loss': [*taught]
            })


def box_panel(panel: Panel, lesson: Lesson, sample: DetDataSample) -> Panel:
    """Show how boxes came about, what is ignored, and the rectangles of the
    components of a mask."""
    boxes, legend = [*panel.boxes], []
    origins = lesson.boxes.get('origins')
    if origins is not None:
        found = origins.tolist()
        boxes = [
            box._replace(
                color=ORIGIN_COLORS[x], text=f'{box.text}: {ORIGINS[x]}')
            for box, x in zip(boxes, found)
        ]
        legend = [(ORIGINS[x], ORIGIN_COLORS[x]) for x in sorted({*found})]
        rectangles = sample.components.bboxes.tolist()
        boxes = [Box(x, RECTANGLE_COLOR) for x in rectangles] + boxes
        legend.append(('component', RECTANGLE_COLOR))
    if lesson.regions is not None:
        areas, classes = (x[0] for x in lesson.regions[:2])
        sides = areas[:, 2:] - areas[:, :2]
        # what is ignored all over the image is not to be seen
        size = sides.new_tensor(sample.img_shape[1::-1])
        seen = classes.any(1) & (sides < size).any(1)
        boxes += [
            Box(x, IGNORED_COLOR, dashed=True) for x in areas[seen].tolist()
        ]
    return panel._replace(boxes=boxes, legend=legend)


@user_errors()
def main() -> None:
    args = parse_args()
    require_writable(args.out)
    use_checked_loader(trust=args.trust_checkpoint)
    cfg = load_config(args.config, args.cfg_options)
    init_default_scope(cfg.get('default_scope', 'mmbombo'))
    model = build_model(cfg, args.checkpoint)
    pairs = build_data(cfg)
    total = sum(len(weak) for weak, _ in pairs)
    chosen = np.linspace(0, total - 1, min(args.num_images or total, total))
    chunks, start = [], 0
    for weak, truth in pairs:
        own = [int(x) - start for x in chosen
               if start <= int(x) < start + len(weak)]
        chunks += [(weak, truth, own[i:i + BATCH_SIZE])
                   for i in range(0, len(own), BATCH_SIZE)]
        start += len(weak)
    viewer = Viewer(model, bool(args.checkpoint), pairs[0][0].metainfo)
    cards: List[Card] = []
    with torch.no_grad(), evaluation_mode(model):
        for chunk in track_iter_progress(chunks, file=sys.stderr):
            cards += viewer.cards(*chunk)
    write_page(args.out, f'Pseudo labels of {args.config}', TEXT,
               'disagreement', cards)
    print(f'{args.out}: {len(cards)} images, '
          f'{args.out.stat().st_size / 2**20:.1f} MiB')


if __name__ == '__main__':
    main()
