# Copyright (c) mmbombo contributors.
"""What ``import mmbombo`` does to MMCV's operators."""
import subprocess
import sys

import pytest

from mmbombo.ops import operators_in_use

#: An environment without compiled operators, whatever this one has.
WITHOUT_EXT = '''
import sys
from importlib.machinery import PathFinder

class NoExt(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name == 'mmcv._ext':
            return None
        return super().find_spec(name, path, target)

sys.meta_path = [NoExt if finder is PathFinder else finder
                 for finder in sys.meta_path]
'''
USE = '''
import mmbombo
import mmdet.models, mmseg.models, mmcv.ops, torch
from mmbombo.ops import operators_in_use
box = torch.tensor([[0., 0., 9., 9.], [0., 0., 9., 8.]])
assert mmcv.ops.nms(box, torch.tensor([.5, .7]), .5)[1].tolist() == [1]
'''


def run(code):
    return subprocess.run([sys.executable, '-c', code],
                          stdin=subprocess.DEVNULL,
                          capture_output=True,
                          text=True)


def test_compiled_operators_are_left_alone(compiled):
    assert compiled.__file__.endswith('.so')
    assert not hasattr(compiled, 'get_source')
    done = run(USE + 'print(operators_in_use(), mmcv._ext.__file__)')
    assert done.stdout.endswith(f'compiled {compiled.__file__}\n'), done.stderr


def test_libraries_work_without_compiled_operators():
    done = run(WITHOUT_EXT + USE + '''
from mmdet.apis import DetInferencer
from mmcv.utils.env import collect_env
print(operators_in_use())
print(collect_env()['MMCV Compiler'])
try:
    mmcv.ops.nms_rotated(torch.rand(2, 5), torch.rand(2), .5)
except NotImplementedError as error:
    print(error)
''')
    assert done.returncode == 0, done.stderr
    *_, source, compiler, error = done.stdout.splitlines()
    assert source in ('torch', 'torchvision')
    assert compiler == 'not compiled'
    assert error.startswith('nms_rotated is an operator of compiled MMCV')
    assert 'pip install' in error


def test_broken_operators_say_why_and_what_to_do(tmp_path):
    """Compiled for another PyTorch, for example."""
    broken = tmp_path / '_ext.py'
    broken.write_text('raise ImportError("undefined symbol: _ZN2at4cpu")')
    done = run(f'import mmcv; mmcv.__path__.insert(0, {str(tmp_path)!r})\n'
               'import mmbombo')
    assert done.returncode == 1
    assert ('  - mmcv has broken compiled operators: undefined symbol: '
            '_ZN2at4cpu\n') in done.stderr
    assert 'mmcv-lite==2.1.0' in done.stderr


def test_failed_import_of_mmdetection_can_be_repeated():
    """The stand-in does not come too late for it."""
    if operators_in_use() == 'compiled':
        pytest.skip("OneDL's MMDetection does not fail")
    done = run('''
try:
    import mmdet.models
except ModuleNotFoundError as error:
    print(error)
import mmbombo, mmdet.models
from mmdet.registry import MODELS
print(MODELS.get('GFLHead'))
''')
    assert done.stdout == ("No module named 'mmcv._ext'\n<class "
                           "'mmdet.models.dense_heads.gfl_head.GFLHead'>\n")
