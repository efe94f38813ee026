# Copyright (c) mmbombo contributors.
"""Installations are complete, and unfit environments are named."""
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from importlib.metadata import packages_distributions, version
from pathlib import Path

import mmcv
import mmdet
import mmengine
import mmseg
import pytest

import mmbombo
from mmbombo.utils.collect_env import collect_env

ROOT = Path(__file__).resolve().parents[1]
MIM_FOLDERS = ('configs', 'demo', 'tools')
# Tools that an installed package has no use for.
DEVELOPMENT = re.compile(r'/ablation|/benchmark|/provenance\.py|'
                         r'tools/(setup_env|steps|quickstart|run_tests)\.sh')
# What a working tree holds beside the sources; some of it is large.
NOT_SOURCES = shutil.ignore_patterns('.git', '.venv*', 'build', 'dist', 'data',
                                     'checkpoints', 'work_dirs', 'tests',
                                     '*.egg-info', '.mim', '__pycache__')


@pytest.fixture
def tree(tmp_path):
    """A copy of the working tree, to build in."""
    return shutil.copytree(ROOT, tmp_path / 'tree', ignore=NOT_SOURCES)


def pip(*arguments, cwd):
    done = subprocess.run(
        [sys.executable, '-m', 'pip', *arguments, '--no-build-isolation',
         '--no-deps', '--no-index', '--disable-pip-version-check'],
        cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout


def build_wheel(source, folder):
    pip('wheel', str(source), '--wheel-dir', str(folder), cwd=folder)
    wheel, = folder.glob('mmbombo-*.whl')
    return wheel


def mim_files(tree):
    """Names of the files that ``.mim`` must hold."""
    files = {
        path.relative_to(tree).as_posix()
        for folder in MIM_FOLDERS
        for path in (tree / folder).rglob('*') if path.is_file()
    }
    used = {name for name in files if not DEVELOPMENT.search(name)}
    return used | {'model-index.yml'}


def test_wheel_holds_package_and_mim(tree, tmp_path):
    # A file that an editable installation left must not shadow the copies.
    (tree / 'mmbombo' / '.mim').mkdir()
    (tree / 'mmbombo' / '.mim' / 'stale.txt').write_text('stale')
    wheel = build_wheel(tree, tmp_path)
    info = f'mmbombo-{mmbombo.__version__}.dist-info'
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        index = archive.read('mmbombo/.mim/model-index.yml')
        metadata = archive.read(f'{info}/METADATA').decode()
    mim = {name for name in names if name.startswith('mmbombo/.mim/')}
    assert mim == {f'mmbombo/.mim/{name}' for name in mim_files(tree)}
    assert {
        f'mmbombo/.mim/tools/{name}'
        for name in ('train.py', 'test.py', 'dist_train.sh', 'slurm_test.sh')
    } <= mim
    assert index == (ROOT / 'model-index.yml').read_bytes()
    assert {
        path.relative_to(tree).as_posix()
        for path in (tree / 'mmbombo').rglob('*.py')
    } <= names
    # A top-level "configs" would be everybody's.
    assert {Path(name).parts[0] for name in names} == {'mmbombo', info}
    needs = re.findall(r'^Requires-Dist: (.*)$', metadata, re.MULTILINE)
    plain = [need for need in needs if 'extra ==' not in need]
    assert plain and not [need for need in plain if 'mm' in need]
    for extra in ('all', 'tests', 'build', 'compiled', 'mim', 'onedl',
                  'optional'):
        assert f'Provides-Extra: {extra}\n' in metadata


def test_wheel_from_sdist_is_complete(tree, tmp_path):
    subprocess.run(
        [sys.executable, 'setup.py', '-q', 'sdist', '-d', tmp_path],
        cwd=tree, check=True, capture_output=True)
    sdist, = tmp_path.glob('mmbombo-*.tar.gz')
    with tarfile.open(sdist) as archive:
        top = {Path(name).parts[1] for name in archive.getnames()[1:]}
    assert {'LICENSE', 'README.md', 'requirements', 'configs'} <= top
    with zipfile.ZipFile(build_wheel(sdist, tmp_path)) as archive:
        names = set(archive.namelist())
    assert {
        f'mmbombo/.mim/{name}'
        for name in mim_files(tree) if name.endswith(('.py', '.sh', '.yml'))
    } <= names


def test_editable_installation_links_mim(tree, tmp_path):
    prefix = tmp_path / 'prefix'
    # "--ignore-installed": the mmbombo that these tests run stays installed.
    pip('install', '--ignore-installed', '--prefix', str(prefix),
        '--editable', str(tree), cwd=tmp_path)
    present = {
        path.name: path.resolve()
        for path in (tree / 'mmbombo/.mim').iterdir() if path.is_symlink()
    }
    assert present == {
        name: tree / name
        for name in [*MIM_FOLDERS, 'model-index.yml']
    }
    site_packages, = prefix.rglob('site-packages')
    code = ('import site; '
            f'site.addsitedir({str(site_packages)!r}); '
            'import mmbombo; print(mmbombo.__file__)')
    # "-I -S": nothing but that folder, neither this tree nor the environment.
    done = subprocess.run([sys.executable, '-I', '-S', '-c', code],
                          cwd=tmp_path, capture_output=True, text=True)
    # Without the environment's packages the import stops at the check of the
    # libraries, in the tree's own file: it is the tree that was found.
    assert str(tree / 'mmbombo' / '__init__.py') in done.stderr
    assert 'mmengine is not installed' in done.stderr


@pytest.mark.parametrize('module, version, range_', [
    (mmengine, '0.10.6', '>=0.10.7,<1.0.0'),
    (mmcv, '2.0.0rc3', '>=2.0.0rc4,<3.0.0'),
    (mmdet, '4.0.0', '>=3.3.0,<4.0.0'),
    (mmseg, '1.2.1', '>=1.2.2,<2.0.0'),
])
def test_unfit_version_is_named(monkeypatch, module, version, range_):
    monkeypatch.setattr(module, '__version__', version)
    with pytest.raises(ImportError) as error:
        mmbombo._check_libraries()
    for text in (f'{module.__name__} {version} is installed, {range_} is need',
                 'mmcv-lite==2.1.0 mmdet==3.3.0 mmsegmentation==1.2.2',
                 'mmcv==2.1.0 mmdet==3.3.0', 'onedl-mmengine onedl-mmcv'):
        assert text in str(error.value)


@pytest.mark.parametrize('module, version', [
    (mmengine, '0.11.0rc3'),
    (mmcv, '2.0.0rc4'),
    (mmcv, '2.3.6.post1'),
    (mmdet, '3.5.1'),
])
def test_fit_version_passes(monkeypatch, module, version):
    monkeypatch.setattr(module, '__version__', version)
    mmbombo._check_libraries()


@pytest.mark.parametrize('missing', [['mmengine'], ['mmcv', 'mmseg']])
def test_all_missing_libraries_are_named_at_once(monkeypatch, missing):
    for name in missing:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError) as error:
        mmbombo._check_libraries()
    assert re.findall(r'(mm\w+) is not installed', str(error.value)) == missing


def test_refusal_of_another_library_is_passed_on(monkeypatch):

    def refuse(name):
        if name == 'mmdet':
            raise AssertionError('MMCV==2.2.0 is used but incompatible.')
        return sys.modules[name]

    monkeypatch.setattr(mmbombo, 'import_module', refuse)
    with pytest.raises(ImportError, match='mmdet cannot be imported: MMCV=='):
        mmbombo._check_libraries()


@pytest.mark.parametrize('file, part', [('mminstall_onedl', 'OneDL: '),
                                        ('mminstall', 'official: '),
                                        ('mminstall_compiled',
                                         'official: pip install --no-b'),
                                        ('build', '')])
def test_advice_agrees_with_the_requirement_files(file, part):
    text = (ROOT / f'requirements/{file}.txt').read_text()
    names = set(re.findall(r'^[\w-]+', text, re.MULTILINE))
    advice = mmbombo._REMEDY[mmbombo._REMEDY.index(part):]
    assert all(
        name in advice.splitlines()[0] if part else name in advice
        for name in names if not name.startswith('opencv'))


def test_compiled_operators_change_nothing_but_mmcv():
    plain, compiled = (
        (ROOT / f'requirements/{name}.txt').read_text().splitlines()
        for name in ('mminstall', 'mminstall_compiled'))
    differ = set(plain) ^ set(compiled)
    assert {
        line for line in differ if line and not line.startswith('#')
    } == {
        'mmcv-lite==2.1.0', 'opencv-python<5', 'mmcv==2.1.0',
        'opencv-python-headless<5'
    }


def test_import_is_cheap():
    code = ('import sys, mmbombo; '
            'print([m for m in ("mmdet.models", "mmseg.models", "torchvision")'
            ' if m in sys.modules])')
    done = subprocess.run([sys.executable, '-c', code], cwd=ROOT, check=True,
                          capture_output=True, text=True)
    assert done.stdout.strip().splitlines()[-1] == '[]'


def test_bug_report_names_the_owners():
    env = collect_env()
    assert env['mmbombo'] == mmbombo.__version__
    assert env['operators'] in ('compiled', 'torchvision', 'torch')
    owner = packages_distributions()['mmcv'][0]
    assert env['mmcv'] == f'{mmcv.__version__} ({owner} {version(owner)})'
