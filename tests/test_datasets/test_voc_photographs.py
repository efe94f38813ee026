# Copyright (c) mmbombo contributors.
"""Three photographs of VOC2011 with boxes and masks drawn by labelme's author.

They are in the source distribution of labelme 6.3.1 (GPL: never copied into
this repository), which pip fetches once into pytest's cache, 14 MB. pip checks
its hash before it opens it, and then asks its build backend, hatchling, for
the metadata; the archive has no build script of its own. Without a network the
tests are skipped.
"""
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from toolbox import class_ids

from mmbombo.datasets import PartialVOCDataset, SeededIndex
from mmbombo.datasets.voc_metainfo import VOC_CLASSES
from mmbombo.weak_labels import label_components

NAME = 'labelme-6.3.1.tar.gz'
REQUIREMENT = (
    'labelme==6.3.1 --hash=sha256:'
    '2947e0d8341a92faa7b3ee50cf4b672f838051c6bf24892526e95b64fd3a707e')

IDS = ('2011_000003', '2011_000006', '2011_000025')
RENAMED = dict(pottedplant='potted plant', tvmonitor='tv/monitor')
CLASSES = tuple(RENAMED.get(name, name) for name in VOC_CLASSES)
CLASS_MAP = dict(det_classes=CLASSES, seg_classes=('background', *CLASSES))
LOAD = [dict(type='LoadImageFromFile'), dict(type='LoadPartialAnnotations')]
#: Classes of which every object has a box too, and their detection label.
BOXED = [CLASSES.index(name) for name in ('bus', 'car', 'person')]
#: Folder in the archive -> folders taken from it.
PARTS = dict(
    bbox_detection=('JPEGImages', 'Annotations'),
    semantic_segmentation=('SegmentationClass', ))


@pytest.fixture(scope='module')
def sdist(pytestconfig):
    folder = Path(pytestconfig.cache.mkdir('labelme'))
    if not (folder / NAME).is_file():
        wanted = folder / 'requirements.txt'
        wanted.write_text(REQUIREMENT)
        done = subprocess.run([
            sys.executable, '-m', 'pip', 'download', '--no-deps',
            '--no-binary', 'labelme', '--require-hashes', '--retries', '1',
            '--timeout', '10', '--quiet', '--dest', folder, '-r', wanted
        ], capture_output=True, text=True)
        if done.returncode:
            assert 'connection broken by' in done.stderr, done.stderr
            pytest.skip('no network: pip cannot fetch labelme')
    return folder / NAME


@pytest.fixture(scope='module')
def root(sdist, tmp_path_factory):
    root = tmp_path_factory.mktemp('photographs')
    with tarfile.open(sdist) as archive:
        for member in archive.getmembers():
            path = Path(member.name)
            for example, folders in PARTS.items():
                if (path.stem in IDS and path.parts[-2] in folders
                        and path.parts[-4] == example):
                    target = root / path.parts[-2] / path.name
                    target.parent.mkdir(exist_ok=True)
                    target.write_bytes(archive.extractfile(member).read())
    (root / 'all.txt').write_text('\n'.join(IDS))
    return root


def build(root, kinds, *steps):
    return PartialVOCDataset(
        ann_file='all.txt', data_root=str(root), annotation_kinds=kinds,
        metainfo=dict(classes=CLASSES), pipeline=[*LOAD, *steps])


def test_boxes_enclose_the_masks(root):
    data = build(root, ('bbox', 'sem_seg'))
    for sample in (data[i] for i in range(3)):
        seg_map = sample['gt_seg_map']
        for label in BOXED:
            boxes = sample['gt_bboxes'].tensor[
                sample['gt_bboxes_labels'] == label].round().int().tolist()
            inside = np.zeros(seg_map.shape, bool)
            for x1, y1, x2, y2 in boxes:
                inside[y1:y2, x1:x2] = True
            of_class = seg_map == label + 1
            assert bool(boxes) == of_class.any()
            assert of_class[~inside].sum() <= 0.02 * of_class.sum()


def test_pseudo_masks_of_photographs(root):
    truths = build(root, ('sem_seg', ))
    found = {
        method: build(
            root, ('bbox', ),
            dict(type='LoadPseudoMask', class_map=CLASS_MAP, method=method))
        for method in ('box', 'grabcut_ignore')
    }
    for i in range(3):
        truth = truths[i]['gt_seg_map']
        precision = {}
        for method, data in found.items():
            mask = class_ids(data[i]['gt_seg_map'], data[i]['pseudo_classes'])
            named = (mask > 0) & (mask < 255) & (truth < 255)
            precision[method] = (mask == truth)[named].mean()
        # measured: box .58 .59 .85; GrabCut .89 .93 .995
        assert precision['grabcut_ignore'] > 0.85
        assert precision['grabcut_ignore'] > precision['box'] + 0.1


def test_rectangles_of_photographs(root):
    truth = build(root, ('bbox', 'sem_seg'))[2]
    _, table = label_components(truth['gt_seg_map'], 80,
                                [label + 1 for label in BOXED])
    # The two buses touch: one component, whose rectangle is that of both.
    bus = CLASSES.index('bus')
    boxes = truth['gt_bboxes'].tensor.numpy()[truth['gt_bboxes_labels'] == bus]
    both = [*boxes[:, :2].min(0), *boxes[:, 2:].max(0)]
    rectangles = np.asarray(table['boxes'])[
        np.asarray(table['labels']) == bus + 1]
    assert len(rectangles) == 1
    np.testing.assert_allclose(rectangles[0], both, atol=4)


def test_zoom_crop_of_photographs(root):
    steps = [
        dict(type='mmdet.Resize', scale=(320, 320), keep_ratio=False),
        dict(type='RandomZoomCrop', prob=1.),
        dict(type='mmdet.RandomFlip', prob=0.5)
    ]
    data = build(root, ('bbox', 'sem_seg'), *steps)
    for index in range(3):
        for seed in range(10):
            sample = data[SeededIndex(index, seed)]
            boxes = sample['gt_bboxes'].tensor.numpy()
            assert len(boxes) and boxes.min() >= 0 and boxes.max() <= 320
            for label in set(BOXED) & {*sample['gt_bboxes_labels'].tolist()}:
                rows, columns = np.nonzero(sample['gt_seg_map'] == label + 1)
                own = boxes[sample['gt_bboxes_labels'] == label]
                # the class is where its boxes are, wherever they are now
                near = ((columns[:, None] >= own[:, 0] - 2) &
                        (columns[:, None] <= own[:, 2] + 2) &
                        (rows[:, None] >= own[:, 1] - 2) &
                        (rows[:, None] <= own[:, 3] + 2)).any(1)
                assert near.mean() > 0.75
