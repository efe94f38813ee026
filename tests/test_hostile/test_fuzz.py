# Copyright (c) mmbombo contributors.
"""Every reader is fed valid files with a few mutations.

The outcome is a first sample, or one line that names a file; nothing else.
``MMBOMBO_FUZZ=1000 pytest -s tests/test_hostile/test_fuzz.py`` tries so many
of each file, at random, and counts the outcomes.
"""
import copy
import json
import os
import re
import resource
import sys
from collections import Counter
from pathlib import Path
from shutil import copyfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from toolbox import load_script

from mmbombo.datasets import PartialAnnotationDataset
from mmbombo.datasets.coco_json import read_coco_json
from mmbombo.datasets.posed_rgbd_dataset import read_boxes
from mmbombo.registry import DATASETS
from mmbombo.utils import UserError

TOOLS = Path(__file__).resolve().parents[2] / 'tools'
for folder in (TOOLS, TOOLS / 'dataset_converters'):
    sys.path.insert(0, str(folder))  # where tools find their parts
semantic = load_script(TOOLS / 'dataset_converters/coco_semantic.py')
new_config = load_script(TOOLS / 'new_config.py')
NUM = int(os.environ.get('MMBOMBO_FUZZ', 0))
SCALARS = [
    None, True, 0, 1, -1, 2, .5, 1e308, -1e308, 10**400,
    float('nan'),
    float('inf'), '', '0', 'x', '\0', '../x', 'é' * 99, [], {}, [[]], [None],
    [0] * 4, ['1'] * 4, [[1, 2, 3, 4]], {
        'id': 1
    }
]
WORDS = [
    '', '0', '-1', '1e999', 'nan', '1_0', '٣', 'x', '<', '>', '/', '"', '&a;',
    '&#0;', ',', ';', ':', '\n', '\r', '\0', '\t', '#', '{', '[', '!!x ',
    '<object>', 'é', '\ud800', '9' * 400, '*a', '-', '%'
]
DROP, TWICE, DEEP = 'drop', 'twice', 'deep'
PLACES = st.integers(0, 10**6)
#: Places, and what comes there.
MUTATIONS = st.lists(
    st.tuples(PLACES, st.sampled_from([*range(32), DROP, TWICE, DEEP])),
    min_size=1,
    max_size=3)
BOX, SQUARE = [4, 4, 20, 16], [[4, 4, 24, 4, 24, 20, 4, 20]]
LOAD = [dict(type='LoadImageFromFile'), dict(type='LoadPartialAnnotations')]
OUTCOMES: Counter = Counter()


def slots(value):
    """All (container, key) in a JSON value."""
    pairs = [*value.items()] if isinstance(
        value,
        dict) else [*enumerate(value)] if isinstance(value, list) else []
    return [(value, key) for key, _ in pairs
            ] + [slot for _, x in pairs for slot in slots(x)]


def mutate_json(text, mutations):
    content = json.loads(text)
    for place, what in mutations:
        found = slots(content)
        if not found:
            break
        parent, key = found[place % len(found)]
        if what == DROP:
            del parent[key]
        elif what == TWICE and isinstance(parent, list):
            parent.append(copy.deepcopy(parent[key]))
        elif what == DEEP:
            parent[key] = 'DEEP'
        else:
            parent[key] = [] if what == TWICE else copy.deepcopy(
                SCALARS[what % len(SCALARS)])
    return json.dumps(content).replace('"DEEP"',
                                       '[' * 10**5 + ']' * 10**5).encode()


def mutate_text(text, mutations):
    words = re.findall(r'[\w.\-]+|\s|[^\w\s]', text)
    for place, what in mutations:
        at = place % len(words)
        changed = {DROP: '', TWICE: words[at] * 2, DEEP: words[at][:9] * 10**4}
        words[at] = changed[what] if what in changed else WORDS[what %
                                                                len(WORDS)]
    return ''.join(words).encode('utf-8', 'surrogatepass')


def mutate_bytes(content, mutations):
    content = bytearray(content)
    for place, what in mutations:
        # most of them in the headers
        at = place % min(len(content), 64 if place % 3 else 10**6)
        if what == DROP:
            del content[at:]
        elif what == TWICE:
            content[at:at] = content[at:at + 16]
        else:
            content[at] = 255 if what == DEEP else content[at] ^ 1 << what % 8
        if not content:
            break
    return bytes(content)


def wrap(root, kind='bbox', **dataset):
    return PartialAnnotationDataset(
        dataset=dataset,
        annotation_kinds=(kind, ),
        metainfo=dict(classes=('cat', ), seg_classes=('cat', 'dog')),
        pipeline=LOAD,
        test_mode=True)[0]


def coco(root):
    return wrap(
        root,
        type='mmdet.CocoDataset',
        ann_file=f'{root}/coco.json',
        data_prefix=dict(img=str(root)))


def voc(root, type='PartialVOCDataset', **kwargs):
    config = dict(
        type='PartialVOCDataset',
        data_root=str(root),
        ann_file='list.txt',
        annotation_kinds=('bbox', 'image_label', 'sem_seg', 'saliency'),
        data_prefix=dict(
            img_path='',
            ann_path='',
            seg_map_path='mask',
            saliency_path='mask'),
        img_suffix='.png',
        metainfo=dict(classes=('cat', ), seg_classes=('cat', 'dog')),
        pipeline=LOAD,
        test_mode=True)
    return DATASETS.build({**config, **kwargs})[0]


def xml_set(root):
    return wrap(
        root,
        type='mmdet.XMLDataset',
        data_root=str(root),
        ann_file='list.txt',
        ann_subdir='',
        img_subdir='',
        data_prefix=dict(sub_data_root=''))


def yolo(root):
    return PartialAnnotationDataset(
        dataset=dict(
            type='YOLODataset',
            ann_file=f'{root}/data.yaml',
            data_prefix=dict(img_path=str(root), label_path=str(root))),
        annotation_kinds=('bbox', ),
        pipeline=LOAD,
        test_mode=True)[0]


def labelme(root, kind):
    return wrap(
        root,
        kind,
        type='LabelMeDataset',
        data_prefix=dict(img_path=f'{root}/lm'))


def tags(root):
    return DATASETS.build(
        dict(
            type='ImageLabelDataset',
            ann_file=f'{root}/tags.csv',
            data_prefix=dict(img_path=str(root)),
            metainfo=dict(cls_classes=('cat', )),
            pipeline=LOAD,
            test_mode=True))[0]


def posed(root):
    return DATASETS.build(
        dict(
            type='PosedRGBDDataset',
            annotation_kinds=('depth', 'pose'),
            data_root=f'{root}/scene',
            scenes=('.', ),
            color='{}.color.png',
            depth='{}.depth.png',
            pose='{}.pose.txt',
            intrinsics='k.txt',
            depth_scale=1000,
            pipeline=LOAD,
            test_mode=True))[0]


def stanford(root):
    return DATASETS.build(
        dict(
            type='Stanford2D3DSDataset',
            annotation_kinds=('pose', 'sem_seg'),
            data_root=f'{root}/stanford',
            scenes=('area_1', ),
            pipeline=LOAD,
            test_mode=True))[0]


def shapes(root):
    content = read_coco_json(f'{root}/coco.json')
    return [
        semantic.draw_map((40, 60), [(x, 1)]) for x in content['annotations']
    ]


def panoptic(root):
    ann_file = dict(ann_file='panoptic.json', instance_ann_file='coco.json')
    return DATASETS.build(
        dict(
            type='CocoPanopticInstanceDataset',
            data_root=str(root),
            data_prefix=dict(img='', seg='panoptic'),
            metainfo=dict(
                classes=('cat', 'sky'),
                thing_classes=('cat', ),
                stuff_classes=('sky', )),
            pipeline=[LOAD[0], dict(type='LoadPanopticInstances')],
            test_mode=True,
            **ann_file))[0]


def own(root, *options):
    """The config that new_config.py writes for data of a format."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, 'argv', ['', *options, '--out', 'own.py'])
        args = new_config.parse_args()
    plan = new_config.make_plan(args, Path('own.py'))
    return new_config.write_config(plan), new_config.write_report(plan)


def own_boxes(root, place):
    return own(root, '--boxes', f'{root}/own/{place}')


def own_masks(root):
    return own(root, '--masks', f'{root}/own/masks/masks')


#: File, how it is changed, what reads it.
READERS = {
    'coco': ('coco.json', mutate_json, coco),
    'coco_text': ('coco.json', mutate_text, coco),
    'coco_boxes': ('coco.json', mutate_json,
                   lambda root: read_boxes(f'{root}/coco.json', ('cat', ))),
    'coco_shapes': ('coco.json', mutate_json, shapes),
    'voc': ('1.xml', mutate_text, voc),
    'xml_set': ('1.xml', mutate_text, xml_set),
    'id_list': ('list.txt', mutate_text, voc),
    'yolo': ('1.txt', mutate_text, yolo),
    'yolo_names': ('data.yaml', mutate_text, yolo),
    'labelme_boxes':
    ('lm/1.json', mutate_json, lambda root: labelme(root, 'bbox')),
    'labelme_masks':
    ('lm/1.json', mutate_json, lambda root: labelme(root, 'sem_seg')),
    'tags': ('tags.csv', mutate_text, tags),
    'pose': ('scene/1.pose.txt', mutate_text, posed),
    'intrinsics': ('scene/k.txt', mutate_text, posed),
    'depth': ('scene/1.depth.png', mutate_bytes, posed),
    'stanford_pose': ('stanford/area_1/data/pose/camera_0_office_1_frame_0_'
                      'domain_pose.json', mutate_json, stanford),
    'stanford_labels':
    ('stanford/assets/semantic_labels.json', mutate_json, stanford),
    'image': ('1.png', mutate_bytes, voc),
    'mask': ('mask/1.png', mutate_bytes, voc),
    'panoptic': ('panoptic.json', mutate_json, panoptic),
    'panoptic_instances': ('coco.json', mutate_json, panoptic),
    'panoptic_map': ('panoptic/1.png', mutate_bytes, panoptic),
    'own_coco': ('own/coco/coco.json', mutate_json,
                 lambda root: own_boxes(root, 'coco/coco.json')),
    'own_voc':
    ('own/voc/1.xml', mutate_text, lambda root: own_boxes(root, 'voc')),
    'own_yolo': ('own/yolo/labels/1.txt', mutate_text,
                 lambda root: own_boxes(root, 'yolo')),
    'own_yolo_names': ('own/yolo/data.yaml', mutate_text,
                       lambda root: own_boxes(root, 'yolo')),
    'own_labelme':
    ('own/lm/1.json', mutate_json, lambda root: own_boxes(root, 'lm')),
    'own_tags': ('own/tags/tags.csv', mutate_text,
                 lambda root: own(root, '--tags', f'{root}/own/tags/tags.csv')
                 ),
    'own_masks': ('own/masks/masks/1.png', mutate_bytes, own_masks),
    'own_mask_names': ('own/masks/classes.txt', mutate_text, own_masks),
    'own_record': ('own/record/semantic.json', mutate_json, lambda root: own(
        root, '--masks', f'{root}/own/masks/masks', '--mask-classes',
        f'{root}/own/record/semantic.json')),
}


def write_all(root):
    """A valid file of each format, of an image (40 high, 60 wide)."""
    for folder in ('lm', 'mask', 'panoptic', 'scene', 'stanford/assets',
                   *(f'stanford/area_1/data/{x}'
                     for x in ('rgb', 'pose', 'semantic', 'depth'))):
        (root / folder).mkdir(parents=True)
    noise = np.random.RandomState(0)
    image = Image.fromarray(noise.randint(0, 255, (40, 60, 3), np.uint8))
    mask = Image.fromarray(noise.randint(0, 2, (40, 60)).astype(np.uint8))
    depth = Image.fromarray(noise.randint(0, 999, (40, 60)).astype(np.uint16))
    name = 'stanford/area_1/data/{0}/camera_0_office_1_frame_0_domain_{0}.'
    image.save(root / '1.jpg')
    for path in ('1.png', 'scene/1.color.png', name.format('rgb') + 'png'):
        image.save(root / path)
    mask.save(root / 'mask/1.png')
    depth.save(root / 'scene/1.depth.png')
    indices = np.zeros((40, 60, 3), np.uint8)
    indices[:9, :, 2] = 1
    Image.fromarray(indices).save(root / (name.format('semantic') + 'png'))
    Image.fromarray(indices[:, :, ::-1]).save(root / 'panoptic/1.png')
    camera = [[50, 0, 30], [0, 50, 20], [0, 0, 1]]
    pose = np.eye(4)[:3].tolist()
    texts = {
        'list.txt':
        '1\n',
        '1.txt':
        '0 .5 .5 .2 .2\n1 .1 .2 .3 .2 .3 .9 .25 1\n',
        'data.yaml':
        'train: images\nnames: {0: cat, 1: dog}\nnc: 2\n',
        'tags.csv':
        'file,labels\n1.png,cat;cat\n',
        '1.xml':
        '<annotation><size><width>60</width><height>40</height>'
        '</size><object><name>cat</name><difficult>0</difficult><bndbox>'
        '<xmin>5</xmin><ymin>5</ymin><xmax>24</xmax><ymax>20</ymax>'
        '</bndbox></object></annotation>',
        'scene/1.pose.txt':
        '1 0 0 0\n0 1 0 0\n0 0 1 0\n0 0 0 1\n',
        'scene/k.txt':
        '50 0 30\n0 50 20\n0 0 1\n',
    }
    annotation = dict(image_id=1, category_id=3, bbox=BOX, area=320, iscrowd=0)
    segment = dict(bbox=BOX, area=320, iscrowd=0)
    run_lengths = dict(size=[40, 60], counts=[5, 2395])
    contents = {
        'coco.json':
        dict(
            images=[dict(id=1, file_name='1.png', height=40, width=60)],
            annotations=[
                dict(annotation, id=7, segmentation=SQUARE),
                dict(annotation, id=8, segmentation=run_lengths)
            ],
            categories=[dict(id=3, name='cat')]),
        'lm/1.json':
        dict(
            imagePath='../1.png',
            shapes=[
                dict(
                    label='cat', points=[[12, 12], [18, 18]], shape_type=shape)
                for shape in ('rectangle', 'circle')
            ]),
        'panoptic.json':
        dict(
            images=[dict(id=1, file_name='1.jpg', height=40, width=60)],
            annotations=[
                dict(
                    image_id=1,
                    file_name='1.png',
                    segments_info=[
                        dict(segment, id=1, category_id=3),
                        dict(segment, id=0, category_id=4)
                    ])
            ],
            categories=[
                dict(id=3, name='cat', isthing=1),
                dict(id=4, name='sky', isthing=0)
            ]),
        name.format('pose') + 'json':
        dict(camera_k_matrix=camera, camera_rt_matrix=pose),
        'stanford/assets/semantic_labels.json':
        [f'{x}_1_office_1_area_1' for x in ('wall', 'chair')],
    }
    texts.update((path, json.dumps(x)) for path, x in contents.items())
    for path, text in texts.items():
        (root / path).write_text(text)
    write_own(root)


def write_own(root):
    """Folders as users have them, of four images."""
    for folder in ('coco', 'voc', 'yolo/labels', 'yolo/images', 'lm', 'tags',
                   'masks/masks', 'masks/images', 'record'):
        (root / 'own' / folder).mkdir(parents=True)
    content = json.loads((root / 'coco.json').read_text())
    content['images'] = [
        dict(content['images'][0], id=i, file_name=f'{i}.png')
        for i in range(1, 5)
    ]
    texts = {
        'coco/coco.json': json.dumps(content),
        'yolo/data.yaml': (root / 'data.yaml').read_text(),
        'tags/tags.csv': ''.join(f'{i}.png,cat;dog\n' for i in range(1, 5)),
        'masks/classes.txt': 'cat\ndog\n',
        'record/semantic.json': '{"classes": ["cat", "dog"]}',
    }
    shapes = (root / 'lm/1.json').read_text()
    for i in range(1, 5):
        texts[f'voc/{i}.xml'] = (root / '1.xml').read_text()
        texts[f'yolo/labels/{i}.txt'] = (root / '1.txt').read_text()
        texts[f'lm/{i}.json'] = shapes.replace('../1.png', f'{i}.png')
        for folder in ('coco', 'voc', 'yolo/images', 'lm', 'tags',
                       'masks/images'):
            copyfile(root / '1.png', root / 'own' / folder / f'{i}.png')
        copyfile(root / 'mask/1.png', root / f'own/masks/masks/{i}.png')
    for path, text in texts.items():
        (root / 'own' / path).write_text(text)


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    """The files, and no more memory than they need."""
    root = tmp_path_factory.mktemp('fuzz')
    write_all(root)
    old = resource.getrlimit(resource.RLIMIT_AS)
    used = int(open('/proc/self/statm').read().split()[0]) * 4096
    resource.setrlimit(resource.RLIMIT_AS, (used + 3 * 2**30, old[1]))
    with pytest.MonkeyPatch.context() as patch:
        # each data set collects garbage, which takes most of the time
        patch.setattr('gc.collect', lambda *_: 0)
        yield root
    resource.setrlimit(resource.RLIMIT_AS, old)
    if NUM:
        print('', *sorted(OUTCOMES.items()), sep='\n')


@pytest.mark.parametrize('name', READERS)
@pytest.mark.filterwarnings('ignore')
def test_a_sample_or_a_line(root, name):
    file, mutate, read = READERS[name]
    path = root / file
    valid = path.read_bytes()
    source = valid if mutate is mutate_bytes else valid.decode()
    assert read(root) is not None
    faults = {}

    @settings(
        max_examples=NUM or 25,
        derandomize=not NUM,
        database=None,
        suppress_health_check=[*HealthCheck])
    @given(MUTATIONS)
    def check(mutations):
        path.write_bytes(mutate(source, mutations))
        try:
            outcome = 'accepted'
            read(root)
        except UserError as error:
            outcome = 'one line'
            if str(root) not in str(error):
                outcome = f'no file: {error}'[:200]
        except Exception as error:
            outcome = f'{type(error).__name__}: {error}'[:200]
        OUTCOMES[name, outcome.partition(':')[0]] += 1
        if outcome not in ('accepted', 'one line'):
            faults.setdefault(outcome, mutations)

    try:
        check()
    finally:
        path.write_bytes(valid)
    assert not faults
