# Copyright (c) mmbombo contributors.
"""Bad configs, checkpoints and files: one line of ``tools/train.py`` each.

Every case spoils one thing in a training that works, and looks for the key,
the name or the file in that line.
"""
import re
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

from mmbombo.registry import DATASETS
from mmbombo.utils import user_errors

#: What spoils the config, and what the line must name.
CASES = {}
#: The same for options.
OPTIONS = {
    'metric_without_annotation': ({
        'val_dataloader.dataset.annotation_kinds': ('bbox', )
    }, ['SegIoUMetric', "'seg'", 'sem_seg', "'val' (bbox)"]),
    'ratio_that_cannot_be_met': ({
        'train_dataloader.sampler.source_ratio': [2, 1]
    }, ['batch_size=4', '[2, 1]', '3 and 6']),
    'ratio_for_other_sources': ({
        'train_dataloader.sampler.source_ratio': [1, 1, 2]
    }, ['[1, 1, 2]', '3 numbers for 2 sources']),
    'batch_size_of_sampler_differs': ({
        'train_dataloader.sampler.batch_size': 2
    }, ['batch_size=4', 'PartialAnnotationSampler', 'batch_size=2']),
    'detection_head_of_other_classes': ({
        'model.task_heads.det.head.num_classes':
        3
    }, ['GFLHead', 'num_classes=3', "'det' has 4 classes", 'disc']),
    'segmentation_head_of_other_classes': ({
        'model.task_heads.seg.head.num_classes':
        4
    }, ['FPNHead', 'num_classes=4', "'seg' has 5 classes", 'background']),
    'classes_in_another_order': ({
        'model.class_map.det_classes':
        ('star', 'triangle', 'rectangle', 'disc')
    }, ["model's classes of task 'det'", 'another order']),
    'epoch_without_an_end': ({
        'train_cfg':
        dict(_delete_=True, type='EpochBasedTrainLoop', max_epochs=1)
    }, ['EpochBasedTrainLoop', 'IterBasedTrainLoop', 'infinite=False']),
    'kind_unknown': ({
        'train_dataloader.dataset.datasets.0.annotation_kinds': ('box', )
    }, ["'box'", 'bbox', 'sem_seg']),
    'ema_predictor_without_hook': ({
        'model.weak_losses.1.predictor': 'ema'
    }, ["'ema'", 'PredictorEMAHook', 'custom_hooks']),
    'predictor_unknown': ({
        'model.weak_losses.1.predictor': 'oracle'
    }, ["'oracle'", "'self'", "'ema'"]),
    'type_unknown': ({
        'model.weak_losses.1.type': 'MaskForBoxLos'
    }, ['MaskForBoxLos is not in the mmbombo::model registry']),
    'argument_unknown': ({
        'model.weak_losses.1.scor_thr': 4
    }, ['MaskForBoxLoss', "'scor_thr'; did you mean 'score_thr'?"]),
    'argument_of_a_hook_unknown': ({
        'default_hooks.logger.intervall': 4
    }, ['LoggerHook', "'intervall'; did you mean 'interval'?"]),
    'argument_of_a_data_set_unknown': ({
        'train_dataloader.dataset.datasets.0.annotation_kind': ('bbox', )
    }, ["'annotation_kind'; did you mean 'annotation_kinds'?"]),
    'argument_of_an_optimizer_unknown': ({
        'optim_wrapper.optimizer.weight_deca': .1
    }, ["'weight_deca'; did you mean 'weight_decay'?"]),
    'argument_of_a_loader_unknown': ({
        'train_dataloader.num_worker': 1
    }, ["'num_worker'; did you mean 'num_workers'?"]),
    'argument_of_the_checkpoint_hook_unknown': ({
        'default_hooks.checkpoint.save_bset': 'auto'
    }, ["has no 'save_bset'; did you mean 'save_best'?"]),
    'optimizer_unknown': ({
        'optim_wrapper.optimizer.type': 'AdamX'
    }, ["type='AdamX' is no optimizer; did you mean 'Adam'?"]),
    'option_of_parameters_unknown': ({
        'optim_wrapper.paramwise_cfg.custom_key': {}
    }, ["has 'custom_key', which nothing reads; did you mean 'custom_keys'?"]),
    'hook_unknown': ({
        'default_hooks.chekpoint.interval': 4
    }, ["default_hooks.chekpoint has no type; did you mean 'checkpoint'?"]),
    **{
        f'{key} = {value!r}': ({
            key: value
        }, [f'{key}={value!r} {must}'])
        for key, value, must in (
            ('custom_hooks', {'0': 1}, 'must be a list of hooks'),
            ('default_hooks.checkpoint.interval', 'a',
             'must be a whole number, -1 for never'),
            ('default_hooks.checkpoint.max_keep_ckpts', 'x',
             'must be a whole number, -1 for never or no limit'),
            ('train_cfg.val_interval', 0, 'must be a positive whole number'),
            ('train_cfg.max_iters', 0, 'must be a positive whole number'),
            ('train_cfg.max_iters', -5, 'must be a positive whole number'),
            ('train_cfg.max_iters', '10', 'must be a positive whole number'),
            ('train_dataloader.batch_size', '4',
             'must be a positive whole number'),
            ('train_dataloader.batch_size', 0,
             'must be a positive whole number'),
            ('val_dataloader.batch_size', 1.5,
             'must be a positive whole number'),
            ('train_dataloader.num_workers', -1,
             'must be a whole number from 0 on'),
            ('randomness.seed', 'zero', 'must be a whole number from 0 on'),
            ('randomness.seed', -1, 'must be a whole number from 0 on'),
            ('optim_wrapper.optimizer.lr', '1e-3', 'must be a number from 0'),
            ('optim_wrapper.optimizer.lr', -.1, 'must be a number from 0'),
            ('optim_wrapper.optimizer.weight_decay', None,
             'must be a number from 0'),
            ('default_hooks.logger.interval', 0,
             'must be a positive whole number'),
        )
    },
}


def case(*expected):
    """A function that spoils the config."""

    def register(function):
        CASES[function.__name__] = function, expected
        return function

    return register


def sources(cfg):
    return cfg.train_dataloader.dataset.datasets


@case("'seg'", 'sem_seg', "'det' (bbox)")
def task_without_annotation(cfg):
    weak_loss_without_annotation(cfg)
    cfg.model.weak_losses = []


@case('MaskForBoxLoss', 'sem_seg', "'det' (bbox)")
def weak_loss_without_annotation(cfg):
    del sources(cfg)[1]
    cfg.train_dataloader.sampler.source_ratio = [1]


@case('RepeatDataset', "['det', 'seg']", 'PartialAnnotationSampler')
def wrapper_around_the_sources(cfg):
    loader = cfg.train_dataloader
    loader.dataset = dict(
        type='RepeatDataset', times=2, dataset=loader.dataset)


@case('MultiImageMixDataset', "['det', 'seg']", 'move no maps')
def mosaic_around_the_sources(cfg):
    """With a sampler that does not mind."""
    loader = cfg.train_dataloader
    loader.dataset = dict(
        type='mmdet.MultiImageMixDataset',
        dataset=loader.dataset,
        pipeline=[dict(type='mmdet.Mosaic', img_scale=(64, 64))])
    loader.sampler = dict(type='InfiniteSampler')


@case('datasets[0]', 'BaseSegDataset', 'PartialAnnotationDataset')
def source_not_wrapped(cfg):
    sources(cfg)[0] = dict(
        type='mmseg.BaseSegDataset',
        data_root=sources(cfg)[0].data_root,
        ann_file='ImageSets/Main/seg_train.txt',
        data_prefix=dict(
            img_path='JPEGImages', seg_map_path='SegmentationClass'))


@case('mmseg.RandomFlip', 'mmdet.RandomFlip')
def transform_that_moves_no_boxes(cfg):
    replace_step(cfg, 'mmdet.RandomFlip', type='mmseg.RandomFlip', prob=0.5)


@case('mmdet.RandomAffine', 'mmdet.RandomResize')
def transform_that_moves_no_maps(cfg):
    replace_step(cfg, 'mmdet.RandomFlip', type='mmdet.RandomAffine')


@case('magic', 'grabcut_ignore', 'box_i')
def pseudo_mask_method_unknown(cfg):
    for source in sources(cfg):
        for step in source.pipeline:
            if step['type'] == 'LoadPseudoMask':
                step.update(method='magic')


@case('LoadPseudoMask', 'BoxForMaskLoss')
def pseudo_mask_missing(cfg):
    replace_step(cfg, 'LoadPseudoMask')


@case('LabelComponents', 'MaskForBoxLoss')
def components_missing(cfg):
    replace_step(cfg, 'LabelComponents')


@case('DetTaskHead', 'RPNHead')
def two_stage_head(cfg):
    det = cfg.model.task_heads.det
    det.head = dict(
        type='RPNHead',
        in_channels=16,
        num_classes=1,
        anchor_generator=det.head.anchor_generator)


def replace_step(cfg, old, **new):
    """Put another step, or none, in the place of one."""
    for source in sources(cfg):
        steps = (new if x['type'] == old else x for x in source.pipeline)
        source.pipeline = [step for step in steps if step]


def add(line):
    """A function that spoils a file, as those below."""
    return lambda path: path.write_text(path.read_text() + line)


def write(text):
    return lambda path: path.write_text(text)


def halve(path):
    content = path.read_bytes()
    path.write_bytes(content[:len(content) // 2])


def edit(*replacements):
    """Replace the first match of each pattern."""

    def change(path):
        text = path.read_text()
        for pattern, new in replacements:
            changed = re.sub(pattern, new, text, count=1)
            assert changed != text
            text = changed
        path.write_text(text)

    return change


def side(name, value):
    return rf'<{name}>[^<]*', f'<{name}>{value}'


def mask(change):
    """Rewrite a mask as the palette image of changed ids."""

    def rewrite(path):
        with Image.open(path) as image:
            ids = np.array(image)
        image = Image.fromarray(change(ids))
        if image.mode == 'L':
            image.putpalette(list(range(256)) * 3)
        image.save(path)

    return rewrite


def with_id_nine(ids):
    ids[-1, -1] = 9
    return ids


DOCTYPE = '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]>'
UNICORN = edit((r'(<object>\s*<name>)[^<]*', r'\1unicorn'))
LISTS, BOXES, MASKS = 'ImageSets/Main', 'Annotations', 'SegmentationClass'
#: Found before the first iteration: file, what spoils it, and what the line
#: must say beside its name.
LIST_CASES = [
    (f'{LISTS}/seg_train.txt', Path.unlink, 'does not exist'),
    (f'{LISTS}/seg_train.txt', write(''), "'seg'", 'sem_seg', 'no image'),
    (f'{LISTS}/det_train.txt', add('../../../secret\n'), 'line 13',
     '../../../secret'),
    (f'{LISTS}/det_train.txt', add('det_000003\n'), 'line 13', 'line 4'),
]
#: Found at the latest when the sample is drawn.
FILE_CASES = [
    ('JPEGImages/det_000002.jpg', Path.unlink, 'det_train.txt'),
    (f'{BOXES}/det_000004.xml', Path.unlink, 'det_train.txt'),
    (f'{MASKS}/seg_000000.png', Path.unlink, 'seg_train.txt'),
    (f'{MASKS}/val_000001.png', Path.unlink, 'val.txt'),
    ('JPEGImages/det_000006.jpg', halve, 'not an image'),
    (f'{MASKS}/seg_000006.png', halve, 'truncated or not an image'),
    (f'{BOXES}/det_000007.xml', halve, 'not well-formed'),
    ('JPEGImages/seg_000006.jpg', write('<html>404</html>'), 'not an image'),
    (f'{MASKS}/seg_000003.png', mask(lambda x: x[:9, :7]), '7x9'),
    (f'{MASKS}/seg_000005.png', mask(with_id_nine), '[9]', '0..4'),
    (f'{MASKS}/seg_000001.png', mask(lambda x: np.dstack([x] * 3)), 'RGB'),
    (f'{BOXES}/det_000000.xml', edit((r'<\?xml.*?\?>|^', DOCTYPE)), 'entity'),
    (f'{BOXES}/det_000001.xml', edit(side('xmax', 500)), '500', 'outside'),
    (f'{BOXES}/det_000001.xml', edit(side('ymin', 60), side('ymax', 20)),
     '59', 'inverted'),
    (f'{BOXES}/det_000001.xml', edit(side('xmin', 11), side('xmax', 10)),
     '10', 'degenerate'),
    (f'{BOXES}/det_000001.xml', edit(side('xmin', 'nan')), 'nan'),
    (f'{BOXES}/det_000001.xml', UNICORN, 'unicorn', 'disc'),
]


@pytest.fixture
def stops(train_here, tmp_path):
    """Nothing is trained; the line says what it must."""

    def check(config, expected, *arguments):
        run = train_here(config, '--work-dir', tmp_path / 'work', *arguments)
        for text in expected:
            assert text in run.line
        assert 'Iter(train)' not in run.output
        assert not list(tmp_path.rglob('iter_*.pth'))

    return check


def spoilt(shapes, make_config, tmp_path, change=None, options=None):
    return make_config(
        tmp_path / 'config.py',
        shapes,
        iters=2,
        validate=True,
        change=change,
        options=options)


@pytest.mark.parametrize('name', CASES)
def test_spoilt_configs(name, shapes, make_config, stops, tmp_path):
    change, expected = CASES[name]
    stops(spoilt(shapes, make_config, tmp_path, change), expected)


@pytest.mark.parametrize('name', OPTIONS)
def test_spoilt_options(name, shapes, make_config, stops, tmp_path):
    options, expected = OPTIONS[name]
    stops(spoilt(shapes, make_config, tmp_path, options=options), expected)


@pytest.mark.parametrize('file, spoil, expected',
                         [(file, spoil, expected)
                          for file, spoil, *expected in LIST_CASES])
def test_no_training_with_a_bad_list(file, spoil, expected, own_shapes,
                                     make_config, stops, tmp_path):
    spoil(own_shapes / file)
    config = spoilt(own_shapes, make_config, tmp_path)
    stops(config, [str(own_shapes / file), *expected])


@pytest.mark.parametrize('file, spoil, expected',
                         [(file, spoil, expected)
                          for file, spoil, *expected in FILE_CASES])
def test_no_sample_of_a_bad_file(file, spoil, expected, own_shapes,
                                 make_config, tmp_path):
    spoil(own_shapes / file)
    config = spoilt(own_shapes, make_config, tmp_path)
    line = draw_all(config)
    for text in [str(own_shapes / file), *expected]:
        assert text in line


def draw_all(config):
    """Draw every sample; what the command would say if one cannot be."""
    cfg = Config.fromfile(config)
    with pytest.raises(SystemExit) as ended, user_errors():
        for loader in (cfg.train_dataloader, cfg.val_dataloader):
            dataset = DATASETS.build(loader.dataset)
            for place in range(len(dataset)):
                dataset[place]
    return ended.value.code


def test_checkpoint_that_is_absent(shapes, make_config, stops, tmp_path):
    path = tmp_path / 'nowhere.pth'
    config = make_config(tmp_path / 'config.py', shapes)
    stops(config, [str(path)], '--resume', path)


def test_the_unspoilt_set_trains(shapes, make_config, train_here, logs,
                                 tmp_path):
    """Otherwise the cases above would prove nothing."""
    config = make_config(
        tmp_path / 'config.py', shapes, iters=2, validate=True)
    run = train_here(config, '--work-dir', tmp_path / 'work')
    assert run.line is None and 'Iter(train)' in run.output
    scalars = logs.read_scalars(tmp_path / 'work')
    assert len(scalars.train) == 2 and len(scalars.val) == 1


def test_metric_that_nobody_gives(shapes, make_config, train_here, tmp_path):
    """It is known after the first validation."""
    config = spoilt(
        shapes, make_config, tmp_path,
        options={'default_hooks.checkpoint.save_best': 'joint/scor'})
    run = train_here(config, '--work-dir', tmp_path / 'work')
    assert run.line == (
        "UserError: default_hooks.checkpoint.save_best='joint/scor' is no "
        "metric; did you mean 'joint/score'?")


@pytest.mark.parametrize('config, script', [
    ('bombo/bombo_mobilenetv2_fpn-gfl_shapes.py', 'photo_stamps.py'),
    ('bombo/bombo_mobilenetv2_fpn-gfl_photo-stamps.py', 'photo_stamps.py'),
    ('bombo_voc.py', 'tools/dataset_converters/voc_lists.py'),
    ('bombo_coco.py', 'tools/dataset_converters/coco_lists.py'),
])
def test_missing_data_says_how_to_get_it(config, script, repo, train_here,
                                         monkeypatch, tmp_path):
    """The repository's own config where nothing has been prepared."""
    monkeypatch.chdir(tmp_path)
    run = train_here(repo / 'configs' / config, '--cfg-options',
                     'model.backbone.init_cfg=None')
    assert "'data/" in run.line and script in run.line
    assert 'Iter(train)' not in run.output


@pytest.mark.parametrize('script, arguments', [
    ('tools/train.py', ['absent.py']),
    ('tools/test.py', ['absent.py', 'x.pth']),
    ('tools/misc/print_config.py', ['absent.py']),
    ('demo/image_demo.py', ['x.jpg', 'absent.py', '--weights', 'x.pth']),
])
def test_tools_end_with_one_line(script, arguments, commands):
    """And with the status of an error."""
    done = commands.run(script, *arguments)
    assert done.returncode == 1
    assert 'absent.py' in done.output.rstrip().splitlines()[-1]
    assert 'Traceback' not in done.output
