# Copyright (c) mmbombo contributors.
"""Configs by name: ``bombo_mobilenetv2_fpn-gfl_photo-stamps``."""
import difflib
import os.path as osp
from pathlib import Path
from typing import Dict, Optional

from mmengine.config import Config
from mmengine.fileio import load

import mmbombo
from .user_errors import MissingFileError

INDEX = 'model-index.yml'


def load_config(config: str, options: Optional[dict] = None) -> Config:
    """Read a config: a file, which wins, or the name of one of ours, without
    folder and ``.py``; ``options`` (``--cfg-options``) replace its values."""
    cfg = Config.fromfile(find_config(config))
    cfg.merge_from_dict(options or {})
    return cfg


def find_config(config: str) -> str:
    """The path of a config that is given as a file or as a name."""
    if osp.isfile(config):
        return str(config)
    named = named_configs()
    if config in named:
        return str(named[config])
    nearest = difflib.get_close_matches(Path(config).stem, named, 3, .5)
    hint = f'; near to it are {", ".join(nearest)}' if nearest else ''
    raise MissingFileError(
        f'there is no config file {config!r}, and no config of mmbombo has '
        f'this name{hint}')


def named_configs() -> Dict[str, Path]:
    """Path of each of our configs, by name."""
    configs = _root() / 'configs'
    return {
        path.stem: path
        for path in sorted(configs.rglob('*.py'))
        if '_base_' not in path.relative_to(configs).parts
    }


def published_weights(config: str) -> Optional[str]:
    """URL of the weights that the model index has for a name; None if it has
    none."""
    root = _root()
    for metafile in load(root / INDEX)['Import']:
        for model in load(root / metafile)['Models']:
            if model['Name'] == config:
                return model.get('Weights')
    return None


def _root() -> Path:
    """The folder of ``configs``: the clone, or what a wheel has of it."""
    package = Path(mmbombo.__file__).resolve().parent
    clone = package.parent
    return clone if (clone / INDEX).is_file() else package / '.mim'
