# Copyright (c) mmbombo contributors.
"""What the weak losses of a config teach, image by image, the worst first.

    python tools/analysis_tools/pseudo_labels.py CONFIG [CHECKPOINT] --out FILE

writes a page for any browser: the training images, each with its annotation,
what each weak loss makes of it, what the network of the checkpoint says, and
the truth: what the source could give and training hides, or if no source can,
what a PseudoLabelQualityHook knows. See pseudo_label_quality.py for what takes
the place of augmentation.

Without a checkpoint Mask-for-Box takes all rectangles as they are, and losses
that ask the network for their labels are left out.
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

import numpy as np
import torch
from mmdet.evaluation import bbox_overlaps
from mmdet.structures import DetDataSample
from mmengine.dataset import pseudo_collate
from mmengine.model import ModuleList
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData
from page_parts.overlays import jpeg, layer_panel
from page_parts.page import Box, Card, Panel, write_page
from pseudo_label_quality import (HOOK, build_truth, fixed_pipeline,
                                  load_network)

from mmbombo.evaluation.pseudo_labels import (Dataset, boxes_and_labels,
                                              build_pair, ignored_objects,
                                              one_image)
from mmbombo.models.context import StepContext
from mmbombo.models.detectors import MultiTaskDetector
from mmbombo.models.task_heads.ignore_regions import IgnoreRegions
from mmbombo.models.utils import evaluation_mode, unpadded_shape
from mmbombo.models.weak_losses import BaseWeakLoss, MaskForBoxLoss
from mmbombo.registry import DATASETS, MODELS
from mmbombo.structures import BBOX, IGNORE_INDEX
from mmbombo.utils import UserError, use_checked_loader, user_errors
from mmbombo.utils.atomic_write import require_writable
from mmbombo.utils.config_names import load_config
from mmbombo.utils.config_parts import base_type
from mmbombo.visualization import MultiTaskLocalVisualizer
from mmbombo.visualization.layers import (Layer, candidate_ids, gt_layer,
                                          labeled_boxes, pred_layer)
from mmbombo.visualization.palette import class_styles
from mmbombo.weak_labels.masks_to_boxes import ORIGINS

#: Images as training may read them, and with both annotations.
Pair = Tuple[Dataset, Optional[Dataset]]
#: Images of a forward pass, and score from which a predicted box counts.
BATCH_SIZE, SCORE_THR = 8, 0.3
#: Colors of :data:`ORIGINS`, those of Okabe and Ito, and of other boxes.
ORIGIN_COLORS = ('#d55e00', '#e69f00', '#cc79a7', '#009e73', '#56b4e9')
COMPONENT_COLOR, IGNORED_COLOR = '#ffffff', '#cccccc'
TEXT = '''The worst first, by the disagreement of a weak loss with the truth, \
or where that is not known with the prediction: 1 - the mean IoU, of the \
classes on two maps where both know one, or of each box with the best one of \
its class. Dashed boxes and gray stripes are ignored.'''


class Labels(NamedTuple):
    """What is said about an image, of boxes, pixels (in the layer) or both."""
    layer: Layer
    boxes: Optional[InstanceData] = None
    ignore: Optional[IgnoreRegions] = None  #: boxes, of this image alone


def build_model(cfg: Config, checkpoint: Optional[str]) -> MultiTaskDetector:
    """Build the network with the weak losses that have pseudo labels."""
    model = MODELS.build(cfg.model)
    labeling = [
        x for x in getattr(model, 'weak_losses', ())
        if hasattr(x, 'pseudo_masks') or hasattr(x, 'pseudo_boxes')
    ]
    for weak_loss in labeling:
        if isinstance(weak_loss, MaskForBoxLoss) and not checkpoint:
            weak_loss.predictor = 'none'
        elif weak_loss.predictor not in ('none', 'self'):
            model.set_teacher(weak_loss.predictor, model)
    model.weak_losses = ModuleList(
        x for x in labeling if checkpoint or x.predictor == 'none')
    if not model.weak_losses:
        problem = (f'{labeling[0].name} asks the network for its labels: give '
                   'a checkpoint' if labeling else
                   'model.weak_losses has none that makes pseudo labels')
        raise UserError(f'{cfg.filename}: {problem}')
    return load_network(model, checkpoint)


def build_data(cfg: Config) -> List[Pair]:
    """Build the training sources without randomness."""
    dataset = (cfg.get('train_dataloader') or {}).get('dataset', {})
    declared = 'annotation_kinds' in dataset
    pairs: List[Pair] = []
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
            images: List[int]) -> Iterator[Labels]:
    """What a weak loss teaches about n images."""
    if hasattr(weak_loss, 'pseudo_masks'):
        for ids in candidate_ids(weak_loss.pseudo_masks(ctx, images)):
            yield Labels(Layer('', ids=ids))
        return
    targets, regions, *_ = weak_loss.pseudo_boxes(ctx, images)
    for n, boxes in enumerate(targets):
        yield Labels(
            Layer('', boxes=labeled_boxes(boxes)), boxes, regions
            and one_image(regions, n))


def predict(model: MultiTaskDetector, batch: dict) -> Iterator[Labels]:
    """What the network says, in pixels of its inputs."""
    for sample in batch['data_samples']:  # as if its file were of this size
        sample.set_metainfo(
            dict(ori_shape=unpadded_shape(sample), scale_factor=(1., 1.)))
    for sample in model.predict(batch['inputs'], batch['data_samples']):
        boxes = sample.get('pred_instances')
        if boxes is not None:
            boxes = boxes[boxes.scores >= SCORE_THR]
        yield Labels(pred_layer(sample, SCORE_THR), boxes)


def annotated(sample: DetDataSample, num_classes: int) -> Labels:
    """What a sample is annotated with; it ignores difficult objects."""
    if BBOX not in sample.annotation_kinds:
        return Labels(gt_layer(sample))
    ignored = IgnoreRegions.from_instances([sample.ignored_instances],
                                           num_classes)
    return Labels(gt_layer(sample), sample.gt_instances, ignored)


def disagreement(one: Labels, other: Labels) -> Optional[float]:
    """How far two are apart, 0 to 1, see :data:`TEXT`; None if they do not say
    the same kind of things."""
    if one.boxes is not None and other.boxes is not None:
        found = box_ious(one, other)
    elif one.layer.ids is not None and other.layer.ids is not None:
        found = class_ious(one.layer.ids, other.layer.ids)
    else:
        return None
    return 1 - float(np.mean(found)) if len(found) else 0.


def class_ious(ids: np.ndarray, others: np.ndarray) -> List[float]:
    """IoUs of the classes on two maps ``(H, W)``, either perhaps padded."""
    height, width = np.minimum(ids.shape, others.shape)
    ids, others = ids[:height, :width], others[:height, :width]
    both = (ids < IGNORE_INDEX) & (others < IGNORE_INDEX)
    ids, others = ids[both], others[both]
    pairs = [(ids == x, others == x) for x in np.union1d(ids, others)]
    return [(x & y).sum() / (x | y).sum() for x, y in pairs]


def box_ious(one: Labels, other: Labels) -> np.ndarray:
    """The best IoU of each box, but of those that only one has, and the other
    ignores."""
    boxes, labels = boxes_and_labels(one.boxes)
    others, other_labels = boxes_and_labels(other.boxes)
    ious = np.zeros((len(boxes) + 1, len(others) + 1))
    if len(boxes) and len(others):
        ious[1:, 1:] = bbox_overlaps(boxes, others)
        ious[1:, 1:] *= labels[:, None] == other_labels
    sides = ((ious.max(axis=1)[1:], boxes, labels, other.ignore),
             (ious.max(axis=0)[1:], others, other_labels, one.ignore))
    found = []
    for best, *objects, ignore in sides:
        if ignore is not None:
            parts = (np.zeros((0, 0)) if x is None else x[0].cpu().numpy()
                     for x in ignore)
            best = best[(best >= .5) | ~ignored_objects(*objects, *parts)]
        found.append(best)
    return np.concatenate(found)


def look(model: MultiTaskDetector, visualizer: MultiTaskLocalVisualizer,
         predicts: bool, chosen: List[Tuple[Pair, int]]) -> Iterator[Card]:
    """Make cards of some images; without those that no weak loss reads."""

    def load(images: list) -> dict:
        return model.data_preprocessor(pseudo_collate(images), True)

    batch = load([weak[i] for (weak, _), i in chosen])
    ctx = StepContext(model, batch['inputs'], batch['data_samples'])
    said = [dict(annotation=Labels(gt_layer(x))) for x in ctx.samples]
    for weak_loss in model.weak_losses:
        images = weak_loss.images(ctx)
        if images:
            for i, labels in zip(images, lessons(weak_loss, ctx, images)):
                said[i][weak_loss.name] = labels
    taught = [[*x][1:] for x in said]
    for n, labels in enumerate(predict(model, batch) if predicts else ()):
        said[n]['prediction'] = labels
    for n, ((_, truth), i) in enumerate(chosen):
        if not taught[n]:
            continue
        with suppress(UserError):  # an image may lack what others have
            if truth is not None:
                sample, = load([truth[i]])['data_samples']
                said[n]['truth'] = annotated(
                    sample, len(visualizer.dataset_meta.get('classes', ())))
        height, width = unpadded_shape(ctx.samples[n])
        image = ctx.raw_images[n, :, :height, :width].round().byte()
        yield make_card(
            image.permute(1, 2, 0).cpu().numpy(), ctx.samples[n], said[n],
            taught[n], visualizer)


def make_card(image: np.ndarray, sample: DetDataSample,
              said: Dict[str, Labels], taught: List[str],
              visualizer: MultiTaskLocalVisualizer) -> Card:
    """The card of an RGB image ``(H, W, 3)``, of which weak losses (the names
    ``taught``) and others have something said."""
    panels = {
        name: layer_panel(name, image, labels.layer, visualizer)
        for name, labels in said.items()
    }
    facts, scores = {}, []
    for name in taught:
        if said[name].boxes is not None:
            panels[name] = explain_boxes(panels[name], said[name], sample)
        found = []
        for other in ('truth', 'prediction'):
            if other in said:
                value = disagreement(said[name], said[other])
                if value is not None:
                    facts[f'{name}, {other}'] = f'{value:.2f}'
                    found.append(value)
        scores += found[:1]
    shown = [x.layer for name, x in said.items() if name != 'prediction']
    known = {x.name for x in sum(class_styles(visualizer.dataset_meta), [])}
    tags = {
        'class': [
            x.name for x in visualizer.styles_in(shown) if x.name in known
        ],
        'source': [sample.source],
        'weak loss': taught
    }
    return Card('/'.join(Path(sample.img_path).parts[-2:]), jpeg(image),
                image.shape[1::-1], [*panels.values()],
                max(scores, default=None), facts, tags)


def explain_boxes(panel: Panel, labels: Labels,
                  sample: DetDataSample) -> Panel:
    """Show what is ignored, and for boxes of a mask the components and what
    became of them."""
    boxes, legend = [*panel.boxes], []
    if 'origins' in labels.boxes:
        origins = labels.boxes.origins.tolist()
        boxes = [Box(x, COMPONENT_COLOR) for x in sample.components.bboxes]
        boxes += [
            box._replace(color=ORIGIN_COLORS[x])
            for box, x in zip(panel.boxes, origins)
        ]
        legend = [(ORIGINS[x], ORIGIN_COLORS[x]) for x in sorted({*origins})]
        legend.append(('component', COMPONENT_COLOR))
    if labels.ignore is not None:
        areas, classes = (x[0] for x in labels.ignore[:2])
        size = areas.new_tensor(sample.img_shape[1::-1])
        # what is ignored all over the image is not to be seen
        seen = classes.any(1) & (areas[:, 2:] - areas[:, :2] < size).any(1)
        boxes += [Box(x, IGNORED_COLOR, dashed=True) for x in areas[seen]]
    return panel._replace(boxes=boxes, legend=legend)


@user_errors()
def main() -> None:
    args = parse_args()
    require_writable(args.out)
    use_checked_loader(trust=args.trust_checkpoint)
    cfg = load_config(args.config, args.cfg_options)
    init_default_scope(cfg.get('default_scope', 'mmbombo'))
    model = build_model(cfg, args.checkpoint)
    images = [(pair, i) for pair in build_data(cfg)
              for i in range(len(pair[0]))]
    if not images:
        raise UserError(f'{args.config}: train_dataloader has no images')
    number = min(args.num_images or len(images), len(images))
    chosen = [images[int(i)]
              for i in np.linspace(0, len(images) - 1, number)]
    visualizer = MultiTaskLocalVisualizer('pseudo_labels')
    visualizer.dataset_meta = images[0][0][0].metainfo
    chunks = [
        chosen[i:i + BATCH_SIZE] for i in range(0, number, BATCH_SIZE)
    ]
    cards: List[Card] = []
    with torch.no_grad(), evaluation_mode(model):
        for chunk in track_iter_progress(chunks, file=sys.stderr):
            cards += look(model, visualizer, bool(args.checkpoint), chunk)
    write_page(args.out, f'Pseudo labels of {args.config}', TEXT,
               'disagreement', cards)
    print(f'{args.out}: {len(cards)} images, '
          f'{args.out.stat().st_size / 2**20:.1f} MiB')


if __name__ == '__main__':
    main()
