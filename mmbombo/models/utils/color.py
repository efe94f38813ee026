# Copyright (c) mmbombo contributors.
import torch
from mmengine.model import ImgDataPreprocessor
from torch import Tensor

#: Linear sRGB to CIE XYZ, each row divided by the white point D65.
_RGB_TO_XYZ = ((0.412453 / 0.950456, 0.357580 / 0.950456, 0.180423 / 0.950456),
               (0.212671, 0.715160, 0.072169),
               (0.019334 / 1.088754, 0.119193 / 1.088754, 0.950227 / 1.088754))


def denormalize(inputs: Tensor, preprocessor: ImgDataPreprocessor) -> Tensor:
    """Turn a network's inputs back into colors.

    Args:
        inputs (Tensor): ``(N, 3, H, W)``, as the preprocessor made them from
            8-bit images in the order of OpenCV (B, G, R).
        preprocessor (ImgDataPreprocessor): What made them.

    Returns:
        Tensor: ``(N, 3, H, W)`` R, G, B in [0, 1].
    """
    if getattr(preprocessor, 'mean', None) is not None:
        inputs = inputs * preprocessor.std + preprocessor.mean
    # MMEngine keeps the conversion under this name alone
    if not preprocessor._channel_conversion:
        inputs = inputs.flip(1)
    return (inputs / 255).clamp(0, 1)


def rgb_to_lab(rgb: Tensor) -> Tensor:
    """Convert colors from sRGB to CIELAB (D65), as OpenCV does.

    OpenCV works on the CPU, one image at a time; this works on a batch where
    it is.

    Args:
        rgb (Tensor): ``(N, 3, H, W)`` in [0, 1].

    Returns:
        Tensor: ``(N, 3, H, W)`` L in [0, 100], a and b.
    """
    linear = torch.where(rgb > 0.04045, ((rgb + 0.055) / 1.055)**2.4,
                         rgb / 12.92)
    # one multiplication per entry: a matrix made here would be copied to the
    # device in every step
    red, green, blue = linear.unbind(dim=1)
    x, y, z = (_lab_curve(r * red + g * green + b * blue)
               for r, g, b in _RGB_TO_XYZ)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], dim=1)


def _lab_curve(share: Tensor) -> Tensor:
    """Cube root, and the straight line that replaces it near black."""
    return torch.where(share > 0.008856,
                       share.clamp(min=0.008856)**(1 / 3),
                       7.787 * share + 16 / 116)
