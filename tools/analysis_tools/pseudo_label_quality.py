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
from typing import Dict, List, Optional, Sequence, Tuple, Union

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

from mmbombo.evaluation.pseudo_labels import (Dataset, PseudoLabelQuality,
                                              build_pair,
                                              compare_pseudo_labels)
from mmbombo.models.detectors import MultiTaskDetector
from mmbombo.models.weak_losses import BoxForMaskLoss, MaskForBoxLoss
from mmbombo.registry import DATASETS, MODELS
from mmbombo.structures import BBOX, SEM_SEG
from mmbombo.utils import UserError, use_checked_loader, user_errors
from mmbombo.utils.checkpoint import load_weights
from mmbombo.utils.checkpoint_classes import (find_class_changes,
                                              require_trained_classes)
from mmbombo.utils.config_names import load_config
from mmbombo.utils.config_parts import base_type, inference_steps

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
    return load_network(model, checkpoint)


def load_network(model: MultiTaskDetector,
                 checkpoint: Optional[str]) -> MultiTaskDetector:
    """Give a model its weights, if there are any, and its device."""
    if checkpoint is not None:
        loaded = CheckpointLoader.load_checkpoint(
            checkpoint, map_location='cpu')
        require_trained_classes(find_class_changes(model, loaded), checkpoint)
        load_weights(model, loaded, f'{checkpoint}: ', exact=True)
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
    kinds = source['annotation_kinds']
    lacking = [x for x in (BBOX, SEM_SEG) if x not in kinds]
    try:
        return DATASETS.build(
            dict(source, annotation_kinds=(*kinds, *lacking)))
    except UserError as error:
        raise UserError(
            f'the pseudo labels of source {source.get("source")!r} cannot be '
            f'judged without its {" and ".join(map(repr, lacking))}, which '
            f'it does not give: {error}') from None


def table(groups: Dict[str, dict]) -> str:
    """Groups by size, case and class in Markdown; shares are percentages."""
    rows = {
        name: values
        for names in groups.values()
        for name, values in names.items()
    }
    keys = list(
        dict.fromkeys(key for values in rows.values() for key in values))
    lines = [['box', *keys], ['---', *['---:'] * len(keys)]]
    for name, values in rows.items():
        lines.append([name, *(show(values.get(key)) for key in keys)])
    return '\n'.join(f'| {" | ".join(line)} |' for line in lines)


def show(value: Union[None, int, float]) -> str:
    """A count, a share as a percentage, or nothing."""
    if value is None:
        return ''
    return f'{100 * value:.1f}' if isinstance(value, float) else str(value)


def report(quality: PseudoLabelQuality) -> str:
    """All tables, in percent."""
    summary, groups = quality.summary(), quality.by_group()
    parts = []
    if quality.num_images['b4m']:
        pixels = ', '.join(f'{key[4:]} {show(value)}'
                           for key, value in summary.items()
                           if key.startswith('b4m/'))
        ious = ', '.join(f'{name} {show(iou)}'
                         for name, iou in groups['class_ious'].items())
        parts += [
            f'Box-for-Mask, {quality.num_images["b4m"]} images, in percent',
            f'pixels: {pixels}', f'IoU of labeled pixels: {ious}',
            table(groups['b4m'])
        ]
    if quality.num_images['m4b']:
        parts += [
            f'Mask-for-Box, {quality.num_images["m4b"]} images, in percent',
            table(groups['m4b']), 'The rectangles of all components',
            table(groups['rectangles'])
        ]
    return '\n\n'.join(parts)


@user_errors()
def main() -> None:
    args = parse_args()
    use_checked_loader(trust=args.trust_checkpoint)
    cfg = load_config(args.config, args.cfg_options)
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
