# Copyright (c) mmbombo contributors.
"""Boxes and maps for a user's own images."""
import math
import os
import os.path as osp
import warnings
from contextlib import ExitStack
from glob import glob
from typing import (Callable, Dict, Iterator, List, NamedTuple, Optional,
                    Sequence, Tuple, Union)

import mmengine
import numpy as np
import torch
from mmdet.evaluation.functional import INSTANCE_OFFSET
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.device import get_device
from mmengine.infer.infer import BaseInferencer
from mmengine.logging import print_log
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import init_default_scope
from mmengine.runner.checkpoint import _load_checkpoint
from mmengine.visualization import Visualizer
from rich.progress import track
from torch import nn

from mmbombo.registry import INFERENCERS, TRANSFORMS, VISUALIZERS
from mmbombo.structures import annotation_kinds
from mmbombo.utils import UserError
from mmbombo.utils.checkpoint import checked_loader, load_weights
from mmbombo.utils.config_names import load_config, published_weights
from mmbombo.utils.config_parts import find_dataset, inference_steps
from mmbombo.utils.stored_config import registered_types_only, stored_config
from mmbombo.visualization import class_styles
from mmbombo.visualization.palette import Color
from .exported import EXPORTED, ExportedNetwork
from .images import find_problem, list_images, unique_names
from .results import sample_to_dict, write_label_map, write_segments

InputType = Union[str, os.PathLike, np.ndarray]


class LoadedImage(NamedTuple):
    """An image (H, W, 3), the name of its results, and what the test pipeline
    made of it."""
    name: str
    path: Optional[str]
    rgb: np.ndarray
    packed: dict


@INFERENCERS.register_module()
class MultiTaskInferencer(BaseInferencer):
    """Predict boxes, maps and tags for images, folders and arrays.

    Args:
        model (str | dict | Config, optional): Path of a config, name of one
            of ours, or a config. Without it, the config that is stored in
            ``weights`` is taken. A file of ``tools/deployment/export_onnx.py``
            (``.onnx``, ``.pt2``) stands for both. Defaults to None.
        weights (str, optional): Path of a checkpoint. Defaults to None: what
            the model index has for the name, else a model that knows
            nothing.
        device (str, optional): Such as 'cuda:0' or 'cpu'. Defaults to None:
            what there is.
        palette (dict, optional): RGB color by class name, before the colors
            of the checkpoint. Defaults to None.
        show_progress (bool): Whether to show a progress bar. Defaults to
            True.
        trust_checkpoint (bool): Whether to load checkpoints that run code
            when they are loaded, and to build whatever a config that is
            stored in ``weights`` names. Defaults to False.
        scope (str): Scope of the registry. Defaults to 'mmbombo'.

    Examples:
        >>> inferencer = MultiTaskInferencer('config.py', 'checkpoint.pth')
        >>> results = inferencer('photos/', out_dir='outputs')
        >>> results['predictions'][0]['bboxes']
    """

    def __init__(self,
                 model: Optional[Union[str, dict, Config]] = None,
                 weights: Optional[str] = None,
                 device: Optional[str] = None,
                 palette: Optional[Dict[str, Color]] = None,
                 show_progress: bool = True,
                 trust_checkpoint: bool = False,
                 scope: str = 'mmbombo') -> None:
        self.palette = palette
        self.exported: Optional[ExportedNetwork] = None
        file = str(weights or model)
        if file.endswith(EXPORTED):
            self.exported = ExportedNetwork(file, str(device or get_device()),
                                            trust_checkpoint)
            model, weights = self.exported.config(), None
        if isinstance(model, str):
            weights = weights or published_weights(model)
            model = load_config(model)
        if isinstance(model, dict) and not isinstance(model, Config):
            model = Config(model)
        init_default_scope(scope)
        with ExitStack() as stack:
            stack.enter_context(checked_loader(trust=trust_checkpoint))
            if model is None and weights and not trust_checkpoint:
                # 'meta' reads no weights
                model = stored_config(
                    _load_checkpoint(weights, map_location='meta'), weights)
                stack.enter_context(registered_types_only())
            super().__init__(
                model=model,
                weights=weights,
                device=device,
                scope=scope,
                show_progress=show_progress)
        self.model = revert_sync_batchnorm(self.model)
        self.dataset_meta = self.model.dataset_meta

    def __call__(self,
                 inputs: Union[InputType, Sequence[InputType]],
                 batch_size: int = 1,
                 return_vis: bool = False,
                 return_datasamples: bool = False,
                 pred_score_thr: float = 0.3,
                 topk: Optional[int] = None,
                 out_dir: str = '',
                 no_save_vis: bool = False,
                 no_save_pred: bool = False) -> dict:
        """Predict.

        Args:
            inputs (str | np.ndarray | list): An image file, a folder of
                images, a pattern such as 'photos/*.jpg', a BGR array
                (H, W, 3) as OpenCV reads it, or a list of files and arrays.
            batch_size (int): Images per forward pass. Defaults to 1.
            return_vis (bool): Whether to return the pictures as RGB arrays.
                Defaults to False.
            return_datasamples (bool): Whether to return
                :obj:`DetDataSample` instead of dicts. Defaults to False.
            pred_score_thr (float): Lowest score of a box that is drawn; the
                predictions hold all boxes. Defaults to 0.3.
            topk (int, optional): Number of boxes of an image that are kept
                and drawn, the most confident ones. Defaults to None: all.
            out_dir (str): Folder for the results: ``vis/*.png``,
                ``preds/*.json``, ``masks/*.png`` and ``panoptic/*.png``.
                Defaults to '': nothing is written.
            no_save_vis (bool): Whether not to write pictures. Defaults to
                False.
            no_save_pred (bool): Whether not to write predictions. Defaults to
                False.

        Returns:
            dict: ``predictions``, a list with one entry per image that could
            be read, in the order of the inputs (see
            :func:`~mmbombo.apis.results.sample_to_dict`); ``visualization``,
            the pictures with ``return_vis``, else an empty list; ``failed``,
            a list of (file, what is wrong with it).
        """
        inputs = self._inputs_to_list(inputs)
        results: dict = dict(predictions=[], visualization=[], failed=[])
        batches = self.preprocess(inputs, batch_size, results['failed'])
        if self.show_progress:
            batches = track(batches, 'Inference',
                            math.ceil(len(inputs) / batch_size))
        for images in batches:
            samples = self.forward(
                self.collate_fn([image.packed for image in images]))
            if topk is not None:
                keep_most_confident(samples, topk)
            results['visualization'] += self.visualize(
                images, samples, return_vis, pred_score_thr,
                '' if no_save_vis else out_dir)
            results['predictions'] += self.postprocess(
                images, samples, return_datasamples,
                '' if no_save_pred else out_dir)
        report_failed(results['failed'], len(inputs))
        return results

    def preprocess(
        self,
        inputs: Sequence[InputType],
        batch_size: int = 1,
        failed: Optional[List[Tuple[str, str]]] = None
    ) -> Iterator[List[LoadedImage]]:
        """Load and transform images, batch by batch; ``failed`` receives
        (file, problem) for each file that cannot be read."""
        images = self._load_readable(inputs, [] if failed is None else failed)
        yield from self._get_chunk_data(images, batch_size)

    def _load_readable(self, inputs: Sequence[InputType],
                       failed: List[Tuple[str, str]]) -> Iterator[LoadedImage]:
        paths = [
            None if isinstance(item, np.ndarray) else str(item)
            for item in inputs
        ]
        named = zip(inputs, unique_names(paths), paths)
        for place, (item, name, path) in enumerate(named):
            problem = None if path is None else find_problem(path)
            if problem is None:
                yield self._load(item, name, path, place)
            else:
                failed.append((path, problem))

    def visualize(self,
                  inputs: Sequence[LoadedImage],
                  preds: Sequence[DetDataSample],
                  return_vis: bool = False,
                  pred_score_thr: float = 0.3,
                  out_dir: str = '') -> List[np.ndarray]:
        """Draw predictions, write the pictures to ``out_dir`` if it is given,
        and return them, RGB, with ``return_vis``."""
        if not return_vis and not out_dir:
            return []
        pictures = []
        for image, sample in zip(inputs, preds):
            out_file = f'{out_dir}/vis/{image.name}.png' if out_dir else None
            self.visualizer.add_datasample(
                image.name,
                image.rgb,
                sample,
                draw_gt=False,
                pred_score_thr=pred_score_thr,
                out_file=out_file)
            if return_vis:
                pictures.append(self.visualizer.get_image())
        return pictures

    def postprocess(self,
                    inputs: Sequence[LoadedImage],
                    preds: Sequence[DetDataSample],
                    return_datasamples: bool = False,
                    out_dir: str = '') -> list:
        """Turn predictions into dicts, write these to ``out_dir`` if it is
        given, and return them, or ``preds`` with ``return_datasamples``."""
        if return_datasamples and not out_dir:
            return list(preds)
        seg_styles = class_styles(self.dataset_meta, self.palette)[1]
        results = []
        for image, sample in zip(inputs, preds):
            result = sample_to_dict(sample, self.dataset_meta)
            result['img_path'] = image.path
            if out_dir:
                if 'pred_sem_seg' in sample:
                    result['mask_path'] = f'{out_dir}/masks/{image.name}.png'
                    write_label_map(result['mask_path'], sample.pred_sem_seg,
                                    seg_styles)
                if 'panoptic' in result:
                    path = f'{out_dir}/panoptic/{image.name}.png'
                    result['panoptic_path'] = path
                    write_segments(path, sample, self.dataset_meta)
                mmengine.dump(result, f'{out_dir}/preds/{image.name}.json')
            results.append(result)
        return list(preds) if return_datasamples else results

    def _load(self, item: InputType, name: str, path: Optional[str],
              place: int) -> LoadedImage:
        """Run the test pipeline on one image."""
        # No annotation is known, and none is asked for.
        results = dict(
            img_id=place, sample_idx=place, annotation_kinds=(), source='')
        if path is None:
            if item.ndim != 3 or item.shape[2] != 3:
                raise UserError(f'input {place}: an image is a BGR array (H, '
                                f'W, 3), not one of shape {item.shape}')
            results = self._array_loader(dict(results, img=item))
            results['img_path'] = name
        else:
            results = self._file_loader(dict(results, img_path=path))
        rgb = np.array(results['img'])[..., ::-1]
        return LoadedImage(name, path, rgb, self.pipeline(results))

    def _inputs_to_list(self, inputs) -> list:
        """Return files and arrays; a folder stands for its images."""
        if isinstance(inputs, (str, os.PathLike)):
            path = osp.expanduser(inputs)
            if osp.isdir(path):
                return list_images(path)
            found = [] if osp.exists(path) else sorted(
                glob(path, recursive=True))
            return found or [path]
        return list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]

    def _init_pipeline(self, cfg: Config) -> Callable:
        """Build the test pipeline; the step that loads is kept apart."""
        loader, *steps = inference_steps(cfg)
        self._file_loader = TRANSFORMS.build(loader)
        self._array_loader = TRANSFORMS.build(
            dict(
                type='mmdet.LoadImageFromNDArray',
                to_float32=loader.get('to_float32', False)))
        return Compose([TRANSFORMS.build(step) for step in steps])

    def _init_model(self, cfg: Config, weights: Optional[str],
                    device: str = 'cpu') -> nn.Module:
        """Build the model, unless a file holds all of it."""
        return self.exported or super()._init_model(cfg, weights, device)

    def _init_visualizer(self, cfg: Config) -> Visualizer:
        """Build the config's visualizer without backends: we name files."""
        config = dict(cfg.get('visualizer', {}))
        config.setdefault('type', 'MultiTaskLocalVisualizer')
        config.pop('vis_backends', None)
        if self.palette:
            config['colors'] = self.palette
        config['name'] = f'inferencer_{id(self)}'
        visualizer = VISUALIZERS.build(config)
        visualizer.dataset_meta = self.model.dataset_meta
        return visualizer

    def _load_weights_to_model(self, model: nn.Module,
                               checkpoint: Optional[dict],
                               cfg: Optional[Config]) -> None:
        """Load the weights, and the class names that they come with."""
        stored: dict = {}
        if checkpoint is None:
            warnings.warn('no weights are given, and none are published: the '
                          'model is not trained and its predictions mean '
                          'nothing')
        else:
            load_weights(model, checkpoint)
            stored = checkpoint.get('meta', {}).get('dataset_meta') or {}
        model.dataset_meta = merge_class_names(stored, cfg)


def keep_most_confident(samples: Sequence[DetDataSample], topk: int) -> None:
    """Drop all boxes of a sample but the ``topk`` with the highest scores.

    Objects of a panoptic map stay, and are numbered in the new order.
    """
    for sample in samples:
        if 'pred_instances' not in sample:
            continue
        order = sample.pred_instances.scores.argsort(descending=True)
        sample.pred_instances = sample.pred_instances[order[:topk]]
        if 'pred_panoptic_seg' in sample:
            seg = sample.pred_panoptic_seg.sem_seg
            old = seg // INSTANCE_OFFSET
            # 0 is stuff, and what no box has comes after all boxes
            new = torch.arange(max(int(old.max()), len(order)) + 1).to(seg)
            new[order + 1] = new[1:len(order) + 1].clone()
            sample.pred_panoptic_seg.sem_seg = (
                seg + (new[old] - old) * INSTANCE_OFFSET)


def merge_class_names(stored: dict, cfg: Config) -> dict:
    """Settle class names and palettes (``classes``, ``seg_palette``, ...).

    What the checkpoint's ``dataset_meta`` does not say, the ``metainfo`` of
    the config's data set and the classes of its model do.
    """
    class_map = cfg.model.get('class_map') or {}
    classes = cfg.model.get('classes') or {}
    named = {
        kind.classes_key:
        classes.get(kind.task) or class_map.get(f'{kind.task}_classes')
        for kind in annotation_kinds() if kind.classes_key
    }
    configured = find_dataset(cfg).get('metainfo') or {}
    merged: dict = {}
    for said in (stored, configured, named):
        for kind in annotation_kinds():
            if kind.classes_key in merged or not said.get(kind.classes_key):
                continue
            merged[kind.classes_key] = tuple(said[kind.classes_key])
            # Colors belong to the names that they came with.
            if said.get(kind.palette_key):
                merged[kind.palette_key] = said[kind.palette_key]
    return merged


def report_failed(failed: Sequence[Tuple[str, str]], total: int) -> None:
    """Log which files could not be read; raise if all of them."""
    if not failed:
        return
    lines = [f'{path}: {problem}' for path, problem in failed]
    message = '\n  '.join(
        [f'{len(failed)} of {total} image(s) could not be read:', *lines])
    if len(failed) == total:
        raise UserError(message)
    print_log(message, logger='current', level=30)
