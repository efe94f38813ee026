# Copyright (c) mmbombo contributors.
"""Boxes only, masks only, both and neither, in one batch.

With a learning rate of 0 and normalization that no other image enters, the
pixels of an image reach exactly the losses that its annotation is for. Each
run replaces the images of one source by noise; the losses that change are
those that the source feeds.
"""
import shutil

import pytest

KINDS = dict(
    boxes=('bbox', ), masks=('sem_seg', ), both=('bbox', 'sem_seg'),
    neither=())
FEEDS = dict(
    boxes={'det', 'b4m'}, masks={'seg', 'm4b'}, both={'det', 'seg'},
    neither=set())
ITERS = 3


def four_sources(cfg):
    det, seg = cfg.train_dataloader.dataset.datasets
    sources = []
    for name, kinds in KINDS.items():
        source = (det if name in ('boxes', 'both') else seg).copy()
        source.update(
            source=name, annotation_kinds=kinds,
            ann_file=f'ImageSets/Main/{name}.txt')
        sources.append(source)
    cfg.train_dataloader.dataset.datasets = sources
    cfg.train_dataloader.sampler.source_ratio = [1, 1, 1, 1]
    cfg.optim_wrapper.optimizer.lr = 0.
    group_norm = dict(type='GN', num_groups=4, requires_grad=True)
    cfg.model.backbone.norm_eval = True
    cfg.model.neck.norm_cfg = group_norm
    cfg.model.task_heads.seg.head.update(
        norm_cfg=group_norm, dropout_ratio=0.)
    cfg.model.weak_losses[1].update(ramp=0., score_thr=0.)


@pytest.fixture(scope='module')
def runs(shapes, make_config, train, voc, tmp_path_factory):
    """Losses of the untouched run, and with noise in each source."""
    folder = tmp_path_factory.mktemp('mixed')
    ids = voc.ids(shapes, 'det_train') + voc.ids(shapes, 'seg_train')
    result = {}
    for noisy in (None, *KINDS):
        root = shutil.copytree(shapes, folder / f'data_{noisy}')
        for number, name in enumerate(KINDS):
            listed = ids[number::4]
            (root / f'ImageSets/Main/{name}.txt').write_text(
                '\n'.join(listed))
            if name == noisy:
                for image_id in listed:
                    voc.write_noise(voc.files(root, image_id).image)
        config = make_config(
            folder / f'noisy_{noisy}.py', root, iters=ITERS,
            change=four_sources)
        result[noisy] = train(config).scalars.train
    return result


def losses_of(row, part):
    values = {key: value for key, value in row.items()
              if key.startswith(f'{part}/loss')}
    assert values
    return values


@pytest.mark.parametrize('noisy', KINDS)
@pytest.mark.parametrize('part', ['det', 'seg', 'b4m', 'm4b'])
def test_a_source_feeds_its_losses_and_no_other(noisy, part, runs):
    assert len(runs[None]) == len(runs[noisy]) == ITERS
    for row, other in zip(runs[None], runs[noisy]):
        same = losses_of(row, part) == pytest.approx(
            losses_of(other, part), rel=1e-4, abs=1e-6)
        assert same == (part not in FEEDS[noisy]), (
            losses_of(row, part), losses_of(other, part))


def test_every_loss_counts(runs):
    for row in runs[None]:
        parts = {part: sum(losses_of(row, part).values())
                 for part in ('det', 'seg', 'b4m', 'm4b')}
        assert min(parts.values()) > 0
        assert row['loss'] == pytest.approx(sum(parts.values()), rel=1e-4)
