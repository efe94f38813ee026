# Copyright (c) mmbombo contributors.
"""Bad input stops ``tools/train.py`` before the first iteration.

Every case spoils one thing in a set that trains, or in its config, runs the
command in a process of its own, and looks for the name of the file, the line
or the key in what the command says.
"""
import json
import os
import pickle
import re
import zipfile

import numpy as np
import pytest
from PIL import Image

CASES = {}


def case(function):
    """A function that spoils the data or the config, and says what the
    message must name; as strings or compiled patterns."""
    CASES[function.__name__] = function
    return function


class Setting:
    """What a case may spoil: files, config and arguments."""

    def __init__(self, root, voc, folder):
        self.root = root
        self.voc = voc
        self.folder = folder
        self.arguments = []
        self.det_ids = voc.ids(root, 'det_train')
        self.seg_ids = voc.ids(root, 'seg_train')
        self.changes = []

    def files(self, image_id):
        return self.voc.files(self.root, image_id)

    def list_file(self, name):
        return self.root / f'ImageSets/Main/{name}.txt'

    def replace_in(self, path, pattern, replacement):
        text = path.read_text()
        changed = re.sub(pattern, replacement, text, count=1)
        assert changed != text
        path.write_text(changed)

    def change(self, cfg):
        for change in self.changes:
            change(cfg)


def size_of(path):
    with Image.open(path) as image:
        return image.size


def cut_file(path):
    content = path.read_bytes()
    path.write_bytes(content[:len(content) // 2])


@case
def image_absent(s):
    image = s.files(s.det_ids[2]).image
    image.unlink()
    return [str(image), 'det_train.txt line 3']


@case
def xml_absent(s):
    boxes = s.files(s.det_ids[4]).boxes
    boxes.unlink()
    return [str(boxes), 'det_train.txt line 5']


@case
def mask_absent(s):
    mask = s.files(s.seg_ids[0]).mask
    mask.unlink()
    return [str(mask), 'seg_train.txt line 1']


@case
def validation_mask_absent(s):
    image_id = s.voc.ids(s.root, 'val')[1]
    mask = s.files(image_id).mask
    mask.unlink()
    return [str(mask), 'val.txt line 2']


@case
def list_absent(s):
    path = s.list_file('seg_train')
    path.unlink()
    return [str(path), 'does not exist']


@case
def list_names_a_place_outside(s):
    path = s.list_file('det_train')
    path.write_text(path.read_text() + '../../../secret\n')
    return [f'{path} line 13', '../../../secret']


@case
def list_names_an_image_twice(s):
    path = s.list_file('det_train')
    path.write_text(path.read_text() + s.det_ids[3] + '\n')
    return [f'{path} line 13', s.det_ids[3], 'line 4']


@case
def list_is_empty(s):
    path = s.list_file('seg_train')
    path.write_text('')
    return [str(path), "'seg'", 'sem_seg', 'no image']


@case
def mask_of_another_size(s):
    files = s.files(s.seg_ids[3])
    s.voc.write_mask(files.mask, np.zeros((17, 23)))
    return [str(files.mask), '23x17', '{}x{}'.format(*size_of(files.image))]


@case
def mask_with_an_unknown_id(s):
    mask = s.files(s.seg_ids[5]).mask
    ids = np.zeros(size_of(mask)[::-1])
    ids[-1, -1] = 9
    s.voc.write_mask(mask, ids)
    return [str(mask), '[9]', '0..4']


@case
def mask_of_colors(s):
    mask = s.files(s.seg_ids[1]).mask
    with Image.open(mask) as image:
        colors = image.convert('RGB')
    colors.save(mask)
    return [str(mask), 'RGB']


@case
def mask_truncated(s):
    mask = s.files(s.seg_ids[6]).mask
    cut_file(mask)
    return [str(mask), 'truncated']


@case
def image_truncated(s):
    image = s.files(s.det_ids[6]).image
    cut_file(image)
    return [str(image), 'truncated']


@case
def image_is_text(s):
    image = s.files(s.seg_ids[6]).image
    image.write_text('<html>404</html>')
    return [str(image), 'not an image']


@case
def box_outside(s):
    boxes = s.files(s.det_ids[1]).boxes
    s.replace_in(boxes, r'<xmax>[^<]*', '<xmax>500')
    return [f'{boxes}: object 1', 'xmax 500', 'outside']


@case
def box_inverted(s):
    boxes = s.files(s.det_ids[1]).boxes
    s.replace_in(boxes, r'<ymin>[^<]*', '<ymin>60')
    s.replace_in(boxes, r'<ymax>[^<]*', '<ymax>20')
    return [f'{boxes}: object 1', 'ymin 60', 'inverted']


@case
def box_without_area(s):
    boxes = s.files(s.det_ids[1]).boxes
    s.replace_in(boxes, r'<xmin>[^<]*', '<xmin>11')
    s.replace_in(boxes, r'<xmax>[^<]*', '<xmax>10')
    return [f'{boxes}: object 1', 'xmin 11', 'degenerate']


@case
def box_is_no_number(s):
    boxes = s.files(s.det_ids[1]).boxes
    s.replace_in(boxes, r'<xmin>[^<]*', '<xmin>nan')
    return [f'{boxes}: object 1', 'nan']


@case
def class_unknown(s):
    boxes = s.files(s.det_ids[0]).boxes
    s.replace_in(boxes, r'(<object>\s*<name>)[^<]*', r'\1unicorn')
    return [f'{boxes}: object 1', 'unicorn', 'disc']


@case
def xml_declares_entities(s):
    boxes = s.files(s.det_ids[0]).boxes
    body = re.sub(r'<\?xml.*?\?>', '', boxes.read_text())
    boxes.write_text(
        '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]>' + body)
    return [str(boxes), 'entity']


@case
def xml_is_cut(s):
    boxes = s.files(s.det_ids[7]).boxes
    cut_file(boxes)
    return [str(boxes), 'not well-formed']


@case
def coco_box_outside(s):
    width, height = size_of(s.files(s.det_ids[0]).image)
    path = s.root / 'boxes.json'
    path.write_text(
        json.dumps(
            dict(
                images=[
                    dict(id=1, file_name=f'{s.det_ids[0]}.jpg', width=width,
                         height=height)
                ],
                annotations=[
                    dict(id=77, image_id=1, category_id=5, iscrowd=0,
                         area=200, bbox=[width - 5, 0, 20, 10])
                ],
                categories=[
                    dict(id=5 + i, name=name) for i, name in enumerate(
                        ('disc', 'rectangle', 'triangle', 'star'))
                ])))
    s.changes.append(lambda cfg: use_coco(cfg, s.root, 'bbox'))
    return [str(path), 'annotation 77', s.det_ids[0], 'outside']


@case
def coco_without_masks_declared_as_masks(s):
    path = s.root / 'boxes.json'
    path.write_text(
        json.dumps(
            dict(
                images=[
                    dict(id=1, file_name=f'{s.det_ids[0]}.jpg', width=9,
                         height=9)
                ], annotations=[], categories=[dict(id=5, name='disc')])))
    s.changes.append(lambda cfg: use_coco(cfg, s.root, 'sem_seg'))
    return ["'coco'", 'sem_seg', 'CocoDataset', str(path)]


def use_coco(cfg, root, kind):
    """Make the first source a COCO file."""
    first = cfg.train_dataloader.dataset.datasets[0]
    cfg.train_dataloader.dataset.datasets[0] = dict(
        type='PartialAnnotationDataset', source='coco',
        annotation_kinds=(kind, ), metainfo=first.metainfo,
        pipeline=first.pipeline,
        dataset=dict(
            type='mmdet.CocoDataset', data_root=str(root),
            ann_file='boxes.json', data_prefix=dict(img='JPEGImages'),
            metainfo=dict(classes=first.metainfo.classes)))


@case
def metric_without_annotation(s):
    s.changes.append(lambda cfg: cfg.merge_from_dict(
        {'val_dataloader.dataset.annotation_kinds': ('bbox', )}))
    return ['SegIoUMetric', "'seg'", 'sem_seg', "'val' (bbox)"]


@case
def task_without_annotation(s):
    def drop_masks(cfg):
        del cfg.train_dataloader.dataset.datasets[1]
        cfg.train_dataloader.sampler.source_ratio = [1]
        cfg.model.weak_losses = []

    s.changes.append(drop_masks)
    return ["'seg'", 'sem_seg', "'det' (bbox)"]


@case
def weak_loss_without_annotation(s):
    def drop_masks(cfg):
        del cfg.train_dataloader.dataset.datasets[1]
        cfg.train_dataloader.sampler.source_ratio = [1]

    s.changes.append(drop_masks)
    return ['MaskForBoxLoss', 'sem_seg', "'det' (bbox)"]


@case
def ratio_that_cannot_be_met(s):
    s.changes.append(lambda cfg: cfg.merge_from_dict(
        {'train_dataloader.sampler.source_ratio': [2, 1]}))
    return ['batch_size=4', '[2, 1]', '3 and 6']


@case
def ratio_for_other_sources(s):
    s.changes.append(lambda cfg: cfg.merge_from_dict(
        {'train_dataloader.sampler.source_ratio': [1, 1, 2]}))
    return ['[1, 1, 2]', '3 numbers for 2 sources']


@case
def batch_size_of_sampler_differs(s):
    s.changes.append(lambda cfg: cfg.merge_from_dict(
        {'train_dataloader.sampler.batch_size': 2}))
    return ['batch_size=4', 'PartialAnnotationSampler', 'batch_size=2']


@case
def detection_head_of_other_classes(s):
    s.changes.append(lambda cfg: cfg.merge_from_dict(
        {'model.task_heads.det.head.num_classes': 3}))
    return ['detection head', 'num_classes=3', '4 detection classes', 'disc']


@case
def segmentation_head_of_other_classes(s):
    s.changes.append(lambda cfg: cfg.merge_from_dict(
        {'model.task_heads.seg.head.num_classes': 4}))
    return ['segmentation', 'num_classes=4', '5', 'background']


@case
def classes_in_another_order(s):
    s.changes.append(lambda cfg: cfg.model.class_map.update(
        det_classes=('star', 'triangle', 'rectangle', 'disc')))
    return ['class_map', 'det_classes', 'order']


@case
def wrapper_around_the_sources(s):
    def repeat(cfg):
        cfg.train_dataloader.dataset = dict(
            type='RepeatDataset', times=2,
            dataset=cfg.train_dataloader.dataset)

    s.changes.append(repeat)
    return ['RepeatDataset', "['det', 'seg']", 'PartialAnnotationSampler']


@case
def mosaic_around_the_sources(s):
    """With a sampler that does not mind."""
    def mix(cfg):
        loader = cfg.train_dataloader
        loader.dataset = dict(
            type='mmdet.MultiImageMixDataset', dataset=loader.dataset,
            pipeline=[dict(type='mmdet.Mosaic', img_scale=(64, 64))])
        loader.sampler = dict(type='InfiniteSampler')

    s.changes.append(mix)
    return ['MultiImageMixDataset', "['det', 'seg']", 'move no maps']


@case
def epoch_without_an_end(s):
    s.changes.append(lambda cfg: cfg.merge_from_dict({'train_cfg': dict(
        _delete_=True, type='EpochBasedTrainLoop', max_epochs=1)}))
    return ['EpochBasedTrainLoop', 'IterBasedTrainLoop', 'infinite=False']


@case
def class_unknown_to_a_wrapped_set(s):
    boxes = s.files(s.det_ids[0]).boxes
    s.replace_in(boxes, r'(<object>\s*<name>)[^<]*', r'\1unicorn')

    def use_mmdet(cfg):
        first = cfg.train_dataloader.dataset.datasets[0]
        cfg.train_dataloader.dataset.datasets[0] = dict(
            type='PartialAnnotationDataset', source='xml',
            annotation_kinds=('bbox', ), metainfo=first.metainfo,
            pipeline=first.pipeline,
            dataset=dict(
                type='mmdet.XMLDataset', data_root=str(s.root),
                ann_file='ImageSets/Main/det_train.txt',
                data_prefix=dict(sub_data_root='')))

    s.changes.append(use_mmdet)
    return ["'xml'", f'{boxes}: object 1', 'unicorn']


@case
def kind_unknown(s):
    s.changes.append(lambda cfg: cfg.train_dataloader.dataset.datasets[0].
                     update(annotation_kinds=('box', )))
    return ["'box'", 'bbox', 'sem_seg']


@case
def source_not_wrapped(s):
    def unwrap(cfg):
        cfg.train_dataloader.dataset.datasets[0] = dict(
            type='mmseg.BaseSegDataset', data_root=str(s.root),
            ann_file='ImageSets/Main/seg_train.txt',
            data_prefix=dict(img_path='JPEGImages',
                             seg_map_path='SegmentationClass'))

    s.changes.append(unwrap)
    return ['datasets[0]', 'BaseSegDataset', 'PartialAnnotationDataset']


@case
def transform_that_moves_no_boxes(s):
    s.changes.append(lambda cfg: replace_step(
        cfg, 'mmdet.RandomFlip', type='mmseg.RandomFlip', prob=0.5))
    return ['mmseg.RandomFlip', 'mmdet.RandomFlip']


@case
def transform_that_moves_no_maps(s):
    s.changes.append(lambda cfg: replace_step(
        cfg, 'mmdet.RandomFlip', type='mmdet.RandomAffine'))
    return ['mmdet.RandomAffine', 'mmdet.RandomResize']


@case
def pseudo_mask_method_unknown(s):
    s.changes.append(lambda cfg: [
        step.update(method='magic')
        for source in cfg.train_dataloader.dataset.datasets
        for step in source.pipeline if step['type'] == 'LoadPseudoMask'
    ])
    return ['magic', 'grabcut_ignore', 'box_i']


@case
def pseudo_mask_missing(s):
    s.changes.append(lambda cfg: drop_step(cfg, 'LoadPseudoMask'))
    return ['LoadPseudoMask', 'BoxForMaskLoss']


@case
def components_missing(s):
    s.changes.append(lambda cfg: drop_step(cfg, 'LabelComponents'))
    return ['LabelComponents', 'MaskForBoxLoss']


def replace_step(cfg, old, **new):
    for source in cfg.train_dataloader.dataset.datasets:
        for number, step in enumerate(source.pipeline):
            if step['type'] == old:
                source.pipeline[number] = new


def drop_step(cfg, name):
    for source in cfg.train_dataloader.dataset.datasets:
        source.pipeline = [
            step for step in source.pipeline if step['type'] != name
        ]


@case
def ema_predictor_without_hook(s):
    s.changes.append(
        lambda cfg: cfg.model.weak_losses[1].update(predictor='ema'))
    return ["'ema'", 'PredictorEMAHook', 'custom_hooks']


@case
def predictor_unknown(s):
    s.changes.append(
        lambda cfg: cfg.model.weak_losses[1].update(predictor='oracle'))
    return ["'oracle'", "'self'", "'ema'"]


@case
def two_stage_head(s):
    def use_rpn(cfg):
        cfg.model.task_heads.det.head = dict(
            type='RPNHead', in_channels=16, num_classes=1,
            anchor_generator=cfg.model.task_heads.det.head.anchor_generator)

    s.changes.append(use_rpn)
    return ['DetTaskHead', 'RPNHead']


class Payload:
    """A pickle that creates a file when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path, )


@case
def checkpoint_that_runs_code(s):
    path = s.folder / 'gift.pth'
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('archive/data.pkl', pickle.dumps(
            dict(state_dict={}, meta=Payload(str(s.folder / 'was_here'))),
            protocol=2))
        archive.writestr('archive/byteorder', 'little')
        archive.writestr('archive/version', '3\n')
    s.arguments += ['--resume', path]
    return [str(path), 'mkdir', '--trust-checkpoint']


@case
def checkpoint_absent(s):
    path = s.folder / 'nowhere.pth'
    s.arguments += ['--resume', path]
    return [str(path)]


@pytest.mark.parametrize('name', CASES)
def test_it_stops_before_training(name, own_shapes, voc, make_config, commands,
                                  logs, tmp_path):
    setting = Setting(own_shapes, voc, tmp_path)
    expected = CASES[name](setting)
    config = make_config(
        tmp_path / 'config.py', own_shapes, iters=2, validate=True,
        change=setting.change)
    done = commands.run('tools/train.py', config, '--work-dir',
                        tmp_path / 'work', *setting.arguments)
    assert done.returncode not in (0, None)
    # The message is the last thing said, not lost in the middle of a log.
    said = done.output[-2000:]
    for text in expected:
        assert text in said, said
    assert 'Traceback' not in done.output
    assert 'Iter(train)' not in done.output
    assert logs.iterations_run(tmp_path / 'work') == 0
    assert not list(tmp_path.rglob('iter_*.pth'))
    assert not (tmp_path / 'was_here').exists()


def test_the_unspoilt_set_trains(own_shapes, voc, make_config, train,
                                 tmp_path):
    """Otherwise the cases above would prove nothing."""
    config = make_config(
        tmp_path / 'config.py', own_shapes, iters=2, validate=True)
    run = train(config)
    assert len(run.scalars.train) == 2
    assert len(run.scalars.val) == 1


@pytest.mark.parametrize('config, step', [
    ('bombo/bombo_mobilenetv2_fpn-gfl_shapes.py', 'photo_stamps.py'),
    ('bombo/bombo_mobilenetv2_fpn-gfl_photo-stamps.py', 'photo_stamps.py'),
])
def test_missing_data_root_says_how_to_get_the_data(config, step, repo,
                                                    commands, tmp_path):
    """The repository's own config where nothing has been prepared."""
    done = commands.run(
        'tools/train.py', repo / 'configs' / config, '--cfg-options',
        'model.backbone.init_cfg=None', cwd=tmp_path)
    assert done.returncode == 1
    said = done.output[-1000:]
    assert "data_root 'data/" in said and step in said
    assert 'Iter(train)' not in done.output


def test_a_new_interpreter_says_the_same(own_shapes, voc, make_config,
                                         commands, tmp_path):
    """The other cases start from a process that has imported torch."""
    mask = voc.files(own_shapes, voc.ids(own_shapes, 'seg_train')[0]).mask
    mask.unlink()
    config = make_config(tmp_path / 'config.py', own_shapes)
    done = commands.run_fresh('tools/train.py', config, '--work-dir',
                              tmp_path / 'work')
    assert done.returncode == 1
    last = done.output.rstrip().splitlines()[-2:]
    assert str(mask) in ' '.join(last)
    assert 'Traceback' not in done.output
