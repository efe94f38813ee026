# Copyright (c) mmbombo contributors.
import runpy
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

CONTACT_SHEET = (
    Path(__file__).resolve().parents[2] /
    'tools/analysis_tools/contact_sheet.py')
XML = """<annotation><size><width>60</width><height>40</height>
<depth>3</depth></size><object><name>car</name><difficult>0</difficult>
<bndbox><xmin>11</xmin><ymin>6</ymin><xmax>50</xmax><ymax>30</ymax></bndbox>
</object></annotation>"""


@pytest.fixture
def voc(tmp_path):
    """Two images with a box (train, val), two with a mask."""
    root = tmp_path / 'voc'
    for folder in ('JPEGImages', 'Annotations', 'SegmentationClass', 'lists'):
        (root / folder).mkdir(parents=True)
    mask = np.zeros((40, 60), dtype=np.uint8)
    mask[5:30, 10:50] = 1
    mask[30:] = 255
    for number in range(4):
        image = np.full((40, 60, 3), 60 * number, dtype=np.uint8)
        Image.fromarray(image).save(root / f'JPEGImages/i{number}.jpg')
        (root / f'Annotations/i{number}.xml').write_text(XML)
        Image.fromarray(mask).save(root / f'SegmentationClass/i{number}.png')
    (root / 'lists/det.txt').write_text('i0\ni1\n')
    (root / 'lists/seg.txt').write_text('i2\ni3\n')
    (root / 'lists/val.txt').write_text('i1\ni3\n')
    return root


@pytest.fixture
def config_file(config, voc, tmp_path, known):
    metainfo = dict(
        classes=known.classes,
        palette=[known.dog, known.car],
        seg_classes=known.seg_classes,
        seg_palette=[(0, 0, 0), known.car, known.dog])
    class_map = dict(
        det_classes=known.classes,
        seg_classes=known.seg_classes,
        background='background')

    def source(name, kinds, **kwargs):
        return dict(
            type='PartialVOCDataset',
            data_root=str(voc),
            ann_file=f'lists/{name}.txt',
            source=name,
            annotation_kinds=kinds,
            metainfo=metainfo,
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='LoadPartialAnnotations'),
                dict(type='LoadPseudoMask', class_map=class_map, method='box'),
                dict(type='LabelComponents', class_map=class_map, min_area=4),
                dict(type='PackMultiTaskInputs')
            ],
            **kwargs)

    config.train_dataloader = dict(
        batch_size=4,
        num_workers=2,
        persistent_workers=True,
        sampler=dict(
            type='PartialAnnotationSampler', batch_size=4, source_ratio=[3,
                                                                         1]),
        dataset=dict(
            type='MixedSourceDataset',
            datasets=[source('det', ('bbox', )),
                      source('seg', ('sem_seg', ))]))
    config.val_dataloader = dict(
        batch_size=1,
        num_workers=0,
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=source('val', ('bbox', 'sem_seg'), test_mode=True))
    config.val_dataloader.dataset.pipeline = config.val_dataloader.dataset[
        'pipeline'][:2] + [dict(type='PackMultiTaskInputs')]
    config.test_dataloader = config.val_dataloader
    path = tmp_path / 'config.py'
    config.dump(path)
    return path


@pytest.fixture
def browse(run_script, config_file):

    def run(*arguments):
        return run_script('tools/analysis_tools/browse_dataset.py',
                          config_file, *arguments)

    return run


def test_browse_shows_the_mix_that_training_sees(tmp_path, capsys, known,
                                                 browse):
    out = tmp_path / 'browse'
    code = browse('--output-dir', out, '--number', 8)
    assert code == 0
    printed = capsys.readouterr().out
    # Three of four samples of a step are from the first source.
    assert 'source det (boxes only): 6 sample(s)' in printed
    assert 'source seg (mask only): 2 sample(s)' in printed
    pictures = sorted(path.name for path in out.iterdir())
    assert len(pictures) == 8
    assert sum('_det_' in name for name in pictures) == 6
    # Three panels of 60 x 40: image, boxes, and the mask made from them.
    picture = cv2.imread(str(out / pictures[0]))[..., ::-1]
    assert picture.shape[1] == 3 * 60 + 4 * 8
    assert (picture[:, 76:136] == known.car).all(-1).any()
    assert (picture[:, 144:204] == known.car).all(-1).any()
    assert not (picture[:, 8:68] == known.car).all(-1)[:60].any()


def test_browse_validation(tmp_path, monkeypatch, capsys, browse):
    monkeypatch.chdir(tmp_path)
    code = browse('--phase', 'val')
    assert code == 0
    assert 'source val (boxes + mask): 2 sample(s)' in capsys.readouterr().out
    folder = tmp_path / 'work_dirs/config/browse_val'
    assert sorted(path.name for path in folder.iterdir()) == [
        '0000_val_i1.png', '0001_val_i3.png'
    ]


def test_browse_validation_at_the_size_of_the_annotation(
        config, config_file, tmp_path, capsys, browse):
    """A test pipeline resizes and pads the image, not its annotation."""
    pictures = []
    steps = [
        dict(type='mmdet.Resize', scale=(90, 90), keep_ratio=True),
        dict(type='mmdet.Pad', size=(96, 96))
    ]
    for number, added in enumerate([[], steps]):
        pipeline = config.val_dataloader.dataset.pipeline
        config.val_dataloader.dataset.pipeline = (
            pipeline[:1] + added + pipeline[1:])
        config.dump(config_file)
        out = tmp_path / str(number)
        assert browse('--phase', 'val', '--output-dir', out) == 0
        assert '60x40' in capsys.readouterr().out
        pictures.append(cv2.imread(str(out / '0001_val_i3.png')))
    # images of one color: boxes and map are at the same places
    assert (pictures[0] == pictures[1]).all()


def test_browse_names_what_is_wrong(voc, tmp_path, monkeypatch, browse):
    monkeypatch.chdir(tmp_path)
    (voc / 'JPEGImages/i0.jpg').unlink()
    code = browse('--number', 1)
    assert 'i0.jpg' in code


def test_contact_sheet(config_file, checkpoint, tmp_path, capsys, known,
                       run_script):
    out = tmp_path / 'new' / 'sheet.png'
    code = run_script(CONTACT_SHEET, config_file, checkpoint, '--out', out,
                      '--device', 'cpu')
    assert code == 0
    assert str(out) in capsys.readouterr().out
    sheet = cv2.imread(str(out))[..., ::-1]
    tool = runpy.run_path(str(CONTACT_SHEET))
    width, gap = tool['WIDTH'], 8
    # Two images side by side, each in three cells.
    assert sheet.shape[1] == 2 * width + 2 * gap
    cells = [
        sheet[100:300, gap + k * width // 3:gap + (k + 1) * width // 3 - gap]
        for k in range(3)
    ]
    colors = [(cell == known.car).all(-1).sum() for cell in cells]
    assert colors[1] > 100 and colors[2] > 100
    # A dog is predicted, but not in the annotations.
    assert (cells[2] == known.dog).all(-1).sum() > 100
    assert (cells[1] == known.dog).all(-1).sum() == 0
