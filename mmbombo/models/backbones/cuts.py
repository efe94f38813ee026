# Copyright (c) mmbombo contributors.
"""Where a backbone can be cut, and where it should be."""
from functools import partial
from typing import (Any, Callable, Dict, List, NamedTuple, Optional, Sequence,
                    Set, Tuple)

import torch
from torch import Tensor, nn

from mmbombo.models.utils import PROBE_SIZE, evaluation_mode
from mmbombo.utils import UserError
from mmbombo.utils.saved_bytes import LiveBytes


class Cut(NamedTuple):
    """A place after a block of a backbone."""
    name: str  #: of the block
    shape: Tuple[int, int, int]  #: (C, h, w) of its map, of the probe image
    saved: int  #: bytes that are saved up to here


class Probe(NamedTuple):
    """What a forward pass of an image of zeros shows."""
    cuts: List[Cut]  #: in the order of the pass
    maps: List[Tensor]  #: their outputs, each with the graph behind it
    outputs: Tuple[Tensor, ...]  #: of the backbone
    saved: int  #: bytes in the end


def probe_cuts(backbone: nn.Module,
               names: Sequence[str],
               where: str = '') -> Probe:
    """Run a backbone, in evaluation mode, and look at blocks.

    If ``where`` says in which config, the backbone is cut after them, and
    ``UserError`` raised if that is not possible. Otherwise blocks that run
    several times, or give no map that trains, are left out.
    """
    modules = dict(backbone.named_modules())
    unknown = [name for name in names if name not in modules]
    if unknown:
        raise UserError(f'{where}: there is no block {unknown}; there are '
                        f'{block_names(backbone)}')
    cuts: Dict[str, Cut] = {}
    maps: List[Tensor] = []
    seen: Set[str] = set()

    def look(name: str, module: nn.Module, args: Any,
             output: Any) -> Optional[Tensor]:
        is_map = isinstance(output, Tensor) and output.ndim == 4
        if name in seen or not is_map or not output.requires_grad:
            cuts.pop(name, None)
        else:
            cuts[name] = Cut(name, tuple(output.shape[1:]), meter.live)
        seen.add(name)
        if not where or name not in cuts:
            return None
        maps.append(output)
        return output.detach().clone()

    handles = [
        modules[x].register_forward_hook(partial(look, x)) for x in names
    ]
    # one sees through no checkpoint
    checkpointed = [
        x for x in modules.values() if getattr(x, 'with_cp', False)
    ]
    for module in checkpointed:
        module.with_cp = False
    image = next(backbone.parameters()).new_zeros(1, 3, PROBE_SIZE, PROBE_SIZE)
    try:
        with evaluation_mode(backbone), torch.enable_grad(), LiveBytes() as \
                meter:
            outputs = backbone(image)
            saved = meter.live
    except Exception as error:  # it may refuse the image in any way
        raise UserError(
            f'{where or type(backbone).__name__}: the backbone refuses the '
            f'image by which it is cut, of {PROBE_SIZE} pixels on the '
            f'{image.device}: {error}') from error
    finally:
        for handle in handles:
            handle.remove()
        for module in checkpointed:
            module.with_cp = True
    missing = [name for name in names if name not in cuts]
    if where and missing:
        raise UserError(
            f'{where}: after {missing} one cannot cut; a block must run once, '
            'give one map (N, C, h, w), and something up to it must train')
    if isinstance(outputs, Tensor):
        outputs = (outputs, )
    return Probe(list(cuts.values()), maps, outputs, saved)


def block_names(module: nn.Module, prefix: str = '') -> List[str]:
    """The blocks of a backbone: what its sequences hold, and its own parts."""
    names = []
    for name, child in module.named_children():
        if isinstance(child, (nn.Sequential, nn.ModuleList)):
            names += block_names(child, f'{prefix}{name}.')
        else:
            names.append(prefix + name)
    return names


def balanced_cuts(backbone: nn.Module, num_modules: int,
                  local_bytes: Callable[[Tuple[int, int, int]],
                                        int], head_share: float) -> List[str]:
    """Cut a backbone into modules that need equal memory (InfoPro*).

    Args:
        backbone (nn.Module): The backbone.
        num_modules (int): K, the number of modules.
        local_bytes (Callable): What a local module saves, by the shape of its
            map, of the probe image.
        head_share (float): What neck and heads save, as a share of the
            backbone.

    Returns:
        list[str]: The K - 1 blocks after which the largest need of a module
        is smallest.
    """
    probe = probe_cuts(backbone, block_names(backbone))
    cuts = [cut for cut in probe.cuts if cut.saved < probe.saved]
    if len(cuts) < num_modules - 1:
        raise UserError(
            f'cuts={num_modules}: {type(backbone).__name__} has only '
            f'{len(cuts)} block(s) that give a map and train, to cut after')
    ends = [(cut.saved, local_bytes(cut.shape)) for cut in cuts]
    # for each block, the largest need of the modules up to there, and where
    # they end; first for one module, then for one more each time
    rows = [(saved + extra, (i, )) for i, (saved, extra) in enumerate(ends)]
    for _ in range(num_modules - 2):
        rows = [
            min(((max(rows[k][0], saved - ends[k][0] + extra), rows[k][1] +
                  (i, )) for k in range(i)),
                default=(float('inf'), ()))
            for i, (saved, extra) in enumerate(ends)
        ]
    total = probe.saved * (1 + head_share)
    _, chosen = min((max(need, total - saved), path)
                    for (need, path), (saved, _) in zip(rows, ends))
    return [cuts[i].name for i in chosen]
