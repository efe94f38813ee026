# Copyright (c) mmbombo contributors.
import re
from typing import Dict, Optional

from mmengine.model import update_init_info
from mmengine.runner import CheckpointLoader, load_state_dict
from torch import Tensor, nn

from mmbombo.registry import WEIGHT_INITIALIZERS
from mmbombo.utils import UserError

# Patterns of names in stock checkpoints, and where the tensors live with us.
STOCK_KEY_MAP = {
    r'^bbox_head\.': 'task_heads.det.head.',
    r'^decode_head\.': 'task_heads.seg.head.',
    r'^auxiliary_head\.(\d+)\.': r'task_heads.seg.auxiliary_heads.\1.',
    r'^auxiliary_head\.': 'task_heads.seg.auxiliary_heads.0.',
}


@WEIGHT_INITIALIZERS.register_module()
class StockCheckpoint:
    """Start from a detector of MMDetection or a segmentor of MMSegmentation.

    Backbone and neck keep their names, heads get ours. Tensors of another
    shape, such as the last layer for another number of classes, keep their
    own initialization; the log names them. Several checkpoints may follow each
    other, the later one has the last word::

        init_cfg=[
            dict(type='StockCheckpoint', checkpoint='https://.../gfl.pth'),
            dict(type='StockCheckpoint', checkpoint='https://.../fpn.pth')]

    Args:
        checkpoint (str): Path or URL.
        key_map (dict[str, str], optional): Regular expressions of names in
            the checkpoint and their replacements; the first that matches
            counts. Defaults to None, those of :data:`STOCK_KEY_MAP`.
    """

    def __init__(self,
                 checkpoint: str,
                 key_map: Optional[Dict[str, str]] = None) -> None:
        self.checkpoint = checkpoint
        self.key_map = STOCK_KEY_MAP if key_map is None else key_map

    def __call__(self, module: nn.Module) -> None:
        """Fill a :class:`MultiTaskDetector`, in place."""
        _initialize_children(module)
        loaded = CheckpointLoader.load_checkpoint(
            self.checkpoint, map_location='cpu')
        loaded = loaded.get('state_dict', loaded)
        renamed = rename_weights(loaded, self.key_map)
        own = module.state_dict()
        if not {*renamed} & {*own}:
            raise UserError(
                f"no tensor of checkpoint '{self.checkpoint}' fits the model: "
                f'it has {sorted(renamed)[:3]}, the model {sorted(own)[:3]}')
        # its log names what does not fit, and what is not filled
        load_state_dict(module, renamed, logger='current')
        if hasattr(module, '_params_init_info'):
            update_init_info(module,
                             f'StockCheckpoint: load from {self.checkpoint}')


def rename_weights(weights: Dict[str, Tensor],
                   key_map: Dict[str, str]) -> Dict[str, Tensor]:
    """Give tensors of a stock checkpoint the names that they have with us."""
    return {_rename(name, key_map): x for name, x in weights.items()}


def stock_checkpoint_as_ours(checkpoint: dict, task: str) -> dict:
    """What :class:`MultiTaskDetector` would have written for a detector
    ('det') or a segmentor ('seg'), also of MMDetection 2.x and MMSegmentation
    0.x."""
    meta = checkpoint.get('meta') or {}
    names = (meta.get('dataset_meta')
             or {}).get('classes') or meta.get('CLASSES')
    key = dict(det='classes', seg='seg_classes')[task]
    return dict(
        state_dict=rename_weights(
            checkpoint.get('state_dict', checkpoint), STOCK_KEY_MAP),
        meta=dict(dataset_meta={key: names} if names else {}))


def _rename(name: str, key_map: Dict[str, str]) -> str:
    name = re.sub(r'^module\.', '', name)
    for pattern, replacement in key_map.items():
        renamed, matched = re.subn(pattern, replacement, name)
        if matched:
            return renamed
    return name


def _initialize_children(module: nn.Module) -> None:
    """Run the initialization of the parts before the checkpoint is loaded.

    ``BaseModule.init_weights`` runs it after every initializer but
    'Pretrained', which would undo ours.
    """
    for child in module.children():
        if hasattr(child,
                   'init_weights') and not getattr(child, 'is_init', False):
            child.init_weights()
            child.is_init = True
