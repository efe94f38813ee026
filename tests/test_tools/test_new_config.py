# Copyright (c) mmbombo contributors.
"""tools/new_config.py on fabricated layouts: what it says, and a training."""
import json
import runpy
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.runner import Runner
from mmengine.utils import get_installed_path
from PIL import Image

REPO = Path(__file__).resolve().parents[2]
SIZE = (64, 96)
#: Name of an object to its color in images, and its id in masks.
COLORS = dict(car=(200, 40, 40), person=(40, 200, 40), bus=(40, 40, 200))
IDS = dict(car=26, bus=26, person=24)
#: The network in small.
OPTIONS = {
    'model.backbone.init_cfg': None,
    'model.backbone.widen_factor': .25,
    'model.neck.in_channels': [8, 8, 24, 80],
    'train_dataloader.num_workers': 0,
    'train_dataloader.persistent_workers': False,
    'val_dataloader.num_workers': 0,
    'val_dataloader.persistent_workers': False,
    'test_dataloader': None,
    'test_evaluator': None,
    'test_cfg': None,
    'train_cfg.max_iters': 5,
    'train_cfg.val_interval': 5,
    'default_hooks.checkpoint': None
}


def draw(seed):
    """A photograph, its two objects (name, box) and its mask."""
    random = np.random.default_rng(seed)
    image = random.integers(90, 130, (*SIZE, 3), dtype=np.uint8)
    mask = np.zeros(SIZE, np.uint8)
    mask[-8:], mask[0] = 7, 255
    objects = []
    for k, left in enumerate((0, 48)):
        name = [*COLORS][(seed + k) % 3]
        x, y = left + int(random.integers(10)), int(random.integers(2, 20))
        image[y:y + 30, x:x + 30] = COLORS[name]
        mask[y:y + 30, x:x + 30] = IDS[name]
        objects.append((name, (x, y, 30, 30)))
    return image, objects, mask


def names(prefix, count=10):
    return [f'{prefix}{k:02}' for k in range(count)]


def write_images(folder, stems, suffix='.jpg', first=0):
    """Images; what is in them, by name."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn = {}
    for k, stem in enumerate(stems, start=first):
        image, objects, mask = draw(k)
        (folder / stem).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f'{stem}{suffix}')
        drawn[stem] = objects, mask
    return drawn


def write_coco(path, drawn, suffix='.jpg', classes=('car', 'person', 'bus')):
    images, annotations = [], []
    for number, (stem, (objects, _)) in enumerate(drawn.items(), start=1):
        images.append(
            dict(
                id=number,
                file_name=stem + suffix,
                height=SIZE[0],
                width=SIZE[1]))
        annotations += [
            dict(
                id=10 * number + k,
                image_id=number,
                category_id=classes.index(name) + 1,
                bbox=list(box),
                area=box[2] * box[3],
                iscrowd=0) for k, (name, box) in enumerate(objects)
        ]
    categories = [dict(id=k, name=x) for k, x in enumerate(classes, start=1)]
    path.write_text(
        json.dumps(
            dict(
                images=images, annotations=annotations,
                categories=categories)))


def write_masks(folder, drawn, suffix='.png', palette=True):
    for stem, (_, mask) in drawn.items():
        path = folder / f'{stem}{suffix}'
        path.parent.mkdir(parents=True, exist_ok=True)
        image = Image.fromarray(mask)
        if palette:
            image = image.convert('P')
            image.putpalette([*range(256)] * 3)
            image.putdata(mask.ravel().tolist())
        image.save(path)


def write_voc(root, stems):
    drawn = write_images(root / 'JPEGImages', stems)
    (root / 'Annotations').mkdir()
    for stem, (objects, _) in drawn.items():
        text = ''.join(
            f'<object><name>{name}</name><bndbox><xmin>{x + 1}</xmin>'
            f'<ymin>{y + 1}</ymin><xmax>{x + w}</xmax><ymax>{y + h}</ymax>'
            '</bndbox></object>' for name, (x, y, w, h) in objects)
        (root / f'Annotations/{stem}.xml'
         ).write_text(f'<annotation>{text}</annotation>')


@pytest.fixture(scope='module')
def linked():
    """``.mim``, as ``pip install -e`` makes it, if it is not there."""
    mim = Path(get_installed_path('mmbombo')) / '.mim'
    if mim.exists():
        yield
        return
    mim.mkdir()
    for name in ('configs', 'model-index.yml'):
        (mim / name).symlink_to(REPO / name)
    yield
    shutil.rmtree(mim)


@pytest.fixture
def new_config(tmp_path, linked, monkeypatch, capsys):
    """Runs the tool in tmp_path; the config, or what it said."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(REPO / 'tools'))

    def run(*args, out='street.py'):
        monkeypatch.setattr(sys, 'argv',
                            ['new_config.py', *map(str, args), '--out', out])
        runpy.run_path(str(REPO / 'tools/new_config.py'), run_name='__main__')
        assert Path(out).with_suffix(
            '.md').read_text() in capsys.readouterr().out
        assert len(Path(out).read_text().splitlines()) <= 60
        return Config.fromfile(out)

    return run


def lines(path):
    return Path(path).read_text().splitlines()


def train(cfg):
    """Train for five iterations; the metrics of the validation."""
    cfg.merge_from_dict(OPTIONS)
    for loader in ('test_dataloader', 'test_evaluator', 'test_cfg'):
        cfg.pop(loader)
    cfg.work_dir = 'work_dirs'
    cfg.env_cfg.mp_cfg.opencv_num_threads = 1
    runner = Runner.from_cfg(cfg)
    runner.train()
    return runner.message_hub.log_scalars


def mask_words():
    return '--mask-classes', '0=background', '7=road', '24=Person', \
        '26=vehicle'


def write_street_and_city(same_names=False):
    """Boxes in a COCO file, masks with a palette."""
    drawn = write_images(Path('street/images'), names('s'))
    write_coco(Path('street/boxes.json'), drawn)
    stems = names('s' if same_names else 'c')
    write_masks(
        Path('city/labels'), write_images(Path('city/images'), stems, first=3))
    return ('--boxes', 'street/boxes.json', '--masks', 'city/labels')


def test_coco_and_palette_masks(new_config):
    cfg = new_config(*write_street_and_city(), *mask_words(), '--map',
                     'car=vehicle', 'bus=vehicle')
    assert cfg.det_classes == ('car', 'person', 'bus')
    assert cfg.class_map == dict(
        det_classes=('car', 'person', 'bus'),
        seg_classes=('background', 'road', 'Person', 'vehicle'),
        background='background',
        det_to_seg=dict(car='vehicle', bus='vehicle', person='Person'))
    assert cfg.masks.seg_id_map == {0: 0, 7: 1, 24: 2, 26: 3}
    assert [x['type'] for x in cfg.model.weak_losses
            ] == ['BoxForMaskLoss', 'MaskForBoxLoss']
    for source in ('boxes', 'masks'):
        parts = [
            lines(f'street_lists/{source}_{x}.txt') for x in ('train', 'val')
        ]
        assert [len(x) for x in parts] == [9, 1]
        assert len({*parts[0], *parts[1]}) == 10
    report = Path('street.md').read_text()
    assert '- car -> vehicle' in report
    assert '- objects per class: car 7, person 7, bus 6' in report
    scalars = train(cfg)
    assert {'val/det/bbox_mAP', 'val/seg/mIoU',
            'val/joint/score'} <= {*scalars}
    assert {'train/b4m/loss_ce', 'train/loss'} <= {*scalars}


def test_voc_folder_alone(new_config):
    write_voc(Path('voc'), names('v'))
    cfg = new_config('--boxes', 'voc', '--classes', 'car', 'person')
    # in the order of the names
    assert cfg.det_classes == ('car', 'person')
    assert cfg.boxes.unlisted_classes == ['bus']
    assert [*cfg.model.task_heads] == ['det']
    assert 'weak_losses' not in cfg.model
    parts = [lines(f'street_lists/boxes_{x}.txt') for x in ('train', 'val')]
    assert sorted(parts[0] + parts[1]) == names('v')
    assert 'val/det/bbox_mAP' in train(cfg)


def test_cityscapes_names_and_its_validation_folder(new_config):
    for part, count in (('train', 4), ('val', 2), ('test', 1)):
        stems = [f'{part}/aachen/{x}' for x in names(f'{part}_', count)]
        drawn = write_images(
            Path('leftImg8bit'), [f'{x}_leftImg8bit' for x in stems], '.png')
        write_masks(
            Path('gtFine'), {x: drawn[f'{x}_leftImg8bit']
                             for x in stems},
            '_gtFine_labelIds.png',
            palette=False)
    cfg = new_config('--masks', 'gtFine')
    assert cfg.seg_classes[:2] == ('road', 'sidewalk')
    assert len(cfg.seg_classes) == 19
    assert (cfg.masks.seg_id_map[7], cfg.masks.seg_id_map[26]) == (0, 13)
    assert cfg.masks.seg_ignore_ids == (0, )
    # by the folders; what is for testing is in neither
    assert len(lines('street_lists/masks_train.txt')) == 4
    assert lines('street_lists/masks_val.txt') == [
        f'val/aachen/val_0{k}_leftImg8bit.png' for k in range(2)
    ]
    assert 'val/seg/mIoU' in train(cfg)


def test_yolo_and_cityscapes(new_config):
    drawn = write_images(Path('yolo/images'), names('y'))
    Path('yolo/labels').mkdir()
    Path('yolo/data.yaml').write_text('names: [car, person, bus]\n')
    for stem, (objects, _) in drawn.items():
        Path(f'yolo/labels/{stem}.txt').write_text(''.join(
            f'{[*COLORS].index(name)} {(x + w / 2) / SIZE[1]} '
            f'{(y + h / 2) / SIZE[0]} {w / SIZE[1]} {h / SIZE[0]}\n'
            for name, (x, y, w, h) in objects))
    cities = write_images(
        Path('leftImg8bit/train/ulm'),
        [f'{x}_leftImg8bit' for x in names('u')], '.png', 3)
    write_masks(
        Path('gtFine/train/ulm'), {
            x.replace('_leftImg8bit', ''): (objects, mask % 19)
            for x, (objects, mask) in cities.items()
        },
        '_gtFine_labelTrainIds.png',
        palette=False)
    cfg = new_config('--boxes', 'yolo', '--masks', 'gtFine')
    assert cfg.det_classes == ('car', 'person', 'bus')
    assert cfg.class_map.background is None
    # Cityscapes has classes of these names
    assert 'det_to_seg' not in cfg.class_map
    assert 'seg_id_map' not in cfg.masks
    assert '- car -> car' in Path('street.md').read_text()
    assert {'val/det/bbox_mAP', 'val/seg/mIoU'} <= {*train(cfg)}


def test_labelme_and_tags(new_config):
    drawn = write_images(Path('labelme'), names('l'))
    for stem, (objects, _) in drawn.items():
        shapes = [
            dict(
                label=name,
                shape_type='rectangle',
                points=[[x, y], [x + w, y + h]])
            for name, (x, y, w, h) in objects
        ]
        Path(f'labelme/{stem}.json').write_text(
            json.dumps(dict(imagePath=f'{stem}.jpg', shapes=shapes)))
    write_images(Path('tagged/images'), names('t'))
    Path('tagged/tags.csv').write_text(''.join(f'{x}.jpg,car;person\n'
                                               for x in names('t')))
    cfg = new_config('--boxes', 'labelme', '--tags', 'tagged/tags.csv')
    assert cfg.det_classes == ('bus', 'car', 'person')
    assert cfg.cls_classes == ('car', 'person')
    parts = [lines(f'street_lists/boxes_{x}.txt') for x in ('train', 'val')]
    assert sorted(parts[0] + parts[1]) == [f'{x}.jpg' for x in names('l')]
    assert {'val/det/bbox_mAP', 'val/cls/mAP'} <= {*train(cfg)}


def test_colored_masks_and_coco_of_the_same_images(new_config):
    args = write_street_and_city(same_names=True)
    legend = {
        0: ('nothing', (0, 0, 0)),
        7: ('road', (128, 64, 128)),
        24: ('person', (220, 20, 60)),
        26: ('car', (0, 0, 142)),
        255: ('void', (9, 9, 9))
    }
    for path in Path('city/labels').glob('*.png'):
        ids = np.array(Image.open(path))
        colors = np.zeros((*SIZE, 3), np.uint8)
        for number, (_, color) in legend.items():
            colors[ids == number] = color
        Image.fromarray(colors).save(path)
    Path('city/legend.csv').write_text('name,r,g,b\n' + ''.join(
        f'{name},{r},{g},{b}\n' for name, (r, g, b) in legend.values()))
    cfg = new_config(*args)
    # in the order of the colors
    assert cfg.seg_classes == ('nothing', 'car', 'road', 'person')
    assert cfg.masks.seg_ignore_ids == (4, )
    assert cfg.masks.seg_colors[3:] == [(220, 20, 60), (9, 9, 9)]
    report = Path('street.md').read_text()
    assert '- bus -> no mask shows it' in report
    assert '- 10 images have the name of one of masks' in report
    held = [lines(f'street_lists/{x}_val.txt') for x in ('boxes', 'masks')]
    assert held[0] == held[1]
    assert {'val/det/bbox_mAP', 'val/seg/mIoU'} <= {*train(cfg)}


def write_tags():
    drawn = write_images(Path('tagged/images'), names('t'))
    Path('tagged/tags.csv').write_text(''.join(
        f'{x}.jpg,{";".join(name for name, _ in objects)}\n'
        for x, (objects, _) in drawn.items()))
    return '--tags', 'tagged/tags.csv'


def test_tags_alone(new_config):
    cfg = new_config(*write_tags())
    assert cfg.seg_classes == ('background', *cfg.cls_classes)
    scalars = train(cfg)
    assert {'train/t4m/loss_ce', 'train/energy/loss_energy',
            'val/cls/mAP'} <= {*scalars}
    assert 'val/seg/mIoU' not in scalars


def test_tags_alone_with_masks_to_judge_by(new_config):
    write_street_and_city()
    cfg = new_config(*write_tags(), '--val-masks', 'city/labels',
                     '--val-mask-images', 'city/images', '--mask-classes',
                     '0=background', '7=road', '24=person', '26=car')
    assert cfg.seg_classes == ('background', 'road', 'person', 'car')
    assert {*cfg.val_evaluator.metrics} == {'seg', 'cls'}
    assert cfg.default_hooks.checkpoint.save_best == 'seg/mIoU'


def test_given_validation(new_config):
    args = write_street_and_city()
    write_coco(
        Path('street/later.json'),
        write_images(Path('street/images'), names('later', 3)))
    cfg = new_config(*args, *mask_words(), '--val-boxes', 'street/later.json')
    assert len(lines('street_lists/boxes_train.txt')) == 10
    assert [x.source for x in cfg.val_dataloader.dataset.datasets
            ] == ['val_masks', 'val_boxes']


def test_same_seed_same_files(new_config):
    args = (*write_street_and_city(), *mask_words())
    texts = []
    for out, seed in (('a/x.py', 1), ('b/x.py', 1), ('c/x.py', 2)):
        new_config(*args, '--seed', seed, out=out)
        texts.append([(Path(out).parent / x).read_text()
                      for x in ('x_lists/boxes_val.txt', 'x.py')])
    for text, letter in zip(texts, 'abc'):
        text[1] = text[1].replace(f' {letter}/x.py', '')
    assert texts[0] == texts[1]
    assert texts[0][0] != texts[2][0]


@pytest.mark.parametrize('args, said', [
    ((), 'no name for the id.* \\[0, 7, 24, 26\\] .*--mask-classes, such as '
     '0=NAME'),
    (mask_words()[:-1], 'no name for the id.*\\[26\\]'),
    ((*mask_words(), '--map', 'car=van'), '--map car=van: not BOX=MASK'),
    ((*mask_words(), '--classes', 'cow'), "--classes \\['cow'\\]"),
    (('--mask-classes', '0=CAR', '7=C_ar', '24=a', '26=b'),
     "'car' of the boxes may be any of \\['CAR', 'C_ar'\\].*--map car="),
    ((*mask_words(), '--images', 'city'), 'name the folder .* with --images'),
    ((*mask_words(), '--mask-images', 'street/images'),
     'no PNG file is named as an image .*--mask-images'),
    ((*mask_words(), '--boxes', 'city/labels'), 'neither a COCO JSON file'),
    ((*mask_words(), '--mask-images', 'a', 'b'), '1 place.*2 folder'),
])
def test_what_is_ambiguous_is_asked(new_config, args, said):
    with pytest.raises(SystemExit, match=said):
        new_config(*write_street_and_city(), *args)
    assert not list(Path().glob('street[._]*'))


def test_nothing_is_overwritten(new_config):
    args = (*write_street_and_city(), *mask_words())
    new_config(*args)
    text = Path('street.py').read_text()
    with pytest.raises(SystemExit, match='street.py exists'):
        new_config(*args)
    assert Path('street.py').read_text() == text
