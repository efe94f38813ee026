# Copyright (c) mmbombo contributors.
"""What is compared: the rows of a bench, and what each of them trains."""
import hashlib
import json
import os
from pathlib import Path
from typing import Any, Dict, List, NamedTuple

import yaml
from mmengine.config import Config

from mmbombo.structures import ClassMap
from mmbombo.utils import scale_schedule

#: Parts of a config that decide what is trained and measured.
DECISIVE = ('model', 'train_dataloader', 'val_dataloader', 'val_evaluator',
            'optim_wrapper', 'param_scheduler', 'train_cfg', 'custom_hooks',
            'load_from')
#: Keys that only draw or explain.
INDIFFERENT = ('palette', 'seg_palette', 'data_help', 'num_workers',
               'persistent_workers')


class Row(NamedTuple):
    """One line of the table."""
    name: str
    config: Path
    # values that replace those of the config. A text may hold {NAME}, the
    # checkpoint of the row NAME with the same seed
    options: Dict[str, Any]
    needs: List[str]  # rows whose checkpoints the options name
    # arguments of a Python script to run before, as that which writes pseudo
    # masks; texts as those of the options
    before: List[str]


class Bench(NamedTuple):
    """Rows that share data, resolution and length."""
    environment: Dict[str, str]  # variables that the configs read
    iters: int  # training iterations, of each stage if there are stages
    # values that replace those of every row's config; a row's own options come
    # after them
    options: Dict[str, Any]
    rows: Dict[str, Row]  # by name, in the order of the table
    # the row that the closed gap counts from; it ends with the row 'oracle'
    baseline: str
    # further columns, and under which keys the log has them
    metrics: Dict[str, str]


def read_bench(path: Path) -> Bench:
    """Read a bench from a YAML file with ``iters``, ``rows`` and, if wanted,
    ``environment``, ``options``, ``baseline`` and ``metrics``; configs are
    relative to the file. All but rows and metrics may be those of a file
    ``base``."""
    content = yaml.safe_load(path.read_text())
    if 'base' in content:
        base = yaml.safe_load((path.parent / content['base']).read_text())
        content = {**base, 'metrics': {}, **content}
    rows = {}
    for name, row in content['rows'].items():
        unknown = set(row) - {'config', 'options', 'needs', 'before'}
        missing = set(row.get('needs', [])) - set(rows)
        if unknown or missing:
            raise ValueError(f'{path}, row {name}: unknown keys '
                             f'{sorted(unknown)}, or needs rows that do not '
                             f'stand above it: {sorted(missing)}')
        rows[name] = Row(name, path.parent / row['config'],
                         row.get('options', {}), row.get('needs', []),
                         row.get('before', []))
    environment = {
        key: str(value)
        for key, value in content.get('environment', {}).items()
    }
    return Bench(environment, content['iters'], content.get('options', {}),
                 rows, content.get('baseline', 'naive'),
                 content.get('metrics', {}))


def load_config(bench: Bench, row: Row, seed: int,
                checkpoints: Dict[str, str]) -> Config:
    """The complete config of a row, given the checkpoint of each row that it
    needs."""
    os.environ.update(bench.environment)
    cfg = Config.fromfile(row.config)
    cfg.merge_from_dict(bench.options)
    cfg.merge_from_dict(filled_in(row.options, checkpoints))
    scale_schedule(cfg, bench.iters * len(cfg.train_cfg.get('stages', [0])))
    cfg.randomness = dict(seed=seed)
    return cfg


def class_groups(cfg: Config) -> Dict[str, List[str]]:
    """The segmentation classes that boxes show, ``things``, and the others,
    ``stuff``; empty without a class map that has both."""
    if 'class_map' not in cfg.model:
        return {}
    class_map = ClassMap(**cfg.model.class_map)
    if not class_map.seg_only:
        return {}
    ids = dict(things=class_map.thing_ids, stuff=class_map.seg_only)
    return {
        name: [class_map.seg_classes[i] for i in group]
        for name, group in ids.items()
    }


def filled_in(options: Any, checkpoints: Dict[str, str]) -> Any:
    """Put the checkpoints' paths into the options' texts."""
    if isinstance(options, dict):
        return {
            key: filled_in(value, checkpoints)
            for key, value in options.items()
        }
    if isinstance(options, list):
        return [filled_in(value, checkpoints) for value in options]
    if isinstance(options, str):
        return options.format(**checkpoints)
    return options


def fingerprint(cfg: Config) -> str:
    """Hash of all that a run depends on, apart from its seed and the code."""
    decisive = {
        key: without_indifferent(cfg[key])
        for key in DECISIVE if cfg.get(key) is not None
    }
    text = json.dumps(decisive, sort_keys=True, default=str)
    return hashlib.sha256((text + data_digest(cfg)).encode()).hexdigest()[:12]


def data_digest(cfg: Config) -> str:
    """The digest of all pixels and annotations that a data set's manifest
    holds, whatever drew them; another manifest's text; empty without one."""
    file = Path(cfg.get('data_root', '')) / 'manifest.json'
    if not file.is_file():
        return ''
    text = file.read_text()
    return json.loads(text).get('digest', text)


def without_indifferent(value: Any) -> Any:
    """A nested value without the keys that change nothing measured."""
    if isinstance(value, dict):
        return {
            key: without_indifferent(item)
            for key, item in value.items() if key not in INDIFFERENT
        }
    if isinstance(value, (list, tuple)):
        return [without_indifferent(item) for item in value]
    return value
