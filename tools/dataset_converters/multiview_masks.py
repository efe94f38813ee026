# Copyright (c) mmbombo contributors.
"""Write masks of all frames from boxes on some, depth and poses.

    python tools/dataset_converters/multiview_masks.py CONFIG

In the config, ``multiview_masks`` holds ``frames``, a data set with poses and
depth, ``masks``, options of ``MultiViewMasks`` (``boxes``, the COCO file),
and ``out``, the folder: there are ``OUT/FRAME.png``, which
``data_prefix=dict(seg_map_path=OUT)`` of a ``PosedRGBDDataset`` reads, and the
votes of each scene in ``OUT/votes``. What is there already is kept, so an
interrupted run continues; other options, boxes, depth or poses need another
folder.

If the data set has true masks (``truth``, what is different in ``frames`` to
read these), the masks are compared with them, those of frames with boxes and
others apart. --compare does the same with GrabCut and filled boxes on the
frames with boxes.

--draw-boxes SHARE writes the COCO file first, where there is none: tight boxes
of the objects in the masks of 2D-3D-S, in a seeded share of the frames; those
of less than 1 % of the image are crowds, which do not vote.
"""
import argparse
import os

from mmengine.config import DictAction


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file, or a name of ours')
    parser.add_argument(
        '--jobs',
        type=int,
        default=os.cpu_count(),
        help='processes (default: all cores)')
    parser.add_argument(
        '--compare',
        action='store_true',
        help='report filled boxes and GrabCut, too')
    parser.add_argument(
        '--judge',
        metavar='FILE',
        help='COCO file of boxes of other frames, with which those of the '
        'masks are compared, and those of the nearest boxed frame, warped '
        'by its depth')
    parser.add_argument(
        '--draw-boxes',
        type=float,
        metavar='SHARE',
        help='share of the frames that get boxes, such as 0.1')
    parser.add_argument(
        '--seed', type=int, default=0, help='of the share (default: 0)')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        help='override settings of the config, key=value')
    return parser.parse_args()


if __name__ == '__main__':  # --help waits for no library
    parse_args()

import hashlib
import io
import json
from collections import Counter
from functools import lru_cache, partial
from pathlib import Path
from typing import Dict, List, Tuple
from urllib.parse import quote

import cv2
import mmcv
import numpy as np
import torch
from mmdet.evaluation import bbox_overlaps
from mmengine.registry import init_default_scope
from mmengine.utils import track_iter_progress
from PIL import Image
from torch import Tensor

from mmbombo.datasets.posed_rgbd_dataset import read_boxes
from mmbombo.datasets.source import map_name
from mmbombo.engine.pseudo_labels import MultiViewMasks
from mmbombo.engine.pseudo_labels.multiview_masks import ScenePoints
from mmbombo.engine.pseudo_labels.pseudo_label_writer import save
from mmbombo.evaluation.functional import MaskQuality
from mmbombo.registry import DATASETS
from mmbombo.utils import UserError, user_errors
from mmbombo.utils.atomic_write import atomic_write
from mmbombo.utils.config_names import load_config
from mmbombo.utils.processes import in_processes
from mmbombo.visualization import label_map_image
from mmbombo.weak_labels.multiview import backproject_depth, project_points

#: Smaller components, in pixels, get no box.
MIN_AREA = 30
KEYS = {'frames', 'masks', 'out', 'truth'}
#: What the masks of a scene depend on, of its frames
FACTS = ('img_id', 'extrinsics', 'intrinsics', 'registration', 'depth_scale',
         'depth_missing')
#: Nothing is augmented.
PIPELINE = [
    dict(type=x) for x in ('LoadImageFromFile', 'LoadPartialAnnotations',
                           'PackMultiTaskInputs')
]


class Work:
    """What the worker processes share; they are forked when it is built."""

    def __init__(self, frames: dict, masks: dict, out: str) -> None:
        self.dataset = DATASETS.build(
            dict(frames, test_mode=True, pipeline=PIPELINE))
        self.writer = MultiViewMasks(**dict(masks, weight=0))
        self.writer.look_up(self.dataset)
        self.scenes = self.dataset.frames_of_scenes()
        self.out = Path(out)
        self.options = dict(masks, boxes=None)
        for scene in self.scenes:
            self._require_same(scene)

    def _require_same(self, scene: str) -> None:
        """Refuse masks of a scene that were made in another way."""
        frames = [self.dataset.get_data_info(i) for i in self.scenes[scene]]
        files = [
            os.stat(x[key]) for x in frames
            for key in ('img_path', 'depth_path') if x[key]
        ]
        facts = json.dumps([
            self.options, [self.writer.boxes.get(x['img_id']) for x in frames],
            [[x[key] for key in FACTS] for x in frames],
            [(x.st_size, x.st_mtime_ns) for x in files]
        ], sort_keys=True, default=np.ndarray.tolist)  # yapf: disable
        facts = hashlib.sha256(facts.encode()).hexdigest()
        record = self.votes_file(scene).with_suffix('.sha256')
        if record.exists() and record.read_text() != facts:
            raise UserError(
                f'{self.out} has masks of {scene} of other options, boxes, '
                'depth or poses; remove it, or write to another folder (`out`)'
            )
        atomic_write(record, facts.encode())

    def votes_file(self, scene: str) -> Path:
        return self.out / 'votes' / f'{quote(scene, safe="")}.npz'

    def mask_file(self, index: int) -> Path:
        path = self.dataset.get_data_info(index)['img_path']
        return self.out / map_name(path, self.dataset.data_prefix['img_path'])

    def vote(self, scene: str) -> Counter:
        """Count the votes of a scene; what did not count, and its points."""
        self.writer.skipped.clear()
        found = self.writer.vote(self.dataset, self.scenes[scene])
        file = io.BytesIO()
        np.savez(file, *(x.numpy() for x in found))
        atomic_write(self.votes_file(scene), file.getvalue())
        return self.writer.skipped + Counter(points=len(found.points))

    @lru_cache(1)
    def points(self, scene: str) -> ScenePoints:
        """The votes of a scene; frames of one come after another."""
        with np.load(self.votes_file(scene)) as file:
            return ScenePoints(*(torch.from_numpy(x) for x in file.values()))

    def paint(self, index: int) -> None:
        """Write the mask of a frame."""
        scene = self.dataset.get_data_info(index)['scene']
        ids = self.writer.mask(self.dataset, index, self.points(scene))
        save(label_map_image(ids, self.writer.styles), self.mask_file(index))


def run(job, keys: list, jobs: int) -> list:
    """Do jobs in processes, with a bar."""
    do.job = job  # is inherited: to send it with each key takes long
    return list(in_processes(do, keys, jobs))


def do(key):
    return do.job(key)


def write_masks(work: Work, jobs: int) -> None:
    """Count votes and write masks that are not there."""
    due = [[i for i in frames if not work.mask_file(i).exists()]
           for frames in work.scenes.values()]
    scenes = [
        x for x, frames in zip(work.scenes, due)
        if frames and not work.votes_file(x).exists()
    ]
    counts = sum(run(work.vote, scenes, jobs), Counter())
    sizes = [
        work.votes_file(x).stat().st_size for x in work.scenes
        if work.votes_file(x).exists()
    ]
    print(f'\nvotes of {len(scenes)} scenes, {counts.pop("points", 0)} points;'
          f' {sum(sizes)} bytes of all {len(sizes)}, at most '
          f'{max(sizes, default=0)}')
    for reason, count in (+counts).items():
        print(f'{count} {reason}')
    run(work.paint, sum(due, []), jobs)
    print(f'\nmasks of {sum(map(len, work.scenes.values()))} frames in '
          f'{work.out}')


def compare(work: Work, truth: dict, with_boxes: bool) -> None:
    """Print how good the masks are."""
    true = DATASETS.build(dict(truth, test_mode=True, pipeline=PIPELINE))
    groups: Dict[str, List[int]] = dict(boxed=[], others=[])
    for i in range(len(work.dataset)):
        name = work.dataset.get_data_info(i)['img_id']
        groups['boxed' if name in work.writer.boxes else 'others'].append(i)
    methods = dict(votes=lambda i: np.array(
        mmcv.imread(str(work.mask_file(i)), 'unchanged', backend='pillow')))
    if with_boxes:
        methods.update(
            (x, partial(work.writer.box_mask, work.dataset, method=x))
            for x in ('box', 'grabcut', 'grabcut_ignore'))
    print('| masks | frames | labeled | mIoU | mIoU, all pixels |\n'
          '| --- | ---: | ---: | ---: | ---: |')
    for method, read in methods.items():
        for group, frames in groups.items():
            if not frames or (group == 'others' and method != 'votes'):
                continue
            quality = MaskQuality(len(true.metainfo['seg_classes']))
            for i in frames:
                quality.add(read(i), true.load(i)['gt_seg_map'])
            right = np.diag(quality.confusion)
            union = quality.confusion.sum(0) + quality.confusion.sum(
                1) + quality.unlabeled - right
            values = quality.summary()
            shown = [
                f'{100 * x:.1f}'
                for x in (values.get('labeled', 0), values.get('mIoU', 0),
                          (right[union > 0] / union[union > 0]).mean())
            ]
            print(f'| {method}, {group} | {len(frames)} | '
                  f'{" | ".join(shown)} |')


def boxes_of_mask(ids: np.ndarray, label: int) -> np.ndarray:
    """Boxes (n, 4) of the components of a class."""
    _, _, table, _ = cv2.connectedComponentsWithStats(
        (ids == label + 1).astype(np.uint8))
    x, y, width, height, area = table[1:].T
    return np.stack([x, y, x + width, y + height], 1)[area >= MIN_AREA]


def warped_boxes(work: Work, index: int) -> Tuple[Tensor, Tensor]:
    """Boxes of the nearest frame of the scene that has some, where depth puts
    them, and labels."""
    info = work.dataset.get_data_info(index)
    others = map(work.dataset.get_data_info, work.scenes[info['scene']])
    nearest = min((
        x for x in others
        if x['img_id'] in work.writer.boxes and x['img_id'] != info['img_id']),
                  key=lambda x: distance(x['extrinsics'], info['extrinsics']),
                  default=info)
    source, view = (
        work.writer.view(work.dataset, x['sample_idx'])
        for x in (nearest, info))
    if nearest is info or source is None or view is None:
        return torch.zeros(0, 4), torch.zeros(0)
    size = torch.tensor(view.depth.shape).flip(0)
    points = backproject_depth(source)
    boxes, labels, _ = work.writer.boxes_of(nearest['img_id'], source)
    warped = torch.zeros_like(boxes)
    for i, (x1, y1, x2, y2) in enumerate(boxes.int().tolist()):
        seen = source.depth[y1:y2, x1:x2] > 0
        places, z = project_points(points[y1:y2, x1:x2][seen], *view[1:])
        places = places[z > 0].clamp(min=0).minimum(size)
        if len(places):
            warped[i] = torch.cat([places.amin(0), places.amax(0)])
    return warped, labels


def distance(one: np.ndarray, other: np.ndarray) -> float:
    """Meters and radians between two cameras."""
    move = one @ np.linalg.inv(other)
    cosine = (np.trace(move[:3, :3]) - 1) / 2
    return np.linalg.norm(move[:3, 3]) + np.arccos(np.clip(cosine, -1, 1))


def judge(work: Work, path: str) -> None:
    """Print the mean IoU of boxes with the best of their class."""
    classes = work.dataset.metainfo['classes']
    wanted = read_boxes(path, classes)
    ious: Dict[str, list] = {name: [] for name in classes}
    for i in range(len(work.dataset)):
        name = work.dataset.get_data_info(i)['img_id']
        if name not in wanted:
            continue
        ids = np.array(Image.open(work.mask_file(i)))
        warped, labels = warped_boxes(work, i)
        for box in wanted[name]['instances']:
            label = box['bbox_label']
            found = (boxes_of_mask(ids,
                                   label), warped[labels == label].numpy())
            if not box['ignore_flag']:
                ious[classes[label]].append([
                    max(bbox_overlaps(np.array([box['bbox']], float), x)[0],
                        default=0) for x in found
                ])
    print('| class | boxes | votes | warped |\n| --- | ---: | ---: | ---: |')
    for name, values in ious.items():
        votes, warped = np.mean(values, axis=0) if values else (np.nan, ) * 2
        print(f'| {name} | {len(values)} | {votes:.2f} | {warped:.2f} |')


def draw_boxes(frames: dict, path: Path, share: float, seed: int) -> None:
    """Write boxes of a share of the frames; the protocol is ours."""
    kinds = (*frames['annotation_kinds'], 'sem_seg')
    dataset = DATASETS.build(
        dict(
            frames, annotation_kinds=kinds, test_mode=True, pipeline=PIPELINE))
    if not hasattr(dataset, 'instances'):
        raise UserError('--draw-boxes needs Stanford2D3DSDataset, whose masks '
                        'show instances')
    count = max(1, round(share * len(dataset)))
    chosen = np.random.default_rng(seed).permutation(len(dataset))[:count]
    images, annotations = [], []
    for i in track_iter_progress(sorted(chosen.tolist())):
        info = dataset.get_data_info(i)
        height, width = mmcv.imread(info['img_path']).shape[:2]
        images.append(
            dict(id=i, file_name=info['img_id'], height=height, width=width))
        for (x1, y1, x2, y2), label, is_small in dataset.instances(i):
            annotations.append(
                dict(
                    id=len(annotations) + 1,
                    image_id=i,
                    category_id=label + 1,
                    bbox=[x1, y1, x2 - x1, y2 - y1],
                    area=(x2 - x1) * (y2 - y1),
                    iscrowd=int(is_small)))
    names = dataset.metainfo['classes']
    content = dict(
        images=images,
        annotations=annotations,
        categories=[dict(id=i + 1, name=x) for i, x in enumerate(names)])
    atomic_write(path, json.dumps(content).encode())
    print(f'\n{path}: {len(annotations)} boxes of {count} frames')


@user_errors()
def main() -> None:
    args = parse_args()
    cfg = load_config(args.config, args.cfg_options)
    init_default_scope(cfg.get('default_scope', 'mmbombo'))
    options = cfg.get('multiview_masks', {})
    if not KEYS - {'truth'} <= {*options} <= KEYS:
        raise UserError(f'{args.config}: multiview_masks must be a dict of '
                        f'{sorted(KEYS)}, has {sorted(options)}')
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    truth = options.pop('truth', None)
    boxes = Path(options.masks.boxes)
    if args.draw_boxes and not boxes.exists():
        draw_boxes(options.frames, boxes, args.draw_boxes, args.seed)
    work = Work(**options)
    write_masks(work, args.jobs)
    if truth is not None:
        compare(work, dict(options.frames, **truth), args.compare)
    if args.judge:
        judge(work, args.judge)


if __name__ == '__main__':
    main()
