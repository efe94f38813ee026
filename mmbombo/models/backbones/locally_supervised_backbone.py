# Copyright (c) mmbombo contributors.
from typing import Any, List, Optional, Sequence, Set, Tuple, Union

import numpy as np
import torch
from mmdet.utils import ConfigType, OptConfigType
from mmengine.logging import print_log
from torch import Tensor, nn

from mmbombo.models.local_modules import LocalModule
from mmbombo.models.utils import PROBE_SIZE
from mmbombo.models.utils.local_step import local_step
from mmbombo.registry import MODELS
from mmbombo.utils import UserError
from mmbombo.utils.saved_bytes import LiveBytes
from .cuts import Probe, balanced_cuts, probe_cuts

#: A weight, or those of the first and of the last local module.
Weight = Union[float, Tuple[float, float]]


@MODELS.register_module(name='LocallySupervisedBackbone')
def locally_supervised_backbone(backbone: ConfigType,
                                cuts: Union[int, Sequence[str]],
                                rec_weight: Weight = 1.,
                                task_weight: Weight = 1.,
                                head: OptConfigType = None,
                                decoder: ConfigType = dict(
                                    type='ReconstructionDecoder'),
                                head_share: float = 0.) -> nn.Module:
    """Build a backbone whose parts train themselves in the forward pass.

    `Revisiting Locally Supervised Learning
    <https://arxiv.org/abs/2101.10832>`_ (InfoPro). The backbone is cut into K
    modules, and no gradient passes a cut. Each module but the last gets its
    gradients in the forward pass, from a small decoder and a small head, see
    :class:`LocalModule`, and frees what it has saved; so a step needs the
    memory of the largest module, not that of all. The last one and what comes
    after it train as usual.

    The backbone is the one of ``backbone``, by its class and the names of its
    parameters; in evaluation it is nothing else. What trains it is in its part
    ``local_modules``. :class:`LocalSupervisionHook` must be among the hooks,
    where :class:`QuietRunner` registers it by itself.

    Args:
        backbone (dict): Config of any backbone that runs block after block.
        cuts (int | Sequence[str]): The blocks after which to cut, such as
            ``['layer3.12']``, or K, for modules of equal memory (InfoPro*). 1
            is the plain backbone.
        rec_weight (float | tuple[float]): Weight of the reconstruction, or
            those of the first and of the last local module, between which it
            is interpolated linearly; 0 is "greedy". Defaults to 1.
        task_weight (float | tuple[float]): Likewise, of the task. Defaults to
            1.
        head (dict, optional): Config of the task heads. Defaults to None,
            which is reconstruction alone.
        decoder (dict): Config of the decoders.
        head_share (float): With K, what neck and heads save for the backward
            pass, as a share of what the backbone does: the last module is the
            smaller for it. Defaults to 0.
    """
    network = MODELS.build(backbone)

    def local_module(channels: int, *weights: float) -> LocalModule:
        return LocalModule(channels, *weights, decoder, head)

    if isinstance(cuts, int):
        if cuts < 1:
            raise UserError(f'cuts={cuts}: a backbone has at least 1 module')
        # what any local module has, each may have
        weights = [float(np.any(x)) for x in (rec_weight, task_weight)]
        cuts = [] if cuts == 1 else balanced_cuts(
            network, cuts,
            lambda shape: saved_by(local_module(shape[0], *weights), shape),
            head_share)
    if not cuts:
        return network
    where = f'{type(network).__name__}, cuts={list(cuts)}'
    probe = probe_cuts(network, cuts, where)
    last = max(len(cuts) - 1, 1)
    modules = [
        local_module(cut.shape[0], interpolate(rec_weight, i / last),
                     interpolate(task_weight, i / last))
        for i, cut in enumerate(probe.cuts)
    ]
    below, detached = find_reached(network, probe, where)
    network.local_modules = LocalModules(modules, below, detached)
    network.local_modules.attach(network, [cut.name for cut in probe.cuts])
    places = ', '.join(f'{cut.name} ({cut.shape[0]} channels, stride '
                       f'{PROBE_SIZE // cut.shape[1]})' for cut in probe.cuts)
    text = f'{type(network).__name__} is cut after {places}'
    if detached:
        text += (f'; its output(s) {sorted(detached)} are from below, and '
                 'what reads them does not train it')
    print_log(text, logger='current')
    return network


class LocalModules(nn.ModuleList):
    """The local modules of a backbone, and what runs them.

    Args:
        modules (list[LocalModule]): In the order of their cuts.
        below (set[str]): Names of the parameters of the backbone below the
            last cut.
        detached (set[int]): The outputs of the backbone that are from there.
    """

    def __init__(self, modules: List[LocalModule], below: Set[str],
                 detached: Set[int]) -> None:
        super().__init__(modules)
        self.below = below
        self.detached = detached
        self._images: Optional[Tensor] = None
        self._position = 0
        self._busy = False

    def attach(self, backbone: nn.Module, names: Sequence[str]) -> None:
        """Run the local modules at the blocks of these names."""
        backbone.register_forward_pre_hook(self._start)
        for name in names:
            backbone.get_submodule(name).register_forward_hook(self._train)
        backbone.register_forward_hook(self._finish)

    def _start(self, backbone: nn.Module, args: Tuple[Tensor]) -> None:
        self._position, self._images, self._busy = 0, None, False
        if not (self.training and torch.is_grad_enabled()):
            return
        step = local_step()
        if step is None:
            raise UserError(
                'a LocallySupervisedBackbone trains in the forward pass, and '
                'nobody has said how the loss is scaled; write custom_hooks='
                "[dict(type='mmbombo.LocalSupervisionHook')]")
        # a backbone with norm_eval has put their normalization to sleep
        self.train()
        self._images = args[0]
        if len(step.samples) not in (0, len(args[0])):
            raise UserError(
                f'LocallySupervisedBackbone: {len(step.samples)} samples for '
                f'{len(args[0])} images; a model that gives its backbone '
                'other images than those of the batch cannot have one')

    def _train(self, block: nn.Module, args: Any,
               feat: Tensor) -> Optional[Tensor]:
        """Train what is below a cut, and go on without gradient."""
        if self._images is None:
            return None
        # a checkpoint runs it without gradient first, or again meanwhile
        if self._busy or not torch.is_grad_enabled() or (self._position
                                                         == len(self)):
            raise UserError(
                'LocallySupervisedBackbone: one cannot cut after a block that '
                'runs inside of a checkpoint, or twice')
        self._busy = True
        module = self[self._position]
        step = local_step()
        # distorted colors may leave the range
        images = (step.raw_images(self._images) / 255).clamp(0, 1)
        losses = module.losses(feat, images, step.samples)
        share = len(images) / step.num_images
        step.backward(module.total(losses) * share)
        for name, value in losses.items():
            key = f'infopro/{name}_{self._position}'
            step.log[key] = step.log.get(key, 0) + value.detach() * share
        self._position += 1
        self._busy = False
        return feat.detach()

    def _finish(self, backbone: nn.Module, args: Any, outputs: Any) -> Any:
        """Cut the outputs from what has been trained, and tie the others to
        its parameters, see :class:`Trained`."""
        if self._images is None:
            return None
        self._images = None
        single = isinstance(outputs, Tensor)
        feats = [outputs] if single else list(outputs)
        above = [i for i in range(len(feats)) if i not in self.detached]
        trained = [
            p for name, p in backbone.named_parameters()
            if p.requires_grad and (
                name in self.below or name.startswith('local_modules.'))
        ]
        tied = Trained.apply(len(above), *(feats[i] for i in above), *trained)
        feats = [x.detach() for x in feats]
        for i, feat in zip(above, tied):
            feats[i] = feat
        return feats[0] if single else type(outputs)(feats)


class Trained(torch.autograd.Function):
    """Feature maps, tied to parameters that have their gradients already.

    The backward pass of what reads the maps reaches the parameters, and adds
    nothing to their gradients. Distributed training, which averages a gradient
    when the backward pass reaches its parameter, so averages these too. It
    would not find them otherwise, unless told to search for them in each step
    (``find_unused_parameters``).
    """

    @staticmethod
    def forward(ctx, num_maps: int, *tensors: Tensor) -> Tuple[Tensor, ...]:
        """The first tensors are maps, the others parameters."""
        ctx.set_materialize_grads(False)
        ctx.num_parameters = len(tensors) - num_maps
        return tuple(x.detach() for x in tensors[:num_maps])

    @staticmethod
    def backward(ctx, *grads: Tensor) -> tuple:
        """Gradients of the maps as they come, none for parameters."""
        return (None, *grads, *[None] * ctx.num_parameters)


def interpolate(weight: Weight, ratio: float) -> float:
    """A weight between that of the first and of the last local module."""
    if isinstance(weight, (int, float)):
        return weight
    first, last = weight
    return first * (1 - ratio) + last * ratio


@torch.enable_grad()
def find_reached(backbone: nn.Module, probe: Probe,
                 where: str) -> Tuple[Set[str], Set[int]]:
    """The parameters below the last cut, and which outputs are from there.

    ``UserError`` if something passes by a cut, or nothing is above the last.
    """
    named = {n: p for n, p in backbone.named_parameters() if p.requires_grad}

    def reached(tensor: Tensor) -> Set[str]:
        if not tensor.requires_grad:
            return set()
        grads = torch.autograd.grad(
            tensor.sum(),
            list(named.values()),
            retain_graph=True,
            allow_unused=True)
        return {name for name, grad in zip(named, grads) if grad is not None}

    below: Set[str] = set()
    detached = set()
    for cut, feat in zip(probe.cuts, probe.maps):
        own = reached(feat)
        if not own or own & below:
            raise UserError(f'{where}: nothing that trains is between '
                            f'{cut.name} and the cut before, or something '
                            'passes by that; cut after whole blocks')
        below |= own
    for i, output in enumerate(probe.outputs):
        own = reached(output)
        if own <= below:
            detached.add(i)
        elif own & below:
            raise UserError(f'{where}: something passes by the last cut to '
                            f'output {i}; cut after whole blocks')
    if len(detached) == len(probe.outputs):
        raise UserError(f'{where}: no output of the backbone comes from after '
                        'the last cut; cut before its last block')
    return below, detached


@torch.enable_grad()
def saved_by(module: LocalModule, shape: Tuple[int, int, int]) -> int:
    """Bytes that a local module saves for its backward pass, of the map
    ``(C, h, w)`` of the probe image."""
    # in training, normalization refuses one cell, and SyncBN the CPU
    module.eval()
    feat = torch.zeros(1, *shape, requires_grad=True)
    with LiveBytes() as meter:
        losses = module.losses(feat, torch.zeros(1, 3, PROBE_SIZE, PROBE_SIZE),
                               [])
        total = module.total(losses)
        saved = meter.live
    del total
    return saved
