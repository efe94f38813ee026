# Copyright (c) mmbombo contributors.
"""Networks that ``tools/deployment/export_onnx.py`` wrote, in the place of a
config and a checkpoint."""
import json
from typing import Any, Dict, List

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
ARCHIVE_NOTE = 'mmbombo.json'


class ExportedNetwork(nn.Module):
    """An ``.onnx`` file in onnxruntime, or a ``.pt2`` file of torch.export.

    ``.pt2`` runs on the CPU. To load one runs code that is in it (pickles,
    expressions and names of functions), so that it has to be trusted.

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
        try:
            notes = (
                self._open_onnx(file, device)
                if file.endswith('.onnx') else self._open_archive(file, trust))
            self.notes = {key: json.loads(x) for key, x in notes.items()}
            self.resize = self.notes['resize']
        except FileNotFoundError:
            raise MissingFileError(f'there is no file {file}') from None
        except (KeyError, RuntimeError, ValueError) as error:
            if isinstance(error, UserError):
                raise
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
        with open(file, 'rb'):  # which says clearly that there is none
            pass
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        providers = ['CUDAExecutionProvider', 'CPUExecutionProvider']
        try:
            session = onnxruntime.InferenceSession(
                file, options, providers[device == 'cpu':])
        except Exception as error:  # of its own, which share no base
            raise ValueError(error) from None
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
        found: Dict[str, Any] = {ARCHIVE_NOTE: ''}
        network = torch.export.load(file, extra_files=found).module()
        self.answer = lambda image: self._suppressed(
            network(torch.from_numpy(image)))
        return json.loads(found[ARCHIVE_NOTE])

    def _suppressed(self, outputs: tuple) -> Dict[str, np.ndarray]:
        """What an ONNX file answers, of candidates before NMS."""
        answers = {}
        if 'classes' in self.notes:
            boxes, scores, labels = (x[0] for x in outputs[:3])
            kept = scores > 0
            found, index = batched_nms(boxes[kept], scores[kept], labels[kept],
                                       dict(self.notes['nms']))
            most = self.notes['most']
            answers = dict(
                boxes=found[:most, :4].numpy(), scores=found[:most, 4].numpy(),
                labels=labels[kept][index][:most].numpy())
        if 'seg_classes' in self.notes:
            answers['semantic'] = outputs[-1].numpy()
        return answers

    def config(self) -> Config:
        """What :class:`MultiTaskInferencer` wants to know of a config."""
        resize = [dict(type='mmdet.Resize', scale=tuple(self.resize['scale']),
                       keep_ratio=bool(self.resize['keep_ratio']))
                  ] if self.resize else []
        pipeline = [dict(type='LoadImageFromFile'), *resize,
                    dict(type='PackMultiTaskInputs')]
        return Config(
            dict(test_dataloader=dict(dataset=dict(pipeline=pipeline))))

    @torch.no_grad()
    def test_step(self, data: dict) -> List[DetDataSample]:
        """Predict, as ``model.test_step``: image by image."""
        for image, sample in zip(data['inputs'], data['data_samples']):
            self._predict(image.flip(0).numpy(), sample)
        return data['data_samples']

    def _predict(self, image: np.ndarray, sample: DetDataSample) -> None:
        """Give a sample what is seen in its RGB image ``(3, h, w)``."""
        height, width = image.shape[1:]
        rows, columns = self._padded(height, width)
        padded = np.empty((1, 3, rows, columns), np.uint8)
        padded[:] = np.reshape(self.notes['pad_value'], (3, 1, 1))
        padded[0, :, :height, :width] = image
        answers = self.answer(padded)
        if 'boxes' in answers:
            scale = np.tile(sample.get('scale_factor', (1., 1.)), 2)
            boxes = answers['boxes'].clip(0, [width, height] * 2) / scale
            sample.pred_instances = InstanceData(
                bboxes=torch.from_numpy(boxes).float(),
                scores=torch.from_numpy(answers['scores']),
                labels=torch.from_numpy(answers['labels']))
        if 'semantic' in answers:
            ids = torch.from_numpy(answers['semantic'][:, :height, :width])
            ids = F.interpolate(
                ids[None].float(), sample.ori_shape[:2], mode='nearest-exact')
            ids = ids[0].long()
            sample.pred_sem_seg = PixelData(sem_seg=ids, data=ids)

    def _padded(self, height: int, width: int) -> List[int]:
        """Size of the input of an image, which PyTorch pads alike unless it
        is smaller than the file can take."""
        if self.notes['fixed']:
            return self.notes['size']
        divisor, least = self.notes['divisor'], self.notes['least']
        return [max(least, -(-x // divisor) * divisor) for x in (height, width)
                ]
