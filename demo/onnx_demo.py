# Copyright (c) mmbombo contributors.
"""Run a network of ``tools/deployment/export_onnx.py`` without PyTorch.

    python demo/onnx_demo.py demo/demo.jpg net.onnx --out demo.png

needs onnxruntime, numpy and pillow.
"""
import argparse
import json
from typing import TYPE_CHECKING, Dict

import numpy as np
from PIL import Image, ImageDraw

if TYPE_CHECKING:
    import onnxruntime


def predict(session: 'onnxruntime.InferenceSession',
            image: np.ndarray) -> Dict[str, np.ndarray]:
    """Boxes, scores, labels and the map of an RGB image ``(H, W, 3)``, in its
    pixels."""
    meta = {
        key: json.loads(value) for key, value in
        session.get_modelmeta().custom_metadata_map.items()
    }
    height, width = image.shape[:2]
    # as in training: the whole image in the network's size, and what is left
    # in the mean color
    scale = min(meta['size'][0] / height, meta['size'][1] / width)
    rows, columns = round(height * scale), round(width * scale)
    padded = np.empty((*meta['size'], 3), np.uint8)
    padded[:] = meta['pad_value']
    padded[:rows, :columns] = Image.fromarray(image).resize((columns, rows))
    answers = dict(zip(
        [x.name for x in session.get_outputs()],
        session.run(None, dict(image=padded.transpose(2, 0, 1)[None]))))
    if 'boxes' in answers:
        answers['boxes'] = (answers['boxes'] / scale).clip(
            0, [width, height, width, height])
        answers['names'] = np.array(meta['classes'])[answers['labels']]
    if 'semantic' in answers:
        ids = Image.fromarray(answers['semantic'][0, :rows, :columns])
        answers['semantic'] = np.asarray(
            ids.resize((width, height), Image.Resampling.NEAREST))
    return answers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('image')
    parser.add_argument('network', help='ONNX file')
    parser.add_argument('--out', default='onnx_demo.png')
    parser.add_argument('--score-thr', type=float, default=.3)
    args = parser.parse_args()
    import onnxruntime  # --help does without
    image = Image.open(args.image).convert('RGB')
    answers = predict(
        onnxruntime.InferenceSession(args.network), np.asarray(image))
    if 'semantic' in answers:
        colors = np.random.default_rng(0).integers(0, 256, (256, 3), np.uint8)
        colors[0] = 0
        image = Image.blend(
            image, Image.fromarray(colors[answers['semantic']]), .4)
    draw = ImageDraw.Draw(image)
    for box, score, name in zip(
            answers.get('boxes', ()), answers.get('scores', ()),
            answers.get('names', ())):
        if score >= args.score_thr:
            draw.rectangle(box.tolist(), outline='white', width=2)
            draw.text(box[:2].tolist(), f'{name} {score:.2f}')
            print(f'{name} {score:.3f} {box.round(1).tolist()}')
    image.save(args.out)
    print(args.out)


if __name__ == '__main__':
    main()
