# Copyright (c) mmbombo contributors.
import json
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from mmengine.config import Config
from toolbox import load_script

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
def bench(ablation):
    return sys.modules['ablation_parts.bench']


@pytest.fixture
def bench_file(tmp_path):
    (tmp_path / 'config.py').write_text(
        'model = dict(weight=1.0, init=None)\n'
        "palette = [1]\ntrain_dataloader = dict(metainfo=dict(palette=[1]))\n"
        'train_cfg = dict(max_iters=100, val_interval=50)\n')
    file = tmp_path / 'bench.yml'
    file.write_text('iters: 20\n'
                    'options: {model.weight: 5.0, model.depth: 3}\n'
                    'rows:\n'
                    '  naive: {config: config.py}\n'
                    '  bombo: {config: config.py, '
                    'options: {model.weight: 2.0}}\n'
                    '  kd: {config: config.py, needs: [naive], '
                    "options: {model.init: '{naive}'}}\n")
    return file


@pytest.fixture
def main(ablation, bench_file, tmp_path, monkeypatch):
    """Runs the command where a training only leaves a log and a checkpoint;
    returns what it has trained and the JSON file."""
    trained = []

    def call(script, work_dir, threads):
        cfg = Config.fromfile(script[1])
        trained.append((work_dir.name.split('_')[0], cfg))
        file = work_dir / str(len(trained)) / 'vis_data' / 'scalars.json'
        file.parent.mkdir(parents=True)
        file.write_text(
            json.dumps({'det/bbox_mAP': len(trained) / 100, 'seg/mIoU': 50.}))
        (work_dir / f'iter_{cfg.train_cfg.max_iters}.pth').touch()

    monkeypatch.setattr(ablation, 'call', call)

    def run(rows, *options):
        monkeypatch.setattr('sys.argv', [
            'ablation.py', '--bench', str(bench_file), '--work-dir',
            str(tmp_path), '--seeds', '4', '--rows', *rows.split(), *options
        ])
        before = len(trained)
        ablation.main()
        return trained[before:], json.loads(
            (tmp_path / 'ablation.json').read_text())

    return run


def run(row, seed, ap, miou, **more):
    return dict(row=row, seed=seed, AP50=ap + 20, AP=ap, mIoU=miou, **more)


RUNS = [
    run('naive', 1, 22., 40.),
    run('naive', 0, 20., 40.),
    run('bombo', 0, 26., 43.),
    run('oracle', 0, 31., 46.),
    dict(row='det', seed=0, AP50=39., AP=19.)
]
ROWS = ['det', 'seg', 'naive', 'bombo', 'oracle']


def test_table(report):
    summary = report.summarize(RUNS, ROWS)
    # seeds in order
    assert summary['naive']['AP']['seeds'] == [20., 22.]
    assert summary['bombo']['AP']['std'] is None
    assert report.table(summary).splitlines()[2:] == [
        '| det | 1 | 39.0 | 19.0 |  | -9 % |  |',
        '| naive | 2 | 41.0 ± 1.4 | 21.0 ± 1.4 | 40.0 ± 0.0 |  |  |',
        '| bombo | 1 | 46.0 | 26.0 | 43.0 | 55 % | 50 % |',
        '| oracle | 1 | 51.0 | 31.0 | 46.0 |  |  |'
    ]


def test_classes_with_and_without_boxes_have_columns(report):
    runs = [
        run('naive', 0, 20., 40., things=30., stuff=50.),
        run('bombo', 0, 26., 43., things=38., stuff=48.),
        run('oracle', 0, 31., 46., things=40., stuff=52.)
    ]
    summary = report.summarize(runs, ROWS)
    lines = report.table(summary).splitlines()
    assert lines[0] == ('| | seeds | AP50 | AP | mIoU | things | stuff | gap '
                        'closed: AP | mIoU | things |')
    assert lines[3] == ('| bombo | 1 | 46.0 | 26.0 | 43.0 | 38.0 | 48.0 | '
                        '55 % | 50 % | 80 % |')
    summary = report.summarize(RUNS, ROWS)
    assert report.table(summary).splitlines()[0] == (
        '| | seeds | AP50 | AP | mIoU | gap closed: AP | mIoU |')


@pytest.mark.parametrize('seg_classes, background, groups', [
    (('sky', 'cat', 'dog'), None, dict(things=['cat', 'dog'], stuff=['sky'])),
    (('sky', 'cat', 'dog'), 'sky', {}),
    (('bg', 'sky', 'cat'), 'bg', dict(things=['cat'], stuff=['sky'])),
])
def test_class_groups(bench, seg_classes, background, groups):
    class_map = dict(
        det_classes=('cat', 'dog'),
        seg_classes=seg_classes,
        background=background)
    cfg = Config(dict(model=dict(class_map=class_map)))
    assert bench.class_groups(cfg) == groups
    assert bench.class_groups(Config(dict(model=dict()))) == {}


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


def test_the_last_validation_counts(ablation, tmp_path):
    for folder, ap in [('20260101', .1), ('20260102', .25)]:
        file = tmp_path / folder / 'vis_data' / 'scalars.json'
        file.parent.mkdir(parents=True)
        lines = [{'loss': 1., 'time': ap, 'm4b/num_split': 3},
                 {'m4b/recall': ap}, {'det/bbox_mAP': ap, 'seg/mIoU': 30.,
                                      'time': 9.}]
        file.write_text('\n'.join(map(json.dumps, lines)))
    assert ablation.read_log(tmp_path, {}, {}) == dict(
        AP=25., mIoU=30., pseudo={'m4b/recall': .25})


def test_mean_iou_of_groups_is_of_the_classes_that_occur(ablation, tmp_path):
    file = tmp_path / '1' / 'vis_data' / 'scalars.json'
    file.parent.mkdir(parents=True)
    ious = {'cat': 40., 'dog': float('nan'), 'sky': 90., 'sea': 20.}
    line = {f'seg/{name}_IoU': iou for name, iou in ious.items()}
    file.write_text(json.dumps({'seg/mIoU': 50., **line}))
    groups = dict(things=['cat', 'dog'], stuff=['sky', 'sea'])
    assert ablation.read_log(tmp_path, groups, {}) == dict(
        mIoU=50., things=40., stuff=55., pseudo={})


def test_a_bench_names_further_metrics(ablation, report, tmp_path):
    file = tmp_path / '1' / 'vis_data' / 'scalars.json'
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({'seg/mIoU': 50., 'seg/trimap_1': 30.}))
    found = ablation.read_log(
        tmp_path, {}, {'near': 'seg/trimap_1', 'none': 'seg/none'})
    assert found == dict(mIoU=50., near=30., pseudo={})
    summary = report.summarize(
        [dict(row='a', seed=0, **found)], ['a'], more=['near', 'none'])
    # without an oracle there is no gap
    assert report.table(summary).splitlines() == [
        '| | seeds | mIoU | near |', '| --- | ---: | ---: | ---: |',
        '| a | 1 | 50.0 | 30.0 |'
    ]


def test_fingerprint_sees_what_decides_and_nothing_else(bench, bench_file):
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
    config.write_text(text.replace('init=None', 'init=1'))
    assert naive != key('naive')


@pytest.mark.parametrize('content', [{}, dict(digest='a'), dict(name='other')])
def test_data_are_known_by_their_manifest(bench, tmp_path, content):
    cfg = Config(dict(data_root=str(tmp_path)))
    assert bench.data_digest(cfg) == ''
    text = json.dumps(content)
    (tmp_path / 'manifest.json').write_text(text)
    assert bench.data_digest(cfg) == content.get('digest', text)


@pytest.mark.parametrize('row, weight', [('naive', 5.), ('bombo', 2.)])
def test_the_bench_changes_every_row_but_a_row_has_the_last_word(
        bench, bench_file, row, weight):
    content = bench.read_bench(bench_file)
    model = bench.load_config(content, content.rows[row], 0, {}).model
    assert (model.weight, model.depth) == (weight, 3)


def test_a_failed_run_stops_those_that_have_not_begun(
        ablation, bench_file, tmp_path, monkeypatch):
    begun = []
    second_began, rest_canceled = threading.Event(), threading.Event()

    def call(script, work_dir, threads):
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

    monkeypatch.setattr(ablation, 'call', call)
    monkeypatch.setattr(ablation, 'ThreadPoolExecutor', Pool)
    monkeypatch.setattr('sys.argv', [
        'ablation.py', '--bench', str(bench_file), '--work-dir',
        str(tmp_path), '--rows', 'naive', '--seeds', *map(str, range(9))
    ])
    with pytest.raises(SystemExit, match='naive failed, see the log'):
        ablation.main()
    assert len(begun) == 2


def test_finished_runs_are_kept_and_changed_configs_are_not(main):
    # the teacher's row is trained first, and its checkpoint is handed on
    ((row, cfg), (_, student)), _ = main('kd')
    assert (row, cfg.randomness.seed, cfg.train_cfg.max_iters) == (
        'naive', 4, 20)
    teacher = student.model.init
    assert 'naive_4_' in teacher and teacher.endswith('iter_20.pth')
    assert main('kd')[0] == []
    trained, content = main('naive', '--iters', '7')
    assert len(trained) == 1
    # runs of another length are kept, and not compared with these
    assert list(content['rows']) == ['naive']
    assert content['rows']['naive']['AP']['seeds'] == [3.]
    assert [run['row'] for run in content['runs']] == ['naive', 'kd', 'naive']
    assert (content['meta']['bench'], content['meta']['iters']) == (
        'bench.yml', 7)
    trained, content = main('kd')
    assert trained == [] and list(content['rows']) == ['naive', 'kd']


def test_a_teacher_whose_checkpoint_is_gone_is_trained_again(main, tmp_path):

    def names(rows):
        return [name for name, _ in main(rows)[0]]

    assert names('naive') == ['naive']
    next(tmp_path.glob('naive_4_*/iter_20.pth')).unlink()
    assert names('naive') == []
    assert names('bombo kd') == ['naive', 'bombo', 'kd']
    # its result is that of the network that taught
    next(tmp_path.glob('bombo_4_*/iter_20.pth')).unlink()
    trained, content = main('bombo kd')
    assert trained == []
    assert [(run['row'], run['AP']) for run in content['runs']] == [
        ('naive', 2.), ('bombo', 3.), ('kd', 4.)]


def test_rows_that_are_unknown(main, ablation, bench_file):
    with pytest.raises(SystemExit, match="unknown rows .'nothing'"):
        main('nothing')
    text = bench_file.read_text().replace('needs: [naive]', 'needs: [other]')
    bench_file.write_text(text)
    with pytest.raises(ValueError, match="row kd.*'other'"):
        ablation.read_bench(bench_file)
