# Copyright (c) mmbombo contributors.
"""Configs by name: ``bombo_mobilenetv2_fpn-gfl_photo-stamps``."""
import difflib
import os.path as osp
from pathlib import Path
from typing import Dict, Optional, Tuple

from mmengine.config import Config
from mmengine.fileio import load
from mmengine.runner import Runner

import mmbombo
from .unknown_arguments import argument_names, did_you_mean
from .user_errors import MissingFileError, UserError

INDEX = 'model-index.yml'


def load_config(config: str, options: Optional[dict] = None) -> Config:
    """Read a config: a file, which wins, or the name of one of ours, without
    folder and ``.py``; ``options`` (``--cfg-options``) replace its values."""
    path = find_config(config)
    check_bases(path)
    cfg = Config.fromfile(path)
    merge_options(cfg, options)
    return cfg


def merge_options(cfg: Config, options: Optional[dict]) -> None:
    """Write ``--cfg-options`` into a config; ``UserError`` if one begins with
    a misspelt key, for MMEngine takes any."""
    known = {*cfg, *argument_names(Runner)}
    for option in options or ():
        key = option.partition('.')[0]
        hint = '' if key in known else did_you_mean(key, known, cutoff=.75)
        if hint:
            raise UserError(f'--cfg-options {option}: the config has no '
                            f'{key!r}{hint}')
    try:
        cfg.merge_from_dict(options or {})
    except (KeyError, TypeError) as error:  # of a list, a key or a number
        raise UserError(f'--cfg-options: {error.args[0][:200]}') from None


def check_bases(path: str, above: Tuple[str, ...] = ()) -> None:
    """Raise ``UserError`` if a config inherits from itself, of which MMEngine
    learns by reading it a thousand times."""
    path = osp.realpath(path)
    if path in above:
        raise UserError(f'{above[-1]}: its _base_ {path} inherits from it')
    for base in Config._get_base_files(path) if osp.isfile(path) else ():
        if '::' not in base:
            check_bases(osp.join(osp.dirname(path), base), (*above, path))


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
