# Copyright (c) mmbombo contributors.
"""Networks that ``tools/deployment/export_onnx.py`` wrote, in the place of a
config and a checkpoint."""
import json
import os.path as osp
from typing import Dict, List

import numpy as np
import torch
import torch.nn.functional as F
from mmcv.ops import batched_nms
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.structures import InstanceData, PixelData
from torch import nn

from mmbombo.utils import MissingFileError, UserError

EXPORTED = ('.onnx', '.pt2')
#: Where a ``.pt2`` file has the metadata.
NOTES = 'mmbombo.json'


class ExportedNetwork(nn.Module):
    """An ``.onnx`` file in onnxruntime, or a ``.pt2`` file of torch.export.

    A ``.pt2`` file runs on the CPU. Code that is in it (pickles, expressions,
    names of functions) runs when it is loaded, so that it has to be trusted.

    Args:
        file (str): The file.
        device (str): Where ONNX runs. Defaults to 'cpu'.
        trust (bool): Whether to load ``.pt2``. Defaults to False.

    Raises:
        UserError: If the file is none of ours, or not trusted.
    """

    def __init__(self,
                 file: str,
                 device: str = 'cpu',
                 trust: bool = False) -> None:
        super().__init__()
        if not osp.isfile(file):
            raise MissingFileError(f'there is no file {file}')
        try:
            notes = (
                self._open_onnx(file, device)
                if file.endswith('.onnx') else self._open_archive(file, trust))
            self.notes = {key: json.loads(x) for key, x in notes.items()}
            self.resize = self.notes['resize']
        except UserError:
            raise
        except Exception as error:  # the libraries raise many types
            raise UserError(
                f'{file} is damaged, or not a file of this version of tools/'
                f'deployment/export_onnx.py ({error!r:.200})') from None
        self.dataset_meta = {
            key: value for key, value in self.notes.items()
            if key.endswith(('classes', 'palette'))
        }

    def _open_onnx(self, file: str, device: str) -> Dict[str, str]:
        try:
            import onnxruntime
        except ImportError as error:
            raise UserError(f'{error}: pip install onnxruntime') from None
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        providers = ['CUDAExecutionProvider', 'CPUExecutionProvider']
        session = onnxruntime.InferenceSession(file, options,
                                               providers[device == 'cpu':])
        names = [x.name for x in session.get_outputs()]
        self.answer = lambda image: dict(
            zip(names, session.run(None, dict(image=image))))
        return session.get_modelmeta().custom_metadata_map

    def _open_archive(self, file: str, trust: bool) -> Dict[str, str]:
        if not trust:
            raise UserError(
                f'{file}: PyTorch runs code that is in a .pt2 file when it is '
                'loaded. Take .onnx, or, if you know who made the file, '
                '--trust-checkpoint (trust_checkpoint=True)')
        notes = {NOTES: ''}
        network = torch.export.load(file, extra_files=notes).module()
        self.answer = lambda image: self._after_nms(
            network(torch.from_numpy(image)))
        return json.loads(notes[NOTES])

    def _after_nms(self, outputs: tuple) -> Dict[str, np.ndarray]:
        """What an ONNX file answers to an image."""
        answers = {}
        if 'classes' in self.notes:
            boxes, scores, labels = (x[0][outputs[1][0] > 0]
                                     for x in outputs[:3])
            found, index = batched_nms(boxes, scores, labels,
                                       self.notes['nms'])
            found, index = (x[:self.notes['most']] for x in (found, index))
            answers = dict(boxes=found[:, :4], scores=found[:, 4],
                           labels=labels[index])
        if 'seg_classes' in self.notes:
            answers['semantic'] = outputs[-1]
        return {key: x.numpy() for key, x in answers.items()}

    def config(self) -> Config:
        """What :class:`MultiTaskInferencer` wants to know of a config."""
        steps = [dict(type='LoadImageFromFile'),
                 dict(type='PackMultiTaskInputs')]
        if self.resize:
            scale, keep_ratio = self.resize
            steps.insert(1, dict(type='mmdet.Resize', scale=tuple(scale),
                                 keep_ratio=keep_ratio))
        return Config(
            dict(test_dataloader=dict(dataset=dict(pipeline=steps))))

    @torch.no_grad()
    def test_step(self, data: dict) -> List[DetDataSample]:
        """Predict, as ``model.test_step``: image by image."""
        for image, sample in zip(data['inputs'], data['data_samples']):
            self._predict(image.flip(0).numpy(), sample)
        return data['data_samples']

    def _predict(self, image: np.ndarray, sample: DetDataSample) -> None:
        """Give a sample what is seen in its RGB image ``(3, h, w)``."""
        height, width = image.shape[1:]
        padded = np.empty((1, 3, *self._padded(height, width)), np.uint8)
        padded[:] = np.reshape(self.notes['pad_value'], (3, 1, 1))
        padded[0, :, :height, :width] = image
        answers = {
            key: torch.from_numpy(x) for key, x in self.answer(padded).items()
        }
        if 'boxes' in answers:
            limits = torch.tensor([width, height] * 2)
            scale = torch.tensor(sample.get('scale_factor', (1., 1.)))
            sample.pred_instances = InstanceData(
                bboxes=answers['boxes'].clamp(min=0).minimum(limits) /
                scale.float().repeat(2),
                scores=answers['scores'],
                labels=answers['labels'])
        if 'semantic' in answers:
            ids = answers['semantic'][None, :, :height, :width].float()
            ids = F.interpolate(
                ids, sample.ori_shape[:2], mode='nearest-exact')[0].long()
            sample.pred_sem_seg = PixelData(sem_seg=ids, data=ids)

    def _padded(self, height: int, width: int) -> List[int]:
        """Size of the input of an image, which PyTorch pads alike unless it
        is smaller than the file can take."""
        if self.notes['fixed']:
            return self.notes['size']
        divisor, least = self.notes['divisor'], self.notes['least']
        return [max(least, -(-x // divisor) * divisor) for x in (height, width)
                ]
