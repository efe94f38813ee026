# Copyright (c) mmbombo contributors.
"""Parts of a config, wherever they are nested."""
from typing import Iterator, List, Sequence, Tuple

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


def all_datasets(dataset: dict) -> Iterator[dict]:
    """Yield the configs in that of a data set that have a pipeline."""
    if dataset.get('pipeline'):
        yield dataset
    for part in (dataset.get('dataset'), *dataset.get('datasets', ())):
        if part:
            yield from all_datasets(part)


def view_pipeline(pipeline: Sequence[dict],
                  scales: Sequence[float] = ()) -> List[dict]:
    """A test pipeline of each image as it is and flipped, at its size times
    each of ``scales``.

    Images are flipped behind ``Resize``, or else behind the first step; what
    is loaded after that, such as the truth, is not flipped.
    """
    sized = [i for i, x in enumerate(pipeline)
             if base_type(x) == 'Resize' and isinstance(
                 x.get('scale'), (list, tuple))]
    if scales and not sized:
        raise UserError('--tta: images cannot be scaled, for no Resize of the '
                        'test pipeline has a scale (width, height)')
    place = sized[0] if sized else 0
    resize, *rest = pipeline[place:]
    resizes = [resize] if not scales else [
        dict(resize, scale=tuple(round(side * x) for side in resize['scale']))
        for x in scales
    ]
    flips = [dict(type='mmdet.RandomFlip', prob=x) for x in (0., 1.)]
    return [*pipeline[:place], dict(
        type='TestTimeAug',
        transforms=[resizes, flips, *([step] for step in rest)])]


def base_type(step: dict) -> str:
    """Return the type of a transform without its library."""
    kind = step['type']
    return getattr(kind, '__name__', kind).split('.')[-1]


def _needs_annotations(step: dict) -> bool:
    name = base_type(step)
    needs_none = ('LoadImage', 'LoadRegions')
    return name == 'LabelComponents' or (name.startswith('Load') and
                                         not name.startswith(needs_none))
