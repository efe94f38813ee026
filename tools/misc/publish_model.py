# Copyright (c) mmbombo contributors.
"""Make a checkpoint fit to be published.

    python tools/misc/publish_model.py work_dirs/NAME/best.pth zoo/NAME.pth

writes ``zoo/NAME-HASH.pth``, with the first digits of its SHA-256, and
``zoo/NAME-HASH.safetensors`` beside it. They hold the weights, the config and
the names of the classes, all that ``MultiTaskInferencer(weights=...)`` needs,
and neither optimizer nor log.
"""
import argparse
import hashlib
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, List, Optional

if TYPE_CHECKING:
    from mmengine.config import Config

#: Keys of a config that speak of the machine or the run.
LOCAL_KEYS = ('work_dir', 'load_from', 'resume', 'launcher')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('input', help='checkpoint of a training')
    parser.add_argument(
        'output', type=Path, help='such as NAME.pth; the hash is added')
    parser.add_argument(
        '--config',
        help='config file, or a name of ours (default: the one in the '
        'checkpoint)')
    return parser.parse_args()


def publish(path: str, output: Path, config: Optional[str]) -> List[Path]:
    """Write what is published of a checkpoint; the files."""
    import torch
    from safetensors.torch import save

    from mmbombo.utils import load_checkpoint_safely
    from mmbombo.utils.atomic_write import atomic_write
    from mmbombo.utils.config_names import load_config
    from mmbombo.utils.stored_config import stored_config
    checkpoint = load_checkpoint_safely(path, 'cpu')
    cfg = load_config(config) if config else stored_config(checkpoint, path)
    weights = {
        key: value.clone().contiguous()  # heads may share weights
        for key, value in checkpoint.get('state_dict', checkpoint).items()
    }
    meta = describe(cfg, checkpoint.get('meta') or {})
    output.parent.mkdir(parents=True, exist_ok=True)
    # In memory: a file's content names the file that it was written to.
    pickled = io.BytesIO()
    torch.save(dict(state_dict=weights, meta=meta), pickled)
    digest = hashlib.sha256(pickled.getbuffer()).hexdigest()[:8]
    stem = output.name.removesuffix('.pth')
    named = output.with_name(f'{stem}-{digest}.pth')
    atomic_write(named, pickled.getvalue())
    # One name for both: an old torch reads these instead of the pickle.
    tensors = named.with_suffix('.safetensors')
    content = save(weights, dict(format='pt', meta=json.dumps(meta)))
    atomic_write(tensors, content)
    return [named, tensors]


def describe(cfg: 'Config', meta: dict) -> dict:
    """Config, classes and versions, as plain values."""
    from mmengine.config import Config

    from mmbombo import __version__
    from mmbombo.apis.multi_task_inferencer import merge_class_names
    kept = {
        key: value
        for key, value in cfg.to_dict().items() if key not in LOCAL_KEYS
    }
    names = merge_class_names(meta.get('dataset_meta') or {}, cfg)
    return dict(
        cfg=Config(kept).pretty_text,
        dataset_meta=names,
        mmbombo_version=__version__,
        **{key: meta[key]
           for key in ('iter', 'seed') if key in meta})


def main() -> None:
    args = parse_args()
    from mmbombo.utils import user_errors
    with user_errors():
        for path in publish(args.input, args.output, args.config):
            print(path)


if __name__ == '__main__':
    main()
