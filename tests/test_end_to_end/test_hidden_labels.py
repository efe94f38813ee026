# Copyright (c) mmbombo contributors.
"""A source's images teach what the source declares, and nothing else."""
import shutil

import numpy as np
import pytest
from PIL import Image

ITERS = 20


def use_ema_predictor(cfg):
    """The most readers of annotations: both weak losses, workers, EMA."""
    cfg.train_dataloader.update(num_workers=2, persistent_workers=True)
    cfg.model.weak_losses[1].predictor = 'ema'
    # untrained scores are about 0.01; without predictions there is no split
    cfg.model.weak_losses[1].score_thr = 0.005
    cfg.custom_hooks = [dict(type='PredictorEMAHook', momentum=0.1)]


def garble_hidden_labels(root, voc):
    """Overwrite all masks of box images and all boxes of mask images."""
    noise = np.random.default_rng(0)
    for image_id in voc.ids(root, 'det_train'):
        mask = voc.files(root, image_id).mask
        assert mask.is_file()
        voc.write_mask(mask, noise.integers(0, 256, (50, 40)))
        instances = root / f'SegmentationObject/{image_id}.png'
        instances.write_bytes(noise.bytes(200))
    for image_id in voc.ids(root, 'seg_train'):
        boxes = voc.files(root, image_id).boxes
        assert boxes.is_file()
        boxes.write_bytes(noise.bytes(300))


def change_shown_masks(root, voc):
    """Call class 1 class 2 in the masks that may be read."""
    for image_id in voc.ids(root, 'seg_train'):
        mask = voc.files(root, image_id).mask
        with Image.open(mask) as image:
            ids = np.array(image)
        voc.write_mask(mask, np.where(ids == 1, 2, ids))


@pytest.fixture(scope='module')
def runs(shapes, make_config, train, voc, tmp_path_factory):
    folder = tmp_path_factory.mktemp('hidden')
    result = {}
    for name in ('whole', 'garbled', 'other_masks'):
        root = shutil.copytree(shapes, folder / f'data_{name}')
        if name == 'garbled':
            garble_hidden_labels(root, voc)
        if name == 'other_masks':
            change_shown_masks(root, voc)
        config = make_config(
            folder / f'{name}.py', root, iters=ITERS,
            change=use_ema_predictor)
        result[name] = train(config).scalars.train
    return result


def test_hidden_labels_change_no_loss(runs):
    assert len(runs['whole']) == ITERS
    assert runs['garbled'] == runs['whole']


def test_shown_labels_do(runs):
    """The comparison above would notice a change of what may be read."""
    assert runs['other_masks'] != runs['whole']


def test_all_losses_were_on(runs):
    first = runs['whole'][0]
    assert {key.split('/')[0] for key in first if '/loss' in key
            } == {'det', 'seg', 'b4m', 'm4b'}
    # the averaged network has been asked, and its boxes were used
    used = [row['m4b/num_split'] + row['m4b/num_merged']
            + row['m4b/num_direct'] for row in runs['whole']]
    assert max(used) > 0
