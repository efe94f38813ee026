# Copyright (c) mmbombo contributors.
"""The annotation kinds ``depth`` and ``pose``: where the pixels of an image
are in the world.

In a sample depth is a :obj:`PixelData`, whose ``data`` ``(1, H, W)`` float32
is z in meters, 0 where it is missing. The pose is a tensor ``camera`` of
shape ``(2, 4, 4)`` float32: the matrix to pixels of the depth, and the rigid
matrix from the world, of OpenCV's axes (x to the right, y down, z forward).
Resizing, cropping and flipping change depth and the first matrix; what a test
pipeline does before it loads them does not.
"""
from .annotation_kinds import (NEAREST, AnnotationKind, SampleField,
                               register_kind)

DEPTH = register_kind(
    AnnotationKind(
        'depth',
        task='',
        info_key='depth_path',
        fields=(SampleField('depth', NEAREST), ))).name
POSE = register_kind(
    AnnotationKind(
        'pose',
        task='',
        info_key='extrinsics',
        fields=(SampleField('camera'), ))).name
