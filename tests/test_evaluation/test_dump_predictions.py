# Copyright (c) mmbombo contributors.
import json
import os
from zipfile import ZipFile

import numpy as np
import pytest
import torch
import torch.multiprocessing as mp
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData, LabelData, PixelData
from toolbox import gloo_process

from mmbombo.evaluation import MultiTaskEvaluator
from mmbombo.evaluation.metrics import DumpPredictions
from mmbombo.evaluation.metrics.dump_predictions import (SavedPredictions,
                                                         pack_sample,
                                                         unpack_sample)
from mmbombo.utils import UserError

META = dict(classes=('cat', 'dog'), seg_classes=('background', 'cat', 'dog'),
            seg_palette=np.zeros((3, 3), np.uint8))
METRICS = dict(
    det=dict(type='BoxAPMetric'),
    seg=[dict(type='SegIoUMetric'), dict(type='BoundaryIoUMetric')])
KINDS = [('bbox', ), ('sem_seg', ), ('bbox', 'sem_seg'), (), ('bbox', )]


def make_sample(index):
    """Predictions and truth of both kinds, though not all is declared."""
    rng = np.random.default_rng(index)
    truth = torch.from_numpy(rng.integers(0, 3, (1, 20, 24)))
    truth[:, 0] = 255
    pred = torch.where(torch.from_numpy(rng.random((1, 20, 24)) < .3), 0,
                       truth.clamp(max=2))
    box = rng.uniform(0, 10, 2).tolist() + rng.uniform(12, 20, 2).tolist()
    sample = DetDataSample(metainfo=dict(
        img_id=np.int64(index), img_path=f'{index}.jpg', ori_shape=(20, 24),
        sample_idx=index, source='val', annotation_kinds=KINDS[index],
        scale_factor=np.array([1., 2.]),
        instances=[dict(bbox=box, bbox_label=index % 2, ignore_flag=0)]))
    sample.gt_sem_seg = PixelData(sem_seg=truth, data=truth)
    sample.pred_sem_seg = PixelData(sem_seg=pred, data=pred)
    sample.seg_logits = PixelData(data=torch.rand(3, 20, 24))
    sample.pred_instances = InstanceData(
        bboxes=torch.tensor([box, box]) + torch.rand(2, 4),
        labels=torch.tensor([0, 1]), scores=torch.rand(2))
    sample.pred_image_label = LabelData(score=torch.rand(2))
    sample.gt_instances = InstanceData(bboxes=torch.zeros(1, 4))
    return sample


def test(dump, indices=range(5), size=5):
    """What ``tools/test.py --dump`` does."""
    torch.manual_seed(0)
    evaluator = MultiTaskEvaluator(METRICS)
    evaluator.metrics.append(DumpPredictions(str(dump)))
    evaluator.dataset_meta = META
    for i in indices:
        torch.manual_seed(i)
        evaluator.process([make_sample(i)], {})
    return evaluator.evaluate(size)


test.__test__ = False


@pytest.fixture
def dump(tmp_path):
    test(tmp_path / 'made/dump.zip')
    return tmp_path / 'made/dump.zip'


def again(dump):
    predictions = SavedPredictions(str(dump))
    evaluator = MultiTaskEvaluator(METRICS)
    evaluator.dataset_meta = predictions.metainfo
    return evaluator.offline_evaluate(predictions)


def test_every_bit_comes_back():
    sample = make_sample(2).to_dict()
    back = unpack_sample(pack_sample(sample))
    assert {*sample} - {*back} == {'seg_logits', 'gt_instances'}
    for field in ('gt_sem_seg', 'pred_sem_seg', 'pred_instances',
                  'pred_image_label'):
        assert back[field].keys() == sample[field].keys()
        for key, value in back[field].items():
            assert value.dtype == sample[field][key].dtype
            assert torch.equal(value, sample[field][key])
    assert back['gt_sem_seg']['data'] is not back['pred_sem_seg']['data']
    assert back['instances'] == sample['instances']
    assert back['ori_shape'] == [20, 24] and back['scale_factor'] == [1., 2.]


@pytest.mark.parametrize('value, size', [
    (torch.tensor([0, 255]), 1), (torch.tensor([-1, 255]), 2),
    (torch.tensor([0, 70000]), 4), (torch.zeros(0, 4).long(), 8),
    (torch.tensor([True, False]), 1), (torch.tensor([.1, np.inf]), 4)
])
def test_numbers_take_few_bytes(value, size, tmp_path):
    packed = pack_sample(dict(pred_x=dict(data=value)))
    (tmp_path / 'a.npz').write_bytes(packed)
    with np.load(tmp_path / 'a.npz') as arrays:
        assert arrays['pred_x/data'].dtype.itemsize == size
    back = unpack_sample(packed)['pred_x']['data']
    assert back.dtype == value.dtype and torch.equal(back, value)


def test_metrics_again_to_the_last_digit(tmp_path):
    metrics = test(tmp_path / 'dump.zip')
    assert repr(again(tmp_path / 'dump.zip')) == repr(metrics)
    assert 0 < metrics['det/bbox_mAP'] < 1 and 0 < metrics['seg/mBIoU'] < 100


def _worker(rank, folder):
    with gloo_process(rank):
        # two ranks take turns, and one image comes twice to fill the batch
        metrics = test(folder / 'two.zip', [[0, 2, 4], [1, 3, 0]][rank])
        (folder / f'{rank}.json').write_text(json.dumps(metrics))


def test_two_processes_write_the_same(dump, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('GLOO_STORE', str(tmp_path / 'store'))
    mp.start_processes(
        _worker, (tmp_path, ), nprocs=2, start_method='fork')
    files = [ZipFile(dump), ZipFile(tmp_path / 'two.zip')]
    assert files[0].namelist() == files[1].namelist()
    assert len(files[0].namelist()) == 6
    one, two = ([unpack_sample(file.read(x)) for x in file.namelist()[1:]]
                for file in files)
    assert repr(one) == repr(two)
    metrics = json.dumps(again(dump))
    assert [(tmp_path / f'{rank}.json').read_text()
            for rank in range(2)] == [metrics] * 2


def text(path):
    path.write_text('{}')


def no_dump(path):
    with ZipFile(path, 'w') as archive:
        archive.writestr('a.txt', 'a')


def half(path):
    path.write_bytes(path.read_bytes()[:2000])


def objects(path):
    """What numpy would unpickle."""
    np.savez(path.with_suffix('.npz'), others=np.array([{}, None], object))
    with ZipFile(path, 'w') as archive:
        classes = json.dumps(dict(classes=['cat'], seg_classes=['cat']))
        archive.writestr('metainfo.json', classes)
        archive.write(path.with_suffix('.npz'), '00000000.npz')


@pytest.mark.parametrize('spoil, message', [
    (os.remove, 'No such file'),
    (text, 'is no file of tools/test.py --dump'),
    (no_dump, 'is no file of tools/test.py --dump'),
    (half, 'is no file of tools/test.py --dump'),
    (objects, '00000000.npz is damaged .*allow_pickle=False'),
])
def test_other_files(dump, spoil, message):
    spoil(dump)
    with pytest.raises(UserError, match=f'dump.zip.*{message}'):
        again(dump)
