# Copyright (c) mmbombo contributors.
"""PQ against hand values and against MMDetection's copy of panopticapi."""
import json
from collections import defaultdict
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmdet.evaluation.functional import INSTANCE_OFFSET, panoptic_utils
from mmdet.structures import DetDataSample
from mmengine.structures import PixelData
from PIL import Image

from mmbombo.evaluation import MultiTaskEvaluator
from mmbombo.evaluation.metrics import PanopticQualityMetric
from mmbombo.structures.panoptic import read_segments
from mmbombo.utils import UserError

# not in the order of their ids, which have gaps
CATEGORIES = [
    dict(id=7, name='cat', isthing=1),
    dict(id=2, name='sky', isthing=0),
    dict(id=300, name='dog', isthing=1)
]
NAMES = ('cat', 'dog', 'sky')
ID_OF = dict(cat=7, sky=2, dog=300)
CAT, DOG, SKY, VOID = range(4)


def write_truth(root, images):
    """``images``: name -> ids ``(H, W)`` and segments {id: (class, crowd)}."""
    (root / 'val').mkdir()
    annotations = []
    for name, (ids, segments) in images.items():
        Image.fromarray(
            np.dstack([ids, ids >> 8, ids >> 16]).astype(np.uint8)).save(
                root / 'val' / f'{name}.png')
        annotations.append(
            dict(
                image_id=len(annotations),
                file_name=f'{name}.png',
                segments_info=[
                    dict(id=i, category_id=ID_OF[k], iscrowd=crowd,
                         area=int((ids == i).sum()))
                    for i, (k, crowd) in segments.items()
                ]))
    (root / 'val.json').write_text(
        json.dumps(dict(categories=CATEGORIES, annotations=annotations)))
    return PanopticQualityMetric(str(root / 'val.json'), prefix='panoptic')


def sample(name, panoptic, names=NAMES):
    field = PixelData(sem_seg=torch.as_tensor(panoptic)[None])
    if names:
        field.set_metainfo(dict(label_names=names))
    return DetDataSample(
        metainfo=dict(
            img_path=f'images/{name}.jpg',
            annotation_kinds=('sem_seg', ),
            sample_idx=0,
            source=''),
        pred_panoptic_seg=field)


def evaluate(metric, *samples, meta=None):
    evaluator = MultiTaskEvaluator(
        metrics=dict(panoptic=metric), kinds=dict(panoptic='sem_seg'))
    evaluator.dataset_meta = meta or dict(seg_classes=('a', ))
    for i, one in enumerate(samples):
        one.set_metainfo(dict(sample_idx=i))
        evaluator.process([one])
    return evaluator.evaluate(len(samples))


def thing(label, number):
    return label + number * INSTANCE_OFFSET


def test_hand_values(tmp_path):
    truth = np.zeros((4, 10), int)
    truth[:, :5], truth[:, 5:8], truth[:, 8] = 70000, 1, 2
    metric = write_truth(tmp_path, dict(
        a=(truth, {70000: ('cat', 0), 1: ('sky', 0), 2: ('dog', 0)})))
    pred = np.full((4, 10), VOID)
    pred[:, :4] = thing(CAT, 1)  # 16 of 20
    pred[:, 4:8] = SKY  # 12 of 16
    pred[:2, 8] = thing(DOG, 2)  # 4 of 8: not more than a half
    pred[2:, 8] = thing(CAT, 9)
    scores = evaluate(metric, sample('a', pred))
    cat, sky = .8 / 1.5, .75
    for name, value in dict(
            PQ=(cat + sky) / 3, PQ_th=cat / 2, PQ_st=sky, SQ=(.8 + .75) / 3,
            RQ=(1 / 1.5 + 1) / 3, cat_PQ=cat, sky_PQ=sky, dog_PQ=0).items():
        assert scores[f'panoptic/{name}'] == pytest.approx(100 * value), name
    assert scores['joint/score'] == pytest.approx((cat + sky) / 3)


@pytest.mark.parametrize('pred, found', [(VOID, {}), (SKY, {})])
def test_an_empty_truth_asks_for_nothing(tmp_path, pred, found):
    metric = write_truth(tmp_path, dict(a=(np.zeros((4, 4), int), {})))
    scores = evaluate(metric, sample('a', np.full((4, 4), pred)))
    assert np.isnan(scores['panoptic/PQ'])
    assert scores['joint/score'] == 0


def test_class_names(tmp_path):
    truth = {'a': (np.full((2, 2), 5), {5: ('sky', 0)})}
    metric = write_truth(tmp_path, truth)
    # void, where the truth has no background
    pred = np.array([[1, 1], [1, 2]])
    scores = evaluate(metric, sample('a', pred, ('dog', 'sky', 'background')))
    assert scores['panoptic/sky_PQ'] == 75
    # a network of MMDetection: the classes of the data set
    scores = evaluate(metric, sample('a', np.full((2, 2), 2), ()),
                      meta=dict(seg_classes=NAMES))
    assert scores['panoptic/PQ'] == 100
    with pytest.raises(UserError, match="val.json has no category 'road'"):
        evaluate(metric, sample('a', pred, ('cat', 'road')))
    with pytest.raises(UserError, match='no annotation of images/b.jpg'):
        evaluate(metric, sample('b', pred))
    with pytest.raises(UserError, match=r'prediction is \(3, 3\)'):
        evaluate(metric, sample('a', np.zeros((3, 3), int)))
    with pytest.raises(UserError, match="there is no ann_file='no.json'"):
        PanopticQualityMetric('no.json')
    assert np.isnan(metric.compute_metrics([])['PQ'])


def test_two_images_of_one_name(tmp_path):
    metric = write_truth(tmp_path, {'a': (np.full((2, 2), 5), {})})
    content = json.loads((tmp_path / 'val.json').read_text())
    content['annotations'].append(
        dict(content['annotations'][0], file_name='other/a.png'))
    (tmp_path / 'val.json').write_text(json.dumps(content))
    with pytest.raises(UserError, match='two images have one name'):
        evaluate(metric, sample('a', np.zeros((2, 2), int)))


class Counts:
    """What MMDetection's copy asks of panopticapi's PQStat."""

    def __init__(self):
        self.of = defaultdict(
            lambda: SimpleNamespace(iou=0., tp=0, fp=0, fn=0))

    def __getitem__(self, category):
        return self.of[category]


def random_image(rng):
    """Blobs on 24 x 24 pixels, of which some are crowds or void."""
    ids = rng.integers(0, 5, (6, 6)).repeat(4, 0).repeat(4, 1) * 997
    crowds = rng.random(5) < .3
    kinds = rng.permutation([*NAMES, *NAMES])
    segments, seen = {}, set()
    for i in np.unique(ids[ids > 0]).tolist():
        kind = str(kinds[i // 997])
        crowd = int(crowds[i // 997] and kind != 'sky' and kind not in seen)
        seen |= {kind} if crowd else set()
        segments[i] = kind, crowd
    pred = np.where(rng.random(ids.shape) < .2, np.roll(ids, 3), ids) // 997
    label = rng.integers(0, 4, 5)
    guess = rng.random(5) < .7
    for i, (kind, _) in segments.items():
        if guess[i // 997]:
            label[i // 997] = NAMES.index(kind)
    numbers = np.where(label < SKY, np.arange(5), 0)
    return ids, segments, (label + INSTANCE_OFFSET * (numbers + 1) *
                           (label < SKY))[pred]


def test_equals_mmdetection(tmp_path, monkeypatch):
    monkeypatch.setattr(panoptic_utils, 'PQStat', Counts)
    monkeypatch.setattr(
        panoptic_utils, 'rgb2id', lambda x: x.astype(int) @ [1, 256, 65536])
    rng = np.random.default_rng(0)
    images = {str(i): random_image(rng) for i in range(40)}
    metric = write_truth(tmp_path, {k: v[:2] for k, v in images.items()})
    scores = evaluate(metric, *(
        sample(name, pred) for name, (_, _, pred) in images.items()))

    pairs = []
    (tmp_path / 'pred').mkdir()
    truth = json.loads((tmp_path / 'val.json').read_text())
    for annotation in truth['annotations']:
        name = annotation['file_name']
        ids, segments = read_segments(
            torch.as_tensor(images[name[:-4]][2])[None], NAMES)
        Image.fromarray(np.dstack([ids, 0 * ids, 0 * ids]).astype(
            np.uint8)).save(tmp_path / 'pred' / name)
        pairs.append((annotation, dict(
            file_name=name,
            segments_info=[
                dict(id=x['id'], category_id=ID_OF[x['class_name']])
                for x in segments
            ])))
    counts = panoptic_utils.pq_compute_single_core(
        0, pairs, str(tmp_path / 'val'), str(tmp_path / 'pred'),
        {x['id']: x for x in CATEGORIES})
    values = []
    for name, category in ID_OF.items():
        x = counts[category]
        assert x.tp > 3 and x.fp > 3 and x.fn > 3
        values.append(100 * x.iou / (x.tp + (x.fp + x.fn) / 2))
        assert scores[f'panoptic/{name}_PQ'] == pytest.approx(values[-1])
    assert scores['panoptic/PQ'] == pytest.approx(np.mean(values))
