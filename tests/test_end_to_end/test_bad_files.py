# Copyright (c) mmbombo contributors.
"""Bad files: what :mod:`tools.train` says of them in one line.

Every case spoils one file of a set that trains, and looks for its name and
for what is wrong with it.
"""
import json
import re
from functools import partial

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

from mmbombo.registry import DATASETS
from mmbombo.utils import user_errors

CLASSES = ('disc', 'rectangle', 'triangle', 'star')
#: Found before the first iteration.
LIST_CASES = {}
#: Found at the latest when the sample is drawn.
FILE_CASES = {}


#: Of the files of one image: which list, which line, which file, and what
#: must be said beside its name.
ABSENT = [('det_train', 3, 'image'), ('det_train', 5, 'boxes'),
          ('seg_train', 1, 'mask'), ('val', 2, 'mask')]
CUT = [('seg_train', 7, 'mask', 'cannot be decoded'),
       ('det_train', 7, 'image', 'not an image'),
       ('det_train', 8, 'boxes', 'not well-formed')]
#: Replacements in a VOC file, and what must be said of its first object.
XML_EDITS = {
    'box_outside': ([(r'<xmax>[^<]*', '<xmax>500')],
                    ['500', 'outside']),
    'box_inverted': ([(r'<ymin>[^<]*', '<ymin>60'),
                      (r'<ymax>[^<]*', '<ymax>20')],
                     ['59', 'inverted']),
    'box_without_area': ([(r'<xmin>[^<]*', '<xmin>11'),
                          (r'<xmax>[^<]*', '<xmax>10')],
                         ['10', 'degenerate']),
    'box_is_no_number': ([(r'<xmin>[^<]*', '<xmin>nan')], ['nan']),
    'class_unknown': ([(r'(<object>\s*<name>)[^<]*', r'\1unicorn')],
                      ['unicorn', 'disc']),
}


def list_case(function):
    """A function that spoils a list, and says what the message must name."""
    LIST_CASES[function.__name__] = function
    return function


def file_case(function):
    """As :func:`list_case`, for a file that is listed."""
    FILE_CASES[function.__name__] = function
    return function


class Setting:
    """What a case may spoil: files, and the config for them."""

    def __init__(self, root, voc):
        self.root = root
        self.voc = voc
        self.det_ids = voc.ids(root, 'det_train')
        self.seg_ids = voc.ids(root, 'seg_train')
        self.change = None

    def files(self, image_id):
        return self.voc.files(self.root, image_id)

    def listed(self, list_name, line, kind):
        """Image, boxes or mask of a line of a list."""
        image_id = self.voc.ids(self.root, list_name)[line - 1]
        return getattr(self.files(image_id), kind)

    def list_file(self, name):
        return self.root / f'ImageSets/Main/{name}.txt'

    def replace_in(self, path, pattern, replacement):
        text = path.read_text()
        changed = re.sub(pattern, replacement, text, count=1)
        assert changed != text
        path.write_text(changed)


def size_of(path):
    with Image.open(path) as image:
        return image.size


@list_case
def list_absent(s):
    path = s.list_file('seg_train')
    path.unlink()
    return [str(path), 'does not exist']


@list_case
def list_names_a_place_outside(s):
    path = s.list_file('det_train')
    path.write_text(path.read_text() + '../../../secret\n')
    return [f'{path} line 13', '../../../secret']


@list_case
def list_names_an_image_twice(s):
    path = s.list_file('det_train')
    path.write_text(path.read_text() + s.det_ids[3] + '\n')
    return [f'{path} line 13', s.det_ids[3], 'line 4']


@list_case
def list_is_empty(s):
    path = s.list_file('seg_train')
    path.write_text('')
    return [str(path), "'seg'", 'sem_seg', 'no image']


@file_case
def image_is_text(s):
    image = s.files(s.seg_ids[6]).image
    image.write_text('<html>404</html>')
    return [str(image), 'not an image']


@file_case
def xml_declares_entities(s):
    boxes = s.files(s.det_ids[0]).boxes
    s.replace_in(boxes, r'<\?xml.*?\?>|^',
                 '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]>')
    return [str(boxes), 'entity']


@file_case
def mask_of_another_size(s):
    files = s.files(s.seg_ids[3])
    s.voc.write_mask(files.mask, np.zeros((17, 23)))
    return [str(files.mask), '23x17', '{}x{}'.format(*size_of(files.image))]


@file_case
def mask_with_an_unknown_id(s):
    mask = s.files(s.seg_ids[5]).mask
    ids = np.zeros(size_of(mask)[::-1])
    ids[-1, -1] = 9
    s.voc.write_mask(mask, ids)
    return [str(mask), '[9]', '0..4']


@file_case
def mask_of_colors(s):
    mask = s.files(s.seg_ids[1]).mask
    with Image.open(mask) as image:
        colors = image.convert('RGB')
    colors.save(mask)
    return [str(mask), 'RGB']


@file_case
def coco_box_outside(s):
    width, height = size_of(s.files(s.det_ids[0]).image)
    path = s.root / 'boxes.json'
    path.write_text(
        json.dumps(
            dict(
                images=[
                    dict(id=1, file_name=f'{s.det_ids[0]}.jpg', width=width,
                         height=height)
                ],
                annotations=[
                    dict(id=77, image_id=1, category_id=5, iscrowd=0,
                         area=200, bbox=[width - 5, 0, 20, 10])
                ],
                categories=[
                    dict(id=5 + i, name=name) for i, name in enumerate(
                        CLASSES)
                ])))
    s.change = partial(use_coco, root=s.root)
    return ['coco', s.det_ids[0], 'outside']


@file_case
def class_unknown_to_a_wrapped_set(s):
    boxes = s.files(s.det_ids[0]).boxes
    s.replace_in(boxes, r'(<object>\s*<name>)[^<]*', r'\1unicorn')

    s.change = partial(use_voc, root=s.root)
    return ["'xml'", f'{boxes}: object 1', 'unicorn']


@list_case
def coco_without_masks_declared_as_masks(s):
    path = s.root / 'boxes.json'
    path.write_text(
        json.dumps(
            dict(
                images=[
                    dict(id=1, file_name=f'{s.det_ids[0]}.jpg', width=9,
                         height=9)
                ], annotations=[], categories=[dict(id=5, name='disc')])))
    s.change = partial(use_coco, root=s.root, kind='sem_seg')
    return ["'coco'", 'sem_seg', 'CocoDataset', str(path)]


def use_coco(cfg, root, kind='bbox'):
    use_source(cfg, 'coco', kind, dict(
        type='mmdet.CocoDataset', data_root=str(root), ann_file='boxes.json',
        data_prefix=dict(img='JPEGImages'), metainfo=dict(classes=CLASSES)))


def use_voc(cfg, root):
    use_source(cfg, 'xml', 'bbox', dict(
        type='mmdet.XMLDataset', data_root=str(root),
        ann_file='ImageSets/Main/det_train.txt',
        data_prefix=dict(sub_data_root='')))


def use_source(cfg, source, kind, dataset):
    """Make the first source a data set of another library."""
    first = cfg.train_dataloader.dataset.datasets[0]
    cfg.train_dataloader.dataset.datasets[0] = dict(
        type='PartialAnnotationDataset', source=source,
        annotation_kinds=(kind, ), metainfo=first.metainfo,
        pipeline=first.pipeline, dataset=dataset)


@pytest.fixture
def spoil(own_shapes, voc, make_config, tmp_path):
    """Spoils a file; the config of the set, what must be said of it."""

    def make(function):
        setting = Setting(own_shapes, voc)
        expected = function(setting)
        config = make_config(
            tmp_path / 'config.py', own_shapes, iters=2, validate=True,
            change=setting.change)
        return config, expected

    return make


@pytest.mark.parametrize('name', LIST_CASES)
def test_no_training_with_a_bad_list(name, spoil, train_here, tmp_path):
    config, expected = spoil(LIST_CASES[name])
    run = train_here(config, '--work-dir', tmp_path / 'work')
    for text in expected:
        assert text in run.line
    assert 'Iter(train)' not in run.output


@pytest.fixture
def no_sample(spoil, train_here, tmp_path):
    """Somebody who trains on a spoilt file is told so."""

    def check(function):
        config, expected = spoil(function)
        run = train_here(config, '--work-dir', tmp_path / 'work')
        line = run.line or draw_all(config)
        for text in expected:
            assert text in line

    return check


@pytest.mark.parametrize('name', FILE_CASES)
def test_no_sample_of_a_bad_file(name, no_sample):
    no_sample(FILE_CASES[name])


@pytest.mark.parametrize('name', XML_EDITS)
def test_no_sample_of_a_bad_object(name, no_sample):
    def edit(s):
        edits, expected = XML_EDITS[name]
        boxes = s.files(s.det_ids[1]).boxes
        for pattern, replacement in edits:
            s.replace_in(boxes, pattern, replacement)
        return [f'{boxes}: ', *expected]

    no_sample(edit)


@pytest.mark.parametrize('list_name, line, kind', ABSENT)
def test_no_sample_without_a_file(list_name, line, kind, no_sample):
    def remove(s):
        path = s.listed(list_name, line, kind)
        path.unlink()
        return [str(path), f'{list_name}.txt']

    no_sample(remove)


@pytest.mark.parametrize('list_name, line, kind, problem', CUT)
def test_no_sample_of_half_a_file(list_name, line, kind, problem, no_sample):
    def cut(s):
        path = s.listed(list_name, line, kind)
        content = path.read_bytes()
        path.write_bytes(content[:len(content) // 2])
        return [str(path), problem]

    no_sample(cut)


def draw_all(config):
    """Draw every sample; what the command would say if one cannot be."""
    cfg = Config.fromfile(config)
    with pytest.raises(SystemExit) as ended, user_errors():
        for loader in (cfg.train_dataloader, cfg.val_dataloader):
            dataset = DATASETS.build(loader.dataset)
            for place in range(len(dataset)):
                dataset[place]
    return ended.value.code
