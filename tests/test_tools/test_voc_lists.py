# Copyright (c) mmbombo contributors.
import hashlib
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmbombo.datasets import DatasetError

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS.parent / 'tools/dataset_converters')]

import voc_devkit  # noqa: E402
import voc_lists  # noqa: E402
from voc_lists_parts.leaks import count_test_twins, find_leaks  # noqa: E402
from voc_lists_parts.split import (DET_SHARE, WITHOUT_BOXES,  # noqa: E402
                                   divide, divide_by_mask, take_subset)


class Lists:
    """VOC's lists in memory, with the counts of the real ones."""

    def __init__(self):
        old = [f'{n:06d}' for n in range(9963)]
        self.trainval, test = old[:5011], old[5011:]
        masked, masked_test = old[:422], test[:210]
        twins = [f'2007_{i}' for i in masked + masked_test]
        val_twins = twins[:217] + twins[422:526]
        new = iter(f'2009_{n:06d}' for n in range(20000))

        def take(count):
            return [next(new) for _ in range(count)]

        val = take(1122)
        self.official = take(1153)
        self.sbd = take(9118)
        self.boxes_only = take(149)
        self.val = val_twins + val + list(WITHOUT_BOXES)
        self.train = [i for i in twins if i not in val_twins] + self.official
        # two of SBD's are in no detection list
        boxed = val + self.official + self.sbd[2:] + self.boxes_only
        self.masks = {*self.train, *self.val, *self.sbd}
        self.lists = {
            ('VOC2007', 'Main/trainval'): self.trainval,
            ('VOC2007', 'Segmentation/trainval'): masked,
            ('VOC2012', 'Main/trainval'): boxed,
            ('VOC2012', 'Segmentation/train'): self.train,
            ('VOC2012', 'Segmentation/val'): self.val
        }

    def read(self, year, name):
        return self.lists[year, name]

    def with_mask(self):
        return self.masks


def counts(years):
    return {year[-2:]: len(ids) for year, ids in years.items()}


@pytest.fixture(scope='module')
def real():
    return Lists()


@pytest.fixture(scope='module')
def lists(real):
    return divide(real, seed=0, det_share=DET_SHARE)


def test_counts_are_those_of_mxe(real, lists):
    # The inputs have the sizes that VOC and SBD state ...
    assert len(real.train) == 1464 and len(real.val) == 1449
    assert len(real.lists['VOC2012', 'Main/trainval']) == 11540
    assert len(real.masks - set(real.val)) == 10582
    # ... and the outputs those that were counted in the authors' lists.
    assert {name: counts(years) for name, years in lists.items()} == dict(
        det_train={'07': 4589, '12': 2969},
        seg_train={'07': 205, '12': 7451},
        val={'12': 1443},
        val1449={'12': 1449})
    assert len(set(lists['det_train']['VOC2012']) & set(real.sbd)) == 2820
    assert set(real.boxes_only) < set(lists['det_train']['VOC2012'])
    assert set(real.official) < set(lists['seg_train']['VOC2012'])
    assert count_test_twins(lists['val'], real) == 104
    assert not set(lists['val']['VOC2012']) & set(WITHOUT_BOXES)
    assert find_leaks(
        {name: lists[name] for name in ('det_train', 'seg_train')}, real,
        lists['val1449']) == {}


def test_an_oracle_has_two_lists_of_the_images_with_boxes(real, lists):
    parts = divide_by_mask('det_train', lists['det_train'], real)
    assert {name: counts(years) for name, years in parts.items()} == dict(
        det_train_masked={'12': 2820},
        det_train_unmasked={'07': 4589, '12': 149})
    both = sum((years['VOC2012'] for years in parts.values()), [])
    assert sorted(both) == lists['det_train']['VOC2012']


def test_seed_and_share(real, lists):
    again = divide(real, seed=0, det_share=DET_SHARE)
    assert again == lists
    other = divide(real, seed=1, det_share=DET_SHARE)
    assert counts(other['det_train']) == counts(lists['det_train'])
    # Two draws of 2,820 of 9,118 have 872 in common by chance.
    common = set(other['det_train']['VOC2012']) & set(
        lists['det_train']['VOC2012'])
    assert 150 + 780 < len(common) < 150 + 970
    more = divide(real, seed=0, det_share=0.8)['det_train']
    assert sum(counts(more).values()) == round(0.8 * 15214)
    assert set(lists['det_train']['VOC2012']) < set(more['VOC2012'])
    with pytest.raises(DatasetError, match='must be from 31.1 to 91.1 %'):
        divide(real, seed=0, det_share=0.95)


def test_subsets_have_mxe_counts_and_are_nested(real, lists):
    found = dict(
        take_subset(name, lists, 0)
        for name in ('det2', 'seg2', 'det10%', 'det4', 'seg100', 'det29%'))
    assert {name: counts(years) for name, years in found.items()} == dict(
        det2_train={'07': 2294, '12': 1484},
        seg2_train={'07': 102, '12': 3725},
        det10pct_train={'07': 458, '12': 296},
        det4_train={'07': 1147, '12': 742},
        seg100_train={'07': 2, '12': 74},
        det29pct_train={'07': 1330, '12': 861})
    chain = ['det10pct_train', 'det4_train', 'det29pct_train', 'det2_train']
    for year in ('VOC2007', 'VOC2012'):
        for small, large in zip(chain, chain[1:]):
            assert set(found[small][year]) < set(found[large][year])
        assert set(found['det2_train'][year]) < set(lists['det_train'][year])
    # A subset is no more of one kind than its list: 5 sigma of the draws.
    half = found['seg2_train']['VOC2012']
    assert abs(len(set(half) & set(real.official)) - 1153 / 2) < 80
    half = found['det2_train']['VOC2012']
    assert abs(len(set(half) & set(real.boxes_only)) - 149 / 2) < 30
    for name in ('det', 'det1', 'det0', 'val2', 'seg100%', 'seg-2', 'det2.5'):
        with pytest.raises(DatasetError, match=f'--subsets {name}: write'):
            take_subset(name, lists, 0)


def test_leaks_of_the_published_subsets_are_found(real, lists):
    # As Half: all segmentation images of VOC2012, under their own names.
    half = {
        'VOC2007': real.trainval[::2],
        'VOC2012': real.train + real.val + real.sbd[:2856]
    }
    found = find_leaks(dict(half=half), real, lists['val'])
    assert len(found['half has test image(s) of VOC2007']) == 210
    assert len(found['half has validation image(s)']) == 1443 + 109
    # 211 of the 422 that it has under their old name too
    assert len(found['half has photograph(s) more than once']) == 422
    assert len(found) == 3


def test_a_twin_in_the_other_list_is_found(real, lists):
    det = {'VOC2007': ['000000', '000300']}
    seg = {'VOC2012': ['2007_000300', '2009_000000']}
    assert find_leaks(dict(det=det, seg=seg), real, {}) == {
        'det and seg have image(s) in common': ['VOC2012/2007_000300']
    }


@pytest.fixture
def root(tmp_path):
    """A devkit with SBD's masks in place."""
    root = voc_devkit.write_devkit(tmp_path / 'VOCdevkit')
    folder = root / 'VOC2012/SegmentationClassAug'
    folder.mkdir()
    for image_id in voc_devkit.SBD:
        Image.fromarray(voc_devkit.sbd_mask(image_id)).save(
            folder / f'{image_id}.png')
    for path in (root / 'VOC2012/SegmentationClass').iterdir():
        shutil.copy(path, folder)
    return root


def read(root, year, name):
    return (root / year / f'ImageSets/{name}.txt').read_text().split()


def test_files_and_record(root, capsys):
    assert voc_lists.main([str(root)]) == 0
    det = read(root, 'VOC2012', 'mmbombo/det_train')
    seg = read(root, 'VOC2012', 'mmbombo/seg_train')
    assert read(root, 'VOC2007', 'mmbombo/det_train') == [
        '000001', '000003', '000005', '000007', '000008'
    ]
    # 000004 is 2007_000004, which is validated on
    assert read(root, 'VOC2007', 'mmbombo/seg_train') == ['000002', '000006']
    # .4968 of 18 are 9, of which 6 are given
    assert '2008_000012' in det and len(det) == 4
    assert {'2008_000001', '2008_000002'} < set(seg) and len(seg) == 7
    assert sorted(det + seg + ['2008_000003']) == voc_devkit.TRAINVAL_2012
    val = voc_devkit.SEG_VAL_2012
    assert read(root, 'VOC2012', 'mmbombo/val') == val[:3]
    assert read(root, 'VOC2012', 'mmbombo/val1449') == val
    assert not (root / 'VOC2007/ImageSets/mmbombo/val.txt').exists()

    record = json.loads((root / 'mmbombo_lists.json').read_text())
    assert record['seed'] == 0 and record['det_share'] == DET_SHARE
    entry = record['lists']['det_train']
    assert entry['images'] == 9 and entry['VOC2007']['images'] == 5
    assert entry['VOC2012']['sha256'] == hashlib.sha256(
        (root / 'VOC2012/ImageSets/mmbombo/det_train.txt').read_bytes()
    ).hexdigest()
    assert record['lists']['seg2_train']['images'] == 1 + 3
    assert 'VOC2012/ImageSets/Segmentation/val.txt' in record['made_from']
    assert record['val_images_in_voc2007_test'] == 1
    output = capsys.readouterr().out
    assert 'mmbombo/det_train: 9 images (VOC2007 5, VOC2012 4)' in output
    assert 'mmbombo_lists.json' in output


def test_balance_of_classes(root):
    assert voc_lists.main([str(root)]) == 0
    balance = json.loads(
        (root / 'mmbombo_lists.json').read_text())['class_balance']
    det = read(root, 'VOC2012', 'mmbombo/det_train')
    labels = [voc_devkit.label(i) for i in det] + [1, 3, 5, 7, 8]
    difficult = sum(
        map(voc_devkit.is_difficult, det)) + 1  # 000008 of VOC2007
    for k, name in enumerate(voc_devkit.VOC_CLASSES):
        number = labels.count(k) + difficult * (name == 'person')
        assert balance['det_train'][name] == dict(
            images=number, objects=number)
    pixels = dict.fromkeys(voc_devkit.VOC_CLASSES, 0)
    official = {'2008_000001', '2008_000002', '000002', '000006'}
    for image_id in official | {*read(root, 'VOC2012', 'mmbombo/seg_train')}:
        mask = (voc_devkit.official_mask if image_id in official else
                voc_devkit.sbd_mask)(image_id)
        name = voc_devkit.VOC_CLASSES[voc_devkit.label(image_id)]
        pixels[name] += int(np.sum((mask > 0) & (mask < 255)))
    assert pixels == {
        name: numbers['pixels']
        for name, numbers in balance['seg_train'].items()}


def test_lists_by_mask(root, capsys):
    assert voc_lists.main([str(root)]) == 0
    for name in ('det_train', 'det2_train'):
        both = [read(root, 'VOC2012', f'mmbombo/{name}_{part}')
                for part in ('masked', 'unmasked')]
        assert sorted(sum(both, [])) == read(root, 'VOC2012',
                                             f'mmbombo/{name}')
        assert set(both[0]) <= set(voc_devkit.SBD)
        assert not set(both[1]) & set(voc_devkit.SBD)
        assert read(root, 'VOC2007', f'mmbombo/{name}_unmasked') == read(
            root, 'VOC2007', f'mmbombo/{name}')
    voc_devkit.write_list(root / 'VOC2007', 'MXEdet/train', ['000001'])
    voc_devkit.write_list(root / 'VOC2012', 'MXEdet/train',
                          ['2008_000012', '2008_000005'])
    assert voc_lists.main([str(root), '--by-mask', 'MXEdet/train']) == 0
    assert read(root, 'VOC2012', 'MXEdet/train_masked') == ['2008_000005']
    assert read(root, 'VOC2012', 'MXEdet/train_unmasked') == ['2008_000012']
    assert read(root, 'VOC2007', 'MXEdet/train_unmasked') == ['000001']
    assert capsys.readouterr().out.endswith(
        'MXEdet/train_masked: 1 images\nMXEdet/train_unmasked: 2 images\n')
    with pytest.raises(SystemExit, match="no list 'Third/train'"):
        voc_lists.main([str(root), '--by-mask', 'Third/train'])


def test_without_sbd(root):
    shutil.rmtree(root / 'VOC2012/SegmentationClassAug')
    with pytest.raises(SystemExit, match='Aug holds no mask.*sbd_masks.py'):
        voc_lists.main([str(root)])
    assert voc_lists.main(
        [str(root), '--masks', 'SegmentationClass', '--det-share', '78',
         '--subsets']) == 0
    assert read(root, 'VOC2012', 'mmbombo/seg_train') == [
        '2008_000001', '2008_000002'
    ]
    assert len(read(root, 'VOC2012', 'mmbombo/det_train')) == 9


def test_check_of_lists_that_are_there(root, capsys):
    def check(*names):
        status = voc_lists.main([str(root), '--check', *names])
        return status, capsys.readouterr().out

    assert voc_lists.main([str(root)]) == 0
    status, output = check('mmbombo/det_train', 'mmbombo/seg_train')
    assert status == 0 and 'nothing is listed twice' in output
    old, new = root / 'VOC2007', root / 'VOC2012'
    voc_devkit.write_list(old, 'Half/trainval', ['000001', '000002'])
    voc_devkit.write_list(
        new, 'Half/trainval',
        ['2007_000002', '2007_000009', '2008_000003', '2008_000005'])
    status, output = check('Half/trainval', 'mmbombo/det_train')
    assert status == 1
    for line in [
            'Half/trainval: VOC2007 2, VOC2012 4',
            'Half/trainval has test image(s) of VOC2007 (1 in all):\n'
            '  VOC2012/2007_000009\n',
            'Half/trainval has validation image(s) (2 in all)',
            'Half/trainval has photograph(s) more than once (2 in all):\n'
            '  VOC2007/000002\n  VOC2012/2007_000002\n',
            'Half/trainval and mmbombo/det_train have image(s) in common'
    ]:
        assert line in output


def test_wrong_folder_is_named(root):
    with pytest.raises(SystemExit, match='Segmentation/val.txt does not exis'):
        voc_lists.main([str(root / 'VOC2012')])
