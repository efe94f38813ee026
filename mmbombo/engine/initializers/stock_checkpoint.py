# Copyright (c) mmbombo contributors.
import logging
import re
from collections import Counter
from typing import Dict, Iterable, List, Optional, Tuple

from mmengine.logging import print_log
from mmengine.model import update_init_info
from mmengine.runner import CheckpointLoader
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
    own initialization. The log says what was filled and what was not. Several
    checkpoints may follow each other, the later one has the last word::

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
        fitting, misshapen, unknown = _sort_out(renamed, own)
        if not fitting:
            raise UserError(
                f"no tensor of checkpoint '{self.checkpoint}' fits the model: "
                f'{len(misshapen)} have another shape, {len(unknown)} other '
                f'names, such as {sorted(unknown)[:3]}, while the model has '
                f'{sorted(own)[:3]}')
        module.load_state_dict(fitting, strict=False)
        self._report(own, renamed, fitting, misshapen, unknown)
        if hasattr(module, '_params_init_info'):
            update_init_info(module,
                             f'StockCheckpoint: load from {self.checkpoint}')

    def _report(self, own: Dict[str, Tensor], renamed: Dict[str, Tensor],
                fitting: Iterable[str], misshapen: List[str],
                unknown: List[str]) -> None:
        total, filled = Counter(map(_part, own)), Counter(map(_part, fitting))
        lines = [f"initialized from the stock checkpoint '{self.checkpoint}'"]
        lines += [
            f'  {part}: {filled[part]} of {total[part]} tensors filled'
            for part in total
        ]
        lines += [
            f'  not filled, other shape: {name} is {tuple(own[name].shape)}, '
            f'in the checkpoint {tuple(renamed[name].shape)}'
            for name in misshapen
        ]
        lines += [
            f'  left in the checkpoint: {part}, {count} tensors'
            for part, count in Counter(map(_part, unknown)).items()
        ]
        print_log('\n'.join(lines), logger='current', level=logging.INFO)


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


def _sort_out(
        loaded: Dict[str, Tensor],
        own: Dict[str,
                  Tensor]) -> Tuple[Dict[str, Tensor], List[str], List[str]]:
    """Tensors that fit, names of other shape, names the model has not."""
    fitting, misshapen, unknown = {}, [], []
    for name, tensor in loaded.items():
        if name not in own:
            unknown.append(name)
        elif own[name].shape != tensor.shape:
            misshapen.append(name)
        else:
            fitting[name] = tensor
    return fitting, misshapen, unknown


def _part(name: str) -> str:
    """Part of the model that a tensor is in."""
    depth = 2 if name.startswith('task_heads.') else 1
    return '.'.join(name.split('.')[:depth])
