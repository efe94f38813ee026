# Copyright (c) mmbombo contributors.
"""Parts of a config, wherever they are nested."""
from typing import Iterator, List, Tuple

from mmengine.config import Config

from .user_errors import UserError


def find_dataset(cfg: Config) -> dict:
    """Return the config of the data set that is tested, or else validated:
    the innermost one that has a pipeline, of several sources the first."""
    loader = cfg.get('test_dataloader') or cfg.get('val_dataloader') or {}
    dataset = loader.get('dataset')
    while dataset and not dataset.get('pipeline'):
        several = dataset.get('datasets') or [None]
        dataset = dataset.get('dataset') or several[0]
    if not dataset:
        raise UserError(
            'the config has no pipeline in test_dataloader.dataset or '
            'val_dataloader.dataset, so there is no telling how its model '
            'wants its images')
    return dataset


def sources_of(dataset: dict) -> Iterator[dict]:
    """The configs of the sources in that of a data set."""
    parts = [*dataset.get('datasets', ())]
    if 'dataset' in dataset:
        parts.append(dataset['dataset'])
    if 'annotation_kinds' in dataset or not parts:
        yield dataset
        return
    for part in parts:
        yield from sources_of(part)


def list_sources(cfg: Config) -> List[Tuple[bool, dict]]:
    """Whether it is of training, and the config of each source, once."""
    sources = {}
    for phase in ('train', 'val', 'test'):
        loader = cfg.get(f'{phase}_dataloader')
        for source in sources_of(loader['dataset']) if loader else ():
            is_train = phase == 'train'
            sources.setdefault((is_train, str(source)), (is_train, source))
    return [*sources.values()]


def inference_steps(cfg: Config) -> List[dict]:
    """Return the test pipeline without the steps that need annotations; the
    first step loads the image."""
    steps = [
        dict(step) for step in find_dataset(cfg)['pipeline']
        if not _needs_annotations(step)
    ]
    if not steps or not base_type(steps[0]).startswith('LoadImage'):
        raise UserError(
            'the first transform of the test pipeline must load the image '
            f'(LoadImageFromFile); the pipeline is {steps}')
    return steps


def base_type(step: dict) -> str:
    """Return the type of a transform without its library."""
    kind = step['type']
    return getattr(kind, '__name__', kind).split('.')[-1]


def _needs_annotations(step: dict) -> bool:
    name = base_type(step)
    needs_none = ('LoadImage', 'LoadRegions')
    return name == 'LabelComponents' or (name.startswith('Load') and
                                         not name.startswith(needs_none))
