# Copyright (c) mmbombo contributors.
from importlib import import_module
from typing import Any, Callable, Dict, Optional

import torch
from mmdet.utils import ConfigType
from mmengine.dist import broadcast
from mmengine.hooks import Hook
from torch import Tensor, nn

from mmbombo.registry import HOOKS
from mmbombo.utils import UserError
from mmbombo.utils.distributed import unwrapped
from .gradient_conflict_hook import gradient_products, grouped, shared_stages


@HOOKS.register_module()
class LossBalanceHook(Hook):
    """Weights heads and weak losses anew in each step, by their gradients.

    `TorchJD <https://torchjd.org>`_ makes the weights from the inner products
    of the gradients on the last shared part of the network: its neck, or the
    last stage of a backbone without; they are multiplied by the number of
    losses, so that ``Mean`` is the plain step. What has no gradient there, as
    a task without an image in the batch, has the weight 1. So heads, too,
    train with the weights, and all processes have the same.

    Losses are logged without these weights, which are ``balance/det``, ...;
    ``balance/loss`` is what they add to the sum.

    Args:
        weighting (dict): An aggregator of TorchJD that is made from inner
            products, and its arguments: ``dict(type='UPGrad')``,
            ``dict(type='CAGrad', c=0.4)``.
    """

    def __init__(self, weighting: ConfigType) -> None:
        self.weighting = build_weighting(**weighting)
        self._handle: Any = None

    def before_train(self, runner) -> None:
        """Listen to the model."""
        model = unwrapped(runner.model)
        name, parameters = [*shared_stages(model).items()][-1]

        def balance(model: nn.Module, args: tuple,
                    outputs: Any) -> Optional[dict]:
            # neither a validation nor raw outputs
            if not (torch.is_grad_enabled() and isinstance(outputs, dict)
                    and grouped(outputs)):
                return None
            products = gradient_products(model, runner.optim_wrapper, outputs,
                                         {name: parameters})
            return self.balance(model, outputs, products[0])

        self.after_train(runner)
        self._handle = model.register_forward_hook(balance)

    def after_train(self, runner) -> None:
        """Listen no more."""
        if self._handle is not None:
            self._handle.remove()

    def balance(self, model: nn.Module, losses: Dict[str, Any],
                products: Tensor) -> Dict[str, Any]:
        """Add the weights, given inner products ``(G, G)``, and what they
        add to the loss."""
        weights = weigh(self.weighting, products)
        groups = grouped(losses)
        added = sum((weight - 1) * model.parse_losses(group)[0]
                    for weight, group in zip(weights, groups.values()))
        names = [f'balance/{name}' for name in groups]
        return {**losses, **dict(zip(names, weights)), 'balance/loss': added}


def build_weighting(type: str, **kwargs: Any) -> Callable[[Tensor], Tensor]:
    """A weighting of TorchJD by the name of its aggregator."""
    try:
        module = import_module('torchjd.aggregation')
        return getattr(module, f'{type}Weighting')(**kwargs)
    except ModuleNotFoundError:
        raise UserError('LossBalanceHook needs TorchJD: pip install torchjd'
                        ) from None
    except AttributeError:
        known = [x[:-9] for x in module.__all__
                 if x.endswith('Weighting') and len(x) > 9]
        raise UserError(
            f'LossBalanceHook: weighting.type={type!r} is none of {known}'
        ) from None
    # it needs further packages and names them, or other arguments
    except (ImportError, TypeError, ValueError) as error:
        raise UserError(f'LossBalanceHook: {error}') from None


def weigh(weighting: Callable[[Tensor], Tensor], products: Tensor) -> Tensor:
    """Weights ``(G, )``: 1 without a gradient, and 1 of all if one is
    infinite, for then the scaler of mixed precision skips the step."""
    weights = torch.ones_like(products[0])
    there = products.diagonal() > 0
    if there.sum() > 1 and products.isfinite().all():
        # solvers are for the CPU
        found = weighting(products[there][:, there].double().cpu())
        weights[there] = found.to(weights) * len(found)
    # some are drawn at random
    broadcast(weights)
    return weights
