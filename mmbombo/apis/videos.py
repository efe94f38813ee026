# Copyright (c) mmbombo contributors.
"""Predictions for the frames of a video, a few at a time."""
import json
import math
from contextlib import ExitStack
from pathlib import Path
from typing import Iterator, List

import cv2
import numpy as np
from rich.progress import track

from mmbombo.utils import MissingFileError, UserError
from mmbombo.visualization.layout import pad_to
from .multi_task_inferencer import MultiTaskInferencer

VIDEO_SUFFIXES = ('.avi', '.mkv', '.mov', '.mp4', '.mpeg', '.mpg', '.webm')


def predict_video(inferencer: MultiTaskInferencer,
                  path: str,
                  out_dir: str,
                  batch_size: int = 1,
                  no_save_vis: bool = False,
                  no_save_pred: bool = False,
                  **kwargs) -> int:
    """Predict frame by frame, and keep no more than a batch in memory.

    The folder gets ``vis/NAME.mp4``, the drawn frames, and
    ``preds/NAME.jsonl``, a line of JSON per frame. ``pred_score_thr`` and
    ``topk`` are those of the inferencer's call. Returns the number of frames.
    """
    if not Path(path).is_file():
        raise MissingFileError(f'{path}: no such file; videos are predicted '
                               'one at a time')
    capture = cv2.VideoCapture(path)
    batches = read_batches(capture, batch_size)
    total = math.ceil(capture.get(cv2.CAP_PROP_FRAME_COUNT) / batch_size)
    shown, inferencer.show_progress = inferencer.show_progress, False
    count, writer, name = 0, None, Path(path).stem
    with ExitStack() as stack:
        stack.callback(capture.release)
        stack.callback(setattr, inferencer, 'show_progress', shown)
        if not no_save_pred:
            file = Path(out_dir, 'preds', f'{name}.jsonl')
            file.parent.mkdir(parents=True, exist_ok=True)
            lines = stack.enter_context(file.open('w'))
        for frames in track(batches, 'Inference', total, disable=not shown):
            results = inferencer(
                frames, batch_size, return_vis=not no_save_vis, **kwargs)
            for picture in results['visualization']:
                if writer is None:
                    writer = open_writer(
                        Path(out_dir, 'vis', f'{name}.mp4'),
                        capture.get(cv2.CAP_PROP_FPS), picture)
                    stack.callback(writer.release)
                    height, width = picture.shape[:2]
                picture = pad_to(picture[:height, :width], height, width)
                writer.write(picture[..., ::-1])
            for prediction in results['predictions']:
                del prediction['img_path']
                if not no_save_pred:
                    line = json.dumps(dict(frame=count, **prediction))
                    lines.write(line + '\n')
                count += 1
    if not count:
        raise UserError(f'{path}: OpenCV finds no frame in it')
    return count


def read_batches(capture: cv2.VideoCapture,
                 size: int) -> Iterator[List[np.ndarray]]:
    """Frames, BGR (H, W, 3), ``size`` at a time."""
    frames: List[np.ndarray] = []
    while True:
        found, frame = capture.read()
        if found:
            frames.append(frame)
        if frames and (not found or len(frames) == size):
            yield frames
            frames = []
        if not found:
            return


def open_writer(path: Path, fps: float,
                picture: np.ndarray) -> cv2.VideoWriter:
    """A video of pictures of this size."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return cv2.VideoWriter(
        str(path), cv2.VideoWriter_fourcc(*'mp4v'), fps or 25.,
        picture.shape[1::-1])
