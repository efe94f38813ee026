# Copyright (c) mmbombo contributors.
"""One look at every image of a config's sources, and all that follows."""
import gc
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

import cv2
from mmengine.config import Config

from mmbombo.registry import DATASETS, MODELS
from mmbombo.structures import BBOX, SEM_SEG, ClassMap
from mmbombo.utils import UserError
from mmbombo.utils.config_parts import list_sources
from mmbombo.utils.processes import in_processes
from .copies import Picture, find_copies
from .counts import count_classes, count_source
from .coverage import cover
from .finding import TYPES, Finding, Place
from .look import Look, look_at
from .network import Network

#: Of a process: the sources, and how the classes of each relate.
_SOURCES: List[Any] = []
_MAPS: List[Optional[ClassMap]] = []


class Survey(NamedTuple):
    """What there is, and what may be wrong."""
    sources: List[Any]
    rows: List[dict]  #: of sources, also of those that cannot be read
    classes: Dict[str, dict]  #: see :func:`count_classes`
    coverage: List[dict]  #: see :func:`cover`
    confidence: Dict[str, Dict[str, float]]  #: of a task and class
    findings: List[Finding]  #: by type, worst first


def survey(cfg: Config, checkpoint: Optional[str], jobs: int) -> Survey:
    """Look at everything."""
    model = MODELS.build(cfg.model)
    network = checkpoint and Network(cfg, model, checkpoint)
    sources, rows = build_sources(cfg)
    built = [row for row in rows if not row['problem']]
    looks = look_at_all(sources, model, jobs)
    findings: List[Finding] = []
    pictures: List[Picture] = []
    for i, (row, source) in enumerate(zip(built, sources)):
        row['counts'] = count_source(source, looks[i])
        for j, look in enumerate(looks[i]):
            findings += [x._replace(place=(i, j)) for x in look.findings]
            if look.img_path:
                pictures.append(Picture(row['phase'] == 'train', (i, j),
                                        look.img_path, look.signs))
    findings += find_copies(pictures)
    if network:
        findings += network.doubt(sources, [x.place for x in pictures])
    order = [*TYPES]
    findings.sort(key=lambda x: (order.index(x.type), -x.badness))
    trained = [i for i, row in enumerate(built) if row['phase'] == 'train']
    coverage = hasattr(model, 'weak_losses') and cover(
        model, [sources[i] for i in trained],
        [[j for j, x in enumerate(looks[i]) if x.img_path] for i in trained])
    return Survey(sources, rows,
                  count_classes(rows, getattr(model, 'class_map', None)),
                  coverage or [], network.confidence() if network else {},
                  findings)


def build_sources(cfg: Config) -> Tuple[List[Any], List[dict]]:
    """The sources that can be read, and a row for each that is named."""
    gc.freeze()  # or MMEngine searches all modules for garbage per source
    sources, rows = [], []
    for is_train, config in list_sources(cfg):
        row = dict(phase='train' if is_train else 'val',
                   source=config.get('source') or config['type'], kinds=(),
                   images=0, counts={}, problem='')
        rows.append(row)
        try:
            source = DATASETS.build(config)
        except UserError as error:
            row['problem'] = str(error)
            continue
        if not hasattr(source, 'annotation_kinds'):
            row['problem'] = ('it declares no annotation kinds: wrap it in '
                              'PartialAnnotationDataset')
            continue
        row.update(kinds=source.annotation_kinds, images=len(source))
        sources.append(source)
    if not sources:
        raise UserError(f'{cfg.filename}: no source can be read: ' +
                        '; '.join(x['problem'] for x in rows))
    return sources, rows


def class_map_of(source: Any, model: Any) -> Optional[ClassMap]:
    """How boxes and masks of a source relate; None if it has not both."""
    if not {BBOX, SEM_SEG} <= {*source.annotation_kinds}:
        return None
    names = [tuple(source.metainfo[x]) for x in ('classes', 'seg_classes')]
    known = getattr(model, 'class_map', None)
    if known and [known.det_classes, known.seg_classes] == names:
        return known
    return ClassMap(*names, 'background' if 'background' in names[1] else None)


def look_at_all(sources: List[Any], model: Any, jobs: int) -> List[List[Look]]:
    """One look at each image of each source."""
    places = [(i, j) for i, x in enumerate(sources) for j in range(len(x))]
    maps = [class_map_of(x, model) for x in sources]
    cv2.setNumThreads(1)  # or processes wait for threads that are not theirs
    looks: List[List[Look]] = [[] for _ in sources]
    done = in_processes(_look_at, places, jobs, _take, (sources, maps), 8,
                        'labels')
    for (number, _), look in zip(places, done):
        looks[number].append(look)
    return looks


def _take(sources: List[Any], maps: List[Optional[ClassMap]]) -> None:
    _SOURCES[:], _MAPS[:] = sources, maps


def _look_at(place: Place) -> Look:
    number, index = place
    return look_at(_SOURCES[number], index, _MAPS[number])
