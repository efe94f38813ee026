# Copyright (c) mmbombo contributors.
"""Image files that are broken, odd or huge, as images, masks and depth."""
import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from mmbombo.apis.images import find_problem
from mmbombo.datasets import DatasetError, PartialVOCDataset
from mmbombo.datasets.checks.every_file import check_sample
from mmbombo.datasets.image_size import read_image_size
from mmbombo.datasets.transforms.load_depth import read_depth

NOISE = np.random.RandomState(0).randint(0, 255, (40, 60, 3), np.uint8)
IDS = (NOISE[..., 0] > 99).astype(np.uint8)


def encode(array, kind='PNG', mode=None, **kwargs):
    image, file = Image.fromarray(array), io.BytesIO()
    (image.convert(mode) if mode else image).save(file, kind, **kwargs)
    return file.getvalue()


def png(width, height, depth=1, rows=None):
    """A gray PNG of zeros; not all rows may be there."""

    def chunk(name, data):
        return (struct.pack('>I', len(data)) + name + data +
                struct.pack('>I', zlib.crc32(name + data)))

    row = bytes(1 + (width * depth + 7) // 8)
    packer, lines = zlib.compressobj(9), []
    for _ in range(height if rows is None else rows):
        lines.append(packer.compress(row))
    data = b''.join(lines) + packer.flush()
    header = struct.pack('>IIBBBBB', width, height, depth, 0, 0, 0, 0)
    return (b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', header) +
            chunk(b'IDAT', data) + chunk(b'IEND', b''))


def spoil(content, at):
    content = bytearray(content)
    content[at] ^= 255
    return bytes(content)


GRAY = NOISE[..., 0]
PNG, JPEG, TIFF = encode(GRAY), encode(GRAY, 'JPEG'), encode(GRAY, 'TIFF')
BOMB, LARGE = png(20000, 20000), 'not decoded'
BROKEN = {
    'empty': b'',
    'html': b'<html>404</html>',
    'png_magic': PNG[:8],
    'png_header': PNG[:33],
    'png_half': PNG[:len(PNG) // 2],
    'png_crc_of_header': spoil(PNG, 29),
    'png_crc_of_data': spoil(PNG, -17),
    'png_data': spoil(PNG,
                      len(PNG) // 2),
    'png_no_side': png(0, 40, 8),
    'jpeg_magic': JPEG[:3],
    'jpeg_half': JPEG[:len(JPEG) // 2],
    'tiff_half': TIFF[:len(TIFF) // 2],
    'tiff_magic': TIFF[:4],
    'zeros': bytes(999),
    'pickle': b'\x80\x04\x95K.',
}
#: Odd, and fit to be trained on.
ODD = {
    'png': encode(NOISE),
    'jpeg': encode(NOISE, 'JPEG'),
    'tiff': encode(NOISE, 'TIFF'),
    'gray': PNG,
    'palette': encode(NOISE, mode='P'),
    'alpha': encode(NOISE, mode='RGBA'),
    'bits': encode(NOISE, mode='1'),
    'cmyk': encode(NOISE, 'JPEG', 'CMYK'),
    'png_16': encode(GRAY.astype(np.uint16) * 257),
    'webp': encode(NOISE, 'WEBP'),
    'bmp': encode(NOISE, 'BMP'),
    'trailing_bytes': PNG + bytes(99),
}


@pytest.fixture
def voc(tmp_path):
    """A source whose second image and mask a test replaces; its own suffix
    does not matter."""
    for name in 'ab':
        (tmp_path / f'{name}.png').write_bytes(PNG)
    (tmp_path / 'mask').mkdir()
    for name in 'ab':
        (tmp_path / f'mask/{name}.png').write_bytes(encode(IDS))
    (tmp_path / 'list.txt').write_text('a\nb\n')
    return tmp_path


def make(root, kinds=('sem_seg', )):
    return PartialVOCDataset(
        data_root=str(root),
        ann_file='list.txt',
        annotation_kinds=kinds,
        data_prefix=dict(
            img_path='', seg_map_path='mask', saliency_path='mask'),
        img_suffix='.png',
        metainfo=dict(classes=('cat', ), seg_classes=('background', 'cat')),
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='LoadPartialAnnotations')
        ],
        test_mode=True)


@pytest.mark.parametrize('name', [*BROKEN, 'float_tiff', 'bomb', 'folder'])
def test_images(voc, name):
    path = voc / 'b.png'
    if name == 'folder':
        path.unlink()
        path.mkdir()
    else:
        path.write_bytes({
            'bomb': BOMB,
            'float_tiff': encode(GRAY / np.float32(7), 'TIFF'),
            **BROKEN
        }[name])
    source = make(voc)
    try:  # OpenCV shows of some what there is
        shown = source[1]['img'].shape == (40, 60, 3)
    except DatasetError as error:
        shown = False
        assert str(path) in str(error)
        assert name != 'bomb' or LARGE in str(error)
    problems = check_sample(source, 1)
    assert shown or (problems and str(path) in problems[0])
    if name != 'float_tiff':
        assert problems and find_problem(path)


@pytest.mark.parametrize('name', ODD)
def test_odd_images_are_read(voc, name):
    (voc / 'b.png').write_bytes(ODD[name])
    source = make(voc)
    assert source[1]['img'].shape == (40, 60, 3)
    assert not check_sample(source, 1)
    assert find_problem(voc / 'b.png') is None
    assert read_image_size(str(voc / 'b.png')) == (40, 60)


@pytest.mark.parametrize('name', [*BROKEN, 'bomb'])
@pytest.mark.parametrize('kind', ['sem_seg', 'saliency', 'depth'])
def test_maps(voc, name, kind):
    path = voc / 'mask/b.png'
    path.write_bytes(BOMB if name == 'bomb' else BROKEN[name])
    with pytest.raises(
            DatasetError,
            match=LARGE
            if name == 'bomb' else 'truncated or not an image') as error:
        if kind == 'depth':
            read_depth(str(path), 1000, ())
        else:
            make(voc, (kind, ))[1]
    assert str(path) in str(error.value)


def test_missing_rows_are_found(voc):
    """Pillow reads them as class 0 without a word."""
    path = voc / 'mask/b.png'
    for rows in (40, 39):
        path.write_bytes(png(60, 40, 8, rows))
        assert not make(voc)[1]['gt_seg_map'].any()
        problems = check_sample(make(voc), 1)
        assert len(problems) == 40 - rows
    assert str(path) in problems[0] and 'rows are missing' in problems[0]


def test_a_bomb_is_not_decoded(voc):
    """Some kilobytes that would be 1.2 GB."""
    path = voc / 'b.png'
    path.write_bytes(BOMB)
    assert len(BOMB) < 10**5
    assert LARGE in find_problem(path)
    with pytest.raises(DatasetError, match=LARGE):
        read_image_size(str(path))
