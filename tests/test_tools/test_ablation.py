# Copyright (c) mmbombo contributors.
import importlib.util
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def ablation():
    path = ROOT / 'tools' / 'analysis_tools' / 'ablation.py'
    spec = importlib.util.spec_from_file_location('ablation', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(row, seed, ap, miou):
    return dict(row=row, seed=seed, AP50=ap + 20, AP=ap, mIoU=miou)


def test_table(ablation):
    runs = {
        'a': run('naive', 0, 20., 40.),
        'b': run('naive', 1, 22., 40.),
        'c': run('bombo', 0, 26., 43.),
        'd': run('oracle', 0, 31., 46.),
        'e': dict(row='det', seed=0, AP50=39., AP=19.)
    }
    lines = ablation.table(runs).splitlines()
    assert lines[2] == '| det | 39.0 | 19.0 |  |  |  |'
    assert lines[3] == '| naive | 41.0 ± 1.4 | 21.0 ± 1.4 | 40.0 ± 0.0 |  |  |'
    assert lines[4] == '| bombo | 46.0 | 26.0 | 43.0 | 50 % | 50 % |'
    assert lines[5] == '| oracle | 51.0 | 31.0 | 46.0 |  |  |'


def test_no_gap_without_a_better_oracle(ablation):
    runs = {
        'a': run('naive', 0, 20., 40.),
        'b': run('bombo', 0, 26., 43.),
        'c': run('oracle', 0, 20., 46.)
    }
    assert ablation.gap_closed(runs, 'bombo', 'AP') is None
    assert ablation.gap_closed(runs, 'bombo', 'mIoU') == .5


def test_the_last_validation_counts(ablation, tmp_path):
    for folder, ap in [('20260101', .1), ('20260102', .25)]:
        file = tmp_path / folder / 'vis_data' / 'scalars.json'
        file.parent.mkdir(parents=True)
        lines = [{'loss': 1.}, {'det/bbox_mAP': ap, 'seg/mIoU': 30.},
                 {'loss': 2.}]
        file.write_text('\n'.join(map(json.dumps, lines)))
    assert ablation.last_metrics(tmp_path) == dict(AP=25., mIoU=30.)


def test_finished_runs_are_kept_and_changed_configs_are_not(
        ablation, tmp_path, monkeypatch):
    trained = []

    def train(config, seed, work_dir, args):
        trained.append((config.name.split('_')[0], seed))
        file = work_dir / '1' / 'vis_data' / 'scalars.json'
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps({'det/bbox_mAP': .3, 'seg/mIoU': 50.}))

    monkeypatch.setattr(ablation, 'train', train)
    argv = ['ablation.py', '--rows', 'naive', 'bombo', '--work-dir',
            str(tmp_path)]
    monkeypatch.setattr('sys.argv', argv)
    ablation.main()
    assert trained == [('naive', 0), ('bombo', 0)]
    ablation.main()
    assert len(trained) == 2
    monkeypatch.setattr('sys.argv', argv + ['--iters', '7'])
    ablation.main()
    assert len(trained) == 4
    assert '| naive |  | 30.0 | 50.0 |' in (tmp_path /
                                            'results.md').read_text()
