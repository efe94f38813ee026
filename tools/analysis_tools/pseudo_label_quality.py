# Copyright (c) mmbombo contributors.
"""How good the pseudo labels of a config are, where both annotations exist.

    python tools/analysis_tools/pseudo_label_quality.py CONFIG [CHECKPOINT]

Training hides one annotation of each image; here it is the truth. Images and
truth are those of the config's ``PseudoLabelQualityHook``; without one, of all
training sources with exactly one of ``bbox`` and ``sem_seg``, in place of the
augmentation with what the test pipeline does to an image, such as ``Resize``.

Without a checkpoint nobody predicts, so that Mask-for-Box finds no objects to
split or merge. With one the network itself is asked. The rectangles of all
components stand beside.

Per box the class of the pseudo mask is compared with that of the true mask,
not with the object alone. A box is small below 32 x 32 pixels and large from
96 x 96 pixels, in the image as the network sees it; an object is touching if
a component of its class holds another one too, occluded if none holds it.
"""
import argparse
import json
import sys
from functools import partial
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

from mmengine.config import Config, DictAction
from mmengine.utils import track_iter_progress


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file, or a name of ours')
    parser.add_argument('checkpoint', nargs='?', help='checkpoint file')
    parser.add_argument(
        '--num-images',
        type=int,
        help='look at so many images, evenly spaced (default: all)')
    parser.add_argument('--json', help='file for all values')
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

from mmengine.device import get_device
from mmengine.model import ModuleList
from mmengine.registry import init_default_scope
from mmengine.runner import CheckpointLoader

from mmbombo.apis.config_parts import base_type, inference_steps
from mmbombo.engine.hooks.teacher_hook import load_all_weights
from mmbombo.evaluation.pseudo_labels import (Dataset, PseudoLabelQuality,
                                              build_pair,
                                              compare_pseudo_labels)
from mmbombo.models.detectors import MultiTaskDetector
from mmbombo.models.weak_losses import BoxForMaskLoss, MaskForBoxLoss
from mmbombo.registry import DATASETS, MODELS
from mmbombo.structures import BBOX, SEM_SEG
from mmbombo.utils import UserError, use_checked_loader, user_errors
from mmbombo.utils.checkpoint_classes import (find_class_changes,
                                              require_trained_classes)
from mmbombo.utils.config_names import load_config

HOOK = 'PseudoLabelQualityHook'
LOSSES = (BoxForMaskLoss, MaskForBoxLoss)


def build_model(cfg: Config, checkpoint: Optional[str]) -> MultiTaskDetector:
    """Build the network with the weak losses that are judged."""
    model = MODELS.build(cfg.model)
    model.weak_losses = ModuleList(
        x for x in getattr(model, 'weak_losses', ()) if isinstance(x, LOSSES))
    if not model.weak_losses:
        raise UserError(
            f'{cfg.filename}: model.weak_losses has neither BoxForMaskLoss '
            'nor MaskForBoxLoss, so that there is no pseudo label to judge')
    for weak_loss in model.weak_losses:
        if checkpoint is None:
            weak_loss.predictor = 'none'
        elif weak_loss.predictor != 'none':
            weak_loss.predictor = 'self'
    if checkpoint is not None:
        loaded = CheckpointLoader.load_checkpoint(
            checkpoint, map_location='cpu')
        require_trained_classes(find_class_changes(model, loaded), checkpoint)
        load_all_weights(model, loaded, checkpoint)
    return model.to(get_device())


def build_data(cfg: Config, model: MultiTaskDetector) -> Tuple[Dataset, ...]:
    """Build the images as training may read them, and with both kinds."""
    for hook in cfg.get('custom_hooks') or ():
        if base_type(hook) == HOOK:
            return build_pair(hook['weak'], hook['truth'])
    sources = judged_sources(cfg, {x.source_kind for x in model.weak_losses})
    weak = [DATASETS.build(source) for source in sources]
    truth = [build_truth(source) for source in sources]
    return build_pair(*(dict(type='MixedSourceDataset', datasets=datasets)
                        for datasets in (weak, truth)))


def judged_sources(cfg: Config, kinds: Sequence[str]) -> List[dict]:
    """Configs of the training sources, without randomness, that have one of
    the kinds and need the other one."""
    dataset = (cfg.get('train_dataloader') or {}).get('dataset', {})
    declared = 'annotation_kinds' in dataset
    sources = []
    for source in [dataset] if declared else dataset.get('datasets', ()):
        labels = {BBOX, SEM_SEG} & {*source.get('annotation_kinds', ())}
        if len(labels) == 1 and labels <= {*kinds}:
            sources.append(
                dict(
                    source,
                    pipeline=fixed_pipeline(cfg, source.get('pipeline', ()))))
    if not sources:
        raise UserError(
            f'{cfg.filename}: no source of train_dataloader.dataset has one '
            f'of the annotation kinds {sorted(kinds)} and not the other; give '
            f'`weak` and `truth` in a {HOOK} of custom_hooks')
    return sources


def fixed_pipeline(cfg: Config, pipeline: Sequence[dict]) -> List[dict]:
    """A training pipeline with the test pipeline's steps for augmentation."""
    loading = [x for x in pipeline if base_type(x).startswith('Load')]
    labeling = [x for x in pipeline if base_type(x) == 'LabelComponents']
    packing = [x for x in pipeline if base_type(x).startswith('Pack')]
    geometry = [
        x for x in inference_steps(cfg)
        if not base_type(x).startswith(('Load', 'Pack'))
    ]
    return loading + geometry + labeling + packing


def build_truth(source: dict) -> Dataset:
    """Build a source with both kinds."""
    lacking, = {BBOX, SEM_SEG} - {*source['annotation_kinds']}
    try:
        return DATASETS.build(
            dict(
                source,
                annotation_kinds=(*source['annotation_kinds'], lacking)))
    except UserError as error:
        raise UserError(
            f'the pseudo labels of source {source.get("source")!r} cannot be '
            f'judged without its {lacking!r}, which it does not give: {error}'
        ) from None


def table(head: str, rows: List[Tuple]) -> str:
    """A table in Markdown; floats are percentages, None is nothing."""
    names = head.split()
    lines = [names, ['---', *['---:'] * (len(names) - 1)]]
    for row in rows:
        lines.append([
            '' if x is None else
            f'{100 * x:.1f}' if isinstance(x, float) else str(x) for x in row
        ])
    return '\n'.join(f'| {" | ".join(line)} |' for line in lines)


def group_rows(groups: Dict[str, dict]) -> List[Tuple[str, str]]:
    """Groups and names; classes by their number of objects."""
    rows = []
    for group, names in groups.items():
        order = list(names)
        if group == 'class':
            order.sort(key=lambda name: -names[name]['objects'])
        rows += [(group, name) for name in order]
    return rows


def mask_report(summary: dict, groups: Dict[str, dict]) -> List[str]:
    """Tables about Box-for-Mask."""
    keys = ('labeled', 'accuracy', 'mIoU', 'limited', 'limited_accuracy')
    boxes = groups['b4m']
    ious = ', '.join(f'{name} {100 * iou:.1f}'
                     for name, iou in groups['class_ious'].items())
    return [
        table(f'pixels {" ".join(keys)}',
              [('all', *(summary.get(f'b4m/{key}') for key in keys))]),
        f'IoU of labeled pixels: {ious}',
        table('box objects IoU precision recall',
              [(name,
                *(boxes[group][name].get(key)
                  for key in ('objects', 'mean_iou', 'precision', 'recall')))
               for group, name in group_rows(boxes)])
    ]


def box_report(groups: Dict[str, dict]) -> List[str]:
    """The table about Mask-for-Box, beside the rectangles as they are."""
    parts = [groups['m4b'], groups['rectangles']]
    keys = ('ignored', 'recall', 'mean_iou', 'targets', 'precision')
    rows = [(name, groups['m4b'][group][name]['objects'],
             *(part[group].get(name, {}).get(key) for part in parts
               for key in keys)) for group, name in group_rows(groups['m4b'])]
    head = ('box objects ignored recall@.5 IoU targets precision '
            'rectangles:ignored recall@.5 IoU targets precision')
    return [table(head, rows)]


def report(quality: PseudoLabelQuality) -> str:
    """All tables, in percent."""
    summary, groups = quality.summary(), quality.by_group()
    parts = []
    if quality.num_images['b4m']:
        parts += [
            f'Box-for-Mask, {quality.num_images["b4m"]} images, in percent',
            *mask_report(summary, groups)
        ]
    if quality.num_images['m4b']:
        parts += [
            f'Mask-for-Box, {quality.num_images["m4b"]} images, in percent',
            *box_report(groups)
        ]
    return '\n\n'.join(parts)


@user_errors()
def main() -> None:
    args = parse_args()
    use_checked_loader(trust=args.trust_checkpoint)
    cfg = load_config(args.config)
    cfg.merge_from_dict(args.cfg_options or {})
    init_default_scope(cfg.get('default_scope', 'mmbombo'))
    model = build_model(cfg, args.checkpoint)
    quality = compare_pseudo_labels(
        model,
        *build_data(cfg, model),
        args.num_images,
        track=partial(track_iter_progress, file=sys.stderr))
    print(report(quality))
    if args.json:
        values = dict(
            config=args.config,
            checkpoint=args.checkpoint,
            num_images=quality.num_images,
            summary=quality.summary(),
            **quality.by_group())
        Path(args.json).write_text(json.dumps(values) + '\n')


if __name__ == '__main__':
    main()
