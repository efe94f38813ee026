# Copyright (c) mmbombo contributors.
import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from toolbox import SIZE, make_sample, tiny_model_cfg

from mmbombo.models.context import OncePerImage, StepContext
from mmbombo.registry import MODELS
from mmbombo.utils import UserError


@pytest.fixture
def model():
    torch.manual_seed(0)
    model = MODELS.build(tiny_model_cfg())
    model.init_weights()
    return model.train()


@pytest.fixture
def teacher(model):
    teacher = copy.deepcopy(model)
    with torch.no_grad():
        for p in teacher.parameters():
            p.mul_(1.1)
    return teacher


def context(model, num_images=4):
    inputs = torch.randn(
        num_images, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    kinds = [('bbox', ), ('sem_seg', ), (), ('bbox', 'sem_seg')]
    samples = [make_sample(kinds[i], seed=i) for i in range(num_images)]
    return StepContext(model, inputs, samples)


def close(got, wanted):
    torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-5)


def test_nobody_answers_before_there_is_a_network(model):
    ctx = context(model)
    assert ctx.features_of('nobody', [0]) is None
    assert ctx.outputs_of('nobody', 'det', [0]) is None
    assert ctx.predict('det', [0], by='nobody') is None


def test_answers_are_those_of_the_network_in_evaluation_mode(model, teacher):
    model.set_teacher('teacher', teacher.train())
    ctx = context(model)
    before = copy.deepcopy(teacher.state_dict())
    feats = ctx.features_of('teacher', [1, 3])
    seg = ctx.outputs_of('teacher', 'seg', [3])
    det = ctx.outputs_of('teacher', 'det', [0, 1, 2, 3])
    boxes = ctx.predict('det', [2], by='teacher', cfg=dict(score_thr=0.))

    assert not any(m.training for m in teacher.modules())
    with torch.no_grad():
        wanted = teacher.extract_feat(ctx.inputs)
        close(feats, tuple(x[[1, 3]] for x in wanted))
        close(seg, (teacher.task_heads.seg(wanted)[0][3:], ))
        det_wanted = teacher.task_heads.det(wanted)
        for got_maps, maps in zip(det, det_wanted):
            close(got_maps, maps)
        one = [[x[2:3] for x in maps] for maps in det_wanted]
        predicted = teacher.task_heads.det.decode('det', one, ctx.metas([2]),
                                                  dict(score_thr=0.))
    close(boxes[0].scores, predicted[0].scores)
    close(boxes[0].bboxes, predicted[0].bboxes)
    assert len(boxes[0].scores) > 0
    # no graph, but no inference tensors either: losses may save them
    for x in (*feats, *seg, *det[0]):
        assert not x.requires_grad and not x.is_inference()
    assert all(
        torch.equal(value, before[key])
        for key, value in teacher.state_dict().items())


def test_each_image_passes_once_through_network_and_head(model, teacher):
    model.set_teacher('teacher', teacher)
    ctx = context(model)
    images = dict(backbone=0, det=0, seg=0)

    def count(module, name):

        def hook(_, args, output):
            images[name] += len(args[0] if name == 'backbone' else args[0][0])

        return module.register_forward_hook(hook)

    hooks = [
        count(teacher.backbone, 'backbone'),
        count(teacher.task_heads.det.head, 'det'),
        count(teacher.task_heads.seg.head, 'seg')
    ]
    ctx.predict('det', [1, 2], by='teacher')
    assert images == dict(backbone=2, det=2, seg=0)
    ctx.outputs_of('teacher', 'det', [0, 1, 2])
    ctx.features_of('teacher', [1, 2, 3])
    ctx.outputs_of('teacher', 'seg', [3, 1])
    ctx.predict('det', [0, 2], by='teacher')
    for hook in hooks:
        hook.remove()
    assert images == dict(backbone=4, det=3, seg=2)


def test_a_task_that_the_network_lacks_is_an_error(model):
    cfg = tiny_model_cfg()
    cfg['task_heads'].pop('seg')
    model.set_teacher('detector', MODELS.build(cfg))
    ctx = context(model)
    assert ctx.features_of('detector', [0])[0].shape[0] == 1
    with pytest.raises(UserError, match="'detector' has no task 'seg'"):
        ctx.outputs_of('detector', 'seg', [0])


def test_answers_are_of_the_dtype_of_the_step(model, teacher):
    model.set_teacher('teacher', teacher)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        feats = context(model).features_of('teacher', [0])
    assert feats[0].dtype is torch.bfloat16
    assert context(model).features_of('teacher', [0])[0].dtype is torch.float32


questions = st.lists(
    st.lists(st.integers(0, 7), min_size=1, max_size=8, unique=True),
    min_size=1,
    max_size=6)


@settings(deadline=None, max_examples=100)
@given(questions)
def test_once_per_image_in_any_order(asked):
    data = torch.arange(16.).view(8, 2)
    seen = []

    def function(images):
        seen.extend(images)
        return (data[images], [data[images] + 1])

    cache = OncePerImage(function)
    for images in asked:
        first, (second, ) = cache(images)
        assert torch.equal(first, data[images])
        assert torch.equal(second, data[images] + 1)
    assert sorted(seen) == sorted({i for images in asked for i in images})
