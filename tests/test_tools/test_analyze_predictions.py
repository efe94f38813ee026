# Copyright (c) mmbombo contributors.
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image
from toolbox import CLASSES, SEG_CLASSES, load_script

from mmbombo.evaluation.metrics import DumpPredictions

TOOL = load_script(
    Path(__file__).resolve().parents[2] /
    'tools/analysis_tools/analyze_predictions.py')
META = dict(classes=CLASSES, seg_classes=SEG_CLASSES)
BOX = dict(bbox=[0., 0., 20., 20.], bbox_label=0, ignore_flag=0)


def make_sample(index, kinds):
    """A cat that is taken for a dog, and as pixels half for a dog and half
    for nothing; beside it a dog where there is none."""
    truth = torch.zeros(1, 40, 40).long()
    truth[:, :20, :20] = 1
    pred = truth.clone()
    pred[:, :10, :20], pred[:, 10:20, :20] = 2, 0
    sample = dict(
        sample_idx=index, img_path=f'{index}.jpg', ori_shape=(40, 40),
        img_id=index, source='val', instances=[BOX],
        gt_sem_seg=dict(data=truth), pred_sem_seg=dict(data=pred),
        pred_instances=dict(
            bboxes=torch.tensor([[0., 0, 20, 20], [30, 30, 40, 40]]),
            labels=torch.tensor([1, 1]), scores=torch.tensor([.9, .5])))
    # stock samples do not say what they are annotated with
    return sample if kinds is None else dict(sample, annotation_kinds=kinds)


@pytest.fixture
def analyze(tmp_path, monkeypatch):
    """Runs the tool on samples of some kinds, with a config."""

    def run(kinds, evaluator, *options, meta=META):
        dump = DumpPredictions(str(tmp_path / 'dump.zip'))
        dump.dataset_meta = meta
        dump.process(None, [make_sample(i, x) for i, x in enumerate(kinds)])
        dump.evaluate(len(kinds))
        pipeline = [dict(type='LoadImageFromFile')]
        Config(dict(
            model=dict(), test_evaluator=evaluator,
            test_dataloader=dict(
                dataset=dict(pipeline=pipeline, metainfo=META)))).dump(
                    tmp_path / 'config.py')
        out = tmp_path / 'out'
        monkeypatch.setattr(sys, 'argv', [
            'analyze_predictions.py', str(tmp_path / 'config.py'),
            str(tmp_path / 'dump.zip'), '--out', str(out), *options
        ])
        TOOL.main()
        files = {x.name for x in out.iterdir()}
        return (files, *(json.loads((out / f'{x}.json').read_text())
                         for x in ('metrics', 'errors')))

    return run


BOTH = dict(type='MultiTaskEvaluator', metrics=dict(
    det=dict(type='BoxAPMetric'), seg=dict(type='SegIoUMetric')))


def test_kinds_that_are_not_declared_do_not_count(analyze):
    files, metrics, errors = analyze(
        [('bbox', ), ('sem_seg', ), ('bbox', 'sem_seg')], BOTH)
    assert files == {'metrics.json', 'errors.json', 'confusion_det.png',
                     'confusion_seg.png'}
    assert metrics['det/bbox_mAP'] == 0 and metrics['seg/cat_IoU'] == 0
    assert metrics['joint/score'] > 0
    # of two images each
    det, seg = errors['confusion_det'], errors['confusion_seg']
    assert det['rows'] == [*CLASSES, '(no object)']
    assert det['columns'] == [*CLASSES, '(missed)']
    assert det['counts'] == [[0, 2, 0, 0], [0] * 4, [0] * 4, [0, 2, 0, 0]]
    assert seg['rows'] == seg['columns'] == [*SEG_CLASSES]
    assert seg['counts'][1] == [400, 0, 400, 0] and sum(seg['counts'][0]) == \
        2 * 1200
    assert (errors['errors/num_Cls'], errors['errors/num_Bkg']) == (2, 2)


@pytest.mark.parametrize('evaluator, kinds, files', [
    (dict(BOTH, metrics=dict(det=dict(type='BoxAPMetric'))), ('bbox', ),
     {'confusion_det.png'}),
    (dict(BOTH, metrics=dict(seg=dict(type='SegIoUMetric'))), ('sem_seg', ),
     {'confusion_seg.png'}),
    # a stock evaluator, in a list
    ([dict(type='BoxAPMetric', prefix='a')], None,
     {'confusion_seg.png', 'confusion_det.png'}),
])
def test_one_task_and_stock_evaluators(analyze, evaluator, kinds, files):
    found, metrics, _ = analyze([kinds], evaluator)
    assert found == files | {'metrics.json', 'errors.json'}
    assert len(metrics) > 3


def test_lower_scores(analyze):
    errors = analyze([('bbox', 'sem_seg')], BOTH, '--score-thr', '.6')[2]
    assert errors['confusion_det']['counts'][3] == [0] * 4


@pytest.mark.parametrize('meta, options, message', [
    (dict(META, classes=CLASSES[::-1]), [],
     r"dump.zip' has the classes \['cow', 'dog', 'cat'\], but"),
    (META, ['--out', '/dev/null/a'], '--out /dev/null/a/metrics.json: '),
    (META, ['--cfg-options', 'test_evalutor=1'], "did you mean 'test_eval"),
])
def test_bad_input(analyze, meta, options, message):
    with pytest.raises(SystemExit, match=message):
        analyze([('bbox', 'sem_seg')], BOTH, *options, meta=meta)


def many(number, extra=1):
    """Counts of classes of which each is taken for the next one."""
    counts = np.diag(np.arange(number) * 10 + 5)
    counts[np.arange(number), (np.arange(number) + 1) % number] = \
        np.arange(number)
    names = [f'class {i}' for i in range(number)]
    if extra:
        counts = np.pad(counts, (0, 1), constant_values=7)
        counts[-1, -1] = 0
    return counts, [*names, *['(no object)'] * extra], \
        [*names, *['(missed)'] * extra]


@pytest.mark.parametrize('number, extra', [(80, 1), (133, 0)])
def test_of_many_classes_those_confused_most(number, extra, tmp_path):
    full, rows, columns = many(number, extra)
    counts, *names = TOOL.pick_classes(full, rows, columns)
    assert counts.shape == (TOOL.MAX_CLASSES + extra,
                            TOOL.MAX_CLASSES + 1 + extra)
    shown = [rows.index(x) for x in names[0]]
    assert counts.sum(axis=1).tolist() == full[shown].sum(axis=1).tolist()
    assert names[0][0] == f'class {number - 1}'
    assert counts[0, 0] == full[number - 1, number - 1]
    assert names[1][TOOL.MAX_CLASSES] == '(other class)'
    TOOL.draw(counts, *names, 'a title', tmp_path / 'a.png')
    with Image.open(tmp_path / 'a.png') as picture:
        assert max(picture.size) < 2500


def test_few_classes_stay(tmp_path):
    full = many(TOOL.MAX_CLASSES)
    assert TOOL.pick_classes(*full)[0] is full[0]
    # a class that nothing shows
    TOOL.draw(np.zeros((2, 2), int), ['a', 'b'], ['a', 'b'], '',
              tmp_path / 'a.png')
