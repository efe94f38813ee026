# Copyright (c) mmbombo contributors.
import os.path as osp
import warnings
from collections import defaultdict
from typing import Any, Dict, List, Optional, Sequence, Set

import mmcv
import numpy as np
from mmdet.structures import DetDataSample
from mmengine.fileio import get
from mmengine.hooks import Hook
from torch import Tensor

from mmbombo.datasets.source_tree import leaf_datasets
from mmbombo.registry import HOOKS
from mmbombo.utils.distributed import unwrapped


@HOOKS.register_module()
class MultiTaskVisualizationHook(Hook):
    """Draws predictions beside ground truth, and what training sees.

    In validation the first image of every ``interval``-th batch is drawn, in
    testing every image. Every ``train_interval`` iterations the first sample
    of each source is drawn as the model gets it, with the pseudo labels of
    the weak losses. Pictures go to the visualizer's backends, or where
    ``test_out_dir`` says.

    Args:
        draw (bool): Whether to draw at all. Defaults to False.
        interval (int): Validation batches between two pictures. Defaults to
            50.
        train_interval (int): Training iterations between two pictures; 0
            draws none. Defaults to 0.
        score_thr (float): Boxes below this score are not drawn. Defaults to
            0.3.
        show (bool): Whether to open a window instead of storing pictures.
            Defaults to False.
        wait_time (float): Seconds that the window stays, 0 = until a key is
            pressed. Defaults to 0.
        test_out_dir (str, optional): Folder in ``work_dir/timestamp`` for
            the pictures of a test, one folder in it for each source. Images
            of a source that lie in several folders keep them. Defaults to
            None.
        backend_args (dict, optional): Arguments of the file backend of the
            images. Defaults to None.
    """

    def __init__(self,
                 draw: bool = False,
                 interval: int = 50,
                 train_interval: int = 0,
                 score_thr: float = 0.3,
                 show: bool = False,
                 wait_time: float = 0.,
                 test_out_dir: Optional[str] = None,
                 backend_args: Optional[dict] = None) -> None:
        self.draw = draw
        self.interval = interval
        self.train_interval = train_interval
        self.score_thr = score_thr
        self.show = show
        self.wait_time = wait_time
        self.test_out_dir = test_out_dir
        self.backend_args = backend_args
        self._test_index = 0
        self._folders: Dict[str, str] = {}
        self._seen: Dict[str, Any] = {}
        self._listener: Any = None

    def before_run(self, runner) -> None:
        """With ``show``, store no pictures."""
        if self.show:
            runner.visualizer._vis_backends = {}
            warnings.warn('show=True opens windows and stores no picture')

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
            self._listener = model.data_preprocessor.register_forward_hook(
                lambda module, args, output: self._seen.update(output))

    def after_train_iter(self,
                         runner,
                         batch_idx: int,
                         data_batch: Optional[dict] = None,
                         outputs: Optional[dict] = None) -> None:
        """Draw one training sample of each source, with pseudo labels."""
        if self._listener is None:
            return
        self._listener.remove()
        self._listener = None
        samples: List[DetDataSample] = self._seen.pop('data_samples', [])
        drawn = set()
        for image, sample in zip(data_batch['inputs'], samples):
            source = sample.get('source', '')
            if source in drawn:
                continue
            drawn.add(source)
            height, width = sample.batch_input_shape
            self._add(
                runner,
                f'train_{source}',
                _as_rgb(image, height, width),
                sample,
                step=runner.iter + 1,
                draw_pred=False)
        self._seen.clear()

    def after_val_iter(
            self,
            runner,
            batch_idx: int,
            data_batch: Optional[dict] = None,
            outputs: Optional[Sequence[DetDataSample]] = None) -> None:
        """Draw the first image of the batch."""
        if self.draw and self.every_n_inner_iters(batch_idx, self.interval):
            self._add(
                runner,
                'val_img',
                self._load(outputs[0]),
                outputs[0],
                step=runner.iter + batch_idx)

    def before_test(self, runner) -> None:
        """Find out which part of its path tells an image from others."""
        if self.draw and self.test_out_dir is not None:
            self._folders = image_folders(runner.test_dataloader.dataset)

    def after_test_iter(
            self,
            runner,
            batch_idx: int,
            data_batch: Optional[dict] = None,
            outputs: Optional[Sequence[DetDataSample]] = None) -> None:
        """Draw every image of the batch."""
        if not self.draw:
            return
        for sample in outputs:
            self._test_index += 1
            self._add(
                runner,
                'test_img',
                self._load(sample),
                sample,
                step=self._test_index,
                out_file=self._out_file(runner, sample))

    def _out_file(self, runner, sample: DetDataSample) -> Optional[str]:
        if self.test_out_dir is None:
            return None
        # images of two sources, or of two folders, may have the same name
        source = str(sample.get('source', ''))
        path = osp.abspath(sample.img_path)
        folder = self._folders.get(source, osp.dirname(path))
        return osp.join(runner.work_dir, runner.timestamp, self.test_out_dir,
                        source, osp.relpath(path, folder))

    def _load(self, sample: DetDataSample) -> np.ndarray:
        content = get(sample.img_path, backend_args=self.backend_args)
        return mmcv.imfrombytes(content, channel_order='rgb')

    def _add(self,
             runner,
             name: str,
             image: np.ndarray,
             sample: DetDataSample,
             step: int,
             draw_pred: bool = True,
             out_file: Optional[str] = None) -> None:
        runner.visualizer.add_datasample(
            name,
            image,
            data_sample=sample,
            draw_gt=True,
            draw_pred=draw_pred,
            show=self.show,
            wait_time=self.wait_time,
            out_file=out_file,
            pred_score_thr=self.score_thr,
            step=step)


def image_folders(dataset: Any) -> Dict[str, str]:
    """The deepest folder that holds all images of a source.

    Args:
        dataset (Dataset): A data set; parts that are not MMEngine's, which
            cannot list their images, are left out.

    Returns:
        dict[str, str]: Absolute path of the folder of each source.
    """
    folders: Dict[str, Set[str]] = defaultdict(set)
    for part in leaf_datasets(dataset):
        for i in range(len(part) if hasattr(part, 'get_data_info') else 0):
            info = part.get_data_info(i)
            folders[str(info.get('source', ''))].add(
                osp.dirname(osp.abspath(info['img_path'])))
    return {source: osp.commonpath(x) for source, x in folders.items()}


def _as_rgb(image: Tensor, height: int, width: int) -> np.ndarray:
    """A BGR image (3, h, w) as RGB (height, width, 3), padded as its maps."""
    canvas = np.zeros((height, width, 3), dtype=np.uint8)
    pixels = image.permute(1, 2, 0).flip(-1).cpu().numpy()
    canvas[:pixels.shape[0], :pixels.shape[1]] = pixels
    return canvas
