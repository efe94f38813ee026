# Copyright (c) mmbombo contributors.
"""The memory that a training step needs: end to end, with checkpointing, and
with local modules (InfoPro).

    python tools/analysis_tools/memory.py CONFIG --batch 2 --size 512 1024

Of any config, its backbone is trained end to end, with checkpoints
(``with_cp``, if it knows that), cut as the config says and cut into K modules
of equal memory. ``activations`` is the most that the tensors of a step hold at
once beside parameters and gradients: saved for the backward pass, computed
again, and at work. They are counted, or with ``--device cuda`` asked of the
allocator. Images are noise, of which everything is annotated; activations grow
with their number, parameters and gradients do not. Optimizers keep up to two
more numbers per parameter.
"""
import argparse
from typing import Dict, Iterator, Tuple

from mmengine.config import Config, DictAction


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file, or a name of ours')
    parser.add_argument(
        '--batch', type=int, default=2, help='images (default: %(default)s)')
    parser.add_argument(
        '--size',
        type=int,
        nargs='+',
        default=[320, 320],
        metavar='PIXELS',
        help='height and width, or one side of a square (default: 320 320)')
    parser.add_argument(
        '--modules',
        type=int,
        nargs='*',
        default=[2, 3, 4],
        metavar='K',
        help='numbers of modules of equal memory (default: 2 3 4)')
    parser.add_argument(
        '--device', default='cpu', help="'cpu' (default) or 'cuda'")
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        help='override settings of the config, key=value')
    args = parser.parse_args()
    args.size = (args.size[0], args.size[-1])
    return args


if __name__ == '__main__':  # --help waits for no library
    parse_args()

import torch
from mmdet.structures import DetDataSample
from mmengine.logging import MMLogger
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData, LabelData, PixelData
from torch import nn

from mmbombo.models.utils.local_step import LocalStep, set_local_step
from mmbombo.registry import MODELS
from mmbombo.structures import BBOX, IMAGE_LABEL, SEM_SEG
from mmbombo.utils import user_errors
from mmbombo.utils.config_names import load_config
from mmbombo.utils.saved_bytes import measure_saved_bytes

LOCAL = 'LocallySupervisedBackbone'


def ways(cfg: Config, modules: Tuple[int, ...]) -> Iterator[Tuple[str, dict]]:
    """What a row is called, and the config of its backbone."""
    own = cfg.model.backbone.to_dict()
    local = own['type'].endswith(LOCAL)
    plain = own['backbone'] if local else own
    plain = dict(plain, init_cfg=None)
    yield 'end to end', plain
    yield 'checkpointing', dict(plain, with_cp=True)
    cut = dict(
        own, backbone=plain) if local else dict(
            type=f'mmbombo.{LOCAL}', backbone=plain)
    if local and cut['cuts'] not in ([], 1):
        yield f'InfoPro, {cut["cuts"]}', cut
    for k in modules:
        yield f'InfoPro*, K = {k}', dict(cut, cuts=k)


def noise(model: nn.Module, batch: int,
          size: Tuple[int, int]) -> Tuple[torch.Tensor, list]:
    """Images ``(N, 3, H, W)`` and their samples, with two boxes each."""
    height, width = size
    device = next(model.parameters()).device
    corners = [[8, 8, width // 2, height // 2],
               [width // 3, height // 3, width - 8, height - 8]]
    labels = torch.zeros(len(getattr(model, 'classes', {}).get('cls', [0])))
    labels[0] = 1
    ids = torch.zeros(1, height, width, dtype=torch.long)
    samples = []
    for number in range(batch):
        sample = DetDataSample(
            metainfo=dict(
                annotation_kinds=(IMAGE_LABEL, BBOX, SEM_SEG),
                img_id=number,
                img_shape=size,
                ori_shape=size,
                pad_shape=size,
                batch_input_shape=size,
                scale_factor=(1., 1.)))
        sample.gt_instances = InstanceData(
            bboxes=torch.tensor(corners).float(),
            labels=torch.zeros(2, dtype=torch.long))
        sample.ignored_instances = InstanceData(
            bboxes=torch.zeros(0, 4), labels=torch.zeros(0).long())
        sample.gt_sem_seg = PixelData(sem_seg=ids, data=ids)
        sample.gt_image_label = LabelData(label=labels.to(torch.int8))
        samples.append(sample.to(device))
    return torch.randn(batch, 3, height, width, device=device), samples


def step(model: nn.Module, inputs: torch.Tensor, samples: list) -> None:
    """Forward and backward."""
    set_local_step(
        LocalStep(lambda loss: loss, lambda x: 255 * x.sigmoid(), len(inputs),
                  samples, {}))
    losses = model.loss(inputs, samples)
    set_local_step(None)
    model.parse_losses(losses)[0].backward()


def need(model: nn.Module, batch: int, size: Tuple[int, int],
         device: str) -> Dict[str, int]:
    """Bytes of activations, parameters and gradients."""
    model = model.to(device).train()
    trained = [p for p in model.parameters() if p.requires_grad]
    for parameter in trained:
        parameter.grad = torch.zeros_like(parameter)
    inputs, samples = noise(model, batch, size)
    if device == 'cpu':
        peak = measure_saved_bytes(lambda: step(model, inputs, samples))
    else:
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        step(model, inputs, samples)
        peak = torch.cuda.max_memory_allocated() - before
    return dict(
        activations=peak,
        parameters=sum(p.nbytes for p in model.parameters()),
        gradients=sum(p.nbytes for p in trained))


@user_errors()
def main() -> None:
    args = parse_args()
    cfg = load_config(args.config, args.cfg_options)
    # initialization says a line for every weight
    MMLogger.get_instance('memory', log_level='WARNING')
    scope = cfg.get('default_scope', 'mmbombo')
    print(f'{args.config}: {args.batch} image(s) of {args.size[0]} x '
          f'{args.size[1]} pixels, {args.device}, MB and share of end to end')
    first = None
    for name, backbone in ways(cfg, args.modules):
        with DefaultScope.overwrite_default_scope(scope):
            try:
                model = MODELS.build(dict(cfg.model, backbone=backbone))
            except TypeError as error:
                print(f'{name}: {error}')
                continue
            found = need(model, args.batch, args.size, args.device)
        found['sum'] = sum(found.values())
        first = first or found
        print(
            f'{name}: ' +
            ', '.join(f'{key} {value / 2**20:,.1f} ({value / first[key]:.2f})'
                      for key, value in found.items()),
            flush=True)


if __name__ == '__main__':
    main()
