# Copyright (c) mmbombo contributors.
"""A training that diverges ends in one line; weights that do not fit, too."""
import math
import re

import pytest
import torch

from mmbombo.utils.checkpoint import READS_SAFELY

pytestmark = pytest.mark.skipif(
    not READS_SAFELY, reason='pickles are checked from torch 2.6 on')


@pytest.mark.parametrize('options, line', [
    ({'model.weak_losses.0.loss_weight': -1.},
     r'loss_weight=-1.0 must be finite'),
    ({'model.weak_losses.0.loss_weight': 3e38,
      'optim_wrapper.clip_grad': None},
     r'iteration 1: b4m/loss_ce, loss NaN or infinite \(det: '),
    ({'optim_wrapper.optimizer.lr': 1e6},
     r'iteration \d: .* NaN or infinite \(det: \S+\.jpg, \S+\.jpg; seg: .*'
     r'No checkpoint was saved before\. Lower lr'),
], ids=['weight', 'loss', 'lr'])
def test_a_diverged_run_ends_in_one_line(make_config, shapes, tmp_path,
                                         train_here, options, line):
    config = make_config(tmp_path / 'run.py', shapes, iters=8, validate=True,
                         options=options)
    done = train_here(config, '--work-dir', tmp_path / 'work')
    assert re.search(line, done.line) and '\n' not in done.line
    assert not [*(tmp_path / 'work').glob('*.pth')]


@pytest.fixture(scope='module')
def trained(make_config, shapes, train, tmp_path_factory):
    """A config, and its checkpoint after two steps."""
    config = make_config(
        tmp_path_factory.mktemp('fit') / 'run.py', shapes, iters=2,
        validate=True)
    return config, train(config).work_dir / 'iter_2.pth'


#: What is done to weights, and what is said of them.
UNFIT = dict(
    empty=(lambda key, value: {}, "lacks ['backbone.conv1"),
    prefixed=(lambda key, value: {f'model.{key}': value}, 'lacks ['),
    some=(lambda key, value: {key: value} if 'seg' not in key else {},
          "lacks ['task_heads.seg"),
    shape=(lambda key, value: {key: value[None] if 'seg' in key else value},
           'size mismatch for task_heads.seg'),
    nan=(lambda key, value: {key: value * math.nan
                             if value.is_floating_point() else value},
         'is of a training that diverged'))


@pytest.mark.parametrize('how', UNFIT)
@pytest.mark.parametrize('tool', ['test', 'resume', 'load_from'])
def test_weights_fit_or_are_refused(trained, commands, tmp_path, how, tool):
    config, path = trained
    change, said = UNFIT[how]
    checkpoint = torch.load(path, weights_only=False)
    checkpoint['state_dict'] = {
        key: value
        for item in checkpoint['state_dict'].items()
        for key, value in change(*item).items()
    }
    unfit = tmp_path / 'unfit.pth'
    torch.save(checkpoint, unfit)
    if tool == 'load_from':
        if how != 'nan':
            pytest.skip('a training may begin from some weights')
    arguments = dict(
        test=('tools/test.py', config, unfit),
        resume=('tools/train.py', config, '--iters', 3, '--resume', unfit),
        load_from=('tools/train.py', config, '--cfg-options',
                   f'load_from={unfit}'))
    done = commands.run(*arguments[tool], '--work-dir', tmp_path / 'work')
    *_, last = done.output.splitlines()
    assert done.returncode == 1 and str(unfit) in last and said in last
    assert len(last) < 1000 and not [*(tmp_path / 'work').glob('*.pth')]


def test_the_batch_of_a_step_is_rebuilt(trained, commands, make_config,
                                        shapes, tmp_path):
    config, path = trained
    diverges = make_config(
        tmp_path / 'diverges.py', shapes, options={
            'model.weak_losses.0.loss_weight': 3e38,
            'custom_hooks': [dict(type='DivergenceHook', max_skipped=1)]
        })
    done = commands.run('tools/train.py', diverges, '--work-dir',
                        tmp_path / 'work')
    names = [re.findall(r'\w+\.jpg', x) for x in done.output.splitlines()
             if 'NaN or infinite' in x]
    assert done.returncode == 1 and len(names) == 2
    for step, wanted in enumerate(names, 1):
        done = commands.run('tools/misc/replay_batch.py', config, '--iter',
                            step, '--checkpoint', path)
        assert done.returncode == 0, done.output
        assert re.findall(r'\w+\.jpg', done.output) == wanted
        assert re.search(r'\nb4m/loss_ce: \d', done.output)
