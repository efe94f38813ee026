# Copyright (c) mmbombo contributors.
import copy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmcv.ops import batched_nms
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import bbox_overlaps
from mmengine.config import Config
from mmengine.registry import init_default_scope
from PIL import Image
from toolbox import CLASSES, det_head_cfg, load_script, tiny_model_cfg

from mmbombo.apis import MultiTaskInferencer
from mmbombo.apis.exported import ExportedNetwork
from mmbombo.registry import MODELS
from mmbombo.utils import UserError

ROOT = Path(__file__).resolve().parents[2]
SIZE = (64, 96)
LARGE = (256, 288)
PALETTE = [(40 * i, 9, 200) for i in range(len(CLASSES))]


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


def write(tool, model, path, fixed=False, size=LARGE):
    """What the tool's main writes, with a test pipeline for this model."""
    pipeline = [
        dict(type='LoadImageFromFile'),
        dict(type='mmdet.Resize', scale=(256, 256), keep_ratio=True),
        dict(type='LoadPartialAnnotations'),
        dict(type='PackMultiTaskInputs')
    ]
    inferencer = SimpleNamespace(
        dataset_meta=dict(classes=CLASSES, palette=PALETTE),
        cfg=Config(
            dict(test_dataloader=dict(dataset=dict(pipeline=pipeline)))))
    network = tool.DeployedNetwork(model).eval()
    notes = tool.metadata(network, inferencer, size, 32, fixed)
    program = tool.trace(network, size, 32, fixed)
    for suffix in ('.onnx', '.pt2'):
        tool.save(program, network, notes, path.with_suffix(suffix))


@pytest.fixture(scope='module')
def files(tool, tmp_path_factory):
    """A network, and the folder of net.onnx and net.pt2 that hold it."""
    pytest.importorskip('onnx')
    pytest.importorskip('onnxruntime')
    pytest.importorskip('onnxscript')
    init_default_scope('mmbombo')
    model = build_model('gfl')
    folder = tmp_path_factory.mktemp('files')
    write(tool, model, folder / 'net')
    return model, folder


@pytest.mark.parametrize('name', ['net.onnx', 'net.pt2'])
def test_it_answers_alike_at_any_size(tool, files, name):
    model, folder = files
    network = ExportedNetwork(str(folder / name), trust=True)
    for size in [(256, 256), (160, 320), (384, 256)]:
        found = tool.compare(model, network, image_of(size))
        assert found.boxes >= 3 and found.unmatched == 0
        assert found.pixels < .01
    assert network.notes['least'] == 160
    assert network.dataset_meta['classes'] == list(CLASSES)

    # other weights are other answers
    other = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in other.head('det').parameters():
            parameter.mul_(1.1)
    assert tool.compare(other, network, image_of(LARGE)).unmatched > 3


class Known(MultiTaskInferencer):
    """An inferencer of a network that needs no checkpoint."""

    def __init__(self, model, exported):
        self.known = model
        model.dataset_meta = exported.dataset_meta
        super().__init__(
            exported.config(), device='cpu', show_progress=False)

    def _init_model(self, cfg, weights, device):
        return self.known


@pytest.mark.parametrize('name', ['net.onnx', 'net.pt2'])
def test_the_inferencer_opens_it(files, name, tmp_path):
    """The same boxes, map, files and drawing as of the network itself."""
    model, folder = files
    pictures = [image_of((256, 192)), image_of((224, 256), 1)]
    opened = MultiTaskInferencer(
        str(folder / name), show_progress=False, trust_checkpoint=True,
        device='cpu')
    ours = Known(model, opened.exported)
    mine, theirs = (
        x(pictures, return_vis=True, pred_score_thr=.004,
          out_dir=str(tmp_path / out)) for x, out in ((ours, 'a'),
                                                      (opened, 'b')))
    for a, b in zip(mine['predictions'], theirs['predictions']):
        assert (a['height'], a['width']) == (b['height'], b['width'])
        assert a['class_names'] == b['class_names'] and a['bboxes']
        assert np.allclose(a['bboxes'], b['bboxes'], atol=.05)
        assert np.allclose(a['scores'], b['scores'], atol=1e-3)
        maps = [np.array(Image.open(x['mask_path'])) for x in (a, b)]
        assert (maps[0] != maps[1]).mean() < .005
    for a, b in zip(mine['visualization'], theirs['visualization']):
        assert a.shape == b.shape and (a != b).mean() < .01


def test_images_of_other_sizes(files):
    """Shrunk by half, and padded: the padding's color is rounded, and the map
    is enlarged where logits should be."""
    model, folder = files
    opened = MultiTaskInferencer(
        str(folder / 'net.onnx'), show_progress=False, device='cpu')
    pictures = [image_of((512, 400)), image_of((200, 208))]
    mine, theirs = (
        x(pictures, return_datasamples=True, batch_size=2)['predictions']
        for x in (Known(model, opened.exported), opened))
    for a, b, picture in zip(mine, theirs, pictures):
        maps = [x.pred_sem_seg.sem_seg[0] for x in (a, b)]
        assert maps[0].shape == maps[1].shape == picture.shape[:2]
        assert (maps[0] != maps[1]).float().mean() < .05
        overlaps = bbox_overlaps(a.pred_instances.bboxes[:20],
                                 b.pred_instances.bboxes)
        assert overlaps.max(1).values.median() > .95


def test_one_size(tool, tmp_path):
    """--fixed: images are fitted into it."""
    pytest.importorskip('onnxscript')
    model = build_model('gfl')
    write(tool, model, tmp_path / 'net', fixed=True, size=SIZE)
    opened = MultiTaskInferencer(
        None, str(tmp_path / 'net.onnx'), show_progress=False)
    prediction, = opened(image_of((120, 200)))['predictions']
    assert (prediction['height'], prediction['width']) == (120, 200)
    boxes = np.array(prediction['bboxes'])
    assert len(boxes) and (boxes <= [200, 120, 200, 120]).all()
    assert sum(x['area'] for x in prediction['segments']) == 120 * 200


def test_files_that_are_not_opened(files, tmp_path):
    _, folder = files
    with pytest.raises(UserError, match='trust_checkpoint=True'):
        MultiTaskInferencer(str(folder / 'net.pt2'))
    with pytest.raises(UserError, match='no file'):
        MultiTaskInferencer(str(tmp_path / 'none.onnx'))
    for name in ('net.onnx', 'net.pt2'):
        (tmp_path / name).write_bytes(b'something else')
        with pytest.raises(UserError, match='is damaged, or not') as error:
            MultiTaskInferencer(str(tmp_path / name), trust_checkpoint=True)
        assert '\n' not in str(error.value)
    onnx = pytest.importorskip('onnx')
    foreign = onnx.load(folder / 'net.onnx')
    del foreign.metadata_props[:]
    onnx.save(foreign, tmp_path / 'net.onnx')
    with pytest.raises(UserError, match="not a file .*'resize'"):
        MultiTaskInferencer(str(tmp_path / 'net.onnx'))


def test_onnx_without_our_package(files):
    runtime = pytest.importorskip('onnxruntime')
    options = runtime.SessionOptions()
    # a fork of this process would wait for the end of its threads
    options.intra_op_num_threads = 1
    session = runtime.InferenceSession(files[1] / 'net.onnx', options)
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


def test_what_is_refused(tool):
    with pytest.raises(UserError, match='takes a MultiTaskDetector'):
        tool.check_model(torch.nn.Linear(1, 1))
    with pytest.raises(UserError, match='nms_pre'):
        tool.check_model(build_model('gfl', nms=dict(type='soft_nms')))
    for task in ('det', 'seg'):
        model = build_model('gfl')
        head = torch.nn.Identity()
        head.tasks, head.needs = [task], ()
        model.task_heads[task] = head
        with pytest.raises(UserError, match=f"Identity answers to '{task}'"):
            tool.check_model(model)
    model = build_model('gfl')
    model.head('seg').test_cfg = dict(mode='slide')
    with pytest.raises(UserError, match='windows and CRFs'):
        tool.check_model(model)
    pipeline = [
        dict(type='LoadImageFromFile'),
        dict(type='mmdet.RandomFlip'),
        dict(type='PackMultiTaskInputs')
    ]
    cfg = Config(dict(test_dataloader=dict(dataset=dict(pipeline=pipeline))))
    with pytest.raises(UserError, match='may resize images'):
        tool.resizing(cfg, SIZE, False)
