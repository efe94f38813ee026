# Copyright (c) mmbombo contributors.
"""tools/analysis_tools/label_report.py: planted faults come first."""
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image
from toolbox import CLASSES, SEG_CLASSES, load_script, tiny_model_cfg

from mmbombo.registry import MODELS

FOLDER = Path(__file__).resolve().parents[2] / 'tools/analysis_tools'
CLASS_MAP = dict(
    det_classes=CLASSES, seg_classes=SEG_CLASSES, background='background')
LOAD = [dict(type='LoadImageFromFile'), dict(type='LoadPartialAnnotations')]
PACK = dict(type='PackMultiTaskInputs')
PIPELINE = [
    *LOAD,
    dict(type='LoadPseudoMask', class_map=CLASS_MAP, method='box'),
    dict(type='LabelComponents', class_map=CLASS_MAP, min_area=1), PACK
]
BOTH = ('bbox', 'sem_seg')
#: Height and width of the images, and a cat that nobody can object to.
SHAPE, CAT = (120, 160), (40, 40, 100, 90)
#: Of each type the worst image and a lesser one: boxes, and what the mask
#: shows, by label.
PLANTED = dict(
    tiny=[([(9, 9, 12, 12, 1)], ) * 2, ([(9, 9, 16, 16, 1)], ) * 2],
    cut=[([(0, 5, 2, 110, 1)], ) * 2, ([(0, 5, 19, 110, 1)], ) * 2],
    duplicate=[([(40, 41, 100, 90, 0)], []), ([(40, 40, 93, 90, 0)], [])],
    box_mask=[([(110, 5, 150, 35, 1)], []),
              ([(110, 5, 150, 35, 1)], [(110, 5, 125, 35, 1)])],
    mask_box=[([], [(110, 5, 150, 35, 1)]), ([], [(110, 5, 120, 15, 1)])],
    speck=[([], [(x, 20, x + 1, 21, 0) for x in (10, 20, 30)]),
           ([], [(10, 20, 11, 21, 0)])])


def write_image(root, name, seed, boxes=(), shown=()):
    """Noise, with a cat and what is planted."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 255, (6, 8, 3), dtype=np.uint8)
    Image.fromarray(coarse).resize(SHAPE[::-1]).save(
        root / f'JPEGImages/{name}.jpg', quality=95)
    mask = np.zeros(SHAPE, np.uint8)
    for x1, y1, x2, y2, label in [(*CAT, 0), *shown]:
        mask[y1:y2, x1:x2] = label + 1
    Image.fromarray(mask).save(root / f'SegmentationClass/{name}.png')
    objects = ''.join(
        f'<object><name>{CLASSES[label]}</name><bndbox><xmin>{x1 + 1}</xmin>'
        f'<ymin>{y1 + 1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox>'
        '</object>' for x1, y1, x2, y2, label in [(*CAT, 0), *boxes])
    (root / f'Annotations/{name}.xml').write_text(
        f'<annotation><size><width>{SHAPE[1]}</width><height>{SHAPE[0]}'
        f'</height></size>{objects}</annotation>')


def source(root, names, kinds=BOTH, name='train', **kwargs):
    """The config of a source of some images."""
    (root / f'{name}.txt').write_text('\n'.join(names) + '\n')
    return dict(
        type='PartialVOCDataset', data_root=str(root), ann_file=f'{name}.txt',
        source=name, annotation_kinds=kinds, pipeline=PIPELINE,
        metainfo=dict(classes=CLASSES, seg_classes=SEG_CLASSES), **kwargs)


@pytest.fixture
def root(tmp_path):
    for folder in ('JPEGImages', 'SegmentationClass', 'Annotations'):
        (tmp_path / folder).mkdir()
    for i in range(4):
        write_image(tmp_path, f'clean_{i}', i)
    return tmp_path


@pytest.fixture
def tool(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    return load_script(FOLDER / 'label_report.py')


@pytest.fixture
def run(tool, root, monkeypatch):
    """Runs the tool on sources; what its JSON file says."""

    def main(train, val, *args, **model):
        cfg = Config(
            dict(
                default_scope='mmbombo',
                model=tiny_model_cfg(class_map=CLASS_MAP, **model),
                train_dataloader=dict(
                    dataset=dict(type='MixedSourceDataset', datasets=train)),
                val_dataloader=dict(dataset=dict(
                    type='MixedSourceDataset', datasets=val))))
        cfg.test_dataloader = cfg.val_dataloader
        cfg.dump(root / 'config.json')  # long ones take minutes as .py
        out = root / 'out'
        options = dict(zip(args[::2], args[1::2]))
        options = {'--out': out / 'page.html', '--json': out / 'all.json',
                   '--jobs': 1, **options}
        weights = options.pop('weights', None)
        monkeypatch.setattr('sys.argv', [
            'label_report.py', str(root / 'config.json'),
            *([str(weights)] if weights else []),
            *(str(x) for pair in options.items() for x in pair)])
        tool.main()
        return json.loads((out / 'all.json').read_text())

    return main


def found(report, kind):
    """Names of the images of a type of finding, worst first."""
    return [
        Path(x['place'][1]).stem for x in report['findings']
        if x['type'] == kind
    ]


def test_planted_faults_are_first_and_alone(run, root):
    names = [f'clean_{i}' for i in range(4)]
    for seed, (kind, images) in enumerate(PLANTED.items(), 10):
        for place, planted in enumerate(images):
            names.insert(place, f'{kind}_{place}')
            write_image(root, names[place], 2 * seed + place, *planted)
    names.reverse()  # order is no help
    write_image(root, 'torn', 91)
    torn = root / 'JPEGImages/torn.jpg'
    torn.write_bytes(torn.read_bytes()[:-200])
    names.append('torn')
    picture = Image.open(root / 'JPEGImages/clean_0.jpg')
    write_image(root, 'held_out', 90)
    picture.resize((140, 105)).resize(SHAPE[::-1]).save(
        root / 'JPEGImages/held_out.jpg', quality=60)
    report = run([source(root, names)], [
        source(root, ['held_out'], name='val', test_mode=True)])
    for kind in PLANTED:
        assert found(report, kind) == [f'{kind}_0', f'{kind}_1'], kind
    assert found(report, 'broken') == ['torn']
    pytest.importorskip('imagehash')
    copy, = (x for x in report['findings'] if x['type'] == 'copy')
    assert [Path(copy[x][1]).stem for x in ('place', 'other')
            ] == ['clean_0', 'held_out']


def test_counts_and_what_a_task_lacks(run, root):
    write_image(root, 'dogs', 9, [(0, 0, 30, 30, 1)] * 2, [(0, 0, 30, 30, 1)])
    report = run([
        source(root, ['clean_0', 'dogs'], ('bbox', ), 'boxes'),
        source(root, ['clean_1', 'clean_2'], ('sem_seg', ), 'masks')
    ], [source(root, ['clean_3'], name='val', test_mode=True)])
    cat = 60 * 50
    rows = {x['source']: x for x in report['sources']}
    assert rows['boxes']['counts'] == dict(bbox=dict(cat=2, dog=2, cow=0))
    assert rows['masks']['counts']['sem_seg'] == dict(
        background=2 * (120 * 160 - cat), cat=2 * cat, dog=0, cow=0)
    assert rows['val']['images'] == 1 and rows['val']['phase'] == 'val'
    assert {x: y['remarks'] for x, y in report['classes'].items()} == dict(
        cat=[], dog=['no pixels in training'], background=[],
        cow=['no boxes in training', 'no pixels in training'])
    assert report['classes']['cat']['val bbox'] == 1


def test_coverage_of_weak_losses(run, root):
    write_image(root, 'dogs', 9, [(0, 0, 30, 30, 1)], [(0, 0, 30, 30, 1)])
    report = run([
        source(root, ['clean_0', 'dogs'], ('bbox', ), 'boxes'),
        source(root, ['clean_1', 'dogs', 'clean_2'], ('sem_seg', ), 'masks')
    ], [source(root, ['clean_3'], name='val', test_mode=True)],
                 weak_losses=[dict(type='BoxForMaskLoss'),
                              dict(type='MaskForBoxLoss')])
    assert report['coverage'] == [
        dict(loss='b4m', task='seg', source='boxes', images=2, objects=3,
             pixels=1.),
        dict(loss='m4b', task='det', source='masks', images=3, objects=4)]


def test_network_is_asked_for_the_labels_it_shares(run, root):
    torch.manual_seed(0)
    model = MODELS.build(tiny_model_cfg(class_map=CLASS_MAP))
    model.init_weights()
    path = root / 'weights.pth'
    meta = dict(dataset_meta=dict(classes=CLASSES, seg_classes=SEG_CLASSES))
    torch.save(dict(state_dict=model.state_dict(), meta=meta), path)
    val = source(root, ['clean_2'], name='val', test_mode=True)
    resize = dict(type='mmdet.Resize', scale_factor=2.)
    val['pipeline'] = [LOAD[0], resize, LOAD[1], PACK]
    images = [source(root, ['clean_0', 'clean_1'])], [val]
    report = run(*images, 'weights', path)
    scores = report['confidence']
    assert scores['det'] == dict(cat=0)
    assert set(scores['seg']) == {'background', 'cat'}
    assert 0 < scores['seg']['cat'] < 1
    # a class that it finds nowhere is not missed
    assert not found(report, 'unseen')

    meta['dataset_meta']['classes'] = CLASSES[::-1]
    torch.save(dict(state_dict=model.state_dict(), meta=meta), path)
    with pytest.raises(SystemExit, match='trained on other classes'):
        run(*images, 'weights', path)


@pytest.mark.parametrize('kind, place, message', [
    ('--out', 'clean_0.txt/page.html', '--out .*clean_0.txt'),
    ('--json', 'clean_0.txt/all.json', '--out .*clean_0.txt')])
def test_file_that_cannot_be_written(run, root, kind, place, message):
    (root / 'clean_0.txt').write_text('')
    with pytest.raises(SystemExit, match=message):
        run([source(root, ['clean_0'])], [], kind, root / place)


def test_empty_source_is_a_row(run, root):
    val = [source(root, ['clean_1'], name='val', test_mode=True)]
    empty = source(root, [], name='empty')
    row = run([empty], val)['sources'][0]
    assert row['images'] == 0 and "'empty'" in row['problem']
    with pytest.raises(SystemExit, match='no source can be read.*empty'):
        run([empty], [empty])


def test_many_sources(run, root):
    train = [source(root, [f'clean_{i % 3}'], name=f's{i}', test_mode=True)
             for i in range(200)]
    report = run(train, [source(root, ['clean_3'], name='val')])
    assert len(report['sources']) == 201
    assert not found(report, 'copy')  # one file of several sources is meant


def test_tables_are_text(tool, tmp_path):
    table = tool.Table('<i>', ('<b>', 'n'), [('</table><script>', 3)])
    tool.write_page(tmp_path / 'page.html', '', '', '', [], [table])
    text = (tmp_path / 'page.html').read_text()
    assert ('<summary>&lt;i&gt;</summary><table><tr><th>&lt;b&gt;<th>n<tr><td>'
            '&lt;/table&gt;&lt;script&gt;<td class=number>3</table>') in text


@pytest.fixture
def doubts(tool):
    from label_report_parts import doubts
    return doubts


def make_answer(doubts, given, said):
    from label_report_parts.finding import Labels
    boxes, labels = (np.array([x[i] for x in given]) for i in (0, 1))
    predicted = [np.array([x[i] for x in said]) for i in (0, 2, 1)]
    return doubts.Answer(
        Labels((100, 100), CLASSES, boxes.reshape(-1, 4).astype(float),
               labels.astype(int), np.zeros(len(given), bool)),
        predicted[0].reshape(-1, 4).astype(float), *predicted[1:])


LEFT, RIGHT = (0, 0, 40, 40), (50, 50, 90, 90)


@pytest.mark.parametrize('given, said, expected', [
    # sure of a cat that has no box, but not of the dog
    ([(LEFT, 0)], [(LEFT, 0, .6), (RIGHT, 0, .5), (RIGHT, 1, .69)],
     [('overlooked', .5)]),
    # a part of the labeled one
    ([(LEFT, 0)], [(LEFT, 0, .6), ((0, 0, 15, 20), 0, .9)], []),
    # a dog that is labeled as a cat; of a cow that no label has, nothing
    ([(LEFT, 0)], [(LEFT, 0, .1), (LEFT, 1, .8)], [('swapped', .7)]),
    ([(LEFT, 0)], [(LEFT, 0, .1), (LEFT, 2, .8)], []),
    # as sure as it is of others
    ([(LEFT, 0)], [(LEFT, 0, .5), (LEFT, 1, .8)], []),
    # nothing there: mean score of the class x 1 - IoU x side
    ([(LEFT, 0)], [], [('unseen', .5 * .4)]),
    ([(LEFT, 0)], [((0, 0, 40, 10), 0, .3)], [('unseen', .5 * .75 * .4)]),
], ids='overlooked part swapped unknown sure unseen half'.split())
def test_doubts_by_mean_scores(doubts, given, said, expected):
    answer = make_answer(doubts, given, said)
    found = [*doubts.find_doubts(answer, {0: .5, 1: .7}, {})]
    assert [x.type for x in found] == [x for x, _ in expected]
    assert [x.badness for x in found] == pytest.approx(
        [x for _, x in expected])


def test_own_scores_are_of_the_class_and_place(doubts):
    answer = make_answer(doubts, [(LEFT, 0), (RIGHT, 1)], [
        (LEFT, 1, .9), (LEFT, 0, .3), ((0, 0, 40, 35), 0, .4),
        (LEFT, 1, .8)])
    assert doubts.own_scores(answer) == [.4, 0]


@pytest.mark.parametrize('other, number', [(.8, 1), (.6, 0)])
def test_regions_by_mean_scores(doubts, other, number):
    answer = make_answer(doubts, [], [])._replace(regions=[
        doubts.Region((0, 0, 9, 9), .01, 1, 2, .2, other)])
    answer = answer._replace(
        labels=answer.labels._replace(seg_names=SEG_CLASSES))
    found = [*doubts.find_doubts(answer, {}, {1: .5, 2: .7})]
    assert [x.type for x in found] == ['pixels'] * number
    assert [x.badness for x in found] == pytest.approx([.1 * .6] * number)


def test_boxes_that_leave_the_image(tool):
    from label_report_parts.boxes import find_outside
    from label_report_parts.finding import Labels
    instances = [dict(bbox=box, bbox_label=0) for box in (
        (-10, 0, 30, 20), (0, 0, 160.5, 20), (5, 5, 9, 9))]
    finding, = find_outside(instances, Labels(SHAPE, CLASSES))
    assert finding.badness == pytest.approx(1.25)
    assert finding.text == 'cat, 25% outside'
