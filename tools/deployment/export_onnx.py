# Copyright (c) mmbombo contributors.
"""Write a network, with its post-processing, as one ONNX file.

    python tools/deployment/export_onnx.py CONFIG CHECKPOINT --out net.onnx

The file takes ``image``, RGB of 0 to 255 as uint8 ``(N, 3, H, W)``, normalizes
it, and gives ``boxes`` ``(M, 4)`` in its pixels, ``scores``, ``labels`` and
``image_index`` ``(M, )`` after NMS, and ``semantic``, class ids as uint8
``(N, H, W)``, of the tasks that the network has. N, H and W are free, H and W
multiples of the metadata's ``divisor``, larger than the largest stride of the
detector; ``--fixed`` is for one size, which may be smaller. Class names are
metadata, too. ``demo/onnx_demo.py`` runs it without PyTorch, and our
inferencer opens it as a checkpoint. Tags, saliency and panoptic answers are
left out. Nothing is written if the file answers otherwise to ``--image`` than
the network.

``--out net.pt2`` writes a program of torch.export, for our inferencer. Its NMS
is not in the program, and it is loaded only by who trusts it.
"""
import argparse
from pathlib import Path


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file, or a name of ours')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument(
        '--out', type=Path, required=True, help='file to write, .onnx or .pt2')
    parser.add_argument(
        '--size', type=int, nargs=2, default=(320, 320),
        metavar=('H', 'W'), help='size of the input (default: 320 320)')
    parser.add_argument(
        '--fixed', action='store_true',
        help='take one image of this size, and no other')
    parser.add_argument(
        '--image', default=str(Path(__file__).parents[2] / 'demo/demo.jpg'),
        help='both answer to it (default: demo/demo.jpg)')
    return parser.parse_args()


if __name__ == '__main__':  # --help waits for no library
    parse_args()

import json
import warnings
from tempfile import TemporaryDirectory
from typing import Dict, List, NamedTuple, Optional, Tuple

import mmcv
import numpy as np
import torch
import torch.nn.functional as F
from mmdet.models.dense_heads import GFLHead
from mmdet.models.dense_heads.base_dense_head import BaseDenseHead
from mmdet.structures import DetDataSample
from mmengine.config import Config
from torch import Tensor, nn
from torch.export import Dim

from mmbombo.apis import MultiTaskInferencer
from mmbombo.apis.exported import EXPORTED, NOTES, ExportedNetwork
from mmbombo.models.detectors import MultiTaskDetector
from mmbombo.models.task_heads import DetTaskHead, SegTaskHead
from mmbombo.utils import UserError, user_errors
from mmbombo.utils.config_parts import base_type, inference_steps

OPSET = 18
#: NMS of the candidates, class by class, as mmcv's ``batched_nms``: boxes of
#: different classes are moved apart. An image keeps its best ``most`` boxes.
NMS = """
<ir_version: 10, opset_import: ["" : %(opset)d]>
nms (float[n,k,4] candidates, float[n,k] candidate_scores,
     int64[n,k] candidate_labels)
    => (int64[m] image_index, float[m,4] boxes, float[m] scores,
        int64[m] labels)
{
    one = Constant <value = float {1.0}> ()
    none = Constant <value = float {0.0}> ()
    most = Constant <value = int64 {%(most)d}> ()
    overlap = Constant <value = float {%(overlap)r}> ()
    first = Constant <value = int64 {0}> ()
    axis = Constant <value = int64[1] {1}> ()
    last = Constant <value = int64[1] {2}> ()
    both = Constant <value = int64[2] {0, 2}> ()
    largest = ReduceMax <keepdims = 0> (candidates)
    step = Add (largest, one)
    number = Cast <to = 1> (candidate_labels)
    shift = Mul (number, step)
    shift_of_box = Unsqueeze (shift, last)
    apart = Add (candidates, shift_of_box)
    one_class = Unsqueeze (candidate_scores, axis)
    kept = NonMaxSuppression (apart, one_class, most, overlap, none)
    image_index = Gather <axis = 1> (kept, first)
    place = Gather <axis = 1> (kept, both)
    boxes = GatherND (candidates, place)
    scores = GatherND (candidate_scores, place)
    labels = GatherND (candidate_labels, place)
}
"""


class Differences(NamedTuple):
    """How far the answers of ONNX are from those of PyTorch."""
    boxes: int  #: of PyTorch
    unmatched: int  #: that only one of them has
    pixels: float  #: share with another class

    def __str__(self) -> str:
        return (f'{self.boxes} boxes, of which {self.unmatched} differ; '
                f'{self.pixels:.3%} of the pixels differ')


class DeployedNetwork(nn.Module):
    """From an image to candidate boxes before NMS, and class ids."""

    def __init__(self, model: MultiTaskDetector) -> None:
        super().__init__()
        self.model = model
        self.det = model.head('det') if 'det' in model.tasks else None
        self.seg = model.head('seg') if 'seg' in model.tasks else None

    def forward(self, image: Tensor) -> Tuple[Tensor, ...]:
        """See the docstring of this file; candidates are boxes
        ``(N, K, 4)``, scores and labels ``(N, K)``."""
        preprocessor = self.model.data_preprocessor
        inputs = (image.float() - preprocessor.mean) / preprocessor.std
        feats = self.model.extract_feat(inputs)
        answers: Tuple[Tensor, ...] = ()
        if self.det is not None:
            answers = candidates(self.det.head, self.det(feats),
                                 image.shape[-2:], self.det.test_cfg)
        if self.seg is not None:
            logits = F.interpolate(
                self.seg(feats)[0], size=image.shape[-2:], mode='bilinear',
                align_corners=self.seg.align_corners)
            answers += (logits.argmax(1).to(torch.uint8), )
        return answers


def candidates(head: BaseDenseHead, outputs: Tuple[List[Tensor], ...],
               size: Tuple[int, int], cfg: dict) -> Tuple[Tensor, ...]:
    """What ``head.predict_by_feat`` gives to NMS, for all images at once;
    candidates that it drops have score 0."""
    cls_scores, bbox_preds, *factors = outputs
    priors = head.prior_generator.grid_priors(
        [x.shape[-2:] for x in cls_scores], dtype=cls_scores[0].dtype,
        device=cls_scores[0].device)
    levels = [
        best_of_level(head, *level, size, cfg) for level in zip(
            cls_scores, bbox_preds, factors[0] if factors else
            [None] * len(priors), priors, head.prior_generator.strides)
    ]
    return tuple(torch.cat(parts, dim=1) for parts in zip(*levels))


def best_of_level(head: BaseDenseHead, cls_score: Tensor, bbox_pred: Tensor,
                  factor: Optional[Tensor], priors: Tensor,
                  stride: Tuple[int, int], size: Tuple[int, int],
                  cfg: dict) -> Tuple[Tensor, Tensor, Tensor]:
    """The ``nms_pre`` best pairs of cell and class of a level."""
    images, classes = cls_score.shape[0], head.cls_out_channels
    scores = per_cell(cls_score, classes).sigmoid().flatten(1)
    # so that there are always as many, whatever the size of the image
    scores = F.pad(scores, (0, cfg['nms_pre']))
    scores, index = scores.topk(cfg['nms_pre'])
    scores = scores * (scores > cfg['score_thr'])
    cell = index // classes * (scores > 0)  # what was padded has no cell
    if factor is not None:
        scores = scores * per_cell(factor, 1)[..., 0].sigmoid().gather(1, cell)

    if isinstance(head, GFLHead):
        priors = head.anchor_center(priors)
        deltas = per_cell(bbox_pred, 4 * (head.reg_max + 1))
        deltas = head.integral(deltas).reshape(images, -1, 4) * stride[0]
    else:
        deltas = per_cell(bbox_pred, head.bbox_coder.encode_size)
    deltas = deltas.gather(1, cell[..., None].expand(-1, -1,
                                                     deltas.shape[-1]))
    boxes = head.bbox_coder.decode(
        priors[cell.flatten()], deltas.flatten(0, 1)).reshape(images, -1, 4)
    height, width = size
    x1, y1, x2, y2 = boxes.clamp(min=0).unbind(-1)
    boxes = torch.stack([
        x1.clamp(max=width),
        y1.clamp(max=height),
        x2.clamp(max=width),
        y2.clamp(max=height)
    ], dim=-1)
    if cfg.get('min_bbox_size', -1) >= 0:
        extent = boxes[..., 2:] - boxes[..., :2]
        scores = scores * (extent > cfg['min_bbox_size']).all(-1)
    return boxes, scores, index % classes


def per_cell(maps: Tensor, channels: int) -> Tensor:
    """``(N, priors * channels, h, w)`` as ``(N, h * w * priors, channels)``.
    """
    return maps.permute(0, 2, 3, 1).reshape(maps.shape[0], -1, channels)


def check_model(model: nn.Module) -> None:
    """Raise ``UserError`` for what would answer otherwise in ONNX."""
    name = type(model).__name__
    if not isinstance(model, MultiTaskDetector):
        raise UserError(f'{name} has its own way from image to answer: export '
                        'it with the tools of its library; this tool takes a '
                        'MultiTaskDetector')
    if not {'det', 'seg'} & {*model.tasks}:
        raise UserError("the network has neither 'det' nor 'seg', but "
                        f'{model.tasks}')
    for task, kind in (('det', DetTaskHead), ('seg', SegTaskHead)):
        if task in model.tasks and not isinstance(model.head(task), kind):
            raise UserError(f"{type(model.head(task)).__name__} answers to "
                            f"'{task}' in its own way; what can be exported "
                            f'is a {kind.__name__}')
    if 'det' in model.tasks:
        head, cfg = model.head('det').head, model.head('det').test_cfg
        single = '_predict_by_feat_single'
        stock = getattr(type(head), single) is getattr(BaseDenseHead, single)
        if not hasattr(head, 'bbox_coder') or not (stock or isinstance(
                head, GFLHead)):
            raise UserError(f'{type(head).__name__} decodes boxes in its own '
                            'way; take a GFL, RetinaNet, ATSS, FCOS or RTMDet '
                            'head')
        if cfg.nms.get('type', 'nms') != 'nms' or 'nms_pre' not in cfg:
            raise UserError("test_cfg of 'det' needs nms=dict(type='nms', "
                            f'...) and nms_pre, and has {cfg.to_dict()}')
    if 'seg' in model.tasks:
        cfg = model.head('seg').test_cfg
        if cfg['mode'] != 'whole' or cfg.get('crf'):
            raise UserError(f"test_cfg of 'seg' is {cfg}: windows and CRFs "
                            'are not exported')


def least_side(network: DeployedNetwork, divisor: int) -> int:
    """The least side of an image of free size: a map of one cell would be
    taken for a constant."""
    strides = [] if network.det is None else [
        max(x) for x in network.det.head.prior_generator.strides
    ]
    return max([divisor, *strides]) + divisor


def trace(network: DeployedNetwork, size: Tuple[int, int], divisor: int,
          fixed: bool) -> torch.export.ExportedProgram:
    """The network, without NMS."""
    least = least_side(network, divisor) // divisor
    free = {
        0: Dim('n', min=1),
        2: divisor * Dim('rows', min=least),
        3: divisor * Dim('columns', min=least)
    }
    # one or equal numbers would be taken for constants
    example = (1, 3, *size) if fixed else (2, 3, size[0], size[1] + divisor)
    return torch.export.export(
        network, (torch.zeros(example, dtype=torch.uint8), ), strict=False,
        dynamic_shapes=None if fixed else dict(image=free))


def to_onnx(program: torch.export.ExportedProgram, network: DeployedNetwork):
    """The program as an ``onnx.ModelProto``."""
    names = ['candidates', 'candidate_scores', 'candidate_labels'
             ] if network.det is not None else []
    names += ['semantic'] if network.seg is not None else []
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        network = torch.onnx.export(
            program, input_names=['image'], output_names=names,
            opset_version=OPSET, dynamo=True, verbose=False).model_proto
    # onnxruntime shares memory by these shapes, which are wrong where sizes
    # of levels are rounded up
    del network.graph.value_info[:]
    return network


def with_nms(network, cfg: dict):
    """The network, and NMS after it."""
    from onnx import compose, parser, version_converter
    tail = parser.parse_model(NMS % dict(
        opset=OPSET, most=cfg['max_per_img'],
        overlap=float(cfg['nms']['iou_threshold'])))
    if network.opset_import[0].version != OPSET:
        network = version_converter.convert_version(network, OPSET)
    network.ir_version = tail.ir_version
    names = [x.name for x in tail.graph.input]
    merged = compose.merge_models(
        network, tail, io_map=[(x, x) for x in names])
    return merged


def metadata(network: DeployedNetwork, inferencer: MultiTaskInferencer,
             size: Tuple[int, int], divisor: int,
             fixed: bool) -> Dict[str, str]:
    """What a program needs to know beside the numbers, as JSON."""
    model = network.model
    notes = dict(
        divisor=divisor, least=least_side(network, divisor), size=list(size),
        fixed=fixed, resize=resizing(inferencer.cfg, size, fixed),
        pad_value=[
            round(x) for x in model.data_preprocessor.mean.flatten().tolist()
        ])
    if network.det is not None:
        notes.update(nms=network.det.test_cfg.nms.to_dict(),
                     most=network.det.test_cfg.max_per_img)
    for task, key in (('det', 'classes'), ('seg', 'seg_classes')):
        if task in model.tasks:
            named = inferencer.dataset_meta
            notes[key] = [*named.get(key, model.classes[task])]
            palette = key.replace('classes', 'palette')
            if palette in named:
                notes[palette] = np.asarray(named[palette]).tolist()
    return {key: json.dumps(value) for key, value in notes.items()}


def resizing(cfg: Config, size: Tuple[int, int],
             fixed: bool) -> Optional[Tuple[Tuple[int, int], bool]]:
    """``scale`` and ``keep_ratio`` of the test pipeline's ``Resize``, if it
    has one; a fixed size is the scale itself."""
    _, *steps = inference_steps(cfg)
    resizes = [x for x in steps if base_type(x) == 'Resize' and x.get('scale')]
    if len(steps) != len(resizes) + 1 or len(resizes) > 1:  # and one packs
        raise UserError('the test pipeline may resize images to a scale, no '
                        f'more; it has {steps}')
    keep_ratio = not resizes or resizes[0].get('keep_ratio', False)
    if fixed:
        return size[::-1], keep_ratio
    return (resizes[0]['scale'], keep_ratio) if resizes else None


def compare(model: MultiTaskDetector, exported: ExportedNetwork,
            image: np.ndarray) -> Differences:
    """The answers of both to an image ``(H, W, 3)``: MMDetection's
    post-processing against that of the file."""
    inputs = np.ascontiguousarray(image.transpose(2, 0, 1)[None])
    sample = DetDataSample(
        metainfo=dict(
            img_shape=image.shape[:2], ori_shape=image.shape[:2],
            batch_input_shape=image.shape[:2], scale_factor=(1., 1.)))
    preprocessor = model.data_preprocessor
    with torch.no_grad():
        theirs = exported.answer(inputs)
        ours, = model.predict(
            (torch.from_numpy(inputs).float() - preprocessor.mean) /
            preprocessor.std, [sample])
    boxes = unmatched = 0
    if 'boxes' in theirs:
        boxes = len(ours.pred_instances)
        unmatched = count_unmatched(ours.pred_instances, theirs)
    pixels = 0.
    if 'semantic' in theirs:
        pixels = float(
            (ours.pred_sem_seg.sem_seg[0].numpy() != theirs['semantic'][0]
             ).mean())
    return Differences(boxes, unmatched, pixels)


def count_unmatched(ours, theirs: Dict[str, np.ndarray]) -> int:
    """Boxes of either side that the other does not have within a twentieth
    of a pixel and a thousandth of a score."""
    near = (
        np.abs(ours.bboxes.numpy()[:, None] - theirs['boxes']).max(-1) < .05
    ) & (np.abs(ours.scores.numpy()[:, None] - theirs['scores']) < 1e-3) & (
        ours.labels.numpy()[:, None] == theirs['labels'])
    return int((~near.any(1)).sum() + (~near.any(0)).sum())


def save(program: torch.export.ExportedProgram, network: DeployedNetwork,
         notes: Dict[str, str], file: Path) -> None:
    """Write the program and its metadata to ``.onnx`` or ``.pt2``."""
    if file.suffix == '.pt2':
        # with them go guards, of which some are for the size of the example
        program.example_inputs = None
        torch.export.save(
            program, file, extra_files={NOTES: json.dumps(notes)})
        return
    import onnx
    network_of_onnx = to_onnx(program, network)
    if network.det is not None:
        network_of_onnx = with_nms(network_of_onnx, network.det.test_cfg)
    onnx.helper.set_model_props(network_of_onnx, notes)
    onnx.save(network_of_onnx, file)


@user_errors()
def main() -> None:
    args = parse_args()
    if args.out.suffix not in EXPORTED:
        raise UserError(f'--out {args.out}: name a file .onnx or .pt2')
    try:
        if args.out.suffix == '.onnx':
            import onnx  # noqa: F401
            import onnxruntime  # noqa: F401
            import onnxscript  # noqa: F401
    except ImportError as error:
        raise UserError(f'{error}: pip install onnx onnxscript onnxruntime'
                        ) from None
    inferencer = MultiTaskInferencer(
        args.config, args.checkpoint, device='cpu', show_progress=False)
    model = inferencer.model
    check_model(model)
    divisor = max(32, getattr(model.data_preprocessor, 'pad_size_divisor', 1))
    if any(x % divisor for x in args.size):
        raise UserError(f'--size {args.size[0]} {args.size[1]}: give '
                        f'multiples of {divisor}')
    deployed = DeployedNetwork(model).eval()
    least = least_side(deployed, divisor)
    if min(args.size) < least and not args.fixed:
        raise UserError(f'--size {args.size[0]} {args.size[1]}: sides must be '
                        f'{least} or more, or --fixed')
    notes = metadata(deployed, inferencer, args.size, divisor, args.fixed)
    program = trace(deployed, args.size, divisor, args.fixed)
    image = mmcv.imread(args.image, channel_order='rgb')
    args.out.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=args.out.parent) as folder:
        unfinished = Path(folder, args.out.name)
        save(program, deployed, notes, unfinished)
        image = mmcv.imresize(image, tuple(args.size)[::-1])
        found = compare(
            model, ExportedNetwork(str(unfinished), trust=True), image)
        print(f'{args.image}: {found}')
        if found.unmatched > .01 * found.boxes or found.pixels > .005:
            raise UserError('the file answers otherwise than PyTorch; nothing '
                            'is written')
        unfinished.replace(args.out)
    print(f'{args.out}: {args.out.stat().st_size / 2**20:.1f} MiB')


if __name__ == '__main__':
    main()
