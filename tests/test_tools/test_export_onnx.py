# Copyright (c) mmbombo contributors.
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mmcv.ops import batched_nms
from mmdet.structures import DetDataSample
from toolbox import CLASSES, det_head_cfg, load_script, tiny_model_cfg

from mmbombo.registry import MODELS
from mmbombo.utils import UserError

ROOT = Path(__file__).resolve().parents[2]
SIZE = (64, 96)
LARGE = (256, 288)


@pytest.fixture(scope='module')
def tool():
    return load_script(ROOT / 'tools/deployment/export_onnx.py')


def build_model(head, **test_cfg):
    """A network whose scores differ, as those of a trained one do."""
    torch.manual_seed(0)
    cfg = tiny_model_cfg(weak_losses=[])
    cfg['neck']['num_outs'] = 6
    cfg['task_heads']['det'] = det_head_cfg(head, channels=16)
    cfg['task_heads']['det']['in_indices'] = (
        range(1, 4) if head == 'rtmdet' else range(1, 6))
    cfg['task_heads']['det']['test_cfg'].update(
        dict(score_thr=.002), **test_cfg)
    model = MODELS.build(cfg)
    model.init_weights()
    for name, module in model.named_modules():
        if 'task_heads' in name and hasattr(module, 'weight'):
            torch.nn.init.normal_(module.weight, std=.2)
    return model.eval()


def image_of(size, seed=0):
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (size[0] // 8, size[1] // 8, 3), np.uint8)
    return small.repeat(8, 0).repeat(8, 1)


def predict(model, image):
    """Boxes of MMDetection's own post-processing."""
    inputs = torch.from_numpy(image.transpose(2, 0, 1)[None].copy())
    sample = DetDataSample(
        metainfo=dict(
            img_shape=SIZE,
            ori_shape=SIZE,
            batch_input_shape=SIZE,
            scale_factor=(1., 1.)))
    preprocessor = model.data_preprocessor
    normalized = (inputs.float() - preprocessor.mean) / preprocessor.std
    return model.predict(normalized, [sample])[0].pred_instances


@torch.no_grad()
@pytest.mark.parametrize('head, at_least', [('gfl', 4), ('retinanet', 30),
                                            ('atss', 30), ('fcos', 50),
                                            ('rtmdet', 30)])
def test_candidates_are_those_of_mmdetection(tool, head, at_least):
    model = build_model(head)
    tool.check_model(model)
    image = image_of(SIZE)
    inputs = torch.from_numpy(image.transpose(2, 0, 1)[None].copy())
    boxes, scores, labels, _ = tool.DeployedNetwork(model).eval()(inputs)
    cfg = model.head('det').test_cfg
    kept = scores[0] > 0
    found, index = batched_nms(boxes[0][kept], scores[0][kept],
                               labels[0][kept], dict(cfg.nms))
    expected = predict(model, image)
    assert len(expected) >= at_least
    most = cfg.max_per_img
    theirs = dict(
        boxes=found[:most, :4].numpy(),
        scores=found[:most, 4].numpy(),
        labels=labels[0][kept][index][:most].numpy())
    assert tool.count_unmatched(expected, theirs) == 0


def test_onnx_answers_alike_at_any_size(tool, tmp_path):
    onnx = pytest.importorskip('onnx')
    runtime = pytest.importorskip('onnxruntime')
    pytest.importorskip('onnxscript')
    model = build_model('gfl')
    path = str(tmp_path / 'net.onnx')
    network = tool.export(
        tool.DeployedNetwork(model).eval(), LARGE, 32, fixed=False)
    network = tool.with_nms(network, model.head('det').test_cfg)
    tool.add_metadata(network, model, dict(classes=CLASSES), LARGE, 32)
    onnx.save(network, path)
    for size in [(256, 256), (288, 320), (384, 256)]:
        found = tool.compare(model, path, image_of(size))
        assert found.boxes >= 3 and found.unmatched == 0
        assert found.pixels < .01

    options = runtime.SessionOptions()
    # a fork of this process would wait for the end of its threads
    options.intra_op_num_threads = 1
    session = runtime.InferenceSession(path, options)
    meta = session.get_modelmeta().custom_metadata_map
    assert json.loads(meta['classes']) == list(CLASSES)
    names = [x.name for x in session.get_outputs()]
    pair = np.stack([image_of(LARGE, i).transpose(2, 0, 1) for i in (0, 1)])
    both = dict(zip(names, session.run(None, dict(image=pair))))
    for i in (0, 1):
        one = dict(zip(names, session.run(None, dict(image=pair[i:i + 1]))))
        mine = both['image_index'] == i
        assert np.allclose(both['boxes'][mine], one['boxes'], atol=1e-3)
        assert np.array_equal(both['labels'][mine], one['labels'])
        assert np.array_equal(both['semantic'][i], one['semantic'][0])

    demo = load_script(ROOT / 'demo/onnx_demo.py')
    answers = demo.predict(session, image_of((48, 72)))
    assert answers['semantic'].shape == (48, 72)
    assert (answers['boxes'] <= [72, 48, 72, 48]).all()

    # other weights are other answers
    with torch.no_grad():
        for parameter in model.head('det').parameters():
            parameter.mul_(1.1)
    assert tool.compare(model, path, image_of(LARGE)).unmatched > 3


def test_what_is_refused(tool):
    with pytest.raises(UserError, match='takes a MultiTaskDetector'):
        tool.check_model(torch.nn.Linear(1, 1))
    with pytest.raises(UserError, match='nms_pre'):
        tool.check_model(build_model('gfl', nms=dict(type='soft_nms')))
    model = build_model('gfl')
    model.head('seg').test_cfg = dict(mode='slide')
    with pytest.raises(UserError, match='windows and CRFs'):
        tool.check_model(model)
