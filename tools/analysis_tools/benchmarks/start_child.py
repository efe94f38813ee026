# Copyright (c) mmbombo contributors.
"""The start of a training in this process, for ``start_up``.

    python -m benchmarks.start_child SIDE OPTIONS

from ``tools/analysis_tools``. OPTIONS is JSON: ``data``, ``model``,
``batch``, ``threads`` and ``cache``. Prints the seconds of each part as JSON.
The side 'mmdet' does not import mmbombo, but for backbones and necks that
MMDetection does not have.
"""
import json
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Callable, Dict

from .stock import CONFIGS, WITH_PARTS_OF_OURS, detector_cfg, network_cfg
from .voc_sources import (LISTS, bombo_pipeline, class_names, mmdet_source,
                          our_source)

KINDS = dict(det=('bbox', ), seg=('sem_seg', ))


def our_parts(options: dict) -> Dict[str, dict]:
    """BoMBo on both lists, one for its boxes, the other for its masks."""
    from mmengine.config import Config

    import mmbombo.datasets
    import mmbombo.engine
    import mmbombo.models
    import mmbombo.visualization  # noqa: F401
    root = Path(options['data'])
    classes = class_names(root)
    model = network_cfg(options['model'], len(classes))
    model.class_map = dict(
        det_classes=classes, seg_classes=('background', *classes))
    model.weak_losses = [
        dict(type='BoxForMaskLoss'),
        dict(type='MaskForBoxLoss', predictor='self')
    ]
    pipeline = bombo_pipeline(classes, options['cache'])
    size = 2 * options['batch']
    return dict(
        model=model,
        dataset=dict(
            type='MixedSourceDataset',
            datasets=[
                our_source(root, source, KINDS[source], pipeline)
                for source in LISTS
            ]),
        sampler=dict(
            type='PartialAnnotationSampler',
            batch_size=size,
            source_ratio=[1, 1]),
        runtime=Config.fromfile(CONFIGS / '_base_' / 'default_runtime.py'))


def mmdet_parts(options: dict) -> Dict[str, dict]:
    """The boxes of both lists, with MMDetection's own runtime."""
    import mmdet
    import mmdet.datasets
    import mmdet.engine
    import mmdet.models
    import mmdet.visualization  # noqa: F401
    from mmengine.config import Config
    if options['model'] in WITH_PARTS_OF_OURS:
        import mmbombo.models  # noqa: F401
    root = Path(options['data'])
    model = network_cfg(options['model'], len(class_names(root)))
    stock = Path(mmdet.__file__).parent / '.mim' / 'configs' / '_base_'
    return dict(
        model=detector_cfg(model),
        dataset=dict(
            type='ConcatDataset',
            datasets=[mmdet_source(root, source) for source in LISTS]),
        sampler=dict(type='InfiniteSampler'),
        runtime=Config.fromfile(stock / 'default_runtime.py'))


SIDES = dict(ours=our_parts, mmdet=mmdet_parts)


def begin(side: str, options: dict) -> Dict[str, float]:
    """Import, read the data set, build, and take one step.

    Args:
        side (str): 'ours' or 'mmdet'.
        options (dict): See above.

    Returns:
        dict[str, float]: Seconds of each part.
    """
    spent: Dict[str, float] = {}
    parts = _timed(spent, 'import', lambda: SIDES[side](options))
    from mmengine.registry import DATASETS, init_default_scope
    from mmengine.runner import Runner
    runtime = parts['runtime']
    init_default_scope(runtime.default_scope)
    dataset = _timed(spent, 'data set index',
                     lambda: DATASETS.build(parts['dataset']))
    hooks = dict(runtime.default_hooks)
    # Neither saves anything.
    hooks['checkpoint'] = None
    with TemporaryDirectory() as folder:
        runner = _timed(
            spent, 'build', lambda: Runner(
                model=parts['model'],
                work_dir=folder,
                train_dataloader=dict(
                    batch_size=2 * options['batch'],
                    num_workers=0,
                    sampler=parts['sampler'],
                    dataset=dataset),
                train_cfg=dict(type='IterBasedTrainLoop', max_iters=1),
                optim_wrapper=dict(optimizer=dict(type='AdamW', lr=1e-7)),
                default_hooks=hooks,
                env_cfg=runtime.env_cfg,
                visualizer=runtime.visualizer,
                log_processor=dict(type='LogProcessor', by_epoch=False),
                log_level='ERROR',
                randomness=dict(seed=0),
                experiment_name=side,
                default_scope=runtime.default_scope))
        _timed(spent, 'first step', runner.train)
    return spent


def _timed(spent: Dict[str, float], name: str, function: Callable):
    start = time.perf_counter()
    result = function()
    spent[name] = time.perf_counter() - start
    return result


def main() -> None:
    """Command."""
    side, options = sys.argv[1], json.loads(sys.argv[2])
    import torch
    torch.set_num_threads(options['threads'])
    print(json.dumps(begin(side, options)))


if __name__ == '__main__':
    main()
