# Copyright (c) mmbombo contributors.
"""The config, as text."""
import os
import re
import textwrap
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Sequence

from .classes import Classes
from .found import Code, Found
from .split import Split

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
WIDTH = 118
#: A Python string, in which no line is broken.
STRING = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"")
HARD_SPACE = '\0'
KINDS = dict(det='bbox', seg='sem_seg', cls='image_label')
METRICS = dict(det='box_metric', seg='mask_metric', cls='tag_metric')


class Plan(NamedTuple):
    """All that the config says."""
    name: str  # of the config, without .py
    path: str  # where it will be
    sources: Sequence[Found]
    splits: Dict[str, Split]  # their lists of images
    classes: Classes  # per task
    side: int  # of a crop
    batch: int  # images in a step
    iters: int  # of the training
    reason: str  # where the side comes from
    weights: bool  # whether there are pretrained weights

    @property
    def tasks(self) -> List[str]:
        """Tasks that some source teaches."""
        return [x for x in ('det', 'seg', 'cls') if getattr(self.classes, x)]

    @property
    def weak(self) -> bool:
        """Whether boxes and masks can teach each other."""
        return bool(self.classes.shared)

    @property
    def tags_alone(self) -> bool:
        """Whether there is nothing but tags to learn masks from."""
        return {x.kind for x in self.used('train')} == {'image_label'}

    def used(self, part: str) -> List[Found]:
        """The sources that have images for 'train' or 'val'."""
        return [x for x in self.sources if getattr(self.splits[x.name], part)]


def write_config(plan: Plan) -> str:
    """The text of the config."""
    parts = [
        header(plan),
        classes_text(plan),
        pipelines(plan),
        sources_text(plan),
        loaders(plan),
        model(plan)
    ]
    return '\n'.join(line for part in parts for line in part) + '\n'


def header(plan: Plan) -> List[str]:
    """What the config inherits."""
    base = base_folder(plan.path)
    return [
        f'# Made by tools/new_config.py; {plan.name}.md says what was found '
        'and guessed. Now:',
        f'#     python tools/misc/check_data.py {plan.path}',
        f'#     python tools/train.py {plan.path}',
        '_base_ = [',
        f"    '{base}/models/mobilenetv2_fpn-gfl.py',   # small; or "
        'r50_fpn-gfl.py, on a GPU',
        f"    '{base}/datasets/own_data.py',   # pipelines, loaders, metrics",
        f"    '{base}/schedules/adamw_300it.py', "
        f"'{base}/default_runtime.py']",
        f"lists = '{{{{ fileDirname }}}}/{plan.name}_lists/'   # images of "
        'training and validation',
    ]


def base_folder(path: str) -> str:
    """Our ``_base_`` as a config names it, from within our configs or not."""
    folder = Path(path).resolve().parent
    if CONFIGS not in (folder, *folder.parents):
        return 'mmbombo::_base_'
    return Path(os.path.relpath(CONFIGS / '_base_', folder)).as_posix()


def classes_text(plan: Plan) -> List[str]:
    """Classes of each task, and what they have to do with each other."""
    classes, lines = plan.classes, ['']
    comments = dict(
        det='of boxes', seg='of masks: id = position', cls='of tags')
    for task in plan.tasks:
        lines += assign(f'{task}_classes', tuple(getattr(classes, task)),
                        comments[task])
    keys = dict(det='classes', seg='seg_classes', cls='cls_classes')
    lines.append('metainfo = dict(' + ', '.join(f'{keys[task]}={task}_classes'
                                                for task in plan.tasks) + ')')
    if 'det' in plan.tasks and 'seg' in plan.tasks:
        class_map = dict(
            det_classes=Code('det_classes'),
            seg_classes=Code('seg_classes'),
            background=classes.background)
        if classes.det_to_seg:
            class_map.update(det_to_seg=classes.det_to_seg)
        lines += assign('class_map', class_map)
    return lines


def pipelines(plan: Plan) -> List[str]:
    """Pieces of own_data.py, put together."""
    side = plan.side
    lines = [
        '', f'scale, crop_size = {(2 * side, side)}, {(side, side)}   # '
        f'{plan.reason}'
    ]
    make_masks, find_objects, end = [], [], ['    _base_.pack]']
    if plan.weak:
        min_area = round(80 * (side / 224)**2)
        lines.append(f'min_area = {min_area}   # pixels; a smaller region of '
                     'a mask is no object')
        make_masks = [
            "    dict(type='LoadPseudoMask', class_map=class_map, cache_dir="
            f"'data/pseudo_masks/{plan.name}'),   # masks from boxes"
        ]
        find_objects = [
            "    dict(type='LabelComponents', class_map=class_map, "
            'min_area=min_area),   # boxes from masks'
        ]
    if implies_tags(plan):
        end = [
            "    dict(type='ImplyImageLabels', class_map=class_map, "
            'classes=cls_classes), _base_.pack]   # tags from both'
        ]
    return [
        *lines, 'train_pipeline = [*_base_.load,', *make_masks,
        '    dict(_base_.resize, scale=scale), dict(_base_.crop, '
        'crop_size=crop_size), *_base_.flip_and_colors,', *find_objects, *end,
        'test_pipeline = [_base_.load[0], dict(_base_.test_resize, '
        'scale=scale), _base_.load[1], _base_.pack]',
        'val = dict(test_mode=True, pipeline=test_pipeline)'
    ]


def implies_tags(plan: Plan) -> bool:
    return 'cls' in plan.tasks and plan.weak


def sources_text(plan: Plan) -> List[str]:
    """Each source, and the part of it for validation."""
    lines = ['']
    seg = plan.classes.seg
    for source in plan.sources:
        config = dict(source.config)
        id_map = {x: seg.index(name) for x, name in source.id_map.items()}
        if id_map and id_map != {x: x for x in range(len(seg))}:
            config['seg_id_map'] = id_map
        if config['type'] == 'PartialVOCDataset':
            others = [x for x in source.classes if x not in plan.classes.det]
            config.update(dict(unlisted_classes=others) if others else {})
        part = 'val' if source.validation else 'train'
        config = dict(
            type=config.pop('type'),
            source=source.name,
            **config,
            **listed(source, part))
        if source.validation:
            lines += assign(source.name, config, rest='**val')
            continue
        lines += assign(source.name, config, rest='pipeline=train_pipeline')
        if plan.splits[source.name].val:
            name = 'val_' + source.name
            held = dict(source=name, **listed(source, 'val'))
            lines.append(f'{name} = dict({source.name}, {items(held)}, **val)')
    return lines


def listed(source: Found, part: str) -> dict:
    """The argument that names the list of images."""
    path = Code(f"lists + '{list_name(source, part)}'")
    return dict(ann_file=path) if source.ids_in_list else dict(
        filter_cfg=dict(image_list=path))


def list_name(source: Found, part: str) -> str:
    name = source.name
    return f'{name}.txt' if source.validation else f'{name}_{part}.txt'


def loaders(plan: Plan) -> List[str]:
    """Loaders, metrics and schedule."""
    train = [x.name for x in plan.used('train')]
    val = [
        x.name if x.validation else 'val_' + x.name for x in plan.used('val')
    ]
    ratio = [1] * len(train)
    judged = [
        x for x in plan.tasks if not plan.tags_alone
        or KINDS[x] in [y.kind for y in plan.used('val')]
    ]
    metrics = ', '.join(f'{x}=_base_.{METRICS[x]}' for x in judged)
    save = [] if {*plan.tasks} >= {'det', 'seg'} else [
        f'default_hooks = dict(checkpoint=dict(save_best={best(judged)!r}))'
    ]
    return [
        '', f'batch_size = {plan.batch}   # images in a step, as many of each '
        'source; halve it if memory runs out',
        'train_dataloader = dict(batch_size=batch_size, dataset=dict('
        f'datasets=[{", ".join(train)}]),',
        f'    sampler=dict(batch_size=batch_size, source_ratio={ratio}))',
        f'val_dataloader = dict(dataset=dict(datasets=[{", ".join(val)}]))',
        f'val_evaluator = dict(metrics=dict({metrics}))',
        'test_dataloader, test_evaluator = val_dataloader, val_evaluator',
        *save,
        f'max_iters = {plan.iters}   # about 24 rounds over the images; '
        'train.py --iters N scales the whole schedule',
        'train_cfg = dict(max_iters=max_iters, val_interval='
        f'{max(plan.iters // 10, 100)})',
        'param_scheduler = [_base_.param_scheduler[0], '
        'dict(_base_.param_scheduler[1], end=max_iters)]'
    ]


def best(tasks: Sequence[str]) -> str:
    scores = dict(det='det/bbox_mAP', seg='seg/mIoU', cls='cls/mAP')
    return next(scores[x] for x in scores if x in tasks)


def model(plan: Plan) -> List[str]:
    """The network for these classes, and the weak losses."""
    tasks = plan.tasks
    lines = ['', 'model = _base_.model']
    for task in ('det', 'seg'):
        lines.append(
            f'model.task_heads.{task}.head.num_classes = len({task}_classes)'
            if task in tasks else
            f"model.task_heads.pop('{task}')   # nothing teaches it")
    if 'cls' in tasks:
        lines.append("model.task_heads.cls = dict(type='ClsTaskHead', "
                     'num_classes=len(cls_classes), in_channels=64, '
                     f'in_index={1 if plan.tags_alone else 2})')
    maps = {'det', 'seg'} <= {*tasks}  # the map has classes of both
    classes = 'dict(' + ', '.join(
        f'{x}={x}_classes' for x in tasks if x == 'cls' or not maps) + ')'
    if not maps:
        lines.append(f'model.classes = {classes}')
    elif 'cls' in tasks:
        lines.append(f'model.class_map, model.classes = class_map, {classes}')
    else:
        lines.append('model.class_map = class_map')
    if plan.weak:
        lines += [
            "model.weak_losses = [dict(type='BoxForMaskLoss', "
            'loss_weight=1.0),   # boxes teach masks',
            "    dict(type='MaskForBoxLoss', loss_weight=1.0, "
            "predictor='self', min_area=min_area)]   # masks teach boxes"
        ]
    if plan.tags_alone:
        lines += [
            "model.weak_losses = [dict(type='TagForMaskLoss', start=0.5),   "
            '# tags teach masks',
            "    dict(type='DenseEnergyLoss', start=0.5)]   # colors, too"
        ]
    if not plan.weights:
        lines.append(
            'model.backbone.update(init_cfg=None, frozen_stages=-1)   # delete'
            ' after python tools/model_converters/mobilenet_v2.py')
    return [*lines, 'model._delete_ = True   # takes the place of the base\'s']


def assign(name: str,
           value: Any,
           comment: str = '',
           rest: str = '') -> List[str]:
    """``name = value``, over as few lines as it needs."""
    text = f'{name} = {show(value)}'
    if rest:
        text = f'{text[:-1]}, {rest})'
    comment = comment and f'   # {comment}'
    if len(text + comment) <= WIDTH:
        return [text + comment]
    whole = STRING.sub(lambda x: x.group().replace(' ', HARD_SPACE), text)
    whole = re.sub('(?<!,) ', HARD_SPACE, whole)  # after commas only
    lines = textwrap.wrap(
        whole,
        WIDTH,
        subsequent_indent='    ',
        break_long_words=False,
        break_on_hyphens=False)
    lines = [line.replace(HARD_SPACE, ' ') for line in lines]
    return [comment.strip(), *lines] if comment else lines


def show(value: Any) -> str:
    """A value as Python; dicts with names as ``dict(key=value)``."""
    if isinstance(value, dict) and all(
            isinstance(x, str) and x.isidentifier() for x in value) and value:
        return f'dict({items(value)})'
    return repr(value)


def items(value: dict) -> str:
    return ', '.join(f'{key}={show(x)}' for key, x in value.items())
