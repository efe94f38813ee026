# Copyright (c) mmbombo contributors.
import json
from importlib import import_module
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from mmdet.structures import DetDataSample
from mmengine.evaluator import BaseMetric
from mmengine.runner import Runner
from mmengine.structures import InstanceData, PixelData

from mmbombo.evaluation import MultiTaskEvaluator, check_metric_kinds
from mmbombo.registry import METRICS
from mmbombo.structures import AnnotationKind, SampleField, register_kind
from mmbombo.utils import UserError, leave_process_group

META = dict(
    classes=('cat', 'dog'),
    palette=[(1, 1, 1), (2, 2, 2)],
    seg_classes=('background', 'cat', 'dog'),
    seg_palette=[(0, 0, 0), (1, 1, 1), (2, 2, 2)])
METRIC_CFG = dict(det=dict(type='BoxAPMetric'), seg=dict(type='SegIoUMetric'))


@METRICS.register_module()
class IndexMetric(BaseMetric):
    """Returns which samples it has seen, in their order."""

    def process(self, data_batch, data_samples):
        for i, sample in enumerate(data_samples):
            seen = None if data_batch is None else data_batch['inputs'][i]
            self.results.append((sample['sample_idx'], seen))

    def compute_metrics(self, results):
        return dict(
            seen=[r[0] for r in results],
            inputs=[r[1] for r in results],
            num_classes=len(self.dataset_meta['classes']))


def make_sample(index, kinds, source='val'):
    """A sample with predictions that are wrong in a way of its own."""
    rng = np.random.default_rng(index)
    box = torch.tensor([[4., 4., 24., 28.]]) + index
    truth = torch.from_numpy(rng.integers(0, 3, (1, 40, 48))).byte()
    wrong = torch.from_numpy(rng.random((1, 40, 48)) < .3)
    predicted = torch.where(wrong, 0, truth.long())
    sample = DetDataSample(
        metainfo=dict(
            img_id=f'im{index}',
            img_path=f'{source}/im{index}.jpg',
            ori_shape=(40, 48),
            sample_idx=index,
            source=source,
            annotation_kinds=kinds))
    if 'bbox' in kinds:
        truth_box = dict(bbox=box[0].tolist(), bbox_label=index % 2)
        sample.set_metainfo(dict(instances=[dict(truth_box, ignore_flag=0)]))
    if 'sem_seg' in kinds:
        sample.gt_sem_seg = PixelData(sem_seg=truth, data=truth)
    sample.pred_instances = InstanceData(
        bboxes=torch.cat([box + index % 4, box + 30]),
        labels=torch.tensor([index % 2, index % 2]),
        scores=torch.from_numpy(rng.random(2)).float())
    sample.pred_sem_seg = PixelData(sem_seg=predicted, data=predicted)
    return sample


def run(evaluator, samples, size=None, batch_size=2):
    evaluator.dataset_meta = META
    for start in range(0, len(samples), batch_size):
        batch = samples[start:start + batch_size]
        inputs = [f'image {s.sample_idx}' for s in batch]
        evaluator.process(batch, dict(inputs=inputs, data_samples=batch))
    return evaluator.evaluate(size or len(samples))


def test_each_metric_sees_its_kind_and_its_classes():
    kinds = [('bbox', ), ('sem_seg', ), ('bbox', 'sem_seg'), (), ('bbox', )]
    samples = [make_sample(i, k) for i, k in enumerate(kinds)]
    metric = dict(type='IndexMetric')
    evaluator = MultiTaskEvaluator(
        dict(det=metric, seg=[metric, dict(metric, prefix='again')]))
    result = run(evaluator, samples)
    wanted = {}
    for name, seen, number in (('det', [0, 2, 4], 2), ('seg', [1, 2], 3),
                               ('seg/again', [1, 2], 3)):
        wanted[f'{name}/seen'] = seen
        wanted[f'{name}/inputs'] = [f'image {i}' for i in seen]
        wanted[f'{name}/num_classes'] = number
    assert result == wanted
    assert evaluator.task_metrics['seg'][0].dataset_meta['palette'] == \
        META['seg_palette']


def test_values_and_joint_score_equal_metrics_on_their_own():
    det = [make_sample(i, ('bbox', )) for i in range(4)]
    seg = [make_sample(i, ('sem_seg', )) for i in range(4, 7)]
    joint = run(MultiTaskEvaluator(METRIC_CFG), det + seg)
    det_only = run(MultiTaskEvaluator(dict(det=METRIC_CFG['det'])), det)
    seg_only = run(MultiTaskEvaluator(dict(seg=METRIC_CFG['seg'])), seg)
    for key, value in {**det_only, **seg_only}.items():
        if key != 'joint/score':
            assert joint[key] == pytest.approx(value, nan_ok=True), key
    assert 0 < joint['det/bbox_mAP'] < 1
    assert 50 < joint['seg/mIoU'] < 100
    assert joint['joint/score'] == pytest.approx(
        (joint['det/bbox_mAP'] + joint['seg/mIoU'] / 100) / 2)
    assert det_only['joint/score'] == det_only['det/bbox_mAP']


class ScoredMetric(BaseMetric):
    """Returns given values and says which of them is the task's score."""

    def __init__(self, score=None, prefix=None, **values):
        super().__init__(prefix=prefix)
        self.values = values
        if score:
            self.score = score

    def process(self, data_batch, data_samples):
        self.results += data_samples

    def compute_metrics(self, results):
        return self.values


@pytest.mark.parametrize('metrics, wanted', [
    # of full marks, and of stock metrics by the names of their results
    (dict(det=[dict(bbox_mAP=.25)], seg=[dict(mIoU=50.)]), .375),
    (dict(det=[dict(error=3., acc=20., score=('acc', 50.))]), .4),
    (dict(det=[dict(acc=1., score=('acc', 2.))], seg=[dict(mIoU=30.)]), .4),
    # its own word counts more than a known name
    (dict(det=[dict(bbox_mAP=.25, AP50=.5, score=('AP50', 1.))]), .5),
    # a task without a score does not count, nor does it make others vanish
    (dict(det=[dict(error=3.)], seg=[dict(mIoU=50.)]), .5),
    (dict(det=[dict(error=3.)], seg=[dict(acc=1.)]), None),
    # the first score of a task is the task's
    (dict(det=[dict(error=3.), dict(bbox_mAP=.5, prefix='a'),
               dict(bbox_mAP=.9, prefix='b')]), .5),
    # what cannot be measured is nothing
    (dict(det=[dict(bbox_mAP=-1.)], seg=[dict(mIoU=50.)]), .25),
    (dict(det=[dict(bbox_mAP=.5)], seg=[dict(mIoU=float('nan'))]), .25),
])
def test_the_joint_score_is_of_what_metrics_say(metrics, wanted):
    built = {
        task: [ScoredMetric(**x) for x in values]
        for task, values in metrics.items()
    }
    result = run(
        MultiTaskEvaluator(built), [make_sample(0, ('bbox', 'sem_seg'))])
    assert result.get('joint/score') == (
        None if wanted is None else pytest.approx(wanted))


@pytest.mark.parametrize('kinds, seen', [({}, [0]),
                                         (dict(depth='stereo'), [2]),
                                         (dict(depth='bbox'), [1])])
def test_kinds_of_tasks_come_from_the_registry(kinds, seen, monkeypatch):
    """Two kinds for one task, which only this test knows."""
    registry = import_module('mmbombo.structures.annotation_kinds')
    monkeypatch.setattr(registry, '_KINDS', dict(registry._KINDS))
    for name in ('laser', 'stereo'):
        field = SampleField(f'gt_{name}')
        register_kind(
            AnnotationKind(name, 'depth', info_key=name, fields=(field, )))
    metric = ScoredMetric()
    metric.compute_metrics = lambda results: dict(
        seen=[x['sample_idx'] for x in results])
    result = run(
        MultiTaskEvaluator(dict(depth=metric), kinds=kinds),
        [make_sample(i, (k, )) for i, k in enumerate(['laser', 'bbox',
                                                      'stereo'])])
    assert result['depth/seen'] == seen


def test_duplicates_are_dropped_but_not_across_sources():
    samples = [make_sample(i, ('bbox', ), s) for s in 'ab' for i in (0, 1, 2)]
    evaluator = MultiTaskEvaluator(dict(det=dict(type='IndexMetric')))
    result = run(evaluator, samples + samples[:2], size=6)
    assert result['det/seen'] == [0, 1, 2, 0, 1, 2]
    # Nothing is left for the next validation.
    assert run(evaluator, samples[:2])['det/seen'] == [0, 1]


def test_metric_without_a_sample_is_an_error():
    evaluator = MultiTaskEvaluator(METRIC_CFG)
    with pytest.raises(
            ValueError, match="SegIoUMetric of task 'seg'.*kind 'sem_seg'"):
        run(evaluator, [make_sample(0, ('bbox', ))])


def test_wrong_use_is_an_error():
    with pytest.raises(UserError, match='must map tasks to metrics'):
        MultiTaskEvaluator(dict(type='BoxAPMetric'))
    with pytest.raises(ValueError, match="'depth'"):
        MultiTaskEvaluator(dict(depth=dict(type='IndexMetric')))
    evaluator = MultiTaskEvaluator(
        dict(depth=dict(type='IndexMetric')), kinds=dict(depth='sem_seg'))
    with pytest.raises(ValueError, match="'depth'.*'seg_classes'"):
        evaluator.dataset_meta = dict(classes=('a', ))
    twice = MultiTaskEvaluator(dict(det=[dict(type='IndexMetric')] * 2))
    with pytest.raises(ValueError, match="'det/seen'"):
        run(twice, [make_sample(0, ('bbox', ))])
    plain = DetDataSample(metainfo=dict(img_path='x.jpg', sample_idx=0))
    with pytest.raises(UserError, match='annotation_kinds'):
        MultiTaskEvaluator(METRIC_CFG).process([plain])


def test_metric_that_a_tool_adds_sees_every_sample():
    evaluator = MultiTaskEvaluator(dict(det=dict(type='IndexMetric')))
    evaluator.metrics.append(IndexMetric(prefix='dump'))
    samples = [make_sample(0, ('bbox', )), make_sample(1, ('sem_seg', ))]
    result = run(evaluator, samples)
    assert result['det/seen'] == [0]
    assert result['dump/seen'] == [0, 1]


def test_runner_builds_it_from_a_config():
    cfg = dict(type='MultiTaskEvaluator', metrics=METRIC_CFG)
    evaluator = Runner.build_evaluator(None, cfg)
    assert isinstance(evaluator, MultiTaskEvaluator)


class Source(list):
    annotation_kinds = ('bbox', )
    source = 'val'


class Masks(Source):
    annotation_kinds = ('sem_seg', )


class Infos(list):
    """A data set that says the kinds image by image only."""

    def get_data_info(self, i):
        return dict(source=f'part{i % 2}', annotation_kinds=self[i])


@pytest.mark.parametrize('dataset, fits', [
    (Source([1]), False),
    (SimpleNamespace(
        dataset=SimpleNamespace(datasets=[Source([1]), Masks([1])])), True),
    (SimpleNamespace(datasets=[Source([1]), Masks()]), False),
    (Infos([('bbox', ), ('bbox', ), ('sem_seg', )]), True),
    (Infos([('bbox', ), (), ('bbox', )]), False),
])
def test_check_before_training(dataset, fits):
    evaluator = MultiTaskEvaluator(METRIC_CFG)
    if fits:
        check_metric_kinds(evaluator, dataset)
        return
    with pytest.raises(
            ValueError, match="SegIoUMetric.*'sem_seg'.*(val|part)"):
        check_metric_kinds(evaluator, dataset)


def run_joint(samples, size):
    det = [METRIC_CFG['det'], dict(type='IndexMetric')]
    evaluator = MultiTaskEvaluator(dict(METRIC_CFG, det=det))
    result = run(evaluator, samples, size)
    result.pop('det/inputs')
    return result


def _worker(rank, world_size, kinds, out):
    """One rank: its share of the samples, padded as DefaultSampler does."""
    torch.set_num_threads(1)
    dist.init_process_group(
        'gloo',
        init_method=f'file://{out}/store',
        rank=rank,
        world_size=world_size)
    num = len(kinds)
    per_rank = -(-num // world_size)
    shared = [i % num for i in range(per_rank * world_size)]
    samples = [make_sample(i, kinds[i]) for i in shared[rank::world_size]]
    result = run_joint(samples, num)
    with pytest.raises(UserError, match="kind 'sem_seg'"):
        run(MultiTaskEvaluator(METRIC_CFG), [make_sample(0, ('bbox', ))])
    with open(f'{out}/{rank}.json', 'w') as f:
        json.dump(result, f)
    leave_process_group()


@pytest.mark.parametrize(
    'kinds',
    [
        # Odd size; rank 0 has all boxes, rank 1 all masks (and one duplicate).
        [('bbox', ), ('sem_seg', ), ('bbox', ), ('sem_seg', ), ('bbox', )],
        # Unequal counts of a kind on the ranks, images of both kinds and none.
        [('bbox', ), ('bbox', ), ('bbox', 'sem_seg'), (), ('bbox', ),
         ('bbox', ), ('sem_seg', )],
    ])
def test_two_ranks_equal_one(kinds, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # MMEngine exchanges results through files
    mp.start_processes(
        _worker, (2, kinds, str(tmp_path)),
        nprocs=2,
        start_method='fork')
    samples = [make_sample(i, k) for i, k in enumerate(kinds)]
    alone = run_joint(samples, len(samples))
    for rank in range(2):
        result = json.loads((tmp_path / f'{rank}.json').read_text())
        assert result.keys() == alone.keys()
        for key, value in alone.items():
            assert result[key] == pytest.approx(value, nan_ok=True), key
    assert alone['det/seen'] == [i for i, k in enumerate(kinds) if 'bbox' in k]
