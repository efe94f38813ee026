# Copyright (c) mmbombo contributors.
"""Measure saved predictions again, and see what is wrong with them.

    python tools/test.py CONFIG CHECKPOINT --dump predictions.zip
    python tools/analysis_tools/analyze_predictions.py CONFIG predictions.zip

Needs neither network nor images. The folder of --out gets ``metrics.json``,
as ``tools/test.py --out`` writes it, by the metrics that CONFIG names now; of
boxes and maps ``confusion_det.png`` and ``confusion_seg.png``; and
``errors.json``: TIDE's error kinds, and the confusion of all classes as
numbers. An image counts for what it is annotated with.
"""
import argparse
import json
import sys
from pathlib import Path
from typing import Any, Callable, Dict, List, Tuple

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
import numpy as np
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmengine.utils import track_iter_progress
from terminaltables import AsciiTable

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
#: Lines of the table of confusions.
MAX_LINES = 10
TITLES = dict(det='Boxes with a score of at least {:g}', seg='Maps')


def require_classes(cfg: Config, predictions: SavedPredictions) -> None:
    """Raise ``UserError`` if the predictions are of other classes than those
    of the config, as far as it names them."""
    for key, names in merge_class_names({}, cfg).items():
        saved = predictions.metainfo.get(key)
        if key.endswith('classes') and saved and [*saved] != [*names]:
            raise UserError(f"'{predictions.path}' has the {key} {saved}, but "
                            f'the config {[*names]}')


class Confusions:
    """Counts by true (rows) and predicted class (columns), over images.

    Args:
        metainfo (dict): Of the data set.
        score_thr (float): Lowest score of a box.
    """

    def __init__(self, metainfo: dict, score_thr: float) -> None:
        self.score_thr = score_thr
        classes = list(metainfo.get('classes') or ())
        self.classes = dict(
            det=classes, seg=list(metainfo.get('seg_classes') or classes))
        self.counts: Dict[str, np.ndarray] = {}
        self.boxes = DetectionErrorMetric()
        self.boxes.dataset_meta = metainfo

    def add(self, sample: dict) -> None:
        """Count what a sample is annotated with, if it is predicted."""
        kinds = sample.get('annotation_kinds', (BBOX, SEM_SEG))
        if BBOX in kinds and {'instances', 'pred_instances'} <= {*sample}:
            self.boxes.process(None, [sample])
            self._count('det', box_confusion, self.boxes.results[-1],
                        len(self.classes['det']), self.score_thr)
        if SEM_SEG in kinds and {'gt_sem_seg', 'pred_sem_seg'} <= {*sample}:
            maps = (
                sample[x]['data'].squeeze(0).numpy()
                for x in ('gt_sem_seg', 'pred_sem_seg'))
            self._count('seg', map_confusion, *maps, len(self.classes['seg']))

    def _count(self, task: str, count: Callable, *values: Any) -> None:
        self.counts[task] = self.counts.get(task, 0) + count(*values)

    def labels(self, task: str) -> Tuple[List[str], List[str]]:
        """Names of the rows and of the columns."""
        names = self.classes[task]
        if len(self.counts[task]) == len(names):
            return names, names
        return [*names, '(no object)'], [*names, '(missed)']


def analyze(cfg: Config, predictions: SavedPredictions,
            score_thr: float) -> Tuple[dict, Confusions, dict]:
    """The config's metrics, confusions, and error kinds of detection."""
    # a method that reads nothing of a runner
    evaluator = Runner.build_evaluator(
        None, cfg.get('test_evaluator') or cfg.val_evaluator)
    evaluator.dataset_meta = predictions.metainfo
    confusions = Confusions(predictions.metainfo, score_thr)
    for sample in track_iter_progress((iter(predictions), len(predictions)),
                                      file=sys.stderr):
        evaluator.process([sample])
        confusions.add(sample)
    metrics = evaluator.evaluate(len(predictions))
    errors = {}
    if confusions.boxes.results:
        errors = confusions.boxes.evaluate(len(predictions))
    return metrics, confusions, errors


def between_classes(counts: np.ndarray, rows: List[str],
                    columns: List[str]) -> np.ndarray:
    """Only what is taken for another class, ``(C, C)``."""
    number = sum(x == y for x, y in zip(rows, columns))
    return counts[:number, :number] * ~np.eye(number, dtype=bool)


def most_frequent(counts: np.ndarray, rows: List[str],
                  columns: List[str]) -> str:
    """The most frequent confusions of two classes, as a table."""
    wrong = between_classes(counts, rows, columns)
    lines = [('truth', 'prediction', 'number', '% of truth')]
    for place in np.argsort(-wrong, axis=None, kind='stable')[:MAX_LINES]:
        i, j = np.unravel_index(place, wrong.shape)
        if wrong[i, j]:
            share = f'{100 * wrong[i, j] / counts[i].sum():.1f}'
            lines.append((rows[i], columns[j], f'{wrong[i, j]:,}', share))
    return AsciiTable(lines).table


def pick_classes(counts: np.ndarray, rows: List[str],
                 columns: List[str]) -> Tuple[np.ndarray, list, list]:
    """The classes that are most often taken for another, or another for them;
    the others become one column, so that rows still have all that is true."""
    wrong = between_classes(counts, rows, columns)
    number = len(wrong)
    if number <= MAX_CLASSES:
        return counts, rows, columns
    order = np.argsort(-wrong.sum(axis=0) - wrong.sum(axis=1), kind='stable')
    shown, others = np.split(order, [MAX_CLASSES])
    counts = np.c_[counts[:, shown], counts[:, others].sum(axis=1),
                   counts[:, number:]]
    counts = np.r_[counts[shown], counts[number:]]
    return (counts, [rows[i] for i in shown] + rows[number:],
            [columns[i] for i in shown] + ['(other class)'] +
            columns[number:])


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
    axes.set(title=title, xlabel='prediction', ylabel='truth (number)')
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
    metrics, confusions, errors = analyze(cfg, predictions, args.score_thr)
    (args.out / 'metrics.json').write_text(json.dumps(metrics))
    for task, counts in confusions.counts.items():
        labels = confusions.labels(task)
        errors[f'confusion_{task}'] = dict(
            rows=labels[0], columns=labels[1], counts=counts.tolist())
        shown = pick_classes(counts, *labels)
        title = TITLES[task].format(args.score_thr)
        print(f'{title}: what is taken for what\n'
              f'{most_frequent(counts, *labels)}')
        title += ', % of each row'
        if len(shown[0]) < len(counts):
            title += f'; the {MAX_CLASSES} classes confused most'
        draw(*shown, title, args.out / f'confusion_{task}.png')
    (args.out / 'errors.json').write_text(json.dumps(errors))
    print(f'metrics, pictures and numbers: {args.out}')


if __name__ == '__main__':
    main()
