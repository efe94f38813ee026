# Copyright (c) mmbombo contributors.
import numpy as np
import pytest
from scipy.io import savemat
from toolbox import CLASSES, write_voc

from mmbombo.datasets import DatasetError, ImageArrayDataset, SeededIndex
from mmbombo.datasets.image_array_dataset import square_crop
from mmbombo.datasets.transforms import RandomPaddedCrop, RandomResizedCrop

DIGITS = tuple('0123456789')
PIPELINE = [
    dict(type='mmdet.LoadImageFromNDArray'),
    dict(type='LoadPartialAnnotations'),
    dict(type='RandomPaddedCrop'),
    dict(type='mmdet.RandomFlip', prob=0.5),
    dict(type='PackMultiTaskInputs')
]
LABELS = np.array([3, 0, 9], np.uint8)


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(
        0, 256, (3, 32, 32, 3), dtype=np.uint8)


def write_cifar10(folder, images):
    planes = images.transpose(0, 3, 1, 2).reshape(3, -1)
    records = np.concatenate([LABELS[:, None], planes], axis=1)
    for i in range(1, 6):  # the images once in five files, the others empty
        records[:0 if i < 5 else 3].tofile(folder / f'data_batch_{i}.bin')


def write_svhn(folder, images):
    labels = np.where(LABELS == 0, 10, LABELS)[:, None]
    savemat(folder / 'train_32x32.mat',
            dict(X=images.transpose(1, 2, 3, 0), y=labels))


def write_stl10(folder, images):
    # column by column: y runs fastest
    images.transpose(0, 3, 2, 1).tofile(folder / 'train_X.bin')
    (LABELS + 1).tofile(folder / 'train_y.bin')


def build(folder, reader, split='train', **kwargs):
    return ImageArrayDataset(
        **{
            **dict(
                data_root=str(folder),
                reader=reader,
                split=split,
                metainfo=dict(cls_classes=DIGITS),
                data_help='Get it.',
                pipeline=PIPELINE),
            **kwargs
        })


@pytest.mark.parametrize('reader, write, side',
                         [('cifar10', write_cifar10, 32),
                          ('svhn', write_svhn, 32),
                          ('stl10', write_stl10, 96)])
def test_published_files(tmp_path, images, reader, write, side):
    images = images.repeat(side // 32, 1).repeat(side // 32, 2)
    write(tmp_path, images)
    data = build(tmp_path, reader)
    assert len(data) == 3
    for i, label in enumerate(LABELS):
        info = data.get_data_info(i)
        assert np.array_equal(info['img'], images[i, ..., ::-1])
        assert np.flatnonzero(info['image_labels']).tolist() == [label]
    sample = data[SeededIndex(0, 1)]
    assert sample['inputs'].shape == (3, side, side)
    assert sample['data_samples'].gt_image_label.label.argmax() == 3
    # the transforms worked on a copy
    assert np.array_equal(data.images[..., ::-1], images)


@pytest.mark.parametrize('reader', ['cifar10', 'svhn', 'stl10', 'voc_objects'])
def test_missing_files(tmp_path, reader):
    with pytest.raises(DatasetError, match="part 'train' of .*Get it"):
        build(tmp_path, reader)
    with pytest.raises(DatasetError, match='data_root .* does not exist'):
        build(tmp_path / 'no', reader)


def test_broken_file(tmp_path, images):
    write_cifar10(tmp_path, images)
    with open(tmp_path / 'data_batch_5.bin', 'ab') as file:
        file.write(b'x')
    with pytest.raises(DatasetError, match="part 'train' of 'cifar10'"):
        build(tmp_path, 'cifar10')


@pytest.mark.parametrize('content, message', [
    (dict(y=[[3], [1], [2], [1]]), '3 images of uint8, 4 labels'),
    (dict(y=np.array([['a'], ['b'], ['c']], object)), "part 'train'"),
    (dict(X=np.zeros((32, 32, 3, 3))), 'images of float64'),
])
def test_wrong_arrays(tmp_path, images, content, message):
    content = dict(
        dict(X=images.transpose(1, 2, 3, 0), y=[[3], [1], [2]]), **content)
    savemat(tmp_path / 'train_32x32.mat', content)
    with pytest.raises(DatasetError, match=message):
        build(tmp_path, 'svhn')


@pytest.mark.parametrize('reader, write, label',
                         [('cifar10', write_cifar10, 77),
                          ('stl10', write_stl10, 255)])
def test_wrong_labels(tmp_path, images, reader, write, label, monkeypatch):
    # STL-10 counts from 1, so 255 is written as 0
    monkeypatch.setitem(globals(), 'LABELS', np.array([3, label, 9], np.uint8))
    side = 3 if reader == 'stl10' else 1
    write(tmp_path, images.repeat(side, 1).repeat(side, 2))
    with pytest.raises(DatasetError, match=rf'label\(s\) \[{label}\] of 10'):
        build(tmp_path, reader)


def test_objects_of_a_tree(tmp_path):
    data = build(
        write_voc(tmp_path / 'voc'),
        'voc_objects',
        metainfo=dict(cls_classes=CLASSES))
    assert len(data) > 8
    for i in range(len(data)):
        info = data.get_data_info(i)
        # write_voc() paints an object at a level of its class
        label = np.flatnonzero(info['image_labels'])[0]
        center = info['img'][14:18, 14:18].mean()
        levels = [120 + 40 * x for x in range(3)]
        # another object may be painted above it
        assert min(abs(center - level) for level in levels) < 45
        if abs(center - levels[label]) < 15:
            break
    else:
        raise AssertionError('no object is at its place')


def test_square_crop():
    image = np.arange(100, dtype=np.uint8).reshape(10, 10, 1).repeat(3, 2)
    crop = square_crop(image, [2, 4, 6, 6], 4)  # 4 x 2 pixels: rows 3 to 6
    assert np.array_equal(crop, image[3:7, 2:6])
    crop = square_crop(image, [0, 2, 2, 6], 4)  # a column is outside
    assert np.array_equal(crop, image[2:6][:, [0, 0, 1, 2]])


def test_random_padded_crop():
    image = np.arange(64, dtype=np.uint8).reshape(8, 8, 1).repeat(3, 2)
    np.random.seed(0)
    crop = RandomPaddedCrop(padding=2, padding_mode='constant')
    seen = set()
    for _ in range(300):
        moved = crop(dict(img=image, img_shape=(8, 8)))['img']
        assert moved.shape == image.shape
        y, x = np.argwhere(moved[..., 0] == 27)[0]  # of row 3, column 3
        seen.add((y, x))
    assert seen == {(y, x) for y in range(1, 6) for x in range(1, 6)}
    mirrored = RandomPaddedCrop(padding=2)(dict(img=image))['img']
    assert set(np.unique(mirrored)) <= set(range(64))


def test_random_resized_crop():
    image = np.zeros((60, 80, 3), np.uint8)
    image[..., 0] = np.arange(80)
    crop = RandomResizedCrop(scale=24)
    spans = []
    for seed in range(200):
        np.random.seed(seed)
        out = crop(dict(img=image))
        assert out['img'].shape == (24, 24, 3) and out['img_shape'] == (24, 24)
        row = out['img'][0, :, 0].astype(int)
        spans.append(row[-1] - row[0])
    # widths of sqrt(area * ratio), of 8 to 100 % and 3/4 to 4/3
    assert min(spans) < 25 and max(spans) > 60
    long = np.zeros((4, 90, 3), np.uint8)
    assert crop(dict(img=long))['img'].shape == (24, 24, 3)
