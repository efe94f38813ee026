# Copyright (c) mmbombo contributors.
"""Counts that do not depend on the machine: what weak labels add to a step."""
import numpy as np
import torch
from toolbox import SIZE, add_weak_labels, make_sample, tiny_model_cfg
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

from mmbombo.models.context import StepContext
from mmbombo.models.losses import dist_mean
from mmbombo.registry import MODELS
from mmbombo.weak_labels import label_components, refine_boxes


class LargeTensors(TorchDispatchMode):
    """Notes the numbers of elements of new tensors of ``least`` or more."""

    def __init__(self, least):
        super().__init__()
        self.least, self.found = least, []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        known = {storage(x) for x in tree_flatten((args, kwargs))[0]
                 if torch.is_tensor(x)}
        self.found += [
            x.numel() for x in tree_flatten(out)[0]
            if torch.is_tensor(x) and x.numel() >= self.least
            and storage(x) not in known
        ]
        return out


def storage(tensor):
    return tensor.untyped_storage().data_ptr()


def table(num_preds, num_images=2, size=320):
    """Four objects that touch in pairs, and predictions around them."""
    seg_map = np.zeros((size, size), np.uint8)
    seg_map[25:125, 25:225] = 1
    seg_map[175:275, 50:300] = 2
    component_map, comps = label_components(seg_map, 1, (1, 2))
    truth = np.array([[25, 25, 125, 125], [125, 25, 225, 125],
                      [50, 175, 175, 275], [175, 175, 300, 275]])
    rng = np.random.default_rng(0)
    boxes = truth[np.arange(num_preds) % 4] + rng.uniform(
        -1, 1, (num_preds, 4))

    def many(values, dtype=None):
        return torch.as_tensor(np.stack([values] * num_images), dtype=dtype)

    return dict(
        component_map=many(component_map.astype(np.int64)),
        comp_boxes=many(comps['boxes'], torch.float32),
        comp_labels=many(comps['labels'], torch.long),
        comp_areas=many(comps['areas'], torch.float32),
        comp_valid=many(np.ones(2, bool)),
        comp_ignored=many(np.zeros(2, bool)),
        comp_pieces=many(np.zeros(2, bool)),
        pred_boxes=many(boxes, torch.float32),
        pred_scores=many(np.full(num_preds, .9), torch.float32),
        pred_labels=many(np.arange(num_preds) % 4 // 2, torch.long),
        pred_valid=many(np.ones(num_preds, bool)),
        compatible=torch.tensor([[False, False], [True, False],
                                 [False, True]]),
        score_thr=.3)


def large_tensors_of_refinement(num_preds):
    task = table(num_preds)
    with LargeTensors(task['component_map'].numel()) as large:
        refined = refine_boxes(**task)
    assert refined.counts['num_split'] == 8
    return large.found


def test_a_cpu_looks_at_components_only():
    assert large_tensors_of_refinement(num_preds=4) == []


def test_predictions_do_not_multiply_the_pixels(on_accelerator):
    """No tensor has more elements than the maps, and no more tensors do."""
    few, many = (large_tensors_of_refinement(num) for num in (8, 80))
    assert len(many) == len(few) > 0
    assert set(few) == set(many) == {2 * 320 * 320}


def training_batch():
    samples = [make_sample(kinds, seed=i) for i, kinds in enumerate(
        [('bbox', ), ('bbox', ), ('sem_seg', ), ('sem_seg', )])]
    for sample in samples:
        add_weak_labels(sample, {2: (30, 10, 90, 50)})
    return torch.randn(4, 3, SIZE, SIZE), samples


def bombo():
    model = MODELS.build(
        tiny_model_cfg(weak_losses=[
            dict(type='BoxForMaskLoss'),
            dict(type='MaskForBoxLoss', ramp=0., predictor='self')
        ]))
    model.init_weights()
    return model.train()


def test_weak_labels_of_a_step_copy_the_maps_and_no_more():
    """Batches of the components and of unlabeled pixels, of the masks."""
    model = bombo()
    ctx = StepContext(model, *training_batch())
    ctx.outputs('det')
    b4m, m4b = model.weak_losses
    with LargeTensors(2 * SIZE * SIZE) as large:
        m4b.pseudo_boxes(ctx, [2, 3])
    assert len(large.found) == 3
    with LargeTensors(2 * SIZE * SIZE) as large:
        b4m.pseudo_masks(ctx, [0, 1])
    assert len(large.found) == 1


def test_ranks_speak_once_per_segmentation_loss(monkeypatch):
    """A number each: the supervised loss and Box-for-Mask."""
    shapes = []
    monkeypatch.setattr(dist_mean, 'all_reduce',
                        lambda tensor: shapes.append(tuple(tensor.shape)))
    bombo().loss(*training_batch())
    assert shapes == [(), ()]
