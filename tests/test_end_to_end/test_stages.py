# Copyright (c) mmbombo contributors.
"""A training in stages writes labels for itself, and resumes at any point."""
import json
import os
import re
import shutil
import signal
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from mmbombo.engine.runner.stage import Stage
from mmbombo.utils import UserError

#: Three stages; checkpoints in the middle of the second and the third.
ITERS, STAGE, SAVED_EVERY = 12, 4, 6
CLASSES = ('disc', 'rectangle', 'triangle', 'star')
#: A writer of the user's, and what kills the process while it works.
MODULE = """
import hashlib
import os
import signal
from collections import Counter
from pathlib import Path

import numpy as np
import yapf.yapflib.yapf_api
from mmengine.hooks import Hook
from PIL import Image

from mmbombo.engine.pseudo_labels import PseudoLabelWriter, pseudo_label_writer
from mmbombo.registry import HOOKS, TASK_UTILS

save = pseudo_label_writer.save
saved = Counter()
rank = os.environ.get('RANK', '0')


@TASK_UTILS.register_module()
class Halves(PseudoLabelWriter):
    folders = dict(halves='1 at the left')

    def write(self, model, inputs, samples):
        assert not model.training
        for sample in samples:
            assert 'gt_sem_seg' not in sample
            ids = np.zeros(sample.ori_shape, np.uint8)
            ids[:, :ids.shape[1] // 2] = 1
            yield dict(halves=Image.fromarray(ids))


def save_or_die(image, path):
    stage = path.parts[-4]
    saved[stage] += 1
    if os.environ.get('KILL') == f'writing {stage}' and saved[stage] == 5:
        (path.parent / '.half.tmp').write_bytes(b'half')
        os.kill(os.getpid(), signal.SIGKILL)
    if 'NOTES' in os.environ:
        Path(os.environ['NOTES'], f'{stage}_{rank}_{path.stem}').touch()
    save(image, path)


pseudo_label_writer.save = save_or_die
# it formats a config for the eye of a reader, for seconds
yapf.yapflib.yapf_api.FormatCode = lambda text, **style: (text, True)


@HOOKS.register_module()
class EndHook(Hook):
    priority = 'LOWEST'

    def after_train_iter(self, runner, **kwargs):
        if os.environ.get('KILL') == f'training {runner.iter + 1}':
            os.kill(os.getpid(), signal.SIGKILL)

    def after_train(self, runner):
        if 'NOTES' in os.environ:
            weights = b''.join(
                x.data.numpy().tobytes() for x in runner.model.parameters())
            name = hashlib.sha256(weights).hexdigest()
            Path(os.environ['NOTES'], f'weights_{rank}_{name}').touch()
"""


def masks_in(folder):
    """What is different in the source where labels are its masks."""
    return dict(
        tags=dict(
            annotation_kinds=('image_label', 'sem_seg'),
            data_prefix=dict(seg_map_path=f'{{labels}}/{folder}')))


def in_stages(cfg):
    """A classifier that teaches a segmentor, and what follows."""
    source = cfg.train_dataloader.dataset.datasets[0]
    source.update(
        source='tags', annotation_kinds=('image_label', ),
        metainfo=dict(source.metainfo, cls_classes=CLASSES),
        pipeline=[
            step for step in source.pipeline
            if step['type'] not in ('LoadPseudoMask', 'LabelComponents')
        ])
    cfg.train_dataloader.dataset.datasets = [source]
    cfg.train_dataloader.sampler.source_ratio = [1]
    cfg.model.weak_losses = []
    cfg.model.classes = dict(
        cls=CLASSES, seg=('background', ) + CLASSES)
    cfg.model.pop('class_map')
    cfg.model.task_heads.pop('det')
    cfg.model.task_heads.cls = dict(
        type='ClsTaskHead', num_classes=4, in_channels=16, in_index=1)
    cfg.custom_imports = dict(imports=['halves'])
    cfg.custom_hooks = [
        dict(type='PredictorEMAHook', momentum=0.1), dict(type='EndHook')
    ]
    cfg.train_dataloader.update(num_workers=2, persistent_workers=True)
    cfg.default_hooks.checkpoint.interval = SAVED_EVERY
    cfg.param_scheduler = [
        dict(type='LinearLR', start_factor=.1, by_epoch=False, end=2),
        dict(type='PolyLR', power=.9, by_epoch=False, begin=2, end=STAGE)
    ]
    cfg.train_cfg = dict(
        type='StagedTrainLoop', max_iters=ITERS,
        truth=dict(tags=dict(annotation_kinds=('sem_seg', ))),
        stages=[
            dict(),
            dict(labels=dict(type='CamMasks', threshold=.3, scales=(1, )),
                 sources=masks_in('masks')),
            dict(labels=dict(type='Halves'), sources=masks_in('halves'),
                 predictor='ema', batch_size=3)
        ])


@pytest.fixture(scope='module')
def place(tmp_path_factory, environment):
    """A folder, and an environment in which its module is found."""
    folder = tmp_path_factory.mktemp('stages')
    (folder / 'halves.py').write_text(MODULE)
    path = os.pathsep.join([environment['PYTHONPATH'], str(folder)])
    return SimpleNamespace(folder=folder, env=dict(PYTHONPATH=path))


@pytest.fixture(scope='module')
def config(place, shapes, make_config):
    return make_config(
        place.folder / 'whole.py', shapes, iters=ITERS, change=in_stages)


@pytest.fixture(scope='module')
def whole(config, place, train):
    """An uninterrupted training."""
    return train(config, env=place.env)


@pytest.fixture
def go_on(config, place, commands, logs, tmp_path):
    """Trains in a work directory; its scalars and what it said."""

    def run(work_dir, *arguments, config=config, **env):
        done = commands.run('tools/train.py', config, '--work-dir', work_dir,
                            *arguments, env=dict(place.env, **env))
        if done.returncode == 0:
            done.scalars = logs.read_scalars(work_dir)
        return done

    return run


@pytest.fixture
def copy(whole, tmp_path):
    return shutil.copytree(whole.work_dir, tmp_path / 'copy')


def read_masks(folder):
    return {
        file.name: np.array(Image.open(file))
        for file in folder.iterdir()
    }


def test_each_stage_reads_what_its_network_wrote(whole, shapes, voc):
    names = {f'{x}.png' for x in voc.ids(shapes, 'det_train')}
    cams = read_masks(whole.work_dir / 'stages/1/tags/masks')
    halves = read_masks(whole.work_dir / 'stages/2/tags/halves')
    assert {*cams} == {*halves} == names
    assert any(len(np.unique(x)) > 1 for x in cams.values())
    rows = whole.scalars.train
    assert len(rows) == ITERS
    seg = ['seg/loss_ce' in row for row in rows]
    assert seg == [False] * STAGE + [True] * 2 * STAGE


def test_schedule_begins_anew(whole):
    rates = [row['lr'] for row in whole.scalars.train]
    assert rates[:STAGE] == rates[STAGE:2 * STAGE] == rates[2 * STAGE:]
    assert rates[0] < rates[1] > rates[STAGE - 1]


def test_labels_are_compared_with_the_truth(whole, shapes, voc):
    quality = {x['step']: x for x in whole.scalars.val}
    assert sorted(quality) == [STAGE, 2 * STAGE]
    shares = []
    for image_id in voc.ids(shapes, 'det_train'):
        truth = np.array(Image.open(voc.files(shapes, image_id).mask))
        left = np.arange(truth.shape[1]) < truth.shape[1] // 2
        known = truth != 255
        shares.append([((truth == left) & known).sum(), known.sum()])
    right, total = np.sum(shares, axis=0)
    halves = quality[2 * STAGE]
    assert halves['tags/labeled'] == 1.
    assert halves['tags/accuracy'] == pytest.approx(right / total)
    assert {'tags/precision', 'tags/recall', 'tags/mIoU'} <= {*halves}
    assert "labels of the source 'tags': labeled: 1.000" in whole.output


@pytest.mark.parametrize('checkpoint', [
    'stage_1.pth', f'iter_{SAVED_EVERY}.pth', 'stage_2.pth'
])
def test_it_resumes_from_any_checkpoint(go_on, copy, whole, checkpoint):
    if checkpoint != 'stage_2.pth':
        done = go_on(copy, '--resume', copy / checkpoint)
        assert MESSAGES[7] in done.output.splitlines()[-1]
        shutil.rmtree(copy / 'stages/2')
    done = go_on(copy, '--resume', copy / checkpoint)
    assert done.returncode == 0, done.output[-5000:]
    start = torch.load(
        copy / checkpoint, weights_only=False)['meta']['iter']
    assert done.scalars.train == whole.scalars.train[start:]


def test_killed_at_any_time(go_on, whole, tmp_path):
    """While it writes, twice, and once between two checkpoints."""
    work_dir, begun = tmp_path / 'killed', {}
    for phase in ('writing 1', 'writing 2', f'training {ITERS - 1}'):
        done = go_on(work_dir, '--resume', 'auto', KILL=phase)
        assert done.returncode == -signal.SIGKILL, done.output[-5000:]
        if phase.startswith('writing'):
            stage = work_dir / 'stages' / phase[-1]
            assert not json.loads(
                (stage / 'stage.json').read_text())['complete']
            files = {x: x.stat().st_mtime_ns for x in stage.rglob('*.png')}
            assert len(files) == 4
            begun.update(files)

    done = go_on(work_dir, '--resume', 'auto')
    assert done.returncode == 0, done.output[-5000:]
    assert done.scalars.train == whole.scalars.train[2 * STAGE:]
    assert all(x.stat().st_mtime_ns == time for x, time in begun.items())
    assert bytes_of(work_dir) == bytes_of(whole.work_dir)
    weights, expected = (
        torch.load(x / f'iter_{ITERS}.pth', weights_only=False)['state_dict']
        for x in (work_dir, whole.work_dir))
    assert all(torch.equal(x, expected[key]) for key, x in weights.items())


def test_first_stage_with_labels(go_on, whole, shapes, make_config, tmp_path):
    """Those of the weights that the training begins with."""

    def alone(cfg):
        in_stages(cfg)
        cfg.load_from = str(whole.work_dir / 'stage_1.pth')
        cfg.train_cfg.update(max_iters=2)
        cfg.train_cfg.stages = cfg.train_cfg.stages[1:2]

    config = make_config(tmp_path / 'alone.py', shapes, change=alone)
    done = go_on(tmp_path / 'work', config=config)
    assert (tmp_path / 'work/stages/0/tags/masks').is_dir()
    assert all('seg/loss_ce' in x for x in done.scalars.train)
    again = go_on(
        tmp_path / 'work', '--resume', tmp_path / 'work/stage_0.pth',
        config=config)
    assert again.scalars.train == done.scalars.train


def bytes_of(work_dir):
    return {
        str(x.relative_to(work_dir)): x.read_bytes()
        for x in (work_dir / 'stages').rglob('*.png')
    }


def test_two_processes_share_the_work(config, place, distributed, shapes, voc,
                                      tmp_path):
    """The classifier stands alone at first, so that some parameters have no
    gradient."""
    notes = tmp_path / 'notes'
    notes.mkdir()
    distributed(
        'dist_train.sh', config, '--work-dir', tmp_path / 'work',
        '--cfg-options', 'find_unused_parameters=True',
        'train_cfg.max_iters=6',
        env=dict(place.env, NOTES=str(notes)))
    found = sorted(x.name.split('_', 2) for x in notes.iterdir())
    weights = {name for stage, _, name in found if stage == 'weights'}
    assert len(weights) == 1
    ids = voc.ids(shapes, 'det_train')
    for stage in '12':
        shares = [[x[2] for x in found if x[:2] == [stage, rank]]
                  for rank in '01']
        assert sorted(sum(shares, [])) == sorted(ids)
        assert all(len(x) == len(ids) / 2 for x in shares)


def other_threshold(cfg):
    cfg.train_cfg.stages[2].batch_size = 1  # is no difference
    cfg.train_cfg.stages[1].labels.threshold = .4


def other_tags(cfg):
    source = cfg.train_dataloader.dataset.datasets[0]
    source.ann_file = 'ImageSets/Main/seg_train.txt'


#: What the guide says that is said, in its order.
MESSAGES = re.findall(
    r'^\|[^|]+\| `+([^|]*?)`+ \|$',
    (Path(__file__).parents[2] / 'docs/en/user_guides/training_in_stages.md'
     ).read_text().partition('| mistake |')[2], re.M)


def test_messages_of_the_guide_are_all_tested():
    assert len(MESSAGES) == 10


@pytest.mark.parametrize('change, checkpoint, message', [
    (None, None, MESSAGES[0]),
    (other_threshold, 'stage_1.pth', MESSAGES[1]),
    (other_tags, 'iter_6.pth', 'has labels of another config (sources): go'),
    (other_threshold, 'iter_12.pth', None),
])
def test_labels_of_another_training(go_on, copy, shapes, make_config, tmp_path,
                                    change, checkpoint, message):

    def other(cfg):
        in_stages(cfg)
        change and change(cfg)

    config = make_config(tmp_path / 'o.py', shapes, iters=ITERS, change=other)
    resume = ['--resume', copy / checkpoint] if checkpoint else []
    done = go_on(copy, *resume, config=config)
    assert (done.returncode == 0) == (message is None)
    assert message is None or message in done.output.splitlines()[-1]


def test_another_length(go_on, copy):
    done = go_on(copy, '--resume', copy / 'iter_6.pth', '--cfg-options',
                 f'train_cfg.max_iters={2 * ITERS}')
    assert MESSAGES[8] in done.output.splitlines()[-1]


def forget_the_end(folder):
    file = folder / 'stage.json'
    facts = json.loads(file.read_text())
    file.write_text(json.dumps(dict(facts, complete=False)))


@pytest.mark.parametrize('damage, message', [
    (shutil.rmtree, MESSAGES[2]),
    (forget_the_end, 'stages/1 is not complete: resume stage_1.pth'),
])
def test_labels_that_are_gone(go_on, copy, damage, message):
    damage(copy / 'stages/1')
    done = go_on(copy, '--resume', copy / 'iter_6.pth')
    assert message in done.output.splitlines()[-1]


def wrong(stage=None, **keys):
    """A mistake in the second stage, or elsewhere in the loop."""

    def change(cfg):
        in_stages(cfg)
        cfg.pop('custom_imports')
        del cfg.custom_hooks[1], cfg.train_cfg.stages[2]
        for key, value in (stage or {}).items():
            cfg.train_cfg.stages[1][key] = value
        cfg.train_cfg.update(keys, max_iters=2)
        cfg.train_dataloader.update(num_workers=0, persistent_workers=False)

    return change


@pytest.mark.parametrize('change, message', [
    (wrong(dict(sources=masks_in('mask'))), MESSAGES[3]),
    (wrong(dict(sources=dict(tags=dict(annotation_kinds=('sem_seg', ))))),
     MESSAGES[4]),
    (wrong(truth=dict(tag={})), MESSAGES[5]),
    # what is not read is not replaced by a mask that lies there
    (wrong(
        dict(
            sources=dict(
                tags=dict(
                    annotation_kinds=('sem_seg', ),
                    data_prefix=dict(seg='{labels}/masks'))))), MESSAGES[6]),
    (wrong(dict(sources=dict(tag=masks_in('masks')['tags']))), MESSAGES[5]),
    (wrong(dict(labels=None)), "source 'tags', but its labels are in []"),
    (wrong(dict(label=1)), "stages[1] has unknown key(s) ['label']"),
    (wrong(dict(predictor='teacher')), "predictor 'teacher', which there is"),
])
def test_mistakes_are_one_line(make_config, shapes, train_here, tmp_path,
                               change, message):
    config = make_config(tmp_path / 'c.py', shapes, iters=2, change=change)
    done = train_here(config, '--work-dir', tmp_path / 'work')
    assert message in done.line and '\n' not in done.line


def test_a_schedule_of_epochs(make_config, shapes, train_here, tmp_path):

    def change(cfg):
        wrong()(cfg)
        cfg.param_scheduler = [dict(type='PolyLR')]

    config = make_config(tmp_path / 'c.py', shapes, iters=2, change=change)
    done = train_here(config, '--work-dir', tmp_path / 'work')
    assert MESSAGES[9] in done.line


class Parts:
    """A source whose second part has masks of its own."""
    source = 'tags'

    def __init__(self, *maps):
        self.maps = maps

    def __len__(self):
        return len(self.maps)

    def get_data_info(self, index):
        return dict(img_path='a.png', seg_map_path=self.maps[index])


def test_every_image_reads_its_label(tmp_path):
    stage = Stage(1, tmp_path, dict(
        labels=dict(type='CamMasks', threshold=.3), sources=masks_in('masks')))
    own = str(tmp_path / 'tags/masks/a.png')
    stage.require_labels_are_read(Parts(own, own))
    for other in ('hidden/a.png', str(tmp_path / 'tags/masks2/a.png')):
        with pytest.raises(UserError, match='which this does not read: put'):
            stage.require_labels_are_read(Parts(own, other))
