# Copyright (c) mmbombo contributors.
import json
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from toolbox import (CLASSES, SEG_CLASSES, load_script, tiny_model_cfg,
                     write_voc)

from mmbombo.models.context import StepContext
from mmbombo.registry import HOOKS, MODELS

ROOT = Path(__file__).resolve().parents[2]
TOOL = str(ROOT / 'tools/analysis_tools/pseudo_label_quality.py')
CLASS_MAP = dict(
    det_classes=CLASSES, seg_classes=SEG_CLASSES, background='background')
LOAD = [dict(type='LoadImageFromFile'), dict(type='LoadPartialAnnotations')]
PACK = dict(type='PackMultiTaskInputs')
PIPELINE = [
    *LOAD,
    dict(type='LoadPseudoMask', class_map=CLASS_MAP, method='box'),
    dict(type='mmdet.RandomFlip', prob=.5),
    dict(type='mmdet.RandomCrop', crop_size=(40, 40)),
    dict(type='LabelComponents', class_map=CLASS_MAP, min_area=1), PACK
]
BOX_LOSS = dict(type='BoxForMaskLoss')
MASK_LOSS = dict(type='MaskForBoxLoss')


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    # a seed whose objects overlap: weak labels err
    return write_voc(
        tmp_path_factory.mktemp('quality') / 'voc', num_images=8, seed=5)


def source(root, kinds, **kwargs):
    return dict(
        type='PartialVOCDataset',
        data_root=str(root),
        ann_file='ImageSets/Main/train.txt',
        source='+'.join(kinds),
        annotation_kinds=kinds,
        metainfo=dict(classes=CLASSES, seg_classes=SEG_CLASSES),
        pipeline=PIPELINE,
        **kwargs)


def mixed(*sources):
    return dict(type='MixedSourceDataset', datasets=sources)


@pytest.fixture
def cfg(root):
    dataset = mixed(
        source(root, ('bbox', )), source(root, ('sem_seg', )),
        source(root, ('bbox', 'sem_seg')))
    return Config(
        dict(
            default_scope='mmbombo',
            model=tiny_model_cfg(
                class_map=CLASS_MAP, weak_losses=[BOX_LOSS, MASK_LOSS]),
            train_dataloader=dict(dataset=dataset),
            test_dataloader=dict(
                dataset=dict(
                    dataset['datasets'][2],
                    test_mode=True,
                    pipeline=[*LOAD, PACK]))))


@pytest.fixture
def run(cfg, tmp_path, monkeypatch, capsys):
    """Runs the tool; all values, and what it prints."""

    def main(*args):
        config, out = tmp_path / 'config.py', tmp_path / 'out.json'
        cfg.dump(config)
        monkeypatch.setattr('sys.argv',
                            [TOOL, *map(str, (config, *args, '--json', out))])
        load_script(TOOL).main()
        return json.loads(out.read_text()), capsys.readouterr().out

    return main


def test_tables(run):
    """What stands in them is tested with the hook, and beside it."""
    values, text = run()
    assert values['num_images'] == dict(b4m=8, m4b=8)
    # some err, and every kind of group is there
    for part in ('b4m', 'm4b'):
        assert values[part]['all']['all']['precision'] < 1
        assert len(values[part]['case']) > 1
        assert {*values[part]['class']} == {*CLASSES}
        assert {*values[part]['size']} == {'small', 'medium'}
    assert {*values['class_ious']} == {*SEG_CLASSES}
    accuracy = values['summary']['b4m/accuracy']
    assert f'labeled 100.0, accuracy {100 * accuracy:.1f}, ' in text
    # nobody predicts
    assert values['m4b'] == values['rectangles']
    found = values['m4b']['all']['all']
    assert f'| all | {found["objects"]} | {found["targets"]} | ' in text


def test_objects_whose_component_is_too_small_are_ignored(cfg, run, tmp_path):
    # two of a class in an image, of 846 and 819 pixels; all other objects are
    # larger, or the only ones of their class
    cows = write_voc(tmp_path / 'voc', num_images=8, seed=6)
    for part in cfg.train_dataloader.dataset.datasets:
        part.data_root = str(cows)
        part.pipeline[-2].min_area = 830
    values = run()[0]
    number = values['m4b']['all']['all']['objects']
    assert values['m4b']['all']['all']['ignored'] == pytest.approx(1 / number)
    assert values['m4b']['class']['cow']['ignored'] > 0
    assert values['rectangles'] == values['m4b']


def test_hook_and_tool_agree(cfg, run, root):
    both = ('bbox', 'sem_seg')
    fixed = [x for x in PIPELINE if not x['type'].startswith('mmdet.Random')]
    masks = dict(source(root, ('sem_seg', )), pipeline=fixed)
    hook = dict(
        type='PseudoLabelQualityHook',
        weak=masks,
        truth=dict(masks, annotation_kinds=both),
        num_images=3)
    cfg.custom_hooks = [hook]
    values, text = run('--num-images', 3)
    assert 'Box-for-Mask' not in text
    model = MODELS.build(cfg.model)
    model.weak_losses[1].predictor = 'none'
    hook = HOOKS.build(hook)
    hook.before_train(None)
    assert values['summary'] == hook.measure(model)


def test_boxes_have_the_size_that_the_network_sees(cfg, run):
    resize = dict(type='mmdet.Resize', scale_factor=2.)
    cfg.test_dataloader.dataset.pipeline.insert(1, resize)
    assert [*run()[0]['b4m']['size']] == ['medium']


def test_single_source_and_single_loss(cfg, run, root):
    cfg.model.weak_losses = [BOX_LOSS]
    cfg.train_dataloader.dataset = source(root, ('bbox', ))
    values, text = run('--num-images', 2)
    assert values['num_images'] == dict(b4m=2, m4b=0)
    assert not values['m4b'] and 'Mask-for-Box' not in text


def test_what_nobody_needs_may_lack_its_truth(cfg, run, root):
    """The masks' images have no boxes, but only masks of boxes are judged."""
    cfg.model.weak_losses = [BOX_LOSS]
    cfg.train_dataloader.dataset.datasets[1].data_prefix = dict(
        ann='Annotations_that_are_not_there')
    assert run()[0]['num_images'] == dict(b4m=8, m4b=0)


def test_network_of_a_checkpoint_predicts(cfg, run, tmp_path, monkeypatch):
    path = tmp_path / 'weights.pth'
    torch.save(dict(state_dict=MODELS.build(cfg.model).state_dict()), path)
    asked = []
    predict = StepContext.predict

    def spy(ctx, task, images, by='self', cfg=None):
        asked.append((by, len(images)))
        return predict(ctx, task, images, by, cfg)

    monkeypatch.setattr(StepContext, 'predict', spy)
    cfg.model.weak_losses[1].predictor = 'ema'
    run(path)
    assert asked == [('self', 8)]
    run()
    assert len(asked) == 1


@pytest.mark.parametrize('change, message', [
    (dict(model=dict(weak_losses=[])), 'neither BoxForMaskLoss'),
    (dict(train_dataloader=dict(dataset=dict(datasets=[]))),
     r"no source .* \['bbox', 'sem_seg'\]"),
    (dict(
        train_dataloader=dict(
            dataset=dict(datasets=[
                dict(
                    type='PartialAnnotationDataset',
                    annotation_kinds=('bbox', ),
                    source='street',
                    pipeline=PIPELINE,
                    dataset=dict(
                        type='mmdet.XMLDataset',
                        ann_file='ImageSets/Main/train.txt',
                        data_prefix=dict(sub_data_root='')))
            ]))), "source 'street' .* without its 'sem_seg'"),
])
def test_error_is_one_line(cfg, run, root, change, message):
    for part in change.get('train_dataloader', {}).get('dataset',
                                                       {}).get('datasets', ()):
        part['dataset']['data_root'] = str(root)
        part['metainfo'] = dict(classes=CLASSES, seg_classes=SEG_CLASSES)
    cfg.merge_from_dict(change)
    with pytest.raises(SystemExit, match=message) as error:
        run()
    assert '\n' not in str(error.value)
