# Copyright (c) mmbombo contributors.
import os.path as osp
from typing import Any, Dict, List, Optional, Sequence

import mmcv
import torch.nn.functional as F
from mmdet.engine.hooks import DetVisualizationHook
from mmdet.structures import DetDataSample
from mmengine.fileio import get
from torch import Tensor

from mmbombo.models.local_modules import LocalModule
from mmbombo.registry import HOOKS
from mmbombo.utils.distributed import unwrapped


@HOOKS.register_module()
class MultiTaskVisualizationHook(DetVisualizationHook):
    """Draws predictions beside ground truth, and what training sees.

    In validation the first image of every ``interval``-th batch is drawn, in
    testing every image. Every ``train_interval`` iterations the first sample
    of each source is drawn as the model gets it, with the pseudo labels of
    the weak losses, and as local modules reconstruct it. Pictures of a test
    go to ``test_out_dir``, in it to folders named by the source and by the
    last two folders of the image.

    Args:
        train_interval (int): Training iterations between two pictures; 0
            draws none. Defaults to 0.
        **kwargs: Arguments of :class:`mmdet.DetVisualizationHook`; without
            ``draw=True`` nothing is drawn.
    """

    def __init__(self, train_interval: int = 0, **kwargs) -> None:
        super().__init__(**kwargs)
        self.train_interval = train_interval
        self._seen: Dict[str, Any] = {}
        self._listeners: List[Any] = []
        self._decoded: List[Tensor] = []

    def before_train_iter(self,
                          runner,
                          batch_idx: int,
                          data_batch: Optional[dict] = None) -> None:
        """Listen to what the preprocessor hands to the model.

        The samples in ``data_batch`` are not those that the model sees: the
        preprocessor copies them, and pseudo labels go to the copies.
        """
        if not (self.draw and self.train_interval and runner.rank == 0):
            return
        if self.every_n_train_iters(runner, self.train_interval):
            model = unwrapped(runner.model)
            self._listeners = [
                model.data_preprocessor.register_forward_hook(
                    lambda module, args, output: self._seen.update(output)),
                *(x.decoder.register_forward_hook(
                    lambda module, args, output: self._decoded.append(
                        output.detach())) for x in model.modules()
                  if isinstance(x, LocalModule) and x.decoder)
            ]

    def after_train_iter(self,
                         runner,
                         batch_idx: int,
                         data_batch: Optional[dict] = None,
                         outputs: Optional[dict] = None) -> None:
        """Draw one training sample of each source, with pseudo labels."""
        if not self._listeners:
            return
        for listener in self._listeners:
            listener.remove()
        samples, decoded = self._seen['data_samples'], self._decoded
        self._listeners, self._seen, self._decoded = [], {}, []
        first: Dict[str, int] = {}
        for i, sample in enumerate(samples):
            first.setdefault(sample.get('source', ''), i)
        for source, i in first.items():
            image, sample = data_batch['inputs'][i], samples[i]
            for number, logits in enumerate(decoded):
                # in parts, nobody knows which image is where
                if len(logits) == len(samples):
                    picture = logits[i].sigmoid() * 255
                    self._visualizer.add_image(
                        f'train_{source}_rec_{number}',
                        picture.permute(1, 2, 0).byte().cpu().numpy(),
                        step=runner.iter + 1)
            # BGR (3, h, w) to RGB (H, W, 3), padded as its maps are
            height, width = sample.batch_input_shape
            image = F.pad(
                image, (0, width - image.shape[2], 0, height - image.shape[1]))
            self._visualizer.add_datasample(
                f'train_{source}',
                image.flip(0).permute(1, 2, 0).cpu().numpy(),
                data_sample=sample,
                draw_pred=False,
                show=self.show,
                wait_time=self.wait_time,
                step=runner.iter + 1)

    def after_test_iter(self, runner, batch_idx: int, data_batch: dict,
                        outputs: Sequence[DetDataSample]) -> None:
        """Draw every image of the batch."""
        for sample in outputs if self.draw else ():
            self._test_index += 1
            content = get(sample.img_path, backend_args=self.backend_args)
            self._visualizer.add_datasample(
                osp.basename(sample.img_path) if self.show else 'test_img',
                mmcv.imfrombytes(content, channel_order='rgb'),
                data_sample=sample,
                show=self.show,
                wait_time=self.wait_time,
                out_file=self._out_file(runner, sample),
                pred_score_thr=self.score_thr,
                step=self._test_index)

    def _out_file(self, runner, sample: DetDataSample) -> Optional[str]:
        if self.test_out_dir is None:
            return None
        # images of two sources, or of two folders, may have the same name
        path = osp.abspath(sample.img_path).split(osp.sep)[-3:]
        return osp.join(runner.work_dir, runner.timestamp, self.test_out_dir,
                        str(sample.get('source', '')), *path)
