# Copyright (c) mmbombo contributors.
"""The foreground of boxes, as a promptable model such as SAM answers to them.

The model is one that the transformers library has for mask generation: SAM
(Kirillov et al., ICCV 2023), SAM 2, the tracker of SAM 3, HQ-SAM, EdgeTAM. It
is the user's, who also accepts its license: a folder, or what the Hub's cache
holds. Nothing is downloaded, nothing that comes with it is run, and its
weights are read from safetensors only.
"""
import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Any, List, Optional, Tuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmbombo.utils import UserError
from .grabcut import window

#: Bounds the memory: a box takes SAM's decoder about 50 MB.
_BOXES_AT_ONCE = 16


@torch.no_grad()
def prompted_foregrounds(image: np.ndarray,
                         rects: np.ndarray,
                         checkpoint: str,
                         min_score: float = 0.7,
                         device: str = 'cpu') -> List[Optional[np.ndarray]]:
    """What a promptable model calls the objects of boxes.

    The image is encoded once. The model is loaded with the first box, and
    stays in the process.

    Args:
        image (np.ndarray): (H, W, 3) uint8, BGR.
        rects (np.ndarray): (K, 4) int x1, y1, x2, y2 inside the image.
        checkpoint (str): A folder as ``save_pretrained`` writes it, or the id
            of a model in the Hub's cache.
        min_score (float): The least IoU with the object that the model
            expects of a mask. Defaults to 0.7.
        device (str): Where it runs. Defaults to 'cpu'.

    Returns:
        list[np.ndarray | None]: (h, w) bool for each box, of its size; None
        where the score is too low, or no pixel of the box is foreground.

    Raises:
        UserError: If there is no such model, or no transformers library.
    """
    if not len(rects):
        return []
    model, settings = load_model(checkpoint, device)
    pixels, scale = _prepare(image, settings)
    found = model.get_image_embeddings(pixels.to(device))
    found = found if isinstance(found, tuple) else (found, )  # of HQ-SAM: two
    names = ('image_embeddings', 'intermediate_embeddings')
    foregrounds = []
    for start in range(0, len(rects), _BOXES_AT_ONCE):
        part = rects[start:start + _BOXES_AT_ONCE]
        boxes = torch.from_numpy(part * scale).float().to(device)
        answer = model(**dict(zip(names, found)), input_boxes=boxes[None],
                       multimask_output=False)
        for rect, logits, score in zip(part, answer.pred_masks[0, :, :1],
                                       answer.iou_scores[0, :, 0]):
            mask = _at_size_of(image, logits, settings)[window(rect)]
            good = score >= min_score and mask.any()
            foregrounds.append(mask if good else None)
    return foregrounds


@lru_cache(maxsize=1)
def load_model(checkpoint: str, device: str) -> Tuple[nn.Module, dict]:
    """A model, and how it wants its images."""
    folder = find_model(checkpoint)
    from transformers import AutoModelForMaskGeneration, ImageProcessingMixin
    try:
        model = AutoModelForMaskGeneration.from_pretrained(
            folder,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            # none that a config names, which may be someone's code
            attn_implementation='sdpa')
        settings, _ = ImageProcessingMixin.get_image_processor_dict(
            folder, local_files_only=True)
        missing = {'image_mean', 'image_std', 'size'} - {*settings}
        if missing:
            raise ValueError(f'no {min(missing)!r} in the settings of its '
                             'image processor')
    except (ImportError, OSError, ValueError) as error:
        reason = str(error).strip().split('\n')[0]
        raise UserError(f'{checkpoint}: {reason}') from None
    return model.to(device).float().eval(), settings


def find_model(checkpoint: str) -> Path:
    """The folder of a model, which holds safetensors."""
    try:
        import transformers  # noqa: F401
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise UserError(f'pseudo masks of a promptable model: {error}; pip '
                        'install transformers') from None
    folder = Path(checkpoint)
    if not folder.is_dir():
        try:
            folder = Path(snapshot_download(checkpoint, local_files_only=True))
        except (OSError, ValueError):
            raise UserError(
                f'checkpoint={checkpoint!r} of a pseudo mask is no folder, '
                "and not in the Hub's cache; if it is the id of a model that "
                f'you trust: hf download {checkpoint}') from None
    if not any(folder.glob('*.safetensors')):
        raise UserError(f'{folder} has no *.safetensors, which is where a '
                        'promptable model is read from')
    return folder


def key_options(checkpoint: str, device: str = 'cpu', **options: Any) -> dict:
    """The options as the key of a cache holds them: with the hash of the
    model's files, and for all devices."""
    return dict(options, checkpoint=[checkpoint, _hash(checkpoint)])


@lru_cache(maxsize=None)
def _hash(checkpoint: str) -> str:
    digest = hashlib.sha256()
    for file in sorted(find_model(checkpoint).iterdir()):
        if file.suffix not in ('.json', '.safetensors'):
            continue
        digest.update(f'{file.name} {file.stat().st_size} '.encode())
        with file.open('rb') as stream:
            for block in iter(lambda: stream.read(1 << 20), b''):
                digest.update(block)
    return digest.hexdigest()


def _sizes(image: np.ndarray, settings: dict) -> List[Tuple[int, int]]:
    """(height, width) that an image is resized, and then padded to: SAM keeps
    its shape, later models do not."""
    size = settings['size']
    if 'longest_edge' not in size:
        return [(size['height'], size['width'])] * 2
    height, width = image.shape[:2]
    scale = size['longest_edge'] / max(height, width)
    pad = settings['pad_size']
    return [(int(height * scale + .5), int(width * scale + .5)),
            (pad['height'], pad['width'])]


def _prepare(image: np.ndarray, settings: dict) -> Tuple[Tensor, np.ndarray]:
    """The input (1, 3, h, w), which the library's processors make with
    torchvision only, and the scale (4, ) of boxes."""
    rgb = torch.from_numpy(image[..., ::-1].copy()).permute(2, 0, 1)
    size, padded = _sizes(image, settings)
    pixels = F.interpolate(
        rgb[None].float(), size, mode='bilinear', antialias=True).round() / 255
    mean, std = (
        torch.tensor(settings[key]).view(3, 1, 1)
        for key in ('image_mean', 'image_std'))
    pixels = F.pad((pixels - mean) / std,
                   (0, padded[1] - size[1], 0, padded[0] - size[0]))
    return pixels, np.tile(np.array(size[::-1]) / image.shape[1::-1], 2)


def _at_size_of(image: np.ndarray, logits: Tensor,
                settings: dict) -> np.ndarray:
    """Low-resolution logits (1, h, w) as foreground (H, W) of an image."""
    logits, (size, padded) = logits[None].float(), _sizes(image, settings)
    if 'longest_edge' in settings['size']:
        logits = F.interpolate(logits, padded, mode='bilinear')
        logits = logits[..., :size[0], :size[1]]
    logits = F.interpolate(logits, image.shape[:2], mode='bilinear')
    return (logits[0, 0] > 0).cpu().numpy()
