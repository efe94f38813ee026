# Copyright (c) mmbombo contributors.
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip('scipy')
TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS.parent / 'tools/dataset_converters')]

import sbd_masks  # noqa: E402
import voc_devkit  # noqa: E402

ALL = {*voc_devkit.SBD, *voc_devkit.SEG_TRAIN_2012, *voc_devkit.SEG_VAL_2012}


@pytest.fixture
def roots(tmp_path):
    return (voc_devkit.write_sbd(tmp_path / 'dataset'),
            voc_devkit.write_devkit(tmp_path / 'VOCdevkit') / 'VOC2012')


def run(roots):
    return sbd_masks.main([*map(str, roots), '--jobs', '2'])


def read(path):
    with Image.open(path) as mask:
        assert mask.mode == 'P'
        # VOC's color of class 15, person
        assert mask.getpalette()[45:48] == [192, 128, 128]
        return np.array(mask)


def masks_of(voc):
    folder = voc / 'SegmentationClassAug'
    return {path.stem: read(path) for path in folder.iterdir()}


def test_official_masks_go_over_those_of_sbd(roots, capsys):
    assert run(roots) == 0
    masks = masks_of(roots[1])
    assert set(masks) == ALL
    for image_id, mask in masks.items():
        official = image_id not in voc_devkit.SBD[2:]
        truth = voc_devkit.official_mask if official else voc_devkit.sbd_mask
        np.testing.assert_array_equal(mask, truth(image_id))
    train = ALL - {*voc_devkit.SEG_VAL_2012}
    said = f'SegmentationClassAug: {len(ALL)} masks, {len(train)} of them'
    assert said in capsys.readouterr().out
    listed = roots[1] / 'ImageSets/mmbombo/trainaug.txt'
    assert listed.read_text().split() == sorted(train)


def test_it_resumes_and_repairs_what_is_not_official(roots):
    assert run(roots) == 0
    folder = roots[1] / 'SegmentationClassAug'
    gone, kept = (folder / f'{i}.png' for i in voc_devkit.SBD[2:4])
    before = kept.stat()
    gone.unlink()
    # as if SBD's had been written where VOC has one
    official = folder / '2008_000001.png'
    kept_bytes = official.read_bytes()
    official.write_bytes(gone.with_name(kept.name).read_bytes())
    assert run(roots) == 0
    assert gone.is_file() and official.read_bytes() == kept_bytes
    assert kept.stat().st_mtime_ns == before.st_mtime_ns


def test_damaged_files_are_named_and_leave_no_mask(roots, capsys):
    from scipy.io import savemat
    sbd, voc = roots
    good = voc_devkit.sbd_mask('2008_000004')
    damage = {
        '2008_000004': lambda path: path.write_bytes(path.read_bytes()[:200]),
        '2008_000005': lambda path: path.write_bytes(b'no mat'),
        '2008_000006': lambda path: savemat(path, dict(GTinst=good)),
        '2008_000007': lambda path: savemat(path, dict(GTcls=good)),
        '2008_000011': lambda path: savemat(
            path, dict(GTcls=dict(Segmentation=np.array('text')))),
    }
    for image_id, break_file in damage.items():
        break_file(sbd / 'cls' / f'{image_id}.mat')
    (voc / 'SegmentationClass/2008_000001.png').write_bytes(b'\x89PNG')
    assert run(roots) == 1
    message = capsys.readouterr().err
    assert message.startswith('6 damaged file(s)')
    for image_id in [*damage, '2008_000001']:
        assert f'/{image_id}.' in message
    assert set(masks_of(voc)) == ALL - set(damage) - {'2008_000001'}


def test_wrong_folders_are_named(roots, tmp_path):
    for folders in ((tmp_path, roots[1]), (roots[0], tmp_path)):
        with pytest.raises(SystemExit, match='holds no masks: give'):
            run(folders)
