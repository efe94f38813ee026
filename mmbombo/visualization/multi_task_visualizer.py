# Copyright (c) mmbombo contributors.
"""Visualizer of samples that hold boxes, maps, both or neither."""
from typing import Dict, List, Optional, Sequence

import cv2
import mmcv
import numpy as np
from mmdet.structures import DetDataSample
from mmengine.dist import master_only
from mmengine.visualization import Visualizer

from mmbombo.registry import VISUALIZERS
from mmbombo.structures import IGNORE_INDEX
from mmbombo.utils import UserError
from .drawing import (Box, draw_boxes, draw_map, draw_regions, draw_saliency,
                      font_size)
from .layers import (SEG, LabeledBox, Layer, gt_layer, panoptic_layer,
                     pred_layer, pseudo_layer)
from .layout import Panel, join_row, legend, stack, text_bar
from .palette import (BACKGROUND, ClassStyle, Color, class_styles,
                      segment_styles, style_of)


@VISUALIZERS.register_module()
class MultiTaskLocalVisualizer(Visualizer):
    """Draw image, ground truth, pseudo labels and prediction side by side.

    ``dataset_meta`` holds ``classes`` and ``palette`` for boxes and
    ``seg_classes`` and ``seg_palette`` for maps. A class that both tasks know
    by the same name has one color. The class ``background`` is transparent,
    ignored pixels are gray stripes and ignored boxes are dashed. Saliency is
    brightness. Superpixels are outlined, and a few regions painted. A legend
    below explains the colors that occur.

    Args:
        name (str): Name of the instance. Defaults to 'visualizer'.
        image (np.ndarray, optional): RGB image for the drawing methods of the
            base class. Defaults to None.
        vis_backends (list, optional): Configs of visual backends. Defaults to
            None.
        save_dir (str, optional): Folder of the backends. Defaults to None.
        colors (dict, optional): RGB color by class name, before those of
            ``dataset_meta``. Defaults to None.
        alpha (float): Opacity of maps. Defaults to 0.5.
        min_size (int): Images with a shorter long side are enlarged to it
            before anything is drawn, in pixels. Defaults to 448.
    """

    def __init__(self,
                 name: str = 'visualizer',
                 image: Optional[np.ndarray] = None,
                 vis_backends: Optional[list] = None,
                 save_dir: Optional[str] = None,
                 colors: Optional[Dict[str, Color]] = None,
                 alpha: float = 0.5,
                 min_size: int = 448) -> None:
        super().__init__(name, image, vis_backends, save_dir)
        self.colors = colors
        self.alpha = alpha
        self.min_size = min_size
        self.dataset_meta = {}

    @master_only
    def add_datasample(self,
                       name: str,
                       image: np.ndarray,
                       data_sample: Optional[DetDataSample] = None,
                       draw_gt: bool = True,
                       draw_pred: bool = True,
                       show: bool = False,
                       wait_time: float = 0,
                       out_file: Optional[str] = None,
                       pred_score_thr: float = 0.3,
                       step: int = 0) -> None:
        """Draw a sample and show it, write it, or hand it to the backends.

        Annotations, and the pseudo labels that are made from them, are drawn
        with ``draw_gt``, predictions with ``draw_pred``, boxes from
        ``pred_score_thr`` on; all are in pixels of ``image``, RGB (H, W, 3) of
        0 to 255. A window (``show``) stays ``wait_time`` seconds, 0 waits for
        a key. ``out_file`` is written instead of the backends.
        """
        drawn = self.draw(image, data_sample, draw_gt, draw_pred,
                          pred_score_thr)
        # Users of MMDetection fetch the picture with `get_image`.
        self.set_image(drawn)
        if show:
            self.show(drawn, win_name=name, wait_time=wait_time)
        if out_file is not None:
            mmcv.imwrite(drawn[..., ::-1], out_file)
        else:
            self.add_image(name, drawn, step)

    def draw(self,
             image: np.ndarray,
             data_sample: Optional[DetDataSample] = None,
             draw_gt: bool = True,
             draw_pred: bool = True,
             pred_score_thr: float = 0.3) -> np.ndarray:
        """Return the RGB picture that :meth:`add_datasample` writes."""
        names = (self.dataset_meta or {}).get('classes', ())
        layers = select_layers(data_sample, draw_gt, draw_pred, pred_score_thr,
                               names)
        panels = [self.image_panel(image, data_sample)]
        panels += [self.layer_panel(image, layer) for layer in layers]
        size = font_size(*panels[0].image.shape[:2])
        rows = [join_row(panels, size)]
        return stack(rows + self.legend(layers, rows[0].shape[1], size))

    def image_panel(self,
                    image: np.ndarray,
                    data_sample: Optional[DetDataSample] = None) -> Panel:
        """Return the bare image, captioned with its source if it has one."""
        source = data_sample.get('source') if data_sample is not None else None
        caption = f'image (source: {source})' if source else 'image'
        return Panel(caption, self._canvas(image))

    def layer_panel(self, image: np.ndarray, layer: Layer) -> Panel:
        """Draw one layer, in pixels of ``image``, over the image."""
        canvas = self._canvas(image)
        height, width = canvas.shape[:2]
        det_styles, seg_styles = class_styles(self.dataset_meta, self.colors)
        for pixels in (layer.ids, layer.saliency):
            if pixels is not None and pixels.shape != image.shape[:2]:
                raise UserError(
                    f'{layer.caption}: the map has shape {pixels.shape}, '
                    f'its image {image.shape[:2]}')
        if layer.saliency is not None:
            saliency = cv2.resize(
                layer.saliency, (width, height),
                interpolation=cv2.INTER_NEAREST)
            canvas = draw_saliency(canvas, saliency)
        if layer.ids is not None:
            ids = cv2.resize(
                layer.ids.astype(np.int16), (width, height),
                interpolation=cv2.INTER_NEAREST)
            canvas = draw_map(canvas, ids, seg_styles,
                              background_id(seg_styles), IGNORE_INDEX,
                              self.alpha)
        if layer.segments is not None:
            ids, segments = layer.segments
            ids = cv2.resize(
                ids, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
            canvas = draw_map(
                canvas, ids, segment_styles(segments, seg_styles + det_styles),
                0, -1, self.alpha)
        scale = (width / image.shape[1], height / image.shape[0])
        boxes = []
        if layer.regions is not None:
            canvas, boxes = draw_regions(canvas, layer.regions, self.alpha)
        # Ignored boxes come last: their tags give way to the others'.
        for box in sorted(layer.boxes, key=lambda box: box.ignored):
            styles = seg_styles if box.task == SEG else det_styles
            boxes.append(_styled(box, style_of(styles, box.label), scale))
        picture = draw_boxes(canvas, boxes)
        names = self.dataset_meta.get('cls_classes') or ()
        return Panel(layer.caption, write_tags(picture, layer.tags, names))

    def legend(self, layers: Sequence[Layer], width: int,
               size: int) -> List[np.ndarray]:
        """Explain what layers show; an empty list if that is nothing."""
        styles = self.styles_in(layers)
        ignored = any(
            layer.ids is not None and IGNORE_INDEX in layer.ids
            or layer.saliency is not None and layer.saliency.min() < 0
            for layer in layers)
        if not styles and not ignored:
            return []
        return [legend(styles, ignored, width, size)]

    def styles_in(self, layers: Sequence[Layer]) -> List[ClassStyle]:
        """Return the styles of the classes that layers show, each name once.

        The background, which is transparent, is left out.
        """
        det_styles, seg_styles = class_styles(self.dataset_meta, self.colors)
        hidden = (background_id(seg_styles), IGNORE_INDEX)
        styles = []
        for layer in layers:
            ids = () if layer.ids is None else np.unique(layer.ids).tolist()
            styles += [style_of(seg_styles, i) for i in ids if i not in hidden]
            for box in layer.boxes:
                own = seg_styles if box.task == SEG else det_styles
                styles.append(style_of(own, box.label))
        found = {style.name: style for style in styles}
        order = dict.fromkeys(x.name for x in seg_styles + det_styles)
        unnamed = sorted(set(found) - set(order))
        return [found[name] for name in (*order, *unnamed) if name in found]

    def _canvas(self, image: np.ndarray) -> np.ndarray:
        """Return the image to draw on, enlarged if it is small."""
        image = np.ascontiguousarray(np.clip(image, 0, 255), dtype=np.uint8)
        height, width = image.shape[:2]
        scale = self.min_size / max(height, width)
        if scale <= 1:
            return image
        size = max(1, round(width * scale)), max(1, round(height * scale))
        return cv2.resize(image, size, interpolation=cv2.INTER_CUBIC)


def write_tags(picture: np.ndarray, tags: Dict[str, List[int]],
               names: Sequence[str]) -> np.ndarray:
    """Write tags, word to classes of ``names``, on the foot of a picture."""
    height, width = picture.shape[:2]
    bars = []
    for word, labels in tags.items():
        known = [names[i] if i < len(names) else f'class {i}' for i in labels]
        text = ', '.join(known) if len(known) < 10 else f'{len(known)} classes'
        if known or word == 'shows':
            bars.append(
                text_bar(f'{word}: {text or "none of the classes"}', width,
                         font_size(height, width)))
    if bars:
        foot = np.concatenate(bars)[:height]
        picture[height - len(foot):] = foot
    return picture


def select_layers(data_sample: Optional[DetDataSample],
                  draw_gt: bool = True,
                  draw_pred: bool = True,
                  pred_score_thr: float = 0.3,
                  names: Sequence[str] = ()) -> List[Layer]:
    """Read the layers that are asked for and that the sample has; ``names``
    are those of panoptic classes, if it does not say them."""
    layers = []
    if data_sample is not None and draw_gt:
        layers += [gt_layer(data_sample), pseudo_layer(data_sample)]
    if data_sample is not None and draw_pred:
        layers += [
            pred_layer(data_sample, pred_score_thr),
            panoptic_layer(data_sample, names)
        ]
    return [layer for layer in layers if layer is not None]


def background_id(seg_styles: Sequence[ClassStyle]) -> Optional[int]:
    """Return the id of the segmentation class ``background``, if any."""
    names = [style.name for style in seg_styles]
    return names.index(BACKGROUND) if BACKGROUND in names else None


def _styled(box: LabeledBox, style: ClassStyle, scale: Sequence[float]) -> Box:
    """Bring a box to panel pixels and give it color and tag."""
    text = style.name
    if box.score is not None:
        text += f' {box.score:.2f}'
    if box.ignored:
        text += ' (ignored)'
    xyxy = tuple(x * s for x, s in zip(box.xyxy, (*scale, *scale)))
    return Box(xyxy, style.color, text, box.ignored)
