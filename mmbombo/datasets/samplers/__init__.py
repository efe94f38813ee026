# Copyright (c) mmbombo contributors.
from .partial_annotation_sampler import PartialAnnotationSampler

__all__ = ['PartialAnnotationSampler']
