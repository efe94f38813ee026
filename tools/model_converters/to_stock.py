# Copyright (c) mmbombo contributors.
"""Make a stock detector or segmentor out of a network of several tasks.

    python tools/model_converters/to_stock.py CONFIG CHECKPOINT --task det \\
        --out detector.pth

writes ``detector.pth`` and ``detector.py``, which MMDetection (``--task seg``:
MMSegmentation) builds, loads and runs without mmbombo: backbone, neck and the
head of the task. ``StockCheckpoint`` is the way back. A part that the library
does not have is named, and nothing is written; nor is a network whose answers
to an image differ from ours.
"""
import argparse
import re
from copy import deepcopy
from pathlib import Path
from typing import Any, Dict, Iterator

LIBRARY = dict(det='mmdet', seg='mmseg')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file, or a name of ours')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument('--task', choices=sorted(LIBRARY), required=True)
    parser.add_argument(
        '--out',
        type=Path,
        required=True,
        help='checkpoint to write, such as detector.pth; the config goes '
        'beside it')
    args = parser.parse_args()
    if args.out.suffix != '.pth':
        parser.error('--out must be a .pth file')
    return args


if __name__ == '__main__':  # --help waits for no library
    parse_args()

import mmengine.registry
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope, Registry
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten

from mmbombo.apis import MultiTaskInferencer
from mmbombo.registry import MODELS
from mmbombo.utils import UserError, user_errors
from mmbombo.utils.atomic_write import atomic_file
from mmbombo.utils.config_parts import inference_steps

#: No registry knows them: MMCV evaluates the type of NMS.
FUNCTIONS = ('nms', 'soft_nms')
PREPROCESSOR_KEYS = ('mean', 'std', 'bgr_to_rgb', 'rgb_to_bgr')
META_KEYS = ('img_path', 'ori_shape', 'img_shape', 'scale_factor')


def convert(config: str, checkpoint: str, task: str, out: Path) -> None:
    """Write the stock checkpoint and its config."""
    inferencer = MultiTaskInferencer(
        config, checkpoint, device='cpu', show_progress=False)
    model = inferencer.model
    prefix = dict(det='', seg='seg_')[task]
    metainfo = {
        key: inferencer.dataset_meta[prefix + key]
        for key in ('classes', 'palette')
        if prefix + key in inferencer.dataset_meta
    }
    cfg = stock_config(model, task, metainfo)
    with DefaultScope.overwrite_default_scope(LIBRARY[task]):
        library = MODELS.root.children[LIBRARY[task]]
        stock = library.build(deepcopy(cfg.model)).eval()
    try:
        stock.load_state_dict(stock_weights(model, task, stock))
    except RuntimeError as error:
        detail = str(error).splitlines()[1].strip()
        raise UserError(f"{LIBRARY[task]}'s parts of these names have other "
                        f'weights: {detail}') from None
    check_answers(model, stock, task)
    out.parent.mkdir(parents=True, exist_ok=True)
    content = dict(
        state_dict=stock.state_dict(), meta=dict(dataset_meta=metainfo))
    with atomic_file(out) as unfinished:
        torch.save(content, unfinished)
    cfg.dump(out.with_suffix('.py'))


def stock_config(model: nn.Module, task: str, metainfo: dict) -> Config:
    """A config of the library, with all that inference needs; ``UserError``
    names the parts that the library does not have."""
    ours = model.cfg.model.to_dict()
    name = model.head_name(task)
    adapter = ours['task_heads'][name]
    if type(model.task_heads[name]).__name__ != f'{task.title()}TaskHead':
        raise UserError(f"{adapter['type']} is no stock part")
    backbone = ours['backbone']
    # without what only trains it
    backbone = backbone.get('backbone', backbone)
    network = dict(backbone=backbone, neck=ours.get('neck'))
    network['backbone'].pop('init_cfg', None)  # the weights are all there
    given = ours['data_preprocessor']
    preprocessor = {x: given[x] for x in PREPROCESSOR_KEYS if x in given}
    divisor = given.get('pad_size_divisor', 1)
    if task == 'det':
        skip_levels(network, first_level(model, task))
        network.update(
            type='SingleStageDetector',
            data_preprocessor=dict(
                type='DetDataPreprocessor',
                pad_size_divisor=divisor,
                **preprocessor),
            bbox_head=adapter['head'],
            train_cfg=adapter.get('train_cfg'),
            test_cfg=adapter.get('test_cfg'))
    else:
        network.update(
            type='EncoderDecoder',
            data_preprocessor=dict(
                type='SegDataPreProcessor',
                size_divisor=divisor,
                test_cfg=dict(size_divisor=divisor),
                **preprocessor),
            decode_head=adapter['head'],
            auxiliary_head=adapter.get('auxiliary_head') or None,
            test_cfg={
                # MMSegmentation has no CRF
                key: value
                for key, value in (
                    adapter.get('test_cfg') or dict(mode='whole')).items()
                if key != 'crf'
            })
    pack = dict(det='PackDetInputs', seg='PackSegInputs')[task]
    pipeline = [
        *inference_steps(model.cfg)[:-1],
        dict(type=pack, meta_keys=META_KEYS)
    ]
    cfg = without_prefixes(dict(model=network, test_pipeline=pipeline))
    foreign = sorted(unknown_types(cfg, LIBRARY[task]))
    if foreign:
        raise UserError(f'{LIBRARY[task]} does not have {", ".join(foreign)}, '
                        f"of which the network for '{task}' is made")
    dataset = dict(det='CocoDataset', seg='BaseSegDataset')[task]
    return Config(
        dict(
            default_scope=LIBRARY[task],
            **cfg,
            test_dataloader=dict(
                batch_size=1,
                num_workers=2,
                sampler=dict(type='DefaultSampler', shuffle=False),
                dataset=dict(
                    type=dataset,
                    metainfo=metainfo,
                    test_mode=True,
                    pipeline=cfg['test_pipeline'])),
            visualizer=dict(
                type=f'{task.title()}LocalVisualizer',
                vis_backends=[dict(type='LocalVisBackend')])))


def first_level(model: nn.Module, task: str) -> int:
    """The first feature map that the head reads; it reads all after it."""
    levels = getattr(model.head(task), 'in_indices', None)
    count = getattr(model.neck, 'num_outs', None)
    if levels is None:
        return 0
    if count is None or list(levels) != list(range(levels[0], count)):
        raise UserError(f'the head reads the feature maps {tuple(levels)}; in '
                        'stock networks it reads the last ones of an FPN')
    return levels[0]


def skip_levels(network: dict, first: int) -> None:
    """Let the FPN begin with the first level that is read."""
    if first:
        neck = network['neck']
        neck['start_level'] = neck.get('start_level', 0) + first
        neck['num_outs'] -= first


def without_prefixes(value: Any) -> Any:
    """A config as within one library: no scope beside or before a type."""
    if isinstance(value, dict):
        return {
            key:
            re.sub(r'^(mmdet|mmseg)\.', '', item)
            if key == 'type' else without_prefixes(item)
            for key, item in value.items() if key != '_scope_'
        }
    if isinstance(value, (list, tuple)):
        return type(value)(map(without_prefixes, value))
    return value


def unknown_types(value: Any, scope: str) -> Iterator[str]:
    """Types of a config that no registry of the library knows."""
    if isinstance(value, dict):
        name = value.get('type')
        nodes = [
            root.children[scope] for root in vars(mmengine.registry).values()
            if isinstance(root, Registry) and scope in root.children
        ]
        if isinstance(name, str) and name not in FUNCTIONS and not any(
                node.get(name) for node in nodes):
            yield name
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from unknown_types(item, scope)


def stock_weights(model: nn.Module, task: str,
                  stock: nn.Module) -> Dict[str, Tensor]:
    """The weights under the names of the stock network."""
    head = f'task_heads.{model.head_name(task)}.'
    first = first_level(model, task) if task == 'det' else 0
    target = dict(det='bbox_head.', seg='decode_head.')[task]
    renamed = {}
    for name, value in model.state_dict().items():
        level = re.match(r'(neck\.\w+_convs\.)(\d+)(\..*)', name)
        if level:
            start, number, end = level.groups()
            name = f'{start}{int(number) - first}{end}'
        name = name.replace(f'{head}head.', target)
        name = name.replace(f'{head}auxiliary_heads.', 'auxiliary_head.')
        renamed[name] = value
    expected = stock.state_dict()
    if not expected.keys() <= renamed.keys():
        rename_backbone(renamed, expected)
    return {name: renamed[name] for name in expected if name in renamed}


def rename_backbone(weights: Dict[str, Tensor],
                    expected: Dict[str, Tensor]) -> None:
    """The libraries name the layers of MobileNetV2 in two ways.

    Both define them in the order of the forward pass; MMDetection's has one
    more at the end.
    """
    theirs = [name for name in expected if name.startswith('backbone.')]
    ours = [name for name in weights if name.startswith('backbone.')]
    values = [weights.pop(name) for name in ours]
    weights.update(zip(theirs, values))


def check_answers(model: nn.Module, stock: nn.Module, task: str) -> None:
    """Raise ``UserError`` unless both answer alike to a random image."""
    image = torch.randn(1, 3, 128, 160, generator=torch.manual_seed(0))
    with torch.no_grad():
        expected = tree_flatten(model.head(task)(model.extract_feat(image)))[0]
        answers = tree_flatten(stock(image, mode='tensor'))[0]
    if len(expected) != len(answers) or not all(
            a.shape == b.shape and torch.allclose(a, b, 1e-4, 1e-5)
            for a, b in zip(expected, answers)):
        raise UserError(f"{LIBRARY[task]}'s parts of the same names answer "
                        'otherwise than those of the config')


@user_errors()
def main() -> None:
    args = parse_args()
    convert(args.config, args.checkpoint, args.task, args.out)
    print(f'{args.out}, {args.out.with_suffix(".py")}')


if __name__ == '__main__':
    main()
