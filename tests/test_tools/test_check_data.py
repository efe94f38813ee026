# Copyright (c) mmbombo contributors.
"""tools/misc/check_data.py on the sources of a config."""
import re
import runpy
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

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
val_dataloader = dict(dataset=dict(source, source='val', test_mode=True))
test_dataloader = val_dataloader
'''


@pytest.fixture
def config(tmp_path):
    for folder in ('JPEGImages', 'SegmentationClass'):
        (tmp_path / folder).mkdir()
    for k in range(3):
        cv2.imwrite(str(tmp_path / f'JPEGImages/{k}.jpg'),
                    np.zeros((20, 30, 3), np.uint8))
        cv2.imwrite(str(tmp_path / f'SegmentationClass/{k}.png'),
                    np.full((20, 30), k % 2, np.uint8))
    (tmp_path / 'list.txt').write_text('0\n1\n2\n')
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
    (root / 'SegmentationClass/0.png').unlink()  # the first sample
    (root / 'JPEGImages/2.jpg').write_bytes(b'')
    code, said = run(config, monkeypatch, capsys)
    assert code == 1
    found = re.findall(r"source '(\w+)': (\d) problem\(s\)([^\0]*?)\n(?=\n|$)",
                       said)
    assert [(name, number) for name, number, _ in found] == [
        ('a', '3'), ('b', '3'), ('val', '3')]  # the first sample twice
    for _, _, text in found:
        for part in ('SegmentationClass/0.png', 'JPEGImages/2.jpg',
                     'run make_data'):
            assert part in text
