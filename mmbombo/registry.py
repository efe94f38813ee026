# Copyright (c) mmbombo contributors.
"""Registry nodes of mmbombo.

Each node is a child of MMEngine's root, and ``locations`` lets a node import
its modules on first use: with ``default_scope = 'mmbombo'`` a config needs no
``custom_imports``. Parts of MMDetection and MMSegmentation are siblings, which
a registry never searches, so they are always written with their prefix
(``'mmdet.GFLHead'``) or inside a dict with ``_scope_``.
"""
from mmengine.registry import DATA_SAMPLERS as MMENGINE_DATA_SAMPLERS
from mmengine.registry import DATASETS as MMENGINE_DATASETS
from mmengine.registry import EVALUATOR as MMENGINE_EVALUATOR
from mmengine.registry import HOOKS as MMENGINE_HOOKS
from mmengine.registry import INFERENCERS as MMENGINE_INFERENCERS
from mmengine.registry import METRICS as MMENGINE_METRICS
from mmengine.registry import MODELS as MMENGINE_MODELS
from mmengine.registry import TRANSFORMS as MMENGINE_TRANSFORMS
from mmengine.registry import VISUALIZERS as MMENGINE_VISUALIZERS
from mmengine.registry import \
    WEIGHT_INITIALIZERS as MMENGINE_WEIGHT_INITIALIZERS
from mmengine.registry import Registry

MODELS = Registry(
    'model', parent=MMENGINE_MODELS, locations=['mmbombo.models'])
DATASETS = Registry(
    'dataset', parent=MMENGINE_DATASETS, locations=['mmbombo.datasets'])
TRANSFORMS = Registry(
    'transform',
    parent=MMENGINE_TRANSFORMS,
    locations=['mmbombo.datasets.transforms'])
DATA_SAMPLERS = Registry(
    'data sampler',
    parent=MMENGINE_DATA_SAMPLERS,
    locations=['mmbombo.datasets.samplers'])
HOOKS = Registry(
    'hook', parent=MMENGINE_HOOKS, locations=['mmbombo.engine.hooks'])
METRICS = Registry(
    'metric',
    parent=MMENGINE_METRICS,
    locations=['mmbombo.evaluation.metrics'])
EVALUATOR = Registry(
    'evaluator', parent=MMENGINE_EVALUATOR, locations=['mmbombo.evaluation'])
VISUALIZERS = Registry(
    'visualizer',
    parent=MMENGINE_VISUALIZERS,
    locations=['mmbombo.visualization'])
WEIGHT_INITIALIZERS = Registry(
    'weight initializer',
    parent=MMENGINE_WEIGHT_INITIALIZERS,
    locations=['mmbombo.engine.initializers'])
INFERENCERS = Registry(
    'inferencer', parent=MMENGINE_INFERENCERS, locations=['mmbombo.apis'])
