# Copyright (c) mmbombo contributors.
"""Parts of a config that inference needs, wherever they are nested."""
from typing import Iterator, List, Sequence

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
    steps = [dict(x) for x in pipeline]
    places = [i for i, x in enumerate(steps) if base_type(x) == 'Resize']
    if scales and not places:
        raise UserError('--tta: images cannot be scaled, for the test '
                        f'pipeline has no Resize: {[*map(base_type, steps)]}')
    place = places[0] if places else 1
    views = [[dict(type='mmdet.RandomFlip', prob=x) for x in (0., 1.)]]
    if places:
        views.insert(0, [_scaled(steps[place], x) for x in scales or (1., )])
    rest = steps[place + len(places[:1]):]
    return steps[:place] + [
        dict(type='TestTimeAug', transforms=[*views, *([x] for x in rest)])
    ]


def _scaled(resize: dict, scale: float) -> dict:
    """A ``Resize`` to a size, or by a factor, times ``scale``."""
    if resize.get('scale') is None:
        return dict(resize, scale_factor=resize['scale_factor'] * scale)
    size = resize['scale']
    sides = (size, size) if isinstance(size, int) else size
    return dict(resize, scale=tuple(round(x * scale) for x in sides))


def base_type(step: dict) -> str:
    """Return the type of a transform without its library."""
    kind = step['type']
    return getattr(kind, '__name__', kind).split('.')[-1]


def _needs_annotations(step: dict) -> bool:
    name = base_type(step)
    needs_none = ('LoadImage', 'LoadRegions')
    return name == 'LabelComponents' or (name.startswith('Load') and
                                         not name.startswith(needs_none))
