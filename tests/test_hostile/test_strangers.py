# Copyright (c) mmbombo contributors.
"""Checkpoints of a stranger: nothing in them runs, through any entrance.

A table: file -> cases -> command -> expected. ``NAMES``, ``TEXTS``,
``PICKLES`` and ``CONTENTS`` are what a file holds; the tests are the commands,
in this process. Expected is one line that names the file, or ``ACCEPTED``. To
add a case, add a line to a table.
"""
import importlib
import json
import pickle
import re
import sys
import tarfile
import zipfile
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from mmengine.runner import CheckpointLoader
from PIL import Image
from safetensors.torch import save_file
from toolbox import load_script, tiny_model_cfg

from mmbombo.apis import MultiTaskInferencer
from mmbombo.registry import MODELS
from mmbombo.utils import user_errors
from mmbombo.utils.checkpoint import READS_SAFELY, load_checkpoint_safely

REPO = Path(__file__).resolve().parents[2]
end_to_end = load_script(REPO / 'tests/test_end_to_end/conftest.py')
commands, shapes, make_config = (
    getattr(end_to_end, x) for x in ('commands', 'shapes', 'make_config'))
ACCEPTED = 'accepted'
REFUSED = "the config in checkpoint '{}' names '.*--trust-checkpoint"
NO_CONFIG = "checkpoint '{}' has no config that could be used"
#: Modules in the current folder, which a type may try to import. mpl_toolkits
#: is a package without a file, to which any folder can add.
MODULES = ('evilmod', 'LoggerHook', 'evilpack.registry', 'evilpack.utils',
           'mpl_toolkits.registry', 'mpl_toolkits.utils')
#: What a config names, and where.
NAMES = {
    'dotless': dict(type='evilmod'),
    'dotted': dict(type='evilmod.Net'),
    'package': dict(type='evilpack.registry.Net'),
    'scope': dict(type='Net', _scope_='evilpack'),
    'open_package': dict(type='Net', _scope_='mpl_toolkits'),
    'known_under_scope': dict(type='Net7', _scope_='mmdet'),
    'standard_library': dict(type='ResNet', _scope_='os'),
    'reads_a_pickle': dict(type='mmengine.load', file='x.pkl'),
    'builds': dict(type='mmdet.apis.init_detector'),
    'unknown': dict(type='mmdet.no_such_thing'),
    'replaced': dict(type='evilmod', _delete_=True),
    'function': dict(type='os.system', command='touch touched'),
    'loader': dict(type='torch.load', f='x.pth', weights_only=False),
    'expression': dict(type='open("touched", "w")'),
    'evaluates': dict(
        type='mmdet.CameraMotionCompensation',
        warp_mode='open("touched", "w")'),
    'imports': dict(type='mmseg.VPD', diffusion_cfg=dict(target='evilmod')),
    'unpickles': dict(
        type='mmseg.LoadBiomedicalData', decode_backend='pickle'),
}
PLACES = ('model', 'model.neck', 'model.data_preprocessor',
          'model.task_heads.det.test_cfg.nms', 'model.weak_losses.0',
          'visualizer', 'visualizer.vis_backends.0', 'custom_hooks.0',
          'default_hooks.checkpoint', 'val_evaluator.metrics.0',
          'test_dataloader.dataset.pipeline.1', 'test_dataloader.collate_fn',
          'optim_wrapper', 'train_cfg', 'log_processor')
#: Texts of configs, after that of a model that can be used.
TEXTS = {
    'call': ("x = open('touched', 'w')", NO_CONFIG),
    'import': ('import evilmod', NO_CONFIG),
    'from': ('from evilmod import Net', NO_CONFIG),
    'lambda': ("x = (lambda: open('touched', 'w'))()", NO_CONFIG),
    'class': ("class A:\n    x = open('touched', 'w')", NO_CONFIG),
    'if': ("if open('touched', 'w'):\n    x = 1", NO_CONFIG),
    'comprehension': ("x = [open('touched', 'w') for _ in '1']", NO_CONFIG),
    'decorated': ('@open\ndef touched(): pass', NO_CONFIG),
    'f_string': ("x = f'{open(\"touched\", \"w\")}'", NO_CONFIG),
    'walrus': ("x = (y := open('touched', 'w'))", NO_CONFIG),
    'base': ("_base_ = 'evilmod.py'", NO_CONFIG),
    'template': ("x = '{{ fileDirname }}'", NO_CONFIG),
    'environment': ("x = '{{$HOME:}}'", NO_CONFIG),
    'lazy': ('with read_base():\n    from .evilmod import *', NO_CONFIG),
    'file_name': ("filename = 'evilmod.py'", NO_CONFIG),
    'own_text': ("text = 'import evilmod'", NO_CONFIG),
    'pretty': ("pretty_text = 'import evilmod'", NO_CONFIG),
    'variables': ("env_variables = dict(A='1')", NO_CONFIG),
    'signs': ('x = ' + '-' * 50000 + '1', NO_CONFIG),
    'brackets': ('x = ' + '[' * 300 + ']' * 300, NO_CONFIG),
    'null': ("x = '\0'", NO_CONFIG),
    'key_that_is_a_list': ('x = {[]: 1}', NO_CONFIG),
    'imports_list': ("custom_imports = ['evilmod']", NO_CONFIG),
    'imports_number': ('custom_imports = 5', NO_CONFIG),
    'imports_nested': ("custom_imports = dict(imports=[['evilmod']])",
                       NO_CONFIG),
    'imports': ("custom_imports = dict(imports=['evilmod'])", NO_CONFIG),
    'imports_twice': ("custom_imports = dict(imports=['torch'])\n"
                      "custom_imports = dict(imports=['evilmod'])", NO_CONFIG),
    'scope': ("default_scope = 'evilpack'", ACCEPTED),
    'open_scope': ("default_scope = 'mpl_toolkits'", ACCEPTED),
    'model_number': ('model = 3', "config in checkpoint '{}' has no model"),
    'model_list': ('model = []', "config in checkpoint '{}' has no model"),
    'model_name': ("model = 'evilmod'",
                   "config in checkpoint '{}' has no model"),
}
#: Pickles, as their operations.
PICKLES = {
    'system': b'cos\nsystem\n(S"touch touched"\ntR.',
    'posix': b'\x80\x02cposix\nsystem\nX\x0d\x00\x00\x00touch touched\x85R.',
    'eval': b'cbuiltins\neval\n(S"open(\'touched\', \'w\')"\ntR.',
    'open': b'cbuiltins\nopen\n(S"touched"\nS"w"\ntR.',
    'instance': b'(S"touch touched"\nios\nsystem\n.',
    'object': b'(cos\nsystem\nS"touch touched"\no.',
    'stack_global': b'\x80\x04\x8c\x02os\x8c\x06system\x93'
    b'\x8c\x0dtouch touched\x85R.',
    'module': b'cevilmod\nNet\n)R.',
    'module_new': b'\x80\x02cevilmod\nNet\n)\x81.',
    'submodule': b'cevilpack.registry\nNet\n.',
    'registry': b'cmmengine.registry\nMODELS\n.',
    'partial': b'cfunctools\npartial\n(cos\nsystem\nS"touch touched"\ntR.',
    'hub': b'ctorch.hub\nload\n(S"."\nS"evilmod"\ntR.',
    'inner': b'ctorch.storage\n_load_from_bytes\n(S"x"\ntR.',
    'code': b'ctypes\nCodeType\n.',
    'attribute': b'cbuiltins\ngetattr\n(cbuiltins\nbytes\nS"join"\ntR.',
    'methods': b'cbuiltins\ngetattr\n(cmmengine.logging.history_buffer\n'
    b'HistoryBuffer\nS"__init__"\ntR.',
    'records': b'cnumpy\ndtype\n(S"O"\ntR.',
    'pointers': b'cnumpy\nndarray\n((I1\ntS"O"\ntR.',
    'extension': b'\x80\x02\x82\x01.',
    'persistent': b'Pevilmod\n.',
    'odd_operation': b'\xff\xff.',
}
#: What is no checkpoint of a network.
CONTENTS = {
    'list': ([1], NO_CONFIG),
    'tensor': (torch.zeros(1), NO_CONFIG),
    'nothing': (None, NO_CONFIG),
    'text': ('import evilmod', NO_CONFIG),
    'meta_list': (dict(meta=[]), NO_CONFIG),
    'meta_config_list': (dict(meta=dict(cfg=['import evilmod'])), NO_CONFIG),
    'hub_list': (dict(message_hub=dict(runtime_info=[])), NO_CONFIG),
    'weights_list': (dict(state_dict=[1]), "'{}' cannot be read: its state_"),
    'weights_by_number': (dict(state_dict={1: 2}), "'{}' cannot be read: its"),
    'averages_list': (dict(state_dict={}, ema_state_dict=[1]),
                      "'{}' cannot be read: its ema_state_dict"),
    'no_weights': (dict(state_dict={}), NO_CONFIG),
}

pytestmark = pytest.mark.skipif(
    not READS_SAFELY, reason='pickles are checked from torch 2.6 on')


@pytest.fixture(autouse=True)
def traps(tmp_path, monkeypatch):
    """Nothing in the current folder is run or imported."""
    importlib.import_module('mpl_toolkits')
    touched = tmp_path / 'touched'
    for name in MODULES:
        path = tmp_path / f'{name.replace(".", "/")}.py'
        path.parent.mkdir(exist_ok=True)
        path.write_text(f'open({str(touched)!r}, "w")\nclass Net: pass\n'
                        'def register_all_modules(*args): pass\n')
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(CheckpointLoader, '_schemes',
                        CheckpointLoader._schemes.copy())
    yield
    imported = {*MODULES, 'evilpack'} & {*sys.modules}
    for name in imported:
        del sys.modules[name]
    assert not touched.exists() and not imported


@pytest.fixture(scope='module')
def weights():
    return MODELS.build(tiny_model_cfg()).state_dict()


def config(**changes):
    """A config that the inferencer can use."""
    steps = [
        dict(type='LoadImageFromFile'),
        dict(type='mmdet.Resize', scale=(64, 64), keep_ratio=True),
        dict(type='PackMultiTaskInputs')
    ]
    return dict(
        default_scope='mmbombo', model=tiny_model_cfg(),
        test_dataloader=dict(dataset=dict(pipeline=steps)), **changes)


def put(cfg, place, part):
    """Write a part where the place leads, past what is there."""
    *parents, last = place.split('.')
    for name, after in zip(parents, [*parents[1:], last]):
        if isinstance(cfg, list):
            name = int(name)
        elif not isinstance(cfg.get(name), (dict, list)) or not cfg[name]:
            cfg[name] = [{}, {}] if after.isdigit() else {}
        cfg = cfg[name]
    cfg[int(last) if isinstance(cfg, list) else last] = part


def text_of(cfg):
    return ''.join(f'{key} = {value!r}\n' for key, value in cfg.items())


def save(content, path='x.pth'):
    torch.save(content, path)
    return path


def save_pickle(operations, path='x.pth'):
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('archive/data.pkl', operations)
        archive.writestr('archive/byteorder', 'little')
        archive.writestr('archive/version', '3\n')
    return path


def save_legacy(operations, path='x.pth'):
    """As PyTorch did before 1.6."""
    head = (torch.serialization.MAGIC_NUMBER,
            torch.serialization.PROTOCOL_VERSION, dict(little_endian=True))
    Path(path).write_bytes(b''.join(pickle.dumps(x, 2)
                                    for x in head) + operations)
    return path


def outcome(command, *arguments, **options):
    """The line with which a command ends, or ``ACCEPTED``."""
    try:
        with user_errors():
            command(*arguments, **options)
    except SystemExit as ended:
        return str(ended.code)
    return ACCEPTED


def infer(path):
    MultiTaskInferencer(None, path, device='cpu', show_progress=False)


def publish(path):
    script = load_script(REPO / 'tools/misc/publish_model.py')
    script.publish(path, Path('published.pth'), None)


def check(said, expected, path='x.pth'):
    assert re.search(expected.format(re.escape(path)), said), said
    assert '\n' not in said and 'weights_only' not in said


@pytest.mark.parametrize('place', PLACES)
@pytest.mark.parametrize('name', NAMES)
def test_names(name, place):
    cfg = config()
    put(cfg, place, deepcopy(NAMES[name]))
    path = save(dict(state_dict={}, meta=dict(cfg=text_of(cfg))))
    check(outcome(infer, path), REFUSED)


@pytest.mark.parametrize('name', NAMES)
def test_names_in_what_is_published(name):
    cfg = config(visualizer=NAMES[name])
    path = save(dict(state_dict={}, meta=dict(cfg=text_of(cfg))))
    check(outcome(publish, path), REFUSED)
    assert not list(Path().glob('published*'))


@pytest.mark.parametrize('where', ['meta', 'message_hub'])
@pytest.mark.parametrize('name', TEXTS)
def test_texts(name, where, weights):
    text, expected = TEXTS[name]
    text = f'{text_of(config())}{text}\n'
    owner = dict(
        meta=dict(cfg=text), message_hub=dict(runtime_info=dict(cfg=text)))
    path = save({'state_dict': weights, where: owner[where]})
    check(outcome(infer, path), expected)


@pytest.mark.parametrize('file', ['w.yaml', 'w.yml', 'w.pkl', 'w.pickle'])
def test_files_that_a_loss_reads(file):
    python = '!!python/object/apply:builtins.open ["touched", "w"]\n'
    operations = {'.p': PICKLES['open'], '.y': python.encode()}
    Path(file).write_bytes(operations[file[1:3]])
    cfg = config()
    cfg['model']['task_heads']['seg']['head']['loss_decode'] = dict(
        type='mmseg.CrossEntropyLoss', class_weight=file)
    path = save(dict(state_dict={}, meta=dict(cfg=text_of(cfg))))
    check(outcome(infer, path), 'config of a checkpoint names .*would be run')


@pytest.mark.parametrize('save_as', [save_pickle, save_legacy])
@pytest.mark.parametrize('name', PICKLES)
def test_pickles(name, save_as):
    said = outcome(load_checkpoint_safely, save_as(PICKLES[name]))
    check(said, "checkpoint '{}' (was refused|cannot be read)")


@pytest.mark.parametrize('kind', ['script', 'tar', 'empty', 'half'])
def test_other_files(kind):
    if kind == 'script':
        torch.jit.script(torch.nn.Linear(1, 1)).save('x.pth')
    elif kind == 'tar':
        with tarfile.open('x.pth', 'w') as archive:
            for name in ('sys_info', 'pickle', 'storages', 'tensors'):
                Path(name).write_bytes(PICKLES['system'])
                archive.add(name)
    else:
        save(dict(state_dict={}))
        content = Path('x.pth').read_bytes()
        Path('x.pth').write_bytes(content[:kind == 'half' and 200])
    check(
        outcome(load_checkpoint_safely, 'x.pth'),
        "checkpoint '{}' cannot be read: .")


@pytest.mark.parametrize('command', [infer, publish])
@pytest.mark.parametrize('name', CONTENTS)
def test_contents(name, command):
    content, expected = CONTENTS[name]
    check(outcome(command, save(content)), expected)


@pytest.mark.parametrize('command', [infer, publish])
@pytest.mark.parametrize('meta, expected', [
    ('[' * 100000, "'{}' cannot be read: "),
    ('{', "'{}' cannot be read: "),
    ('"import evilmod"', NO_CONFIG),
    ('[]', NO_CONFIG),
    (json.dumps(dict(cfg='import evilmod')), NO_CONFIG),
    (json.dumps(dict(config="open('touched', 'w')")), NO_CONFIG),
    (json.dumps(dict(cfg="model = dict(type='evilmod')")), REFUSED),
    (json.dumps(dict(cfg="model = {}\nx = [dict(type='evilmod.Net')]")),
     REFUSED),
])
def test_metadata_of_safetensors(meta, expected, command):
    save_file({'x': torch.zeros(1)}, 'x.safetensors', dict(meta=meta))
    said = outcome(command, 'x.safetensors')
    check(said, expected, 'x.safetensors')


#: How tools are given a checkpoint; CONFIG is one on real data.
TOOLS = {
    'demo/image_demo.py': 'image.png x.pth',
    'demo/image_demo.py ': 'image.png CONFIG x.pth',
    'tools/misc/publish_model.py': 'x.pth out.pth',
    'tools/misc/publish_model.py ': 'x.pth out.pth --config CONFIG',
    'tools/model_converters/to_stock.py':
    'CONFIG x.pth --task det --out o.pth',
    'tools/analysis_tools/pseudo_label_quality.py': 'CONFIG x.pth',
    'tools/dataset_converters/predicted_labels.py': 'CONFIG x.pth --out o',
    'tools/test.py': 'CONFIG x.pth',
    'tools/train.py': 'CONFIG --resume x.pth',
    'tools/train.py ': 'CONFIG --cfg-options load_from=x.pth',
    'tools/train.py init_cfg': 'CONFIG',
    'tools/train.py init_cfg of all': 'CONFIG',
    'tools/train.py teacher': 'CONFIG',
}
#: What of the config names the checkpoint, where the command does not.
CHANGES = {
    'tools/train.py init_cfg':
    ('model.backbone.init_cfg', dict(type='Pretrained', checkpoint='x.pth')),
    'tools/train.py init_cfg of all':
    ('model.init_cfg', dict(type='StockCheckpoint', checkpoint='x.pth')),
    'tools/train.py teacher':
    ('custom_hooks', [
        dict(
            type='TeacherHook', name='t', config='own.py', checkpoint='x.pth')
    ]),
}


@pytest.mark.parametrize('tool', TOOLS)
def test_tools(tool, shapes, make_config, monkeypatch):
    """No pickle runs, whatever it is the checkpoint of."""

    def change(cfg):
        if tool in CHANGES:
            put(cfg, *CHANGES[tool])

    end_to_end.forget_runs()
    Image.new('RGB', (64, 64)).save('image.png')
    save_pickle(PICKLES['system'])
    path = make_config('own.py', shapes, 1, change, validate=True)
    script = tool.split()[0]
    arguments = TOOLS[tool].replace('CONFIG', str(path)).split()
    monkeypatch.setattr(sys, 'argv', [script, *arguments])
    said = outcome(load_script(REPO / script).main)
    check(said, "checkpoint '{}' was refused: it refers to '(os|posix).system'"
          '.*--trust-checkpoint')


@pytest.mark.parametrize('tool', ['misc/print_config', 'test', 'train'])
def test_a_checkpoint_is_no_config(tool, monkeypatch):
    save_pickle(PICKLES['system'])
    arguments = ['x.pth'] * (2 if tool == 'test' else 1)
    monkeypatch.setattr(sys, 'argv', [tool, *arguments])
    said = outcome(load_script(REPO / f'tools/{tool}.py').main)
    check(said, 'should be py, json, yaml or yml, but got .pth')
