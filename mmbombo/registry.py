# Copyright (c) mmbombo contributors.
"""Registry nodes of mmbombo.

Each node is a child of MMEngine's root, and ``locations`` lets a node import
its modules on first use: with ``default_scope = 'mmbombo'`` a config needs no
``custom_imports``. Parts of MMDetection and MMSegmentation are siblings, which
a registry never searches, so they are always written with their prefix
(``'mmdet.GFLHead'``) or inside a dict with ``_scope_``.
"""
from mmengine import registry as root
from mmengine.registry import Registry


def _child(name: str, parent: Registry, *locations: str) -> Registry:
    """A node below ``parent`` that imports ``locations`` on first use.

    Without locations MMEngine would call ``register_all_modules`` of a
    package that it knows by name; hence this module stands for none.
    """
    return Registry(
        name,
        parent=parent,
        scope='mmbombo',
        locations=[
            f'mmbombo.{location}' for location in locations or ('registry', )
        ])


MODELS = _child('model', root.MODELS, 'models')
TASK_UTILS = _child('task util', root.TASK_UTILS, 'models.task_modules',
                    'engine.pseudo_labels')
DATASETS = _child('dataset', root.DATASETS, 'datasets')
TRANSFORMS = _child('transform', root.TRANSFORMS, 'datasets.transforms')
DATA_SAMPLERS = _child('data sampler', root.DATA_SAMPLERS, 'datasets.samplers')
HOOKS = _child('hook', root.HOOKS, 'engine.hooks')
METRICS = _child('metric', root.METRICS, 'evaluation.metrics')
EVALUATOR = _child('evaluator', root.EVALUATOR, 'evaluation')
VISUALIZERS = _child('visualizer', root.VISUALIZERS, 'visualization')
WEIGHT_INITIALIZERS = _child('weight initializer', root.WEIGHT_INITIALIZERS,
                             'engine.initializers')
INFERENCERS = _child('inferencer', root.INFERENCERS, 'apis')
LOOPS = _child('loop', root.LOOPS, 'engine.runner.staged_train_loop')
LOG_PROCESSORS = _child('log processor', root.LOG_PROCESSORS, 'engine.runner')

# What is called for each annotation kind that an image has, under its name:
# (transform, results), (results, sample) and (layer, sample).
ANNOTATION_LOADERS = Registry('annotation loader', locations=[__name__])
ANNOTATION_PACKERS = Registry('annotation packer', locations=[__name__])
ANNOTATION_DRAWERS = Registry('annotation drawer', locations=[__name__])

# Nothing of ours is in these, but without a node MMEngine warns that
# the scope of the config does not exist there.
RUNNERS = _child('runner', root.RUNNERS)
RUNNER_CONSTRUCTORS = _child('runner constructor', root.RUNNER_CONSTRUCTORS)
MODEL_WRAPPERS = _child('model wrapper', root.MODEL_WRAPPERS)
OPTIMIZERS = _child('optimizer', root.OPTIMIZERS)
OPTIM_WRAPPERS = _child('optimizer wrapper', root.OPTIM_WRAPPERS)
OPTIM_WRAPPER_CONSTRUCTORS = _child('optimizer wrapper constructor',
                                    root.OPTIM_WRAPPER_CONSTRUCTORS)
PARAM_SCHEDULERS = _child('parameter scheduler', root.PARAM_SCHEDULERS)
VISBACKENDS = _child('vis_backend', root.VISBACKENDS)
FUNCTIONS = _child('function', root.FUNCTIONS)
