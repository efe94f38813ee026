# Copyright (c) mmbombo contributors.
import subprocess
import sys
from pathlib import Path

TOOL = Path(
    __file__).resolve().parents[2] / 'tools/dataset_converters/voc_lists.py'


def test_lists_are_disjoint(tmp_path):
    sets = tmp_path / 'ImageSets'
    for folder, name, ids in [('Main', 'trainval', 'abcdef'),
                              ('Segmentation', 'train', 'bg'),
                              ('Segmentation', 'val', 'ch')]:
        (sets / folder).mkdir(parents=True, exist_ok=True)
        (sets / folder / f'{name}.txt').write_text('\n'.join(ids) + '\n')
    subprocess.run([sys.executable, str(TOOL), str(tmp_path)], check=True)
    lists = {
        file.stem: file.read_text().split()
        for file in (sets / 'mmbombo').glob('*.txt')
    }
    # g has no boxes but may train segmentation; h cannot be scored for boxes
    assert lists == dict(
        det_train=['a', 'd', 'e', 'f'], seg_train=['b', 'g'], val=['c'])


def test_a_wrong_folder_is_named(tmp_path):
    result = subprocess.run([sys.executable, str(TOOL), str(tmp_path)],
                            capture_output=True, text=True)
    assert result.returncode != 0
    assert 'trainval.txt does not exist' in result.stderr
