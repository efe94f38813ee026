# Copyright (c) mmbombo contributors.
"""The page of the pseudo labels, and in a browser what its keys do."""
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from browser import Browser
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.structures import InstanceData
from toolbox import (CLASSES, SEG_CLASSES, load_script, tiny_model_cfg,
                     write_voc)

from mmbombo.models.task_heads.ignore_regions import IgnoreRegions
from mmbombo.registry import MODELS
from mmbombo.visualization.layers import Layer

FOLDER = Path(__file__).resolve().parents[2] / 'tools/analysis_tools'
CLASS_MAP = dict(
    det_classes=CLASSES, seg_classes=SEG_CLASSES, background='background')
LOAD = [dict(type='LoadImageFromFile'), dict(type='LoadPartialAnnotations')]
RESIZE = dict(type='mmdet.Resize', scale_factor=1.)
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
    """Runs the tool; the page, its index and what stands in its cards."""

    def main(*args):
        config, out = tmp_path / 'config.py', tmp_path / 'out/page.html'
        cfg.dump(config)
        monkeypatch.setattr(
            'sys.argv',
            ['pseudo_labels.py', *map(str, (config, *args, '--out', out))])
        tool.main()
        data = {
            name: json.loads(text)
            for name, text in re.findall(
                r'<script type="application/json" id="(\S+?)">(.*?)</script>',
                out.read_text(encoding='utf-8'))
        }
        index = data.pop('index')
        return out, index, [*data.values()]

    return main


@pytest.fixture
def weights(cfg, tmp_path):
    path = tmp_path / 'weights.pth'
    torch.save(dict(state_dict=MODELS.build(cfg.model).state_dict()), path)
    return path


def test_worst_first(run):
    _, index, cards = run()
    assert len(index['cards']) == len(cards) == 12
    # either source reads it, one as annotation and one as truth
    worst = index['cards'][:2]
    assert {x['title'] for x in worst} == {'JPEGImages/004.jpg'}
    assert {x['tags']['weak loss'][0] for x in worst} == {'b4m', 'm4b'}
    assert worst[1]['score'] > .5 > index['cards'][2]['score']
    scores = [x['score'] for x in index['cards']]
    assert scores == sorted(scores, reverse=True)
    assert index['panels'] == ['annotation', 'b4m', 'm4b', 'truth']
    assert [x['name'] for x in cards[0]['panels']
            ] == ['annotation', 'm4b', 'truth']
    assert {x['tags']['source'][0] for x in index['cards']
            } == {'bbox', 'sem_seg'}
    named = {x for card in index['cards'] for x in card['tags']['class']}
    assert named == {*CLASSES}


def test_boxes_say_how_they_came_about(run):
    _, index, cards = run('--num-images', 4)
    m4b = [
        panel for card in cards for panel in card['panels']
        if panel['name'] == 'm4b'
    ]
    assert len(m4b) == 2  # evenly spaced over the sources
    for panel in m4b:
        rectangles = [x['xyxy'] for x in panel['boxes'] if not x['text']]
        kept = [x['xyxy'] for x in panel['boxes'] if 'keep' in x['text']]
        assert rectangles == kept  # nobody predicts
        assert [x[0] for x in panel['legend']] == ['keep', 'component']


def test_without_truth_the_prediction_decides(run, cfg, root, weights):
    for path in root.glob('SegmentationClass/*'):
        path.unlink()
    cfg.train_dataloader.dataset = source(root, ('bbox', ))
    _, index, cards = run(weights)
    assert index['panels'] == ['annotation', 'b4m', 'prediction']
    for card in index['cards']:
        assert card['facts'] == {
            'b4m, prediction': f'{card["score"]:.2f}'
        }
    assert index['cards'][-1]['score'] > 0


def test_without_anything_to_compare_with(run, cfg, root):
    for path in root.glob('SegmentationClass/*'):
        path.unlink()
    cfg.train_dataloader.dataset = source(root, ('bbox', ))
    _, index, _ = run()
    assert {x['score'] for x in index['cards']} == {None}


def lesson(tool, boxes, labels, regions=None):
    instances = InstanceData(
        bboxes=torch.tensor(boxes).float().view(-1, 4),
        labels=torch.tensor(labels).long())
    return tool.Lesson(Layer(''), instances, regions)


def answer(boxes, labels, unsure=()):
    found = DetDataSample(
        metainfo=dict(annotation_kinds=('bbox', ), img_shape=(20, 20)))
    for name, values, marks in (('gt_instances', boxes, labels),
                                ('ignored_instances', unsure,
                                 [0] * len(unsure))):
        found.set_field(
            InstanceData(
                bboxes=torch.tensor(values).float().view(-1, 4),
                labels=torch.tensor(marks).long()), name)
    return found


LEFT, RIGHT = (0, 0, 10, 10), (10, 0, 20, 10)


@pytest.mark.parametrize('taught, true, value', [
    (([], []), ([], []), 0),
    (([LEFT], [0]), ([LEFT], [0]), 0),
    (([LEFT], [0]), ([LEFT], [1]), 1),
    (([LEFT], [0]), ([], []), 1),
    (([LEFT], [0]), ([LEFT, RIGHT], [0, 0]), 1 / 3),
    (([(0, 0, 20, 10)], [0]), ([LEFT, RIGHT], [0, 0]), .5),
    # a difficult object asks for nothing and forbids nothing
    (([LEFT], [0]), ([], [], [LEFT]), 0),
])
def test_disagreement_of_boxes(tool, taught, true, value):
    found = tool.disagreement(lesson(tool, *taught), answer(*true))
    assert found == pytest.approx(value)


def test_ignored_objects_are_no_disagreement(tool):
    for label, value in ((0, 0), (1, .5)):
        classes = torch.eye(2, dtype=torch.bool)[label].view(1, 1, 2)
        regions = IgnoreRegions(torch.tensor([[RIGHT]]).float(), classes)
        taught = lesson(tool, [LEFT], [0], regions)
        found = tool.disagreement(taught, answer([LEFT, RIGHT], [0, 0]))
        assert found == pytest.approx(value and 1 / 3)


@pytest.mark.parametrize('ids, others, value', [
    ([0, 0, 1, 1], [0, 0, 1, 1], 0),
    ([0, 0, 1, 1], [0, 0, 0, 0], 1 - (2 / 4 + 0) / 2),
    ([0, 0, 1, 1], [0, 0, 1, 255], 0),
    ([255, 256, 1, 1], [0, 0, 1, 2], 1 - (1 / 2 + 0) / 2),
    ([255, 255], [0, 0], 0),
])
def test_disagreement_of_maps(tool, ids, others, value):
    found = tool.map_disagreement(np.array([ids]), np.array([others]))
    assert found == pytest.approx(value)


@pytest.mark.parametrize('change, message', [
    (dict(model=dict(weak_losses=[])), 'none that makes pseudo labels'),
    (dict(model=dict(weak_losses=[dict(type='BoxProjectionLoss')])),
     'none that makes pseudo labels'),
    (dict(
        model=dict(
            classes=dict(cls=CLASSES),
            weak_losses=[
                dict(type='TagForBoxLoss', seeds=dict(type='PredictedSeeds'))
            ])), 'TagForBoxLoss asks the network .* give a checkpoint'),
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
    for part in cfg.train_dataloader.dataset.datasets:
        part.metainfo = dict(
            classes=(HOSTILE, *CLASSES[1:]),
            seg_classes=('background', HOSTILE, *CLASSES[1:]))
    for path in root.glob('Annotations/*.xml'):
        text = path.read_text()
        path.write_text(
            text.replace('<name>cat', f'<name><![CDATA[{HOSTILE}]]>'))
    names = dict(
        det_classes=(HOSTILE, *CLASSES[1:]),
        seg_classes=('background', HOSTILE, *CLASSES[1:]),
        background='background')
    cfg.model.class_map = names
    for part in cfg.train_dataloader.dataset.datasets:
        for step in part.pipeline:
            if 'class_map' in step:
                step.class_map = names
    page, index, _ = run(weights)
    assert any(HOSTILE in x['tags']['class'] for x in index['cards'])
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
        width = "document.querySelector('figure').offsetWidth"
        before = browser.run(width)
        browser.press('+')
        assert browser.run(width) == pytest.approx(1.25 * before, abs=1)

        browser.press('?', 'j')
        assert browser.run("document.getElementById('help').open")
        assert browser.run(current) == 'item-0'
        browser.press('Escape')
        assert not browser.run("document.getElementById('help').open")

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
        assert index['cards'][place]['tags']['weak loss'] == ['m4b']
        assert browser.errors == []
