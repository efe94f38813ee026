# Copyright (c) mmbombo contributors.
import re
from collections import defaultdict
from itertools import combinations
from typing import Any, Dict, List

import torch
from mmengine.dist import all_reduce
from mmengine.hooks import Hook
from mmengine.hooks.hook import DATA_BATCH
from mmengine.optim import OptimWrapper
from torch import Tensor, nn

from mmbombo.registry import HOOKS
from mmbombo.utils import UserError
from mmbombo.utils.distributed import unwrapped
from .local_supervision_hook import scale

#: backbone.layer1, or backbone.stages.0, or backbone.stem.
STAGE = re.compile(r'neck\b|backbone\.(?:[a-z]+\d+|\w+\.\d+|\w+)')

Stages = Dict[str, List[nn.Parameter]]


@HOOKS.register_module()
class GradientConflictHook(Hook):
    """Log whether heads and weak losses pull the shared network one way.

    Every ``interval`` iterations, the gradients of all losses of a head, or
    of a weak loss, are compared in pairs, on each stage of the backbone, the
    neck, and all of them: ``grad_cosine/det-seg/neck``, and
    ``grad_ratio/det-seg/neck``, the norm of det's gradient by that of seg's.
    A joint head is compared by its tasks. What has no gradient there, as a
    task without an image in the batch, is left out.

    The gradients are those of the step itself, before it is taken, and the
    mean over all processes. The training is bit for bit the same.

    Args:
        interval (int): Iterations between two looks. Defaults to 50.
    """

    def __init__(self, interval: int = 50) -> None:
        self.interval = interval

    def before_train(self, runner) -> None:
        """Find the stages."""
        self._stages = shared_stages(unwrapped(runner.model))

    def before_train_iter(self,
                          runner,
                          batch_idx: int,
                          data_batch: DATA_BATCH = None) -> None:
        """Look at the losses of this iteration."""
        if not self.every_n_train_iters(runner, self.interval):
            return

        def look(model: nn.Module, args: tuple, losses: Dict[str, Any]):
            handle.remove()
            products = gradient_products(model, runner.optim_wrapper, losses,
                                         self._stages)
            runner.visualizer.add_scalars(
                compare(products, [*grouped(losses)], [*self._stages, 'all']),
                step=runner.iter + 1)

        # before others add losses of their own
        handle = unwrapped(runner.model).register_forward_hook(
            look, prepend=True)


def shared_stages(model: nn.Module) -> Stages:
    """Trained parameters by stage of the backbone (``backbone.layer1``,
    ``backbone.stages.0``), and those of the neck, in their order."""
    stages: Stages = defaultdict(list)
    for name, parameter in model.named_parameters():
        stage = STAGE.match(name)
        if stage and parameter.requires_grad:
            stages[stage[0]].append(parameter)
    if not stages:
        raise UserError(f'{type(model).__name__} has no trained parameter in '
                        'a `backbone` or `neck`, where gradients could meet')
    return dict(stages)


def grouped(losses: Dict[str, Any]) -> Dict[str, Dict[str, Any]]:
    """The losses of each head and weak loss by its name; of a joint head
    those of each task, as ``aux.cls``. A loss of another library's model has
    its own name."""
    groups: Dict[str, dict] = defaultdict(dict)
    for key, value in losses.items():
        if 'loss' in key:
            name = key.rpartition('/')[0].replace('/', '.')
            groups[name or key][key] = value
    return groups


def gradient_products(model: nn.Module, optim_wrapper: OptimWrapper,
                      losses: Dict[str, Any], stages: Stages) -> Tensor:
    """Inner products of the gradients of G heads and weak losses.

    Nothing is added to ``grad``, and what distributed training does when a
    gradient arrives there does not happen. Each process has the same heads
    and weak losses in its step.

    Returns:
        Tensor: ``(S, G, G)``, of each stage.
    """
    parameters = [x for stage in stages.values() for x in stage]
    # in half precision, a gradient without the scale may vanish on its way
    factor = scale(optim_wrapper, torch.ones_like(parameters[0].sum()))
    rows = []
    with torch.autocast(factor.device.type, enabled=False):
        for group in grouped(losses).values():
            loss, _ = model.parse_losses(group)
            grads = gradients(loss * factor, parameters)
            rows.append(
                torch.cat([x.flatten().float() for x in grads]) / factor)
        matrix = torch.stack(rows)
        all_reduce(matrix, 'mean')
        sizes = [sum(x.numel() for x in stage) for stage in stages.values()]
        return torch.stack([x @ x.T for x in matrix.split(sizes, dim=1)])


def gradients(loss: Tensor, parameters: List[nn.Parameter]) -> List[Tensor]:
    """Gradients of a loss whose graph is used again."""
    if not loss.requires_grad:
        return [torch.zeros_like(x) for x in parameters]
    try:
        return torch.autograd.grad(
            loss,
            parameters,
            retain_graph=True,
            allow_unused=True,
            materialize_grads=True)
    except RuntimeError as error:
        if 'checkpoint' not in str(error):
            raise
        raise UserError(
            'torch has no gradients of single losses for blocks that are '
            'computed again (with_cp, activation_checkpointing): train '
            'without') from error


def compare(products: Tensor, names: List[str],
            stages: List[str]) -> Dict[str, float]:
    """Cosine and ratio of norms of each pair that has gradients in a stage;
    the last of these is the sum of all others."""
    found = {}
    products = torch.cat([products, products.sum(0, keepdim=True)])
    for stage, rows in zip(stages, products.tolist()):
        norms = [rows[i][i]**.5 for i in range(len(rows))]
        for i, j in combinations(range(len(rows)), 2):
            if 0 < norms[i] < torch.inf and 0 < norms[j] < torch.inf:
                name = f'{names[i]}-{names[j]}/{stage}'
                cosine = rows[i][j] / norms[i] / norms[j]
                found[f'grad_cosine/{name}'] = cosine
                found[f'grad_ratio/{name}'] = norms[i] / norms[j]
    return found
