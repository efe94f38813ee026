# Copyright (c) mmbombo contributors.
"""Measure saved predictions again, and see what is wrong with them.

    python tools/test.py CONFIG CHECKPOINT --dump predictions.zip
    python tools/analysis_tools/analyze_predictions.py CONFIG predictions.zip

Needs neither network nor images. The folder of --out gets ``metrics.json``,
as ``tools/test.py --out`` writes it, by the metrics that CONFIG names now;
``confusion_det.png`` and ``confusion_seg.png``, of boxes and maps; and
``errors.json``, TIDE's error kinds and all confusions as numbers. An image
counts for what it is annotated with.
"""
import argparse
import sys
from collections import defaultdict
from pathlib import Path
from typing import Dict, List, Tuple

from mmengine.config import Config, DictAction


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file, or a name of ours')
    parser.add_argument('predictions', help='file of tools/test.py --dump')
    parser.add_argument(
        '--out',
        type=Path,
        default=Path('analysis'),
        help='folder for results (default: %(default)s)')
    parser.add_argument(
        '--score-thr',
        type=float,
        default=0.3,
        help='lowest score of a box in the confusion (default: %(default)s)')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        help='override settings of the config, key=value')
    return parser.parse_args()


if __name__ == '__main__':  # --help waits for no library
    parse_args()

import matplotlib

matplotlib.use('Agg')

import matplotlib.pyplot as plt
import mmengine
import numpy as np
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmengine.utils import track_iter_progress

from mmbombo.apis.multi_task_inferencer import merge_class_names
from mmbombo.evaluation.functional import box_confusion, map_confusion
from mmbombo.evaluation.metrics import DetectionErrorMetric
from mmbombo.evaluation.metrics.dump_predictions import SavedPredictions
from mmbombo.structures import BBOX, SEM_SEG
from mmbombo.utils import UserError, user_errors
from mmbombo.utils.atomic_write import require_writable
from mmbombo.utils.config_names import load_config

#: Classes of a picture: of more the names cannot be read.
MAX_CLASSES = 30
TITLES = dict(
    det='Boxes from score {:g} on, % of each row', seg='Maps, % of each row')


def require_classes(cfg: Config, predictions: SavedPredictions) -> None:
    """Raise ``UserError`` if the predictions are of other classes than those
    of the config, as far as it names them."""
    for key, names in merge_class_names({}, cfg).items():
        saved = predictions.metainfo.get(key)
        if key.endswith('classes') and saved and [*saved] != [*names]:
            raise UserError(f"'{predictions.path}' has the {key} {saved}, but "
                            f'the config {[*names]}')


def analyze(cfg: Config, predictions: SavedPredictions,
            score_thr: float) -> Tuple[dict, dict, Dict[str, np.ndarray]]:
    """The config's metrics, error kinds of boxes, and by task the number of
    each true (row) and predicted class (column)."""
    meta = predictions.metainfo
    # a method that reads nothing of a runner
    evaluator = Runner.build_evaluator(
        None, cfg.get('test_evaluator') or cfg.val_evaluator)
    evaluator.dataset_meta = meta
    boxes, counts = DetectionErrorMetric(), defaultdict(int)
    boxes.dataset_meta = meta
    for sample in track_iter_progress((iter(predictions), len(predictions)),
                                      file=sys.stderr):
        evaluator.process([sample])
        kinds = sample.get('annotation_kinds', (BBOX, SEM_SEG))
        if BBOX in kinds and {'instances', 'pred_instances'} <= {*sample}:
            boxes.process(None, [sample])
            counts['det'] += box_confusion(boxes.results[-1],
                                           len(meta['classes']), score_thr)
        if SEM_SEG in kinds and {'gt_sem_seg', 'pred_sem_seg'} <= {*sample}:
            truth, pred = (
                sample[x]['data'].squeeze(0).numpy()
                for x in ('gt_sem_seg', 'pred_sem_seg'))
            if truth.shape == pred.shape:  # a protocol may squash maps
                counts['seg'] += map_confusion(truth, pred,
                                               len(seg_classes(meta)))
    metrics = evaluator.evaluate(len(predictions))
    errors = boxes.evaluate(len(predictions)) if boxes.results else {}
    return metrics, errors, counts


def seg_classes(meta: dict) -> List[str]:
    """Names of the classes of maps, of MMSegmentation's data sets too."""
    return meta.get('seg_classes') or meta['classes']


def pick_classes(counts: np.ndarray, rows: List[str],
                 columns: List[str]) -> Tuple[np.ndarray, list, list]:
    """The classes that are most often taken for another, or another for them;
    the others become one column, so that rows still have all that is true."""
    number = sum(x == y for x, y in zip(rows, columns))
    if number <= MAX_CLASSES:
        return counts, rows, columns
    wrong = counts[:number, :number] * ~np.eye(number, dtype=bool)
    order = np.argsort(-wrong.sum(axis=0) - wrong.sum(axis=1), kind='stable')
    shown, others = np.split(order, [MAX_CLASSES])
    counts = np.c_[counts[:, shown], counts[:, others].sum(axis=1),
                   counts[:, number:]]
    return (np.r_[counts[shown], counts[number:]],
            [rows[i] for i in shown] + rows[number:],
            [columns[i]
             for i in shown] + ['(other class)'] + columns[number:])


def draw(counts: np.ndarray, rows: List[str], columns: List[str], title: str,
         path: Path) -> None:
    """Draw a matrix whose rows are shares of what is true."""
    totals = counts.sum(axis=1, keepdims=True)
    percent = 100 * counts / np.maximum(totals, 1)
    size = 0.4 * len(columns) + 2.5, 0.3 * len(rows) + 2
    figure, axes = plt.subplots(figsize=size, layout='constrained')
    axes.imshow(percent, cmap='Blues', vmin=0, vmax=100, aspect='auto')
    axes.set_xticks(range(len(columns)), columns, rotation=90)
    axes.set_yticks(
        range(len(rows)), [f'{x} ({n:,})' for x, n in zip(rows, totals[:, 0])])
    for (i, j), value in np.ndenumerate(percent):
        if value >= 0.5:
            axes.text(j, i, f'{value:.0f}', ha='center', va='center',
                      fontsize=8, color='white' if value > 50 else 'black')
    figure.suptitle(title, fontsize='large')
    axes.set(xlabel='prediction', ylabel='truth (number)')
    figure.savefig(path, dpi=110)
    plt.close(figure)


@user_errors()
def main() -> None:
    args = parse_args()
    cfg = load_config(args.config, args.cfg_options)
    init_default_scope(cfg.get('default_scope', 'mmbombo'))
    predictions = SavedPredictions(args.predictions)
    require_classes(cfg, predictions)
    require_writable(args.out / 'metrics.json')
    metrics, errors, confusions = analyze(cfg, predictions, args.score_thr)
    mmengine.dump(metrics, args.out / 'metrics.json')
    for task, counts in confusions.items():
        rows = columns = [*seg_classes(predictions.metainfo)]
        if task == 'det':
            names = predictions.metainfo['classes']
            rows, columns = [*names, '(no object)'], [*names, '(missed)']
        errors[f'confusion_{task}'] = dict(
            rows=rows, columns=columns, counts=counts.tolist())
        title = TITLES[task].format(args.score_thr)
        if len(rows) > MAX_CLASSES + 1:
            title += f'; the {MAX_CLASSES} classes confused most'
        draw(*pick_classes(counts, rows, columns), title,
             args.out / f'confusion_{task}.png')
    mmengine.dump(errors, args.out / 'errors.json')
    print(f'metrics, pictures and numbers: {args.out}')


if __name__ == '__main__':
    main()
