# Copyright (c) mmbombo contributors.
"""Record what the package computes, to the last digit, and compare records.

A tool for who changes the code and not the results; pytest does not collect
it. It drives the repository's configs and tools from outside, so the same file
runs in older and newer checkouts. Record before a change and after it, on one
machine, with one environment::

    git worktree add ../before COMMIT
    cp tests/goldens.py ../before/tests/
    python ../before/tests/goldens.py --out before.json
    python tests/goldens.py --out after.json
    python tests/goldens.py --compare before.json after.json

A record always is of the checkout that the script lies in. Nothing is
downloaded. It takes 8 minutes on one idle core; ``--only naive test`` takes
less, and so does ``--trained FOLDER``, with a folder of ``--keep``.

Recorded are, as ``float.hex()`` or SHA-256, for drawn shapes:

- data: the files that are trained on; samples: what the training loaders
  collate; masks: both sources without augmentation, with pseudo masks and
  components;
- naive, bombo, kd-soft, ema, paper, unlisted: all scalars of 20 steps and of
  the validation after them, initial and final weights and the optimizer's
  state, from scratch and from a trained checkpoint. 'paper' is the paper's
  network, which trains per task and predicts by EMA; 'unlisted' has crowd
  regions, difficult objects and objects of no class;
- ranks: two processes; resume: the second half of 20 steps, which must be
  equal to that of 20 in one go;
- test: metrics of ``tools/test.py`` and predictions of a checkpoint.

Times, memory and dates are left out.
"""
import argparse
import contextlib
import functools
import hashlib
import inspect
import itertools
import json
import os
import runpy
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path
from xml.etree import ElementTree

REPO = Path(__file__).resolve().parents[1]
os.environ.update(
    OMP_NUM_THREADS='1',
    PHOTO_STAMPS_SHORT_SIDE='96',
    PYTHON=sys.executable,
    PYTHONPATH=os.pathsep.join(
        filter(None, [str(REPO), os.environ.get('PYTHONPATH')])))
for name in ('VOC_ROOT', 'VOC_DET', 'VOC_SEG', 'VOC_VAL'):
    os.environ.pop(name, None)
sys.path.insert(0, str(REPO))

# first: it may have to bring the operators of MMCV
import mmbombo  # noqa: E402,F401 isort:skip
import mmdet.models  # noqa: E402,F401
import mmseg.models  # noqa: E402,F401
import numpy as np  # noqa: E402
import torch  # noqa: E402
import yapf.yapflib.yapf_api  # noqa: E402
from mmengine.config import Config  # noqa: E402
from mmengine.registry import DefaultScope  # noqa: E402
from mmengine.runner import Runner, set_random_seed  # noqa: E402
from mmengine.structures import BaseDataElement  # noqa: E402
from PIL import Image  # noqa: E402

from mmbombo.registry import DATASETS, MODELS  # noqa: E402

STEPS = 20
STAMPS = 'mobilenetv2_fpn-gfl_photo-stamps.py'
CONFIGS = dict(
    naive=f'configs/bombo/naive_{STAMPS}',
    bombo=f'configs/bombo/bombo_{STAMPS}',
    kd_soft=f'configs/distillation/kd-soft_{STAMPS}',
    ema=f'configs/distillation/ema_{STAMPS}',
    paper='configs/bombo/bombo_r18_cem-fpn_anchor_voc.py',
    unlisted='unlisted.py',
    det=f'configs/bombo/det_{STAMPS}',
    seg=f'configs/bombo/seg_{STAMPS}')
#: The drawn shapes play the first classes of PhotoStamps and of VOC.
SHAPES = ('disc', 'rectangle', 'triangle', 'star')
STAMP_NAMES = ('bird', 'mammal', 'flower', 'produce')
VOC_NAMES = ('aeroplane', 'bicycle', 'bird', 'boat')
UNLISTED = 'kite'
CLOCKS = ('time', 'data_time', 'memory')
#: Folder of another record, whose trained checkpoints are used, or None.
KEPT = None
#: What Mask-for-Box must have done from a trained checkpoint.
COUNTS = ('m4b/num_split', 'm4b/num_merged', 'm4b/num_ignored')


# --------------------------------------------------------- exact, short values
def exact(value):
    """A value as JSON that is equal if and only if the value is."""
    if isinstance(value, (bool, int, str, type(None))):
        return value
    if isinstance(value, (float, np.floating)):
        return float(value).hex()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (torch.Tensor, np.ndarray)):
        array = np.ascontiguousarray(
            value.detach().numpy() if hasattr(value, 'detach') else value)
        return (f'{array.dtype}{list(array.shape)} '
                f'{hashlib.sha256(array.tobytes()).hexdigest()[:24]}')
    if isinstance(value, BaseDataElement):
        return exact(dict(value.all_items()))
    if isinstance(getattr(value, 'tensor', None), torch.Tensor):  # BaseBoxes
        return exact(value.tensor)
    if isinstance(value, dict):
        return {str(key): exact(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [exact(item) for item in value]
    raise TypeError(f'{type(value)} is not recorded: {value!r}')


def digest(value):
    """One hash of a nested value."""
    text = json.dumps(exact(value), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def weights_of(state_dict):
    """The keys in their order, and a hash for each weight."""
    return dict(
        num_keys=len(state_dict),
        keys_hash=digest(list(state_dict)),
        weights=exact(dict(state_dict)))


# ------------------------------------------------- processes of the repository
def in_child(function, *args):
    """The JSON that a function returns in a forked process of its own."""
    log, answer = Path('child.log'), Path('answer.json')
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            with open(log, 'w') as file:
                os.dup2(file.fileno(), 1)
                os.dup2(file.fileno(), 2)
            torch.set_num_threads(1)
            answer.write_text(json.dumps(function(*args)))
            code = 0
        except BaseException:
            traceback.print_exc()
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)
    if os.waitpid(pid, 0)[1] != 0:
        sys.exit(f'{function.__name__}{args} failed:\n'
                 f'{log.read_text(errors="replace")[-5000:]}')
    return json.loads(answer.read_text())


def tool(script, *arguments):
    """Run a script of the repository as the main program."""
    # It formats dumped configs for the eye of a reader, for seconds.
    yapf.yapflib.yapf_api.FormatCode = lambda text, **style: (text, True)
    load_or_resume = Runner.load_or_resume

    def note_initial_weights(runner):
        Path(runner.work_dir, 'initial.json').write_text(
            json.dumps(weights_of(runner.model.state_dict())))
        load_or_resume(runner)

    Runner.load_or_resume = note_initial_weights
    sys.argv = [str(REPO / script), *map(str, arguments)]
    sys.path[0] = str((REPO / script).parent)
    try:
        runpy.run_path(sys.argv[0], run_name='__main__')
    except SystemExit as stop:
        if stop.code:
            raise


def options_of(name):
    """What makes a config small and loud, as ``--cfg-options``."""
    cfg = Config.fromfile(CONFIGS[name])
    sources = cfg.train_dataloader.dataset.datasets
    paper = name == 'paper'
    batch_size = 2 * min(len(sources), 2)
    options = {
        'model.backbone.init_cfg': None,
        'train_dataloader.batch_size': batch_size,
        'train_dataloader.sampler.batch_size': batch_size,
        'default_hooks.logger.interval': 1,
        'default_hooks.checkpoint.interval': STEPS // 2,
        'log_processor.window_size': 1,
        'randomness.deterministic': True,
    }
    for part in ('train', 'val', 'test'):
        options[f'{part}_dataloader.num_workers'] = 0
        options[f'{part}_dataloader.persistent_workers'] = False
    if not paper:
        # MobileNet's stem is random here
        options['model.backbone.frozen_stages'] = -1
    for i, weak_loss in enumerate(cfg.model.get('weak_losses', ())):
        if weak_loss.type == 'MaskForBoxLoss':
            # a network of some hundred steps is not sure of anything
            options[f'model.weak_losses.{i}.score_thr'] = .02 if paper else .15
    if paper:
        options['model.batch_resize.sizes'] = (64, 128)
        pipelines = {
            f'train_dataloader.dataset.datasets.{i}.pipeline': x.pipeline
            for i, x in enumerate(sources)
        }
        for part in ('val', 'test'):
            pipelines[f'{part}_dataloader.dataset.pipeline'] = cfg[
                f'{part}_dataloader'].dataset.pipeline
        for key, steps in pipelines.items():
            for i, step in enumerate(steps):
                if step.type == 'mmdet.Resize':
                    options[f'{key}.{i}.scale'] = (64, 64)
    return options


def command_line(name, **others):
    """Arguments of ``tools/train.py`` and ``tools/test.py``."""
    options = {**options_of(name), **others}
    return ['--cfg-options'] + [
        f'{key}={value}'.replace(' ', '') for key, value in options.items()
    ]


def train(name, work_dir, steps=STEPS, resume=None, **others):
    """Train; what :func:`results` reads of the run."""
    arguments = [CONFIGS[name], '--work-dir', work_dir, '--iters', steps]
    if resume:
        arguments += ['--resume', resume]
    others = {'train_cfg.val_interval': steps, **others}
    in_child(tool, 'tools/train.py', *arguments, *command_line(name, **others))
    return results(work_dir, steps)


def load(path):
    """Content of a checkpoint that was made here."""
    return torch.load(path, map_location='cpu', weights_only=False)


def results(work_dir, steps):
    """Logged numbers and final weights of a work directory."""
    logs = sorted(Path(work_dir).glob('*/vis_data/scalars.json'))
    lines = [json.loads(line) for line in logs[-1].read_text().splitlines()]
    lines = [{
        key: exact(value)
        for key, value in line.items() if key not in CLOCKS
    } for line in lines]
    checkpoint = load(Path(work_dir, f'iter_{steps}.pth'))
    final = {
        key: weights_of(checkpoint[key])
        for key in ('state_dict', 'ema_state_dict') if key in checkpoint
    }
    return dict(
        steps=[line for line in lines if 'loss' in line],
        validations=[line for line in lines if 'loss' not in line],
        final=final,
        optimizer=digest(checkpoint['optimizer']))


# -------------------------------------------------------------------- the data
def write_data():
    """Drawn shapes as PhotoStamps, as VOC, as COCO, and with marks."""
    in_child(tool, 'tools/dataset_converters/photo_stamps.py', '--data',
             'shapes', '--out', 'data/shapes', '--num-train', 48, '--num-val',
             12, '--short-side', 96, 160, '--jobs', 1)
    for path in Path('data/shapes/SegmentationClass').glob('seg_*.png'):
        break_objects(path)
    copy_shapes('data/photo_stamps', STAMP_NAMES)
    objects = copy_shapes('data/marked', STAMP_NAMES, difficult=3, unlisted=4)
    write_coco('data/coco.json', objects)
    for year in ('VOC2007', 'VOC2012'):
        root = Path('data/VOCdevkit', year)
        copy_shapes(root, VOC_NAMES, difficult=3)
        shutil.copytree(root / 'SegmentationClass',
                        root / 'SegmentationClassAug')
        (root / 'ImageSets/mmbombo').mkdir()
        for part in ('det_train', 'seg_train', 'val'):
            ids = (root / f'ImageSets/Main/{part}.txt').read_text().split()
            if part != 'val':
                ids = ids[year == 'VOC2012'::2]
            (root / f'ImageSets/mmbombo/{part}.txt').write_text('\n'.join(ids))
    write_unlisted_config()


def break_objects(path):
    """Cut the objects of a mask in two, and add one that is too small.

    A prediction of a whole object merges its parts, and what is too small is
    ignored.
    """
    image = Image.open(path)
    mask = np.array(image)
    middle = mask.shape[1] // 2
    mask[:, middle:middle + 6] = 0
    mask[2:5, 2:5] = 1
    broken = Image.fromarray(mask)
    broken.putpalette(image.getpalette())
    broken.save(path)


def copy_shapes(root, names, difficult=0, unlisted=0):
    """Copy the set under other names; marks every so many-th object.

    Returns:
        list[tuple]: Image id, (width, height), class and box of each object.
    """
    shutil.copytree('data/shapes', root)
    objects, number = [], itertools.count(1)
    for path in sorted(Path(root, 'Annotations').glob('*.xml')):
        tree = ElementTree.parse(path)
        size = [int(tree.findtext(f'size/{x}')) for x in ('width', 'height')]
        for node, i in zip(tree.iter('object'), number):
            name = node.find('name')
            name.text = names[SHAPES.index(name.text)]
            if difficult and i % difficult == 0:
                node.find('difficult').text = '1'
            if unlisted and i % unlisted == 0:
                name.text = UNLISTED
            box = [int(x.text) for x in node.find('bndbox')]
            objects.append((path.stem, size, name.text, box))
        tree.write(path)
    return objects


def write_coco(path, objects):
    """A COCO file of the boxes of one half, with crowd regions."""
    classes = [*Config.fromfile(CONFIGS['bombo']).det_classes, UNLISTED]
    objects = [x for x in objects if x[0].startswith('det')]
    images = {image_id: size for image_id, size, *_ in objects}
    numbers = {image_id: i for i, image_id in enumerate(images, 1)}
    annotations = []
    for i, (image_id, _, name, (x1, y1, x2, y2)) in enumerate(objects, 1):
        width, height = x2 - x1 + 1, y2 - y1 + 1
        annotations.append(
            dict(
                id=i,
                image_id=numbers[image_id],
                category_id=classes.index(name) + 1,
                bbox=[x1 - 1, y1 - 1, width, height],
                area=width * height,
                iscrowd=int(i % 5 == 0),
                segmentation=[]))
    content = dict(
        images=[
            dict(id=numbers[x], file_name=f'{x}.jpg', width=w, height=h)
            for x, (w, h) in images.items()
        ],
        annotations=annotations,
        categories=[dict(id=i, name=x) for i, x in enumerate(classes, 1)])
    Path(path).write_text(json.dumps(content))


def write_unlisted_config():
    """BoMBo on crowd regions, difficult objects, and objects of no class."""
    cfg = Config.fromfile(CONFIGS['bombo'])
    det, seg = cfg.train_dataloader.dataset.datasets
    coco = dict(
        type='PartialAnnotationDataset',
        source='coco',
        annotation_kinds=['bbox'],
        metainfo=det.metainfo,
        dataset=dict(
            type='mmdet.CocoDataset',
            ann_file='data/coco.json',
            data_prefix=dict(img='data/photo_stamps/JPEGImages/')),
        pipeline=det.pipeline)
    parameters = inspect.signature(
        DATASETS.get('mmbombo.' + det.type).__init__).parameters
    option, = {'left_out_classes', 'unlisted_classes', 'unlisted_categories'
               } & {*parameters}
    marked = {'data_root': 'data/marked/', option: [UNLISTED]}
    cfg.train_dataloader.dataset.datasets = [coco, dict(det, **marked), seg]
    cfg.train_dataloader.sampler.source_ratio = [1, 1, 2]
    for part in ('val', 'test'):
        cfg[f'{part}_dataloader'].dataset.update(marked)
    cfg.custom_hooks = []
    Path(CONFIGS['unlisted']).write_text('\n'.join(
        f'{key} = {value!r}' for key, value in cfg.to_dict().items()))


# ---------------------------------------------------------------- what is kept
@functools.lru_cache(None)
def trained(name):
    """A checkpoint that predicts some boxes, made once."""
    steps, others = 300, {'optim_wrapper.optimizer.lr': .002}
    if name == 'paper':
        steps, others = 100, {
            'optim_wrapper.optimizer.lr': .02,
            'model.batch_resize.sizes': (64, 64)
        }
    others['default_hooks.checkpoint.interval'] = steps
    file = f'trained_{name}/iter_{steps}.pth'
    if KEPT is not None:
        return str(KEPT / file)
    train(name, f'trained_{name}', steps, **others)
    return file


@functools.lru_cache(None)
def teachers():
    """Short trainings of one task each, where kd-soft looks for them."""
    for name in ('det', 'seg'):
        work_dir = f'work_dirs/{name}_{STAMPS[:-3]}'
        train(name, work_dir, STEPS // 2, load_from=trained('bombo'))
        shutil.copy(f'{work_dir}/iter_{STEPS // 2}.pth',
                    f'{work_dir}/iter_300.pth')


@functools.lru_cache(None)
def go_on(name):
    """20 steps from a trained checkpoint."""
    checkpoint = trained('paper' if name == 'paper' else 'bombo')
    return train(name, f'{name}_trained', load_from=checkpoint)


def record_steps(name):
    """20 steps from scratch and from a trained checkpoint."""
    if name == 'kd_soft':
        teachers()
    scratch = f'{name}_scratch'
    record = dict(scratch=train(name, scratch), trained=go_on(name))
    record['initial'] = json.loads(Path(scratch, 'initial.json').read_text())
    shutil.rmtree(scratch)  # checkpoints of hundreds of megabytes
    if name in ('bombo', 'unlisted', 'paper'):
        steps = record['trained']['steps']
        for key in COUNTS:
            total = sum(float.fromhex(step[key]) for step in steps)
            print(f'  {key}: {total:g}')
            if not total > 0:
                sys.exit(f'{name}: {key} is 0 in all steps, so they do not '
                         'show that it stays as it is')
    return record


def record_data():
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest()[:24]
        for path in sorted(Path('data/shapes').rglob('*'))
        if path.suffix in ('.jpg', '.png', '.xml')
    }


def record_samples():
    return {
        name: in_child(collate, name)
        for name in ('bombo', 'unlisted', 'paper')
    }


def config_of(name):
    """The config, made small, for use in this process."""
    set_random_seed(0, deterministic=True)
    DefaultScope.get_instance('goldens', scope_name='mmbombo')
    cfg = Config.fromfile(CONFIGS[name])
    cfg.merge_from_dict(options_of(name))
    return cfg


def collate(name, count=50):
    """The first samples of the training loader."""
    loader = Runner.build_dataloader(config_of(name).train_dataloader, seed=0)
    samples = []
    for batch in itertools.chain.from_iterable(itertools.repeat(loader)):
        for inputs, sample in zip(batch['inputs'], batch['data_samples']):
            samples.append(exact(dict(inputs=inputs, fields=sample)))
        if len(samples) >= count:
            return samples[:count]


def record_masks():
    return {
        name: in_child(collect_masks, name)
        for name in ('bombo', 'unlisted', 'paper')
    }


def collect_masks(name):
    """All training images of a config, without augmentation."""
    images = {}
    for cfg in config_of(name).train_dataloader.dataset.datasets:
        cfg.pipeline = [
            step for step in cfg.pipeline
            if step.type.startswith(('Load', 'Label', 'Pack'))
        ]
        source = DATASETS.build(cfg)
        images[cfg.source] = [exact(source[i]) for i in range(len(source))]
    return images


def record_ranks():
    """Five steps of two processes that gloo connects."""
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    options = command_line(
        'bombo', load_from=trained('bombo'), **{'train_cfg.val_interval': 5})
    done = subprocess.run([
        'bash',
        str(REPO / 'tools/dist_train.sh'), CONFIGS['bombo'], '2', '--work-dir',
        'ranks', '--iters', '5', *options
    ],
                          env={
                              **os.environ, 'PORT': str(port)
                          },
                          stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT,
                          text=True)
    if done.returncode != 0:
        sys.exit(done.stdout[-5000:])
    return results('ranks', 5)


def record_resume():
    """The second half of 20 steps; stops if it is not that of 20 in one go."""
    record, half = {}, STEPS // 2
    for name in ('bombo', 'paper'):
        whole = go_on(name)
        part = train(
            name, f'{name}_resumed', resume=f'{name}_trained/iter_{half}.pth')
        whole = dict(whole, steps=whole['steps'][half:])
        differing = [key for key in whole if part[key] != whole[key]]
        if differing:
            sys.exit(f'{name}: {differing} of a resumed run are not those of '
                     'an uninterrupted one')
        record[name] = part
    return record


def record_test():
    return {name: test(name) for name in ('bombo', 'paper')}


def test(name):
    """Metrics and predictions of a checkpoint."""
    out = f'metrics_{name}.json'
    in_child(tool, 'tools/test.py', CONFIGS[name], trained(name), '--work-dir',
             f'test_{name}', '--out', out, *command_line(name))
    return dict(
        metrics=exact(json.loads(Path(out).read_text())),
        images=in_child(predict, name))


def predict(name):
    """Boxes and maps of the validation images."""
    cfg = config_of(name)
    model = MODELS.build(cfg.model).eval()
    model.load_state_dict(load(trained(name))['state_dict'])
    images = {}
    for batch in Runner.build_dataloader(cfg.val_dataloader, seed=0):
        for sample in model.val_step(batch):
            images[sample.img_path] = exact({
                key: sample.get(key)
                for key in sorted(sample.keys()) if key.startswith('pred_')
            })
    return images


SECTIONS = dict(
    data=record_data,
    samples=record_samples,
    masks=record_masks,
    **{
        name: functools.partial(record_steps, name)
        for name in ('naive', 'bombo', 'kd_soft', 'ema', 'paper', 'unlisted')
    },
    ranks=record_ranks,
    resume=record_resume,
    test=record_test)


def record(names):
    """Everything, in an empty folder that is the current one."""
    os.symlink(REPO / 'configs', 'configs')
    write_data()
    content = dict(
        environment=dict(
            torch=torch.__version__,
            numpy=np.__version__,
            threads=torch.get_num_threads()))
    for name in names:
        begin = time.time()
        content[name] = SECTIONS[name]()
        print(f'{name}: {time.time() - begin:.0f} s', flush=True)
    return content


# ------------------------------------------------------------------ comparison
def flatten(value, key=''):
    """Dotted keys and the values at the leaves."""
    if not isinstance(value, (dict, list)) or not value:
        yield key, value
        return
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for name, item in items:
        yield from flatten(item, f'{key}.{name}' if key else str(name))


def compare(old_path, new_path, renamed=(), shown=5):
    """Print what differs in the parts that both have; how many values do."""
    records = []
    for path in (old_path, new_path):
        text = Path(path).read_text()
        for pair in renamed:
            text = text.replace(*(f'"{name}"' for name in pair.split('=')))
        records.append(json.loads(text))
    parts = {*records[0]} & {*records[1]}
    missing = sorted({*records[0], *records[1]} - parts)
    if missing:
        print(f'only one record has, and so not compared: {missing}')
    values = [
        dict(flatten({part: x[part]
                      for part in parts})) for x in records
    ]
    keys = sorted({*values[0], *values[1]})
    groups = {}
    for key in keys:
        before, after = (x.get(key, '(nothing)') for x in values)
        if before != after:
            names = ['*' if x.isdigit() else x for x in key.split('.')]
            groups.setdefault('.'.join(names[:4]),
                              []).append(f'{key}: {before} -> {after}')
    for group, lines in groups.items():
        print(f'{group}: {len(lines)} differ')
        for line in lines[:shown]:
            print(f'    {line}')
    number = sum(map(len, groups.values()))
    print(f'{number} of {len(keys)} values differ')
    return number


def main():
    global KEPT
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--out', help='JSON file to record to')
    parser.add_argument(
        '--only',
        nargs='+',
        choices=[*SECTIONS],
        default=[*SECTIONS],
        help='record these parts (default: all)')
    parser.add_argument(
        '--keep', help='new folder for data and checkpoints, to be kept')
    parser.add_argument(
        '--trained',
        help='folder that another record kept: start from its checkpoints '
        'instead of training them, which saves half of the time and shows '
        'that they can be read')
    parser.add_argument('--compare', nargs=2, metavar=('A', 'B'))
    parser.add_argument(
        '--rename',
        nargs='+',
        default=(),
        metavar='OLD=NEW',
        help='for --compare: keys and texts that only have another name now')
    args = parser.parse_args()
    if args.compare:
        sys.exit(compare(*args.compare, args.rename) > 0)
    if not args.out:
        parser.error('--out or --compare is needed')
    torch.set_num_threads(1)
    out = Path(args.out).resolve()
    if args.trained:
        KEPT = Path(args.trained).resolve()
    with contextlib.ExitStack() as stack:
        folder = args.keep or stack.enter_context(
            tempfile.TemporaryDirectory(prefix='goldens_'))
        if args.keep:
            Path(folder).mkdir(parents=True)
        os.chdir(folder)
        content = record(args.only)
        os.chdir(out.parent)
    out.write_text(json.dumps(content, indent=0, sort_keys=True))
    print(f'{len(dict(flatten(content)))} values in {out}')


if __name__ == '__main__':
    main()
