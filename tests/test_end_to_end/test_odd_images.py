# Copyright (c) mmbombo contributors.
"""Images that show little or nothing train without NaN."""
import math
import re

import numpy as np
import pytest
from PIL import Image

EMPTY_XML = '<annotation><size/></annotation>'
WEAK_LOSSES = dict(
    b4m=[dict(type='BoxForMaskLoss')],
    rectangles=[dict(type='MaskForBoxLoss', predictor='none', ramp=0.)],
    split_and_merge=[
        dict(type='MaskForBoxLoss', predictor='self', score_thr=0., ramp=0.)
    ],
    both=[
        dict(type='BoxForMaskLoss'),
        dict(type='MaskForBoxLoss', predictor='ema', score_thr=0., ramp=0.)
    ])


def without_objects(root, voc):
    """Annotated, and known to be empty; no batch has a positive."""
    for image_id in voc.ids(root, 'det_train'):
        voc.files(root, image_id).boxes.write_text(EMPTY_XML)
    fill_masks(root, voc, 0)


def all_ignored(root, voc):
    """Difficult objects only, and masks that say nothing."""
    for image_id in voc.ids(root, 'det_train'):
        boxes = voc.files(root, image_id).boxes
        boxes.write_text(
            re.sub(r'<difficult>0', '<difficult>1', boxes.read_text()))
        assert '<difficult>1' in boxes.read_text()
    fill_masks(root, voc, 255)


def only_a_class(root, voc):
    """Masks without background, boxes as large as their image."""
    for image_id in voc.ids(root, 'det_train'):
        files = voc.files(root, image_id)
        with Image.open(files.image) as image:
            width, height = image.size
        files.boxes.write_text(
            '<annotation><object><name>disc</name><bndbox><xmin>1</xmin>'
            f'<ymin>1</ymin><xmax>{width}</xmax><ymax>{height}</ymax>'
            '</bndbox></object></annotation>')
    fill_masks(root, voc, 1)


def single_pixels(root, voc):
    """Objects of one pixel, some of them side by side or at the border."""
    for image_id in voc.ids(root, 'det_train'):
        boxes = voc.files(root, image_id).boxes
        boxes.write_text(
            '<annotation>' + ''.join(
                '<object><name>star</name><bndbox>'
                f'<xmin>{x}</xmin><ymin>{y}</ymin><xmax>{x}</xmax>'
                f'<ymax>{y}</ymax></bndbox></object>'
                for x, y in ((1, 1), (20, 20), (21, 20), (40, 33)))
            + '</annotation>')
    for image_id in voc.ids(root, 'seg_train'):
        mask = voc.files(root, image_id).mask
        with Image.open(mask) as image:
            ids = np.zeros(image.size[::-1])
        ids[::9, ::9] = 2
        ids[0, 0] = ids[-1, -1] = 3
        ids[30, 30] = 255
        voc.write_mask(mask, ids)


def fill_masks(root, voc, value):
    for image_id in voc.ids(root, 'seg_train'):
        mask = voc.files(root, image_id).mask
        with Image.open(mask) as image:
            shape = image.size[::-1]
        voc.write_mask(mask, np.full(shape, value))


@pytest.mark.parametrize('weak', WEAK_LOSSES)
@pytest.mark.parametrize(
    'spoil', [without_objects, all_ignored, only_a_class, single_pixels])
def test_every_loss_is_finite(spoil, weak, own_shapes, voc, make_config,
                              train, tmp_path):
    def change(cfg):
        cfg.model.weak_losses = WEAK_LOSSES[weak]
        if weak == 'both':
            cfg.custom_hooks = [
                dict(type='PredictorEMAHook', momentum=0.1)
            ]
        for source in cfg.train_dataloader.dataset.datasets:
            for step in source.pipeline:
                if step['type'] == 'LabelComponents':
                    step['min_area'] = 1

    spoil(own_shapes, voc)
    config = make_config(tmp_path / 'run.py', own_shapes, change=change)
    rows = train(config).scalars.train
    assert len(rows) == 5
    for row in rows:
        for key, value in row.items():
            assert math.isfinite(value), (key, row)
    check_values(spoil, weak, rows)


def check_values(spoil, weak, rows):
    """What must be zero is, and what must not be is not."""
    losses = [cfg['type'] for cfg in WEAK_LOSSES[weak]]
    b4m = 'BoxForMaskLoss' in losses
    m4b = 'MaskForBoxLoss' in losses
    for row in rows:
        assert ('b4m/loss_ce' in row, 'm4b/loss_cls' in row) == (b4m, m4b)
        if spoil in (without_objects, all_ignored):
            # no box to regress
            assert row['det/loss_bbox'] == row['det/loss_dfl'] == 0
            if m4b:
                assert row['m4b/loss_bbox'] == row['m4b/loss_dfl'] == 0
                assert row['m4b/num_kept'] == 0
        if spoil is without_objects:
            # but all of the image is a negative
            assert row['det/loss_cls'] > 0 and row['seg/loss_ce'] > 0
            if b4m:
                assert row['b4m/loss_ce'] > 0
            if m4b:
                assert row['m4b/loss_cls'] > 0
        if spoil is all_ignored:
            assert row['seg/loss_ce'] == 0
            if m4b:
                assert row['m4b/loss_cls'] == 0
        if spoil is single_pixels and m4b:
            # crops contain at least some of the pixels
            assert sum(value for key, value in row.items()
                       if key.startswith('m4b/num_')) > 0
