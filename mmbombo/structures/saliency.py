# Copyright (c) mmbombo contributors.
"""The annotation kind ``saliency``: how much each pixel catches the eye.

In a sample it is a :obj:`PixelData`, whose ``data`` ``(1, H, W)`` float32 is
in 0..1, or :data:`UNKNOWN_SALIENCY`, as in what pads the image.
"""
from .annotation_kinds import (LINEAR, AnnotationKind, SampleField,
                               register_kind)

UNKNOWN_SALIENCY = -1.

SALIENCY = register_kind(
    AnnotationKind(
        'saliency',
        task='sal',
        info_key='saliency_path',
        fields=(SampleField('gt_saliency', LINEAR,
                            pad_value=UNKNOWN_SALIENCY), ))).name
