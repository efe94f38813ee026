# Copyright (c) mmbombo contributors.
import json
from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image
from toolbox import (CLASSES, SEG_CLASSES, box_area, box_iou, load_script,
                     tiny_model_cfg, write_voc)

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


def images_of(root):
    """The mask of each image, and its objects: class id, box."""
    for path in sorted((root / 'Annotations').iterdir()):
        with Image.open(root / f'SegmentationClass/{path.stem}.png') as image:
            mask = np.array(image)
        objects = []
        for node in ElementTree.parse(path).iter('object'):
            x1, y1, x2, y2 = (int(side.text) for side in node.find('bndbox'))
            objects.append((SEG_CLASSES.index(node.find('name').text),
                            (x1 - 1, y1 - 1, x2, y2)))
        yield mask, objects


def filled_boxes(mask, objects):
    filled = np.zeros_like(mask)
    for seg_id, (x1, y1, x2, y2) in sorted(
            objects, key=lambda x: -box_area(x[1])):
        filled[y1:y2, x1:x2] = seg_id
    return filled


def foregrounds(root):
    """Class id, area, and pixels (pseudo, true, both) of each box."""
    found = []
    for mask, objects in images_of(root):
        filled = filled_boxes(mask, objects)
        for seg_id, (x1, y1, x2, y2) in objects:
            pseudo = filled[y1:y2, x1:x2] == seg_id
            true = mask[y1:y2, x1:x2] == seg_id
            found.append((seg_id, (x2 - x1) * (y2 - y1), pseudo.sum(),
                          true.sum(), (pseudo & true).sum()))
    return np.array(found)


def best_ious(root):
    """Class id, area and best IoU with a rectangle of its class of each box;
    how many rectangles there are, and how many are right."""
    found, num_rects, num_right = [], 0, 0
    for mask, objects in images_of(root):
        rects = []
        for seg_id in range(1, len(SEG_CLASSES)):
            _, _, table, _ = cv2.connectedComponentsWithStats(
                np.uint8(mask == seg_id))
            rects += [(seg_id, (x, y, x + w, y + h))
                      for x, y, w, h, _ in table[1:]]
        ious = np.array([[
            box_iou(box, rect) * (seg_id == rect_id) for rect_id, rect in rects
        ] for seg_id, box in objects])
        found += [(seg_id, box_area(box), iou)
                  for (seg_id, box), iou in zip(objects, ious.max(axis=1))]
        num_rects += len(rects)
        num_right += (ious.max(axis=0) >= .5).sum()
    return np.array(found), num_rects, num_right


def test_masks_against_a_slow_count(run, root):
    values, text = run()
    boxes = foregrounds(root)
    groups = {
        ('all', 'all'): boxes[:, 0] > 0,
        ('size', 'small'): boxes[:, 1] < 1024,
        ('size', 'medium'): boxes[:, 1] >= 1024
    }
    for seg_id, name in enumerate(CLASSES, start=1):
        groups['class', name] = boxes[:, 0] == seg_id
    for (group, name), chosen in groups.items():
        pseudo, true, both = boxes[chosen, 2:].T
        union = pseudo + true - both
        assert values['b4m'][group][name] == pytest.approx(
            dict(
                objects=len(both),
                mean_iou=(both[union > 0] / union[union > 0]).mean(),
                precision=both.sum() / pseudo.sum(),
                recall=both.sum() / true.sum()))
    # some err, and every kind of group is there
    assert values['b4m']['all']['all']['precision'] < 1
    assert len(values['b4m']['case']) > 1 and values['num_images']['b4m'] == 8

    pairs = [(filled_boxes(mask, objects), mask)
             for mask, objects in images_of(root)]
    filled, masks = map(np.stack, zip(*pairs))
    for seg_id, name in enumerate(SEG_CLASSES):
        both = ((filled == seg_id) & (masks == seg_id)).sum()
        union = ((filled == seg_id) | (masks == seg_id)).sum()
        assert values['class_ious'][name] == pytest.approx(both / union)
    accuracy = (filled == masks).mean()
    assert values['summary']['b4m/accuracy'] == pytest.approx(accuracy)
    assert f'labeled 100.0, accuracy {100 * accuracy:.1f}, ' in text


def test_boxes_against_a_slow_count(run, root):
    values, text = run()
    boxes, num_rects, num_right = best_ious(root)
    # nobody predicts
    assert values['m4b'] == values['rectangles']
    for group, name, chosen in (('all', 'all', boxes[:, 0]
                                 > 0), ('size', 'small', boxes[:, 1] < 1024),
                                ('class', 'dog', boxes[:, 0] == 2)):
        found = values['m4b'][group][name]
        ious = boxes[chosen, 2]
        assert found['objects'] == len(ious)
        assert found['mean_iou'] == pytest.approx(ious.mean())
        assert found['recall'] == pytest.approx((ious >= .5).mean())
    everything = values['m4b']['all']['all']
    assert everything['targets'] == num_rects
    assert everything['precision'] == pytest.approx(num_right / num_rects)
    assert everything['recall'] < 1 and everything['ignored'] == 0
    for case in values['m4b']['case']:
        # the log of the hook has the same values
        assert (values['m4b']['case'][case]['mean_iou'] == values['summary']
                [f'm4b/mean_iou_{case}'])
    assert f'| all | {len(boxes)} | {num_rects} | ' in text


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
