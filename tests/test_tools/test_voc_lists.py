# Copyright (c) mmbombo contributors.
import shutil
import sys
from pathlib import Path

import pytest
from PIL import Image

from mmbombo.datasets import DatasetError

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS.parent / 'tools/dataset_converters')]

import voc_devkit  # noqa: E402
import voc_lists  # noqa: E402
from voc_lists import (WITHOUT_BOXES, divide, divide_by_mask,  # noqa: E402
                       identify, take_subset)


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
    return divide(real, seed=0)


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
    assert not set(lists['val']['VOC2012']) & set(WITHOUT_BOXES)
    parts = [{
        identify(year, i) for year, ids in lists[name].items() for i in ids
    } for name in ('det_train', 'seg_train', 'val1449')]
    assert len(set.union(*parts)) == sum(map(len, parts)) == 15214 + 1449


def test_an_oracle_has_two_lists_of_the_images_with_boxes(real, lists):
    parts = divide_by_mask('det_train', lists['det_train'], real)
    assert {name: counts(years) for name, years in parts.items()} == dict(
        det_train_masked={'12': 2820},
        det_train_unmasked={'07': 4589, '12': 149})
    both = sum((years['VOC2012'] for years in parts.values()), [])
    assert sorted(both) == lists['det_train']['VOC2012']


def test_seed(real, lists):
    again = divide(real, seed=0)
    assert again == lists
    other = divide(real, seed=1)
    assert counts(other['det_train']) == counts(lists['det_train'])
    # Two draws of 2,820 of 9,118 have 872 in common by chance.
    common = set(other['det_train']['VOC2012']) & set(
        lists['det_train']['VOC2012'])
    assert 150 + 780 < len(common) < 150 + 970


def test_subsets_have_mxe_counts_and_are_nested(real, lists):
    found = {}
    for name in ('det2', 'seg2', 'det10', 'det4', 'seg100'):
        found.update(take_subset(name, lists, 0))
    assert {name: counts(years) for name, years in found.items()} == dict(
        det2_train={'07': 2294, '12': 1484},
        seg2_train={'07': 102, '12': 3725},
        det10_train={'07': 458, '12': 296},
        det4_train={'07': 1147, '12': 742},
        seg100_train={'07': 2, '12': 74})
    chain = ['det10_train', 'det4_train', 'det2_train']
    for year in ('VOC2007', 'VOC2012'):
        for small, large in zip(chain, chain[1:]):
            assert set(found[small][year]) < set(found[large][year])
        assert set(found['det2_train'][year]) < set(lists['det_train'][year])
    # A subset is no more of one kind than its list: 5 sigma of the draws.
    half = found['seg2_train']['VOC2012']
    assert abs(len(set(half) & set(real.official)) - 1153 / 2) < 80
    half = found['det2_train']['VOC2012']
    assert abs(len(set(half) & set(real.boxes_only)) - 149 / 2) < 30
    for name in ('det', 'det1', 'det0', 'val2', 'seg10%', 'seg-2', 'det2.5'):
        with pytest.raises(DatasetError, match=f'--subsets {name}: write'):
            take_subset(name, lists, 0)


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


def test_files(root, capsys):
    voc_lists.main([str(root)])
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
    output = capsys.readouterr().out
    assert 'mmbombo/det_train: 9 images (VOC2007 5, VOC2012 4)' in output


def test_lists_by_mask(root, capsys):
    voc_lists.main([str(root)])
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
    voc_lists.main([str(root), '--by-mask', 'MXEdet/train'])
    assert read(root, 'VOC2012', 'MXEdet/train_masked') == ['2008_000005']
    assert read(root, 'VOC2012', 'MXEdet/train_unmasked') == ['2008_000012']
    assert read(root, 'VOC2007', 'MXEdet/train_unmasked') == ['000001']
    assert capsys.readouterr().out.endswith(
        'MXEdet/train_masked: 1 images (VOC2012 1)\n'
        'MXEdet/train_unmasked: 2 images (VOC2007 1, VOC2012 1)\n')
    with pytest.raises(SystemExit, match="no list 'Third/train'"):
        voc_lists.main([str(root), '--by-mask', 'Third/train'])


def test_without_sbd(root):
    shutil.rmtree(root / 'VOC2012/SegmentationClassAug')
    with pytest.raises(SystemExit, match='Aug holds no mask.*sbd_masks.py'):
        voc_lists.main([str(root)])
    voc_lists.main(
        [str(root), '--masks', 'SegmentationClass', '--subsets'])
    assert read(root, 'VOC2012', 'mmbombo/seg_train') == [
        '2008_000001', '2008_000002'
    ]
    assert len(read(root, 'VOC2012', 'mmbombo/det_train')) == 9


def test_wrong_folder_is_named(root):
    with pytest.raises(SystemExit, match='Segmentation/val.txt does not exis'):
        voc_lists.main([str(root / 'VOC2012')])
