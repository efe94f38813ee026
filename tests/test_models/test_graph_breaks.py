# Copyright (c) mmbombo contributors.
"""Nothing of ours breaks a compiled graph, or waits for the device."""
import sys
from collections import Counter
from pathlib import Path

import mmcv
import mmdet
import mmengine
import mmseg
import pytest
import torch
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from toolbox import SIZE, add_weak_labels, make_sample, tiny_model_cfg
from torch.overrides import TorchFunctionMode

import mmbombo
from mmbombo.registry import MODELS

ROOT = Path(mmbombo.__file__).parent
#: Whoever asks first on the way up from a question has asked it.
ASKERS = [
    Path(module.__file__).parent
    for module in (mmbombo, mmcv, mmdet, mmengine, mmseg)
] + [Path(__file__).parent]
#: Asking a tensor this, a step waits until the device has an answer.
QUESTIONS = ('item', 'tolist', 'cpu', 'numpy', 'nonzero', 'unique', '__bool__',
             '__int__', '__float__', '__index__', 'equal', 'allclose',
             'masked_select', 'argwhere', 'unique_consecutive')


# ------------------------------------------------------------- graph breaks
def breaks_in(folder, function, *args):
    """Reasons of the graph breaks whose innermost line is in a folder."""
    torch._dynamo.reset()
    explained = torch._dynamo.explain(function)(*args)
    assert explained.graph_count > 0
    return [
        reason.reason for reason in explained.break_reasons
        if Path(reason.user_stack[-1].filename).is_relative_to(folder)
    ]


def networks():
    model = tiny_model_cfg()
    path = ROOT.parent / 'configs/_base_/models/r18_cem-fpn_anchor.py'
    paper = Config.fromfile(path).model
    paper.backbone.pop('init_cfg', None)
    for part in (paper.backbone, paper.neck):
        part.type = f'mmbombo.{part.type}' if '.' not in part.type else (
            part.type)
    names = [f'class {i}' for i in range(20)]
    paper.class_map = dict(
        det_classes=names, seg_classes=['background', *names])
    return dict(tiny=model, paper=dict(paper, _scope_='mmbombo'))


@pytest.mark.parametrize('name', ['tiny', 'paper'])
def test_no_graph_break_is_ours(name):
    model = MODELS.build(networks()[name]).train()
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        feats = model.extract_feat(images)
    assert breaks_in(ROOT, model.extract_feat, images) == []
    for head in model.task_heads.values():
        assert breaks_in(ROOT, head.forward, feats) == []


def test_a_break_would_be_seen():

    def ask(x):
        return x + 1 if x.sum() > 0 else x - 1

    assert len(breaks_in(Path(__file__).parent, ask, torch.ones(3))) == 1
    assert breaks_in(ROOT, ask, torch.ones(3)) == []


# ------------------------------------------------------------------ waiting
class Questions(TorchFunctionMode):
    """Notes which functions of a library ask a tensor for its values."""

    def __init__(self):
        super().__init__()
        self.asked = Counter()

    def __torch_function__(self, func, types, args=(), kwargs=None):
        name = getattr(func, '__name__', '')
        if name in QUESTIONS or (name in ('__getitem__', '__setitem__')
                                 and _has_mask(args[1])):
            self.asked[_asker()] += 1
        return func(*args, **(kwargs or {}))


def _has_mask(index):
    index = index if isinstance(index, tuple) else (index, )
    return any(
        torch.is_tensor(x) and x.dtype in (torch.bool, torch.uint8)
        for x in index)


def _asker():
    frame, path = sys._getframe(2), Path('torch')
    while not any(path.is_relative_to(folder) for folder in ASKERS):
        code, frame = frame.f_code, frame.f_back
        path = Path(code.co_filename)
    # MMCV's operators wait as well, unseen if they are compiled.
    if not path.is_relative_to(ROOT) or path.is_relative_to(ROOT / 'ops'):
        return 'library'
    return f'{path.name}: {code.co_name}'


def weak_batch():
    """An image with boxes, and one with a mask of two objects."""
    objects = {2: (30, 10, 90, 50), 1: (20, 80, 60, 110)}
    samples = [
        add_weak_labels(make_sample(kinds), objects)
        for kinds in [('bbox', ), ('sem_seg', )]
    ]
    image = torch.randint(0, 255, (3, SIZE, SIZE), dtype=torch.uint8)
    return dict(inputs=[image, image], data_samples=samples)


@pytest.mark.parametrize('predictor', ['self', 'none'])
def test_a_step_waits_in_one_place(on_accelerator, predictor):
    torch.manual_seed(0)
    model = MODELS.build(
        tiny_model_cfg(weak_losses=[
            dict(type='BoxForMaskLoss', ramp=0.),
            dict(type='MaskForBoxLoss', ramp=0., predictor=predictor,
                 score_thr=0.)
        ])).train()
    optim = OptimWrapper(torch.optim.SGD(model.parameters(), lr=1e-4))
    with Questions() as questions:
        log = model.train_step(weak_batch(), optim)
    assert log['m4b/num_kept'] + log['m4b/num_direct'] > 0
    assert questions.asked.pop('library') > 0
    assert questions.asked == {'ignore_regions.py: split_boxes': 1}


@pytest.mark.parametrize('weak_loss, waits', [
    (dict(type='SoftDetectionLoss'), {}),
    (dict(type='PDFLoss'), {}),
    (dict(type='DeFeatLoss'), {}),
    (dict(type='FeatureMSELoss', task='seg'), {}),
    (dict(type='SegmentationKLLoss'), {}),
    (dict(type='PseudoBoxLoss', score_thr=.006, doubt_thr=0.),
     {'ignore_regions.py: split_boxes': 2}),
])
def test_a_step_with_a_teacher_waits_for_boxes_only(weak_loss, waits):
    torch.manual_seed(0)
    model = MODELS.build(
        tiny_model_cfg(
            weak_losses=[dict(weak_loss, teacher='t', on='all')])).train()
    model.set_teacher('t', MODELS.build(tiny_model_cfg()).eval())
    optim = OptimWrapper(torch.optim.SGD(model.parameters(), lr=1e-4))
    with Questions() as questions:
        model.train_step(weak_batch(), optim)
    questions.asked.pop('library')
    assert questions.asked == waits


def test_questions_would_be_seen():
    with Questions() as questions:
        torch.ones(2).tolist(), bool(torch.ones(1)), torch.ones(1).item()
        x = torch.ones(3)
        x[x > 0]
    assert questions.asked == {'library': 4}
