# Copyright (c) mmbombo contributors.
"""A step with a teacher against one without, and the teacher's own forward.

Without: naive-all, which runs the same heads on the same images. With: a
teacher of the student's size, batch normalization folded, says on each image
what it is not annotated for, and the student learns its outputs. The floor is
the ratio of multiply-adds.
"""
from argparse import Namespace
from functools import partial
from typing import List, Tuple

from torch import Tensor, nn

from mmbombo.engine.hooks.teacher_hook import fold_batch_norm
from mmbombo.models.context import TeacherOutputs
from .batches import own_batch
from .networks import (PASSES_OF_TRAINING, build_naive_all, build_ours,
                       multiply_adds, raw_inputs)
from .rows import Row, in_turn, ratio_of
from .running import Training, waiting
from .stock import sizes

MARGIN = 1.05
LOSSES = (dict(type='SoftDetectionLoss', teacher='teacher'),
          dict(type='SegmentationKLLoss', teacher='teacher'))


def run(options: Namespace) -> List[Row]:
    """Time steps, then the teacher alone."""
    batch = own_batch(options)
    teacher = build_teacher(options)
    student = build_ours(options.model, LOSSES)
    student.set_teacher('teacher', teacher)
    learning = waiting(options.device,
                       Training(student, batch, options.device))
    alone = waiting(
        options.device,
        Training(build_naive_all(options.model), batch, options.device))
    inputs = raw_inputs(student, batch)
    ask = waiting(options.device,
                  partial(answers, teacher, inputs))
    floor = floor_of_teacher(options.model, options.size)
    return [
        row_of('teacher_step', options, (learning, alone),
               ('with_teacher', 'without'), 1 + floor,
               'time of a step with a teacher / of a naive-all step'),
        row_of('teacher_forward', options, (ask, alone),
               ('teacher_forward', 'without'), floor,
               "time of the teacher's forward pass / of a naive-all step")
    ]


def build_teacher(options: Namespace) -> nn.Module:
    """A frozen network as :class:`TeacherHook` prepares it."""
    teacher = build_ours(options.model).requires_grad_(False).eval()
    fold_batch_norm(teacher, 'teacher')
    return teacher.to(options.device)


def answers(teacher: nn.Module, inputs: Tensor) -> list:
    """What the losses of a step ask for.

    Args:
        teacher (nn.Module): Who is asked.
        inputs (Tensor): Images, the first half with boxes, the rest with
            masks.

    Returns:
        list: Outputs for segmentation, outputs for detection.
    """
    other = TeacherOutputs('teacher', teacher, inputs)
    half = len(inputs) // 2
    return [
        other.outputs('seg', range(half)),
        other.outputs('det', range(half, len(inputs)))
    ]


def floor_of_teacher(name: str, size: Tuple[int, int]) -> float:
    """Multiply-adds of the teacher against those of a naive-all step.

    Each image passes through its trunk and one of its heads.
    """
    cost = multiply_adds(name, size)
    heads = cost['det'] + cost['seg']
    return (cost['trunk'] + heads / 2) / (
        PASSES_OF_TRAINING * (cost['trunk'] + heads))


def row_of(name: str, options: Namespace, sides: tuple, labels: tuple,
           floor: float, text: str) -> Row:
    """Time two sides in turn; the goal is the floor and a margin."""
    times = in_turn(*sides, options.repeats)
    ratio, spread = ratio_of(*times)
    return Row(
        f'{name}_{options.model}',
        ratio,
        MARGIN * floor,
        'at most',
        spread,
        text,
        figures={
            **sizes(options), 'floor': round(floor, 3)
        },
        times=dict(zip(labels, times)))
