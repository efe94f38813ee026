# Copyright (c) mmbombo contributors.
"""``tools/train.py`` and ``tools/test.py`` and their options."""
import json
import math

import pytest
import torch
from PIL import Image

from mmbombo.utils import load_checkpoint_safely

ITERS = 4
TASKS = ('det/', 'seg/', 'joint/')


def metrics_of(row):
    return {key: value for key, value in row.items() if key.startswith(TASKS)}


@pytest.fixture(scope='module')
def trained(shapes, make_config, train, tmp_path_factory):
    """A short training with two validations."""
    config = make_config(
        tmp_path_factory.mktemp('commands') / 'run.py', shapes, iters=ITERS,
        validate=True, options={
            'train_cfg.val_interval': ITERS // 2,
            'default_hooks.checkpoint.interval': ITERS // 2
        })
    run = train(config)
    run.config = config
    run.checkpoint = run.work_dir / f'iter_{ITERS}.pth'
    return run


@pytest.fixture
def evaluate(trained, commands, tmp_path):
    """Runs ``tools/test.py``."""

    def run(checkpoint, *options):
        return commands.run('tools/test.py', trained.config, checkpoint,
                            '--work-dir', tmp_path / 'work', *options)

    return run


@pytest.fixture
def spoilt(trained, tmp_path):
    """Writes the checkpoint with something in it changed."""

    def write(change):
        checkpoint = load_checkpoint_safely(str(trained.checkpoint))
        change(checkpoint)
        torch.save(checkpoint, tmp_path / 'other.pth')
        return tmp_path / 'other.pth'

    return write


def test_training_reports_both_tasks(trained):
    assert [row['step'] for row in trained.scalars.val] == [ITERS // 2, ITERS]
    last = metrics_of(trained.scalars.val[-1])
    for name in ('disc', 'rectangle', 'triangle', 'star'):
        assert f'det/{name}_AP' in last and f'seg/{name}_IoU' in last
    assert last['joint/score'] == pytest.approx(
        (last['det/bbox_mAP'] + last['seg/mIoU'] / 100) / 2)
    assert 0 < last['seg/mIoU'] <= 100


def test_evaluation_repeats_the_last_validation(trained, evaluate, tmp_path):
    out = tmp_path / 'metrics.json'
    done = evaluate(trained.checkpoint, '--out', out, '--show-dir', 'pictures')
    assert done.returncode == 0, done.output[-5000:]
    assert json.loads(out.read_text()) == pytest.approx(
        metrics_of(trained.scalars.val[-1]), rel=1e-6, nan_ok=True)
    pictures = list((tmp_path / 'work').glob('*/pictures/**/*.jpg'))
    assert len(pictures) == 8
    for path in pictures:
        with Image.open(path) as picture:
            assert picture.convert('L').getextrema() != (0, 0)


def test_saved_predictions_of_views_give_the_same_metrics(
        trained, evaluate, commands, tmp_path):
    out, dump = tmp_path / 'metrics.json', tmp_path / 'dump.zip'
    done = evaluate(trained.checkpoint, '--out', out, '--dump', dump, '--tta',
                    '0.75', '1')
    assert done.returncode == 0, done.output[-5000:]
    done = commands.run(
        'tools/analysis_tools/analyze_predictions.py', trained.config, dump,
        '--out', tmp_path / 'analysis')
    assert done.returncode == 0, done.output[-5000:]
    again = (tmp_path / 'analysis/metrics.json').read_text()
    assert again == out.read_text()
    assert (tmp_path / 'analysis/confusion_det.png').is_file()


def test_evaluation_knows_another_checkpoint(evaluate, spoilt, tmp_path):

    def see_only_the_last_class(checkpoint):
        checkpoint['state_dict']['task_heads.seg.head.conv_seg.bias'][-1] = 1e4

    out = tmp_path / 'metrics.json'
    done = evaluate(spoilt(see_only_the_last_class), '--out', out)
    assert done.returncode == 0, done.output[-5000:]
    ious = [
        json.loads(out.read_text())[f'seg/{name}_IoU']
        for name in ('background', 'disc', 'rectangle', 'triangle', 'star')
    ]
    assert ious[:-1] == [0] * 4 and 0 < ious[-1] < 50


def test_checkpoint_of_another_order_of_classes(trained, evaluate, spoilt,
                                                train_here, tmp_path):

    def reverse(checkpoint):
        meta = checkpoint['meta']['dataset_meta']
        meta['classes'] = meta['classes'][::-1]

    checkpoint, message = spoilt(reverse), 'same names in another order'
    done = evaluate(checkpoint)
    assert done.returncode == 1 and message in done.output
    assert message in train_here(trained.config, '--resume', checkpoint,
                                 '--work-dir', tmp_path / 'resumed').line


@pytest.mark.parametrize('checkpoint, options, status, message', [
    ('absent.pth', ['--out', 'a.pkl'], 2, '--out must be a .json file'),
    ('absent.pth', ['--dump', 'a.pkl'], 2, '--dump must be a .zip file'),
    ('absent.pth', ['--dump', '/dev/null/a.zip'], 1, '--dump /dev/null/a.zip'),
    ('absent.pth', ['--tta', '0'], 2, '--tta: scales are positive'),
    ('absent.pth', [], 1, 'absent.pth'),
])
def test_evaluation_that_cannot_be(evaluate, checkpoint, options, status,
                                   message):
    done = evaluate(checkpoint, *options)
    assert done.returncode == status
    assert message in done.output[-1000:]


def test_options_of_the_config(trained, train, tmp_path):
    """--cfg-options reach plain values, lists and what is in them."""
    config = tmp_path / 'run.py'
    config.write_text(trained.config.read_text() +
                      '\nauto_scale_lr = dict(base_batch_size=16)\n')
    run = train(config, '--auto-scale-lr', '--cfg-options',
                'train_cfg.max_iters=2', 'optim_wrapper.optimizer.lr=0.002',
                'model.weak_losses.1.predictor=none',
                'train_dataloader.sampler.source_ratio=[3,1]',
                'val_evaluator.metrics.det.classwise=False')
    lr = pytest.approx(0.002 * 4 / 16)
    assert [row['lr'] for row in run.scalars.train] == [lr, lr]
    row, = run.scalars.val
    assert 'det/disc_AP' not in row and 'seg/disc_IoU' in row
    table = [line for line in run.output.splitlines() if '| bbox' in line]
    assert [cell.strip() for cell in table[-1].split('|')
            ] == ['', 'det', 'bbox', '12', '3', '']


def test_learning_rate_of_an_unknown_batch(trained, train_here, tmp_path):
    config = tmp_path / 'run.py'
    config.write_text(trained.config.read_text().replace(
        'auto_scale_lr', 'renamed'))
    assert 'auto_scale_lr.base_batch_size' in train_here(
        config, '--auto-scale-lr').line


def test_mixed_precision(trained, train_here, logs, tmp_path):
    """Where there is no device for it, the command says so."""
    run = train_here(trained.config, '--amp', '--work-dir', tmp_path)
    if torch.cuda.is_available():
        rows = logs.read_scalars(tmp_path).train
        assert len(rows) == ITERS
        assert all(math.isfinite(row['loss']) for row in rows)
    else:
        assert '--amp' in run.line


def use_epochs(cfg):
    cfg.train_cfg = dict(
        type='EpochBasedTrainLoop', max_epochs=2, val_interval=1)
    cfg.train_dataloader.sampler.infinite = False
    cfg.log_processor.by_epoch = True
    cfg.default_hooks.checkpoint.update(
        by_epoch=True, interval=1,
        save_best=['det/bbox_mAP', 'seg/mIoU', 'joint/score'])


def test_training_by_epochs(shapes, make_config, train, tmp_path):
    """The longest source, once per epoch; the best of each score is kept."""
    config = make_config(
        tmp_path / 'run.py', shapes, validate=True, change=use_epochs)
    run = train(config)
    # 12 images of each source, 2 of each in a step
    assert [row['epoch'] for row in run.scalars.train] == [1] * 6 + [2] * 6
    assert len(run.scalars.val) == 2
    for name in ('det_bbox_mAP', 'seg_mIoU', 'joint_score'):
        best, = run.work_dir.glob(f'best_{name}_epoch_*.pth')
        epoch = int(best.stem.rpartition('_')[-1])
        key = name.replace('_', '/', 1)
        scores = [row[key] for row in run.scalars.val]
        assert scores[epoch - 1] == max(scores)
