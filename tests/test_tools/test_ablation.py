# Copyright (c) mmbombo contributors.
import json
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from mmengine.config import Config

from mmbombo.testing import load_script

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / 'tools' / 'analysis_tools'


@pytest.fixture
def ablation(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    return load_script(FOLDER / 'ablation.py')


@pytest.fixture
def report(ablation):
    return sys.modules['ablation_parts.report']


@pytest.fixture
def bench_file(tmp_path):
    (tmp_path / 'config.py').write_text(
        'model = dict(weight=1.0, init=None)\n'
        "palette = [1]\ntrain_dataloader = dict(metainfo=dict(palette=[1]))\n"
        'train_cfg = dict(max_iters=100, val_interval=50)\n')
    file = tmp_path / 'bench.yml'
    file.write_text('iters: 20\n'
                    'rows:\n'
                    '  naive: {config: config.py}\n'
                    '  bombo: {config: config.py, '
                    'options: {model.weight: 2.0}}\n'
                    '  kd: {config: config.py, needs: [naive], '
                    "options: {model.init: '{naive}'}}\n")
    return file


def run(row, seed, ap, miou, **more):
    return dict(row=row, seed=seed, AP50=ap + 20, AP=ap, mIoU=miou, **more)


RUNS = [
    run('naive', 1, 22., 40.),
    run('naive', 0, 20., 40.),
    run('bombo', 0, 26., 43., pseudo={'m4b/recall': .5}),
    run('oracle', 0, 31., 46.),
    dict(row='det', seed=0, AP50=39., AP=19.)
]
ROWS = ['det', 'seg', 'naive', 'bombo', 'oracle']


def test_table(report):
    lines = report.table(report.summarize(RUNS, ROWS)).splitlines()
    assert lines[2] == '| det | 1 | 39.0 | 19.0 |  | -9 % |  |'
    assert lines[3] == ('| naive | 2 | 41.0 ± 1.4 | 21.0 ± 1.4 | 40.0 ± 0.0 '
                        '|  |  |')
    assert lines[4] == ('| bombo | 1 | 46.0 | 26.0 | 43.0 '
                        '| 55 % | 50 % |')
    assert lines[5] == '| oracle | 1 | 51.0 | 31.0 | 46.0 |  |  |'


def test_summary_keeps_the_seeds_in_order(report):
    summary = report.summarize(RUNS, ROWS)
    assert summary['naive']['AP']['seeds'] == [20., 22.]
    assert summary['bombo']['pseudo'] == {'m4b/recall': .5}
    assert summary['bombo']['AP']['std'] is None


def test_qualities_of_pseudo_labels_are_in_the_document(report):
    text = report.document(
        dict(jobs=2), report.summarize(RUNS, ROWS), 'ablation.png')
    assert text.startswith('# Ablation\n\n| | seeds |')
    quality = text.split('## Pseudo labels: m4b\n\n')[1].splitlines()
    assert quality[2] == '| bombo |  | 0.500 |  |  |  |  |'
    assert '## Pseudo labels: b4m' not in text
    assert '- jobs: `2`' in text


def test_no_gap_without_a_better_oracle(report):
    runs = [
        run('naive', 0, 20., 40.),
        run('bombo', 0, 26., 43.),
        run('oracle', 0, 20., 46.)
    ]
    assert report.gap_closed(runs, 'bombo', 'AP') is None
    assert report.gap_closed(runs, 'bombo', 'mIoU') == .5


def test_the_gap_is_that_of_the_seeds_of_the_row(report):
    runs = [
        run('naive', 0, 20., 40.), run('naive', 1, 90., 40.),
        run('oracle', 0, 30., 46.), run('oracle', 1, 92., 46.),
        run('bombo', 0, 25., 43.)
    ]
    assert report.gap_closed(runs, 'bombo', 'AP') == .5
    assert report.gap_closed(runs + [run('bombo', 1, 92., 43.)], 'bombo',
                             'AP') == 7 / 12
    assert report.gap_closed(runs, 'b4m', 'AP') is None


def test_plot_is_a_picture(report, tmp_path):
    report.plot(report.summarize(RUNS, ROWS), tmp_path / 'plot.png')
    assert (tmp_path / 'plot.png').read_bytes().startswith(b'\x89PNG')


def test_the_last_validation_counts(ablation, tmp_path):
    for folder, ap in [('20260101', .1), ('20260102', .25)]:
        file = tmp_path / folder / 'vis_data' / 'scalars.json'
        file.parent.mkdir(parents=True)
        lines = [{'loss': 1., 'time': ap, 'm4b/num_split': 3},
                 {'m4b/recall': ap}, {'det/bbox_mAP': ap, 'seg/mIoU': 30.,
                                      'time': 9.}]
        file.write_text('\n'.join(map(json.dumps, lines)))
    assert ablation.read_log(tmp_path) == dict(
        AP=25., mIoU=30., pseudo={'m4b/recall': .25})


def test_fingerprint_sees_what_decides_and_nothing_else(ablation, bench_file):
    bench = sys.modules['ablation_parts.bench']
    content = bench.read_bench(bench_file)

    def key(name, seed=0, **checkpoints):
        return bench.fingerprint(
            bench.load_config(content, content.rows[name], seed, checkpoints))

    naive = key('naive')
    assert naive == key('naive', seed=1)
    assert naive != key('bombo')
    assert key('kd', naive='a') != key('kd', naive='b')
    config = bench_file.parent / 'config.py'
    text = config.read_text()
    config.write_text(text.replace('palette=[1]', 'palette=[2]'))
    assert naive == key('naive')
    config.write_text(text.replace('weight=1.0', 'weight=3.0'))
    assert naive != key('naive')


@pytest.mark.parametrize('content', [{}, dict(digest='a'), dict(name='other')])
def test_data_are_known_by_their_manifest(ablation, tmp_path, content):
    bench = sys.modules['ablation_parts.bench']
    cfg = Config(dict(data_root=str(tmp_path)))
    assert bench.data_digest(cfg) == ''
    text = json.dumps(content)
    (tmp_path / 'manifest.json').write_text(text)
    assert bench.data_digest(cfg) == content.get('digest', text)


def test_the_bench_changes_every_row_but_a_row_has_the_last_word(
        ablation, bench_file):
    bench = sys.modules['ablation_parts.bench']
    bench_file.write_text(
        bench_file.read_text() +
        'options: {model.weight: 5.0, model.depth: 3}\n')
    content = bench.read_bench(bench_file)
    naive = bench.load_config(content, content.rows['naive'], 0, {})
    assert (naive.model.weight, naive.model.depth) == (5., 3)
    bombo = bench.load_config(content, content.rows['bombo'], 0, {})
    assert (bombo.model.weight, bombo.model.depth) == (2., 3)


def test_a_failed_run_stops_those_that_have_not_begun(
        ablation, bench_file, tmp_path, monkeypatch):
    begun = []
    second_began, rest_canceled = threading.Event(), threading.Event()

    def train(config, work_dir, threads):
        begun.append(work_dir.name)
        if len(begun) == 2:
            second_began.set()
            assert rest_canceled.wait(60)
        raise ablation.TrainingFailed('naive failed, see the log')

    class Pool(ThreadPoolExecutor):
        """Is told to stop while the second of the runs is under way."""

        def shutdown(self, **kwargs):
            assert second_began.wait(60)
            super().shutdown(wait=False, **kwargs)
            rest_canceled.set()
            super().shutdown()

    monkeypatch.setattr(ablation, 'train', train)
    monkeypatch.setattr(ablation, 'ThreadPoolExecutor', Pool)
    monkeypatch.setattr('sys.argv', [
        'ablation.py', '--bench', str(bench_file), '--work-dir',
        str(tmp_path), '--rows', 'naive', '--seeds', *map(str, range(9))
    ])
    with pytest.raises(SystemExit, match='naive failed, see the log'):
        ablation.main()
    assert len(begun) == 2


def test_a_row_may_only_need_rows_above_it(ablation, bench_file):
    text = bench_file.read_text().replace('needs: [naive]', 'needs: [other]')
    bench_file.write_text(text)
    with pytest.raises(ValueError, match="row kd.*'other'"):
        ablation.read_bench(bench_file)


def test_finished_runs_are_kept_and_changed_configs_are_not(
        ablation, bench_file, tmp_path, monkeypatch):
    trained = []

    def train(config, work_dir, threads):
        cfg = ablation.Config.fromfile(config)
        trained.append((work_dir.name.split('_')[0], cfg.randomness.seed,
                        cfg.train_cfg.max_iters, cfg.model.init))
        file = work_dir / '1' / 'vis_data' / 'scalars.json'
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps({'det/bbox_mAP': .3, 'seg/mIoU': 50.}))

    monkeypatch.setattr(ablation, 'train', train)
    argv = ['ablation.py', '--bench', str(bench_file), '--work-dir',
            str(tmp_path / 'work'), '--seeds', '4', '--rows']
    monkeypatch.setattr('sys.argv', argv + ['kd'])
    ablation.main()
    # the teacher's row is trained first, and its checkpoint is handed on
    (row, seed, iters, _), (*_, teacher) = trained
    assert (row, seed, iters) == ('naive', 4, 20)
    assert 'naive_4_' in teacher and teacher.endswith('iter_20.pth')
    ablation.main()
    assert len(trained) == 2
    monkeypatch.setattr('sys.argv', argv + ['naive', '--iters', '7'])
    ablation.main()
    assert len(trained) == 3
    content = json.loads((tmp_path / 'work' / 'ablation.json').read_text())
    assert content['rows']['naive']['AP']['seeds'] == [30.]
    # runs of another length are kept, and not compared with these
    assert list(content['rows']) == ['naive']
    assert [run['row'] for run in content['runs']] == ['naive', 'kd', 'naive']
    monkeypatch.setattr('sys.argv', argv + ['kd'])
    ablation.main()
    assert len(trained) == 3
    content = json.loads((tmp_path / 'work' / 'ablation.json').read_text())
    assert list(content['rows']) == ['naive', 'kd']
    monkeypatch.setattr('sys.argv', argv + ['naive', '--iters', '7'])
    ablation.main()
    text = (tmp_path / 'work' / 'ablation.md').read_text()
    assert '| naive | 1 |  | 30.0 | 50.0 |' in text
    assert '- bench: `bench.yml`\n- iters: `7`' in text


def test_a_teacher_whose_checkpoint_is_gone_is_trained_again(
        ablation, bench_file, tmp_path, monkeypatch):
    trained = []

    def train(config, work_dir, threads):
        trained.append(work_dir.name.split('_')[0])
        file = work_dir / str(len(trained)) / 'vis_data' / 'scalars.json'
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps({'det/bbox_mAP': len(trained) / 100}))
        (work_dir / 'iter_20.pth').touch()

    monkeypatch.setattr(ablation, 'train', train)

    def run_rows(*rows):
        monkeypatch.setattr('sys.argv', [
            'ablation.py', '--bench', str(bench_file), '--work-dir',
            str(tmp_path), '--seeds', '4', '--rows', *rows
        ])
        before = len(trained)
        ablation.main()
        return trained[before:]

    assert run_rows('naive') == ['naive']
    next(tmp_path.glob('naive_4_*/iter_20.pth')).unlink()
    assert run_rows('naive') == []
    assert run_rows('bombo', 'kd') == ['naive', 'bombo', 'kd']
    # its result is that of the network that taught
    runs = json.loads((tmp_path / 'ablation.json').read_text())['runs']
    assert [(run['row'], run['AP']) for run in runs] == [
        ('naive', 2.), ('bombo', 3.), ('kd', 4.)
    ]
    next(tmp_path.glob('bombo_4_*/iter_20.pth')).unlink()
    assert run_rows('bombo', 'kd') == []


def test_unknown_row(ablation, bench_file, monkeypatch):
    monkeypatch.setattr('sys.argv', [
        'ablation.py', '--bench', str(bench_file), '--rows', 'nothing'
    ])
    with pytest.raises(SystemExit, match="unknown rows .'nothing'"):
        ablation.main()
