# Copyright (c) mmbombo contributors.
"""The page of the pseudo labels, and in a browser what its keys do."""
import base64
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from browser import Browser
from mmengine.config import Config
from mmengine.structures import InstanceData
from PIL import Image
from toolbox import (CLASSES, SEG_CLASSES, load_script, tiny_model_cfg,
                     write_voc)

from mmbombo.models.task_heads.ignore_regions import IgnoreRegions
from mmbombo.registry import MODELS
from mmbombo.visualization.layers import Layer

FOLDER = Path(__file__).resolve().parents[2] / 'tools/analysis_tools'
CLASS_MAP = dict(
    det_classes=CLASSES, seg_classes=SEG_CLASSES, background='background')
LOAD = [dict(type='LoadImageFromFile'), dict(type='LoadPartialAnnotations')]
RESIZE = dict(type='mmdet.Resize', scale_factor=1.5)
PACK = dict(type='PackMultiTaskInputs')
PIPELINE = [
    *LOAD,
    dict(type='LoadPseudoMask', class_map=CLASS_MAP, method='box'),
    dict(type='mmdet.RandomCrop', crop_size=(40, 40)),
    dict(type='LabelComponents', class_map=CLASS_MAP, min_area=1), PACK
]
#: A class as nobody should call one.
HOSTILE = '</script><img src=x onerror=alert(1)>'


@pytest.fixture
def tool(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    return load_script(FOLDER / 'pseudo_labels.py')


def source(root, kinds):
    return dict(
        type='PartialVOCDataset',
        data_root=str(root),
        ann_file='ImageSets/Main/train.txt',
        source='+'.join(kinds),
        annotation_kinds=kinds,
        metainfo=dict(classes=CLASSES, seg_classes=SEG_CLASSES),
        pipeline=PIPELINE)


@pytest.fixture
def root(tmp_path):
    root = write_voc(tmp_path / 'voc', num_images=6, seed=5)
    # the boxes of 004 are far from its objects
    path = root / 'Annotations/004.xml'
    path.write_text(
        re.sub(r'<bndbox>.*?</bndbox>',
               '<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax>'
               '<ymax>9</ymax></bndbox>', path.read_text()))
    return root


@pytest.fixture
def cfg(root):
    sources = [source(root, ('bbox', )), source(root, ('sem_seg', ))]
    return Config(
        dict(
            default_scope='mmbombo',
            model=tiny_model_cfg(
                class_map=CLASS_MAP,
                weak_losses=[
                    dict(type='BoxForMaskLoss'), dict(type='MaskForBoxLoss')
                ]),
            train_dataloader=dict(
                dataset=dict(type='MixedSourceDataset', datasets=sources)),
            test_dataloader=dict(
                dataset=dict(
                    source(root, ('bbox', 'sem_seg')),
                    test_mode=True,
                    pipeline=[LOAD[0], RESIZE, LOAD[1], PACK]))))


@pytest.fixture
def run(tool, cfg, tmp_path, monkeypatch):
    """Runs the tool; the page, its index, the index's cards, and the panels
    of each."""

    def main(*args):
        config, out = tmp_path / 'config.py', tmp_path / 'out/page.html'
        cfg.dump(config)
        monkeypatch.setattr(
            'sys.argv',
            ['pseudo_labels.py', *map(str, (config, *args, '--out', out))])
        tool.main()
        *pictures, index = map(
            json.loads,
            re.findall(r'<script type="application/json".*?>(.*?)</script>',
                       out.read_text(encoding='utf-8')))
        cards = [
            dict(zip(('title', 'score', 'facts', 'tags'), card))
            for card in index['cards']
        ]
        panels = [{x[0]: x for x in panels} for _, _, panels in pictures]
        return out, index, cards, panels

    return main


@pytest.fixture
def weights(cfg, tmp_path):
    path = tmp_path / 'weights.pth'
    torch.save(dict(state_dict=MODELS.build(cfg.model).state_dict()), path)
    return path


def test_worst_first(run):
    _, index, cards, panels = run()
    assert len(cards) == len(panels) == 12
    # either source reads it, one as annotation and one as truth
    assert {x['title'] for x in cards[:2]} == {'JPEGImages/004.jpg'}
    assert {x['tags']['weak loss'][0] for x in cards[:2]} == {'b4m', 'm4b'}
    scores = [x['score'] for x in cards]
    assert scores[1] > .5 > scores[2]
    assert scores == sorted(scores, reverse=True)
    assert index['panels'] == ['annotation', 'b4m', 'm4b', 'truth']
    assert [*panels[0]] == ['annotation', 'm4b', 'truth']
    assert {x['tags']['source'][0] for x in cards} == {'bbox', 'sem_seg'}
    named = {name for x in cards for name in x['tags']['class']}
    assert named == {*CLASSES}


def test_boxes_say_how_they_came_about(run):
    panels = [x['m4b'] for x in run('--num-images', 4)[3] if 'm4b' in x]
    assert len(panels) == 2  # evenly spaced over the sources
    for _, _, boxes, _, legend, _ in panels:
        components = [xyxy for xyxy, _, text, _ in boxes if not text]
        kept = [xyxy for xyxy, color, *_ in boxes if color == legend[0][1]]
        assert components == kept  # nobody predicts
        assert [name for name, _ in legend] == ['kept', 'component']


def size_of(panel):
    """Width and height of the map."""
    data = base64.b64decode(panel[3].partition(',')[2])
    return Image.open(io.BytesIO(data)).size


@pytest.mark.parametrize('predicts', [True, False])
def test_without_truth_the_prediction_decides(run, cfg, root, weights,
                                              predicts):
    for path in root.glob('SegmentationClass/*'):
        path.unlink()
    cfg.train_dataloader.dataset = source(root, ('bbox', ))
    _, index, cards, panels = run(*[weights] * predicts)
    assert ('prediction' in index['panels']) == predicts
    assert 'truth' not in index['panels']
    for card in cards:
        value = {'b4m, prediction': f'{card["score"]:.2f}'} if predicts else {}
        assert card['facts'] == value
        assert (card['score'] is None) != predicts
    for looks in panels if predicts else ():  # of the network's input
        assert {size_of(looks[x]) for x in ('b4m', 'prediction')
                } == {(144, 120)}


def test_seeds_of_tags(run, cfg, root):
    """What is ignored all over the image is not drawn."""
    cfg.model.update(
        classes=dict(cls=CLASSES),
        weak_losses=[
            dict(
                type='TagForBoxLoss',
                seeds=dict(type='PredictedSeeds', by='ema', best_thr=0.))
        ])
    tags = source(root, ('image_label', ))
    tags['metainfo'] = dict(tags['metainfo'], cls_classes=CLASSES)
    cfg.train_dataloader.dataset = tags
    path = root / 'weights.pth'
    torch.save(dict(state_dict=MODELS.build(cfg.model).state_dict()), path)
    _, index, cards, panels = run(path)
    assert index['panels'] == ['annotation', 't4b', 'prediction', 'truth']
    assert len(cards) == 6
    for card, looks in zip(cards, panels):
        shown = {text for _, _, text, _ in looks['truth'][2]}
        assert looks['annotation'][1] == 'shows: ' + ', '.join(
            x for x in CLASSES if x in shown)
        boxes = looks['t4b'][2]
        assert {text for _, _, text, _ in boxes} == shown
        assert not any(dashed for *_, dashed in boxes)


LEFT, RIGHT = (0, 0, 10, 10), (10, 0, 20, 10)


def boxes_of(tool, boxes, ignored=()):
    """Boxes of class 0, in a negative place of class 1, and what of class 0
    is ignored."""
    found = InstanceData(
        bboxes=torch.tensor(boxes).view(-1, 4).abs().float(),
        labels=torch.tensor([int(min(x) < 0) for x in boxes]).long())
    areas = torch.tensor(ignored).float().view(1, -1, 4)
    classes = torch.ones(1, len(ignored), 2).bool()
    classes[..., 1] = False
    return tool.Labels(Layer(''), found, IgnoreRegions(areas, classes))


@pytest.mark.parametrize('one, other, value', [
    (([], ), ([], ), 0),
    (([LEFT], ), ([LEFT], ), 0),
    (([LEFT], ), ([(0, -0, -10, 10)], ), 1),
    (([LEFT], ), ([], ), 1),
    (([LEFT], ), ([LEFT, RIGHT], ), 1 / 3),
    (([(0, 0, 20, 10)], ), ([LEFT, RIGHT], ), .5),
    # what one ignores the other may have, or not
    (([LEFT], ), ([], [LEFT]), 0),
    (([LEFT], [RIGHT]), ([LEFT, RIGHT], ), 0),
    (([LEFT], [RIGHT]), ([LEFT, (-10, 0, 20, 10)], ), 1 / 3),
])
def test_disagreement_of_boxes(tool, one, other, value):
    one, other = boxes_of(tool, *one), boxes_of(tool, *other)
    assert tool.disagreement(one, other) == pytest.approx(value)
    assert tool.disagreement(other, one) == pytest.approx(value)


@pytest.mark.parametrize('ids, others, value', [
    ([0, 0, 1, 1], [0, 0, 1, 1], 0),
    ([0, 0, 1, 1], [0, 0, 0, 0], 1 - (2 / 4 + 0) / 2),
    ([0, 0, 1, 1], [0, 0, 1, 255], 0),
    ([255, 256, 1, 1], [0, 0, 1, 2], 1 - (1 / 2 + 0) / 2),
    ([255, 255], [0, 0], 0),
    ([0, 1, 255, 255], [0, 1], 0),  # padded
])
def test_disagreement_of_maps(tool, ids, others, value):
    one, other = (
        tool.Labels(Layer('', ids=np.array([x]))) for x in (ids, others))
    assert tool.disagreement(one, other) == pytest.approx(value)
    assert tool.disagreement(one, boxes_of(tool, [])) is None


@pytest.mark.parametrize('change, message', [
    (dict(model=dict(weak_losses=[])), 'none that makes pseudo labels'),
    (dict(model=dict(weak_losses=[dict(type='BoxProjectionLoss')])),
     'none that makes pseudo labels'),
    (dict(
        model=dict(
            classes=dict(cls=CLASSES),
            weak_losses=[
                dict(type='TagForBoxLoss', seeds=dict(type='PredictedSeeds'))
            ])), 't4b asks the network .* give a checkpoint'),
])
def test_error_is_one_line(cfg, run, change, message):
    cfg.merge_from_dict(change)
    with pytest.raises(SystemExit, match=message) as error:
        run()
    assert '\n' not in str(error.value)


def test_out_is_tried_first(tool, monkeypatch, tmp_path):
    (tmp_path / 'file').write_text('')
    monkeypatch.setattr('sys.argv', [
        'pseudo_labels.py', 'no_such_config.py', '--out',
        str(tmp_path / 'file/page.html')
    ])
    with pytest.raises(SystemExit, match='--out .*file/page.html: '):
        tool.main()


def test_keys_in_a_browser(run, cfg, weights, root):
    """Names are hostile, and the console stays silent."""
    for path in root.glob('Annotations/*.xml'):
        text = path.read_text()
        path.write_text(
            text.replace('<name>cat', f'<name><![CDATA[{HOSTILE}]]>'))
    classes = (HOSTILE, *CLASSES[1:])
    seg_classes = ('background', *classes)
    names = dict(
        det_classes=classes, seg_classes=seg_classes, background='background')
    cfg.model.class_map = names
    for part in cfg.train_dataloader.dataset.datasets:
        part.metainfo = dict(classes=classes, seg_classes=seg_classes)
        for step in part.pipeline:
            if 'class_map' in step:
                step.class_map = names
    page, _, cards, _ = run(weights)
    assert any(HOSTILE in x['tags']['class'] for x in cards)
    assert HOSTILE not in page.read_text(encoding='utf-8')
    current = "document.querySelector('.current').id"
    shown = "[...document.querySelectorAll('figure')].filter(x => !x.hidden" \
        " && x.dataset.panel === 'annotation').length"
    with Browser() as browser:
        browser.open(page)
        browser.press('Shift')
        assert browser.run(current) == 'item-0'
        browser.press('j', 'j', 'ArrowRight')
        assert browser.run(current) == 'item-3'
        browser.press('k')
        assert browser.run(current) == 'item-2'
        browser.press('End', 'j')
        assert browser.run(current) == 'item-11'
        browser.press('Home', 'ArrowLeft')
        assert browser.run(current) == 'item-0'

        assert browser.run(shown) > 0
        browser.press('1')
        assert browser.run(shown) == 0
        browser.press('1', 'o')
        assert browser.run(shown) > 0
        style = "getComputedStyle(document.querySelector('svg')).visibility"
        assert browser.run(style) == 'hidden'
        browser.press('o')
        assert browser.run(style) == 'visible'

        browser.press('?', 'j')
        assert browser.run("document.querySelector('dialog').open")
        assert browser.run(current) == 'item-0'
        browser.press('Escape')
        assert not browser.run("document.querySelector('dialog').open")

        # an element of the data would have run
        assert browser.run("document.querySelectorAll('[onerror]').length"
                           ) == 0
        options = "[...document.querySelector('select').options]"
        names = browser.run(f'{options}.map(x => x.value)')
        assert {*names} == {'', HOSTILE, *CLASSES[1:]}
        browser.run("""(() => {
            const select = document.querySelector('select[name="weak loss"]');
            select.value = 'm4b';
            select.dispatchEvent(new Event('change'));
        })()""")
        assert browser.run("document.querySelector('output').textContent"
                           ) == '6 of 12'
        browser.press('j')
        place = int(browser.run(current).partition('-')[2])
        assert cards[place]['tags']['weak loss'] == ['m4b']
        assert browser.errors == []
