# Copyright (c) mmbombo contributors.
"""The config and the report, as text. What they say stands in templates."""
from pathlib import Path
from typing import Any, Iterator, List

from jinja2 import Environment, FileSystemLoader  # which PyTorch brings
from yapf.yapflib.yapf_api import FormatCode

from .found import Code, Found
from .plan import Plan

TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).resolve().parent),
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True)
STYLE = dict(
    based_on_style='pep8',
    column_limit=118,
    split_before_named_assigns=False,
    each_dict_entry_on_separate_line=False,
    allow_split_before_dict_value=False)
#: Of a task: what an image has, what metainfo calls the classes, what they are
#: of, the metric and its score.
TASKS = dict(
    det=('bbox', 'classes', 'boxes', 'box_metric', 'det/bbox_mAP'),
    seg=('sem_seg', 'seg_classes', 'masks: id = position', 'mask_metric',
         'seg/mIoU'),
    cls=('image_label', 'cls_classes', 'tags', 'tag_metric', 'cls/mAP'))


def write_config(plan: Plan) -> str:
    """The text of the config."""
    kinds = [x.kind for x in plan.used('val')]
    classes = plan.classes
    class_map = dict(
        det_classes=Code('det_classes'),
        seg_classes=Code('seg_classes'),
        background=classes.background)
    if classes.det_to_seg:
        class_map['det_to_seg'] = classes.det_to_seg
    text = TEMPLATES.get_template('config.py.jinja').render(
        plan=plan,
        rows={x: TASKS[x]
              for x in plan.tasks},
        judged=[
            x for x in plan.tasks
            if not plan.tags_alone or TASKS[x][0] in kinds
        ],
        class_map=show(class_map),
        sources='\n'.join(
            x for source in plan.sources for x in source_lines(source, plan)))
    return FormatCode(text, style_config=STYLE)[0]


def write_report(plan: Plan) -> str:
    """What was found, and what was guessed, in Markdown."""
    return TEMPLATES.get_template('report.md.jinja').render(plan=plan)


def source_lines(source: Found, plan: Plan) -> Iterator[str]:
    """A source, and the part of it for validation."""
    config, seg = dict(source.config), plan.classes.seg
    id_map = {x: seg.index(name) for x, name in source.id_map.items()}
    if id_map and id_map != {x: x for x in range(len(seg))}:
        config['seg_id_map'] = id_map
    others = [x for x in source.classes if x not in plan.classes.det]
    if config['type'] == 'PartialVOCDataset' and others:
        config['unlisted_classes'] = others
    config = dict(type=config.pop('type'), source=source.name, **config)
    part = 'val' if source.validation else 'train'
    rest = '**val' if source.validation else 'pipeline=train_pipeline'
    config.update(listed(source, part))
    yield f'{source.name} = {show(config, rest)}'
    if plan.splits[source.name].val and not source.validation:
        held = dict(source=source.val_name, **listed(source, 'val'))
        yield f'{source.val_name} = {show(held, "**val", source.name)}'


def listed(source: Found, part: str) -> dict:
    """The argument that names the list of images."""
    path = Code(f"lists + '{source.list_name(part)}'")
    return dict(ann_file=path) if source.ids_in_list else dict(
        filter_cfg=dict(image_list=path))


def show(value: Any, last: str = '', first: str = '') -> str:
    """A value as Python; dicts with names as ``dict(key=value)``."""
    if not isinstance(value, dict) or not value or not all(
            isinstance(x, str) and x.isidentifier() for x in value):
        return repr(value)
    words: List[str] = [f'{key}={show(x)}' for key, x in value.items()]
    return f'dict({", ".join(filter(None, [first, *words, last]))})'
