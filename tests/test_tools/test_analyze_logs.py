# Copyright (c) mmbombo contributors.
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from toolbox import load_script

TOOL = Path(
    __file__).resolve().parents[2] / 'tools/analysis_tools/analyze_logs.py'
STEP = {'det/loss_cls': 1., 'det/loss_bbox': 2., 'b4m/loss_ce': .5,
        'loss': 3.5, 'lr': .01, 'time': .2, 'b4m/acc_seg': 80.,
        'm4b/num_kept': 4}


@pytest.fixture
def tool():
    return load_script(TOOL)


def write_log(work_dir, rows, start='20260101_000000'):
    path = work_dir / start / 'vis_data/scalars.json'
    path.parent.mkdir(parents=True)
    path.write_text(''.join(json.dumps(x) + '\n' for x in rows))
    return work_dir


@pytest.fixture
def runs(tmp_path):
    """A run that was resumed after step 1, and a longer one."""
    first = write_log(tmp_path / 'naive', [
        dict(STEP, step=1), dict(STEP, step=2, loss=9.),
        {'train/mIoU': .5, 'step': 1}
    ])
    write_log(first, [
        dict(STEP, step=2, loss=7.),
        {'det/bbox_mAP': .3, 'seg/mIoU': 60., 'seg/cat_IoU': 1.,
         'det/bbox_mAP_l': -1., 'step': 2},
        {'det/bbox_mAP': .2, 'seg/mIoU': .5, 'step': 3}
    ], '20260101_000001')  # yapf: disable
    second = write_log(tmp_path / 'bombo',
                       [dict(STEP, step=i, memory=100 + i) for i in range(50)])
    return [first, second]


def test_series_of_a_resumed_run(tool, runs):
    run = tool.read_run(runs[0])
    assert run.train['loss'][1].tolist() == [3.5, 7.]
    losses = tool.losses(run)
    assert losses.keys() == {'det', 'b4m'}
    assert losses['det'][1].tolist() == [3., 3.]
    assert tool.diagnostics_in('counts')(run).keys() == {'m4b/num_kept'}
    assert tool.diagnostics_in('shares')(run).keys() == {'mIoU'}
    # shares become percentages; neither one class nor "no object"
    metrics = tool.metrics(run)
    assert metrics.keys() == {'det/bbox_mAP', 'seg/mIoU'}
    assert np.allclose(metrics['det/bbox_mAP'][1], [30, 20])
    assert np.allclose(metrics['seg/mIoU'][1], [60, .5])


def test_table_and_picture_of_two_runs(tool, runs, tmp_path, capsys,
                                       monkeypatch):
    out = tmp_path / 'new/logs.png'
    monkeypatch.setattr('sys.argv', ['', *map(str, runs), '--out', str(out)])
    tool.main()
    lines = [[x.strip() for x in line.split('|')[1:-1]]
             for line in capsys.readouterr().out.splitlines()]
    assert ['last', 'naive', 'bombo', 'difference'] in lines
    assert ['loss', '7', '3.5', '-3.5'] in lines
    assert ['det/bbox_mAP, %', '20 (highest 30)', '-', ''] in lines
    assert ['memory, MiB (most)', '-', '149', ''] in lines
    with Image.open(out) as picture:
        assert np.asarray(picture.convert('L')).std() > 5


def test_gradients(tool, tmp_path, capsys, monkeypatch):
    """Curves are of the whole network; of the stages the mean over the run,
    nowhere for a pair of which one has no gradient."""
    cosine = 'grad_cosine/det-seg'
    write_log(tmp_path / 'run', [
        {f'{cosine}/backbone.layer1': .5, f'{cosine}/neck': -.5,
         'grad_cosine/det-b4m/neck': 1., f'{cosine}/all': .1,
         'grad_ratio/det-seg/all': 2., 'step': 10},
        {f'{cosine}/backbone.layer1': .3, f'{cosine}/all': -.3, 'step': 20}
    ])  # yapf: disable
    run = tool.read_run(tmp_path / 'run')
    assert tool.gradients('cosine')(run)['det-seg'][1].tolist() == [.1, -.3]
    assert tool.gradients('ratio')(run).keys() == {'det-seg'}
    stages = tool.cosines_of_stages(run)
    assert stages['det-seg'][0].tolist() == ['layer1', 'neck']
    assert np.allclose(stages['det-seg'][1], [.4, -.5])
    assert np.allclose(stages['det-b4m'][1], [np.nan, 1], equal_nan=True)
    assert not tool.metrics(run)
    out = tmp_path / 'logs.png'
    monkeypatch.setattr(
        'sys.argv', ['', str(tmp_path / 'run'), '--out', str(out)])
    tool.main()
    assert '| cosine det-seg (mean) | -0.1 |' in capsys.readouterr().out
    assert out.is_file()


@pytest.mark.parametrize('text, message', [
    (None, 'is no log and has none'),
    ('', 'has no logged step'),
    ('{"loss": 1}', "scalars.json:1: '{\"loss\": 1}' is no JSON object"),
    ('{"loss": 1, "step": 1}\nEpoch 1', "json:2: 'Epoch 1' is no JSON object"),
])  # yapf: disable
def test_no_log(tool, tmp_path, monkeypatch, text, message):
    if text is not None:
        write_log(tmp_path, []).joinpath(
            '20260101_000000/vis_data/scalars.json').write_text(text)
    monkeypatch.setattr('sys.argv', ['', str(tmp_path)])
    with pytest.raises(SystemExit, match='UserError: ') as error:
        tool.main()
    assert message in str(error.value)
