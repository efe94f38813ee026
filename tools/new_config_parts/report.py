# Copyright (c) mmbombo contributors.
"""The report: what was found, and what was guessed."""
from statistics import median
from typing import List

from .found import Found
from .split import stem
from .writer import Plan

UNITS = dict(bbox='objects', sem_seg='images', image_label='images')


def write_report(plan: Plan) -> str:
    """The report, in Markdown."""
    lines = [f'# {plan.name}', '']
    for source in plan.sources:
        lines += describe(source, plan)
    if 'det' in plan.tasks and 'seg' in plan.tasks:
        lines += ['## What maps to what', '', *map_lines(plan), '']
    return '\n'.join([*lines, '## Guessed', '', *guesses(plan), ''])


def describe(source: Found, plan: Plan) -> List[str]:
    """Images, sizes and classes of a source."""
    parts = plan.splits[source.name]
    widths, heights = zip(*source.sizes)
    shown = ', '.join(f'{x} {n}' for x, n in source.classes.items())
    return [
        f'## {source.name}: {source.place}', '',
        f'- {len(source.images)} images: {len(parts.train)} for training, '
        f'{len(parts.val)} for validation',
        f'- sizes: {min(widths)} to {max(widths)} wide, {min(heights)} to '
        f'{max(heights)} high, median {median(widths):g} x '
        f'{median(heights):g}', f'- {UNITS[source.kind]} per class: {shown}',
        *shared_lines(source, plan), ''
    ]


def shared_lines(source: Found, plan: Plan) -> List[str]:
    """How many images other sources have under the same name."""
    own = {stem(path) for path in source.images.values()}
    lines = []
    for other in plan.sources:
        names = own & {stem(path) for path in other.images.values()}
        if other is not source and names:
            lines.append(f'- {len(names)} images have the name of one of '
                         f'{other.name}, and are on the same side')
    return lines


def map_lines(plan: Plan) -> List[str]:
    classes = plan.classes
    shown = {classes.shown_by(x) for x in classes.det}
    lines = [
        f'- {x} -> {classes.shown_by(x) or "no mask shows it"}'
        for x in classes.det
    ]
    return lines + [
        f'- (masks only) {x}'
        for x in classes.seg if x not in shown and x != classes.background
    ]


def guesses(plan: Plan) -> List[str]:
    """What the user may want to correct."""
    classes = plan.classes
    lines = [f'- {x.name}: {note}' for x in plan.sources for note in x.notes]
    if 'seg' in plan.tasks:
        lines.append(f'- background class: {classes.background}')
    if {'det', 'seg'} <= {*plan.tasks} and not plan.weak:
        lines.append('- no class of boxes is shown by masks, so there are no '
                     'weak losses; if one is, say so: --map BOX=MASK')
    empty = [
        f'{x} ({source.name})' for source in plan.sources
        if not source.validation for x, n in source.classes.items()
        if not n and x in classes.det + classes.seg
    ]
    if empty:
        lines.append(f'- classes without any object: {", ".join(empty)}')
    left = [
        x for source in plan.sources if source.kind == 'bbox'
        for x, n in source.classes.items() if x not in classes.det
    ]
    if left:
        lines.append('- categories of boxes that are not used: ' +
                     ', '.join(dict.fromkeys(left)))
    return lines + [
        f'- short side {plan.side}: {plan.reason}',
        f'- {plan.batch} images in a step, {plan.iters} iterations',
        '- weights to start from: ' +
        ('checkpoints/mobilenet_v2_imagenet.pth' if plan.weights else
         'none; python tools/model_converters/mobilenet_v2.py gets them')
    ]
