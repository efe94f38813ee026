# Copyright (c) mmbombo contributors.
"""tools/misc/check_data.py on the sources of a config."""
import re
import runpy
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from mmbombo.datasets.checks.every_file import find_duplicates

TOOL = Path(__file__).resolve().parents[2] / 'tools/misc/check_data.py'
CONFIG = '''
load = [dict(type='LoadImageFromFile'), dict(type='LoadPartialAnnotations')]
source = dict(
    type='PartialVOCDataset', data_root='{root}', ann_file='list.txt',
    annotation_kinds=('sem_seg', ), metainfo=dict(classes=('cat', )),
    data_help='run make_data', pipeline=load)
train_dataloader = dict(dataset=dict(
    type='MixedSourceDataset',
    datasets=[dict(source, source='a'), dict(source, source='b')]))
val_dataloader = dict(dataset=dict(
    source, ann_file='val.txt', source='val', test_mode=True))
test_dataloader = val_dataloader
'''


@pytest.fixture
def config(tmp_path):
    for folder in ('JPEGImages', 'SegmentationClass'):
        (tmp_path / folder).mkdir()
    for k in range(6):
        cv2.imwrite(str(tmp_path / f'JPEGImages/{k}.jpg'),
                    np.full((20, 30, 3), 40 * k, np.uint8))
        cv2.imwrite(str(tmp_path / f'SegmentationClass/{k}.png'),
                    np.full((20, 30), k % 2, np.uint8))
    (tmp_path / 'list.txt').write_text('0\n1\n2\n')
    (tmp_path / 'val.txt').write_text('3\n4\n5\n')
    path = tmp_path / 'config.py'
    path.write_text(CONFIG.format(root=tmp_path))
    return path


def run(config, monkeypatch, capsys):
    monkeypatch.setattr(sys, 'argv', ['check_data.py', str(config)])
    code = 0
    try:
        runpy.run_path(str(TOOL), run_name='__main__')
    except SystemExit as stop:
        code = stop.code
    return code, capsys.readouterr().out


def test_whole_data_are_one_line(config, monkeypatch, capsys):
    code, said = run(config, monkeypatch, capsys)
    assert code == 0
    # the same source for validation and test is one
    assert said.endswith('9 images of 3 sources: no problem\n')


def test_problems_of_all_sources_by_source(config, monkeypatch, capsys):
    root = config.parent
    for first, last in ((0, 2), (3, 5)):
        (root / f'SegmentationClass/{first}.png').unlink()
        (root / f'JPEGImages/{last}.jpg').write_bytes(b'')
    code, said = run(config, monkeypatch, capsys)
    assert code == 1
    found = re.findall(r"source '(\w+)': (\d) problem\(s\)([^\0]*?)\n(?=\n|$)",
                       said)
    assert [(name, number) for name, number, _ in found] == [
        ('a', '3'), ('b', '3'), ('val', '3')]  # the first sample twice
    for name, _, text in found:
        first, last = (3, 5) if name == 'val' else (0, 2)
        for part in (f'SegmentationClass/{first}.png',
                     f'JPEGImages/{last}.jpg', 'run make_data'):
            assert part in text


def test_images_of_training_in_validation_and_empty_masks(
        config, monkeypatch, capsys):
    root = config.parent
    # under another name
    (root / 'JPEGImages/4.jpg').write_bytes(
        (root / 'JPEGImages/1.jpg').read_bytes())
    for k in range(3):
        cv2.imwrite(str(root / f'SegmentationClass/{k}.png'),
                    np.full((20, 30), 255, np.uint8))
    code, said = run(config, monkeypatch, capsys)
    assert code == 1
    assert said.count('none of the 3 masks has a labeled pixel') == 2
    assert re.search(r'4\.jpg: the same file as \S+1\.jpg of training', said)
    assert said.count('the same file as') == 1


def test_boxes_that_are_listed_twice():
    boxes = [dict(bbox_label=0, bbox=[0, 0, 5, 5])] * 2 + [
        dict(bbox_label=1, bbox=[0, 0, 5, 5])]
    assert find_duplicates(dict(img_path='a.jpg'), boxes) == [
        'a.jpg: the box [0, 0, 5, 5] of label 0 is listed 2 times']
