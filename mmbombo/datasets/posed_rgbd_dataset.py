# Copyright (c) mmbombo contributors.
import glob
import os.path as osp
from collections import Counter
from typing import Dict, Iterator, List, Optional, Sequence, Union

import numpy as np
from mmengine.dataset import BaseDataset
from mmengine.logging import print_log

from mmbombo.registry import DATASETS
from mmbombo.structures import BBOX, DEPTH, POSE, SEM_SEG, annotation_kind
from .coco_json import check_annotation, check_category_names, read_coco_json
from .errors import DatasetError
from .seg_ids import build_id_table
from .source import SourceMixin

#: Axes of the camera by name: signs of OpenCV's x (to the right), y (down)
#: and z (forward). OpenGL and Blender look along -z, y is up.
AXES = dict(opencv=(1, 1, 1), opengl=(1, -1, -1))
#: Which frames: all, those of the annotation file, the others.
FRAMES = ('all', 'boxed', 'unboxed')
#: Of a trajectory, how far in seconds times may differ that belong together.
MAX_DELAY = .02


@DATASETS.register_module()
class PosedRGBDDataset(SourceMixin, BaseDataset):
    """Frames of scenes with color, depth and the pose of the camera.

    The defaults are those of 7-Scenes. A frame without a pose, or with one
    that is not finite, as ScanNet marks those it has lost, is left out and
    counted.

    Args:
        annotation_kinds (Sequence[str]): Any of 'depth', 'pose', 'bbox' and
            'sem_seg'; all but 'sem_seg' are of these files.
        data_root (str): Folder of the scenes.
        scenes (str | Sequence[str]): Patterns of their folders, such as
            'train_*'. Defaults to '.', the root is a scene.
        color (str): Files of the color in a scene, ``{}`` stands for the name
            of the frame. Defaults to '{}.color.jpg'.
        depth (str): Those of the depth. Defaults to '{}.depth.png'.
        pose (str): Those of the pose, a matrix 4x4 of numbers; or the file of
            a trajectory in TUM's format, without ``{}``, where frames are the
            times in ``rgb.txt`` and ``depth.txt``. Defaults to
            '{}.pose.txt'.
        intrinsics (str | Sequence): File in a scene, or the matrix 3x3 to
            pixels of the color; more columns and rows are not read. Defaults
            to 'camera-intrinsics.txt'.
        depth_scale (float): Values for a meter. Defaults to 1000.
        depth_missing (Sequence[int]): Values that mean none. Defaults to (0,
            65535).
        axes (str): Axes of the camera, 'opencv' (y down, z forward) or
            'opengl' (y up, z backward). Defaults to 'opencv'.
        world_to_camera (bool): Whether this is the direction of the poses.
            Defaults to False, from the camera to the world.
        registration (Sequence[float], optional): (scale, dx, dy) from pixels
            of the depth to those of the color, where the files are not
            registered and ``intrinsics`` are those of the depth, see
            :func:`~mmbombo.datasets.transforms.load_depth.fit_depth`.
            Defaults to None.
        ann_file (str): COCO file of boxes; its ``file_name`` counts from
            ``data_root``. Defaults to ''.
        frames (str): 'all', 'boxed', those that the file lists, or 'unboxed'.
            Defaults to 'all'.
        metainfo (dict, optional): ``classes``, ``seg_classes``.
        data_prefix (dict, optional): ``seg_map_path``, the folder of masks.
        source (str, optional): Name of the source. Defaults to the root's.
        **kwargs: Arguments of :class:`mmengine.dataset.BaseDataset`.

    Raises:
        DatasetError: If files are missing or wrong, a pose is not rigid, or
            there is no frame; the message names the file or the option.
    """

    def __init__(self,
                 annotation_kinds: Sequence[str],
                 data_root: str,
                 scenes: Union[str, Sequence[str]] = '.',
                 color: str = '{}.color.jpg',
                 depth: str = '{}.depth.png',
                 pose: str = '{}.pose.txt',
                 intrinsics: Union[str, Sequence] = 'camera-intrinsics.txt',
                 depth_scale: float = 1000,
                 depth_missing: Sequence[int] = (0, 65535),
                 axes: str = 'opencv',
                 world_to_camera: bool = False,
                 registration: Optional[Sequence[float]] = None,
                 ann_file: str = '',
                 frames: str = 'all',
                 metainfo: Optional[dict] = None,
                 data_prefix: Optional[dict] = None,
                 source: Optional[str] = None,
                 **kwargs) -> None:
        self.declare(annotation_kinds, source
                     or osp.basename(osp.normpath(data_root)))
        self.files = dict(color=color, depth=depth, pose=pose)
        self.intrinsics = intrinsics
        self.scenes = [scenes] if isinstance(scenes, str) else scenes
        self.depth = dict(
            depth_scale=depth_scale, depth_missing=tuple(depth_missing))
        self.registration = registration
        self.axes, self.world_to_camera = axes, world_to_camera
        self.frames = frames
        self.skipped: Counter = Counter()
        metainfo = {k: tuple(v) for k, v in (metainfo or {}).items()}
        self._check_options(metainfo, ann_file)
        super().__init__(
            ann_file=ann_file,
            metainfo=metainfo,
            data_root=data_root,
            data_prefix=dict(img_path='', **(data_prefix or {})),
            **kwargs)

    def _error(self, text: str) -> DatasetError:
        return DatasetError(f'source {self.source!r}: {text}')

    def _check_options(self, metainfo: dict, ann_file: str) -> None:
        unknown = {*self.annotation_kinds} - {BBOX, DEPTH, POSE, SEM_SEG}
        if unknown:
            raise self._error(f'{type(self).__name__} has no {unknown}')
        if self.frames not in FRAMES or self.axes not in AXES:
            raise self._error(
                f'frames={self.frames!r} must be one of {FRAMES}, '
                f'axes={self.axes!r} one of {sorted(AXES)}')
        if (self.frames != 'all'
                or BBOX in self.annotation_kinds) != bool(ann_file) or (
                    BBOX in self.annotation_kinds and self.frames != 'boxed'):
            raise self._error(
                "boxes are of the frames that ann_file lists: give it, and "
                "frames='boxed' with the kind 'bbox', else 'boxed' or "
                "'unboxed'")
        for kind in map(annotation_kind, self.annotation_kinds):
            if kind.classes_key and not metainfo.get(kind.classes_key):
                raise self._error('give the classes, metainfo=dict('
                                  f'{kind.classes_key}=(...))')
        if SEM_SEG in self.annotation_kinds:
            self.seg_id_table = build_id_table(len(metainfo['seg_classes']))

    def load_data_list(self) -> List[dict]:
        """List the frames, and read poses and boxes if they are declared."""
        self.place = self.data_root
        self.require_place(self.data_root, 'data_root')
        boxes = {}
        if self.ann_file:
            self.require_place(self.ann_file, 'ann_file')
            boxes = read_boxes(self.ann_file, self._metainfo['classes'])
        infos = []
        for info in self.list_frames():
            name = osp.relpath(info['img_path'], self.data_root)
            if self.frames != 'all' and ((name in boxes) != (self.frames
                                                             == 'boxed')):
                continue
            info['img_id'] = name
            if BBOX in self.annotation_kinds:
                info.update(boxes[name])
            if SEM_SEG in self.annotation_kinds:
                info['seg_fields'] = []
            infos.append(info)
        for reason, count in self.skipped.items():
            print_log(
                f'source {self.source!r}: {count} frames of {self.place} '
                f'{reason}',
                logger='current')
        self.require_images(infos, self.place)
        if not any(x.get('depth_path', True) for x in infos):
            raise self._error('no frame has a file of depth, '
                              f"depth={self.files['depth']!r}")
        if SEM_SEG in self.annotation_kinds:
            self.add_maps(SEM_SEG, infos, self.data_prefix)
        # votes of a scene are counted once if its frames follow one another
        return sorted(infos, key=lambda x: x['scene'])

    def list_frames(self) -> Iterator[dict]:
        """Each frame: ``scene``, ``img_path`` and what the kinds name."""
        for scene in self.scene_folders():
            place = osp.join(self.data_root, scene)
            trajectory = None
            if '{}' not in self.files['pose']:
                names, trajectory = read_trajectory(
                    place, osp.join(place, self.files['pose']))
            else:
                names = self._names(place)
            for name, depth in names.items():
                yield from self._frame(scene, name, depth, trajectory)

    def scene_folders(self) -> List[str]:
        """Folders of the scenes below the root."""
        found = sorted({
            osp.relpath(path, self.data_root)
            for pattern in self.scenes
            for path in glob.glob(osp.join(self.data_root, pattern))
            if osp.isdir(path)
        })
        if not found:
            raise self._error(f'scenes={self.scenes} match no folder in '
                              f'{self.data_root}')
        return found

    def _names(self, place: str) -> Dict[str, str]:
        """Name of each frame of a scene, and its depth."""
        start, end = osp.join(place, self.files['color']).split('{}')
        paths = sorted(glob.glob(f'{glob.escape(start)}*{glob.escape(end)}'))
        names = [x[len(start):len(x) - len(end)] for x in paths]
        return {x: self.files['depth'].format(x) for x in names}

    def _frame(self, scene: str, name: str, depth: str,
               trajectory: Optional[dict]) -> Iterator[dict]:
        """The frame, or nothing if it is left out."""
        place = osp.join(self.data_root, scene)
        color = name if trajectory else self.files['color'].format(name)
        info = dict(
            scene=scene,
            img_path=osp.join(place, color),
            registration=self.registration)
        if DEPTH in self.annotation_kinds:
            info.update(self.depth_info(osp.join(place, depth)))
        if POSE in self.annotation_kinds:
            if trajectory is None:
                path = osp.join(place, self.files['pose'].format(name))
                matrix = read_matrix(path) if osp.exists(path) else None
            else:
                path, matrix = f'pose of {name}', trajectory[name]
            if matrix is None or not np.isfinite(matrix).all():
                self.skipped['have no pose and are left out'] += 1
                return
            info.update(
                extrinsics=self.extrinsics(matrix, path),
                intrinsics=self._read_intrinsics(place))
        yield info

    def depth_info(self, path: str) -> dict:
        """What says a frame's depth; without a file it is missing."""
        if not osp.exists(path):
            self.skipped['have no file of depth'] += 1
            path = ''
        return dict(self.depth, depth_path=path)

    def extrinsics(self, matrix: np.ndarray, path: str) -> np.ndarray:
        """World to camera (4, 4), of OpenCV's axes."""
        if matrix.shape == (3, 4):
            matrix = np.vstack([matrix, [0, 0, 0, 1]])
        if matrix.shape != (4, 4) or not np.allclose(matrix[3], (0, 0, 0, 1)):
            raise DatasetError(
                f'{path}: a pose is a matrix 4x4 with 0 0 0 1 in its last row,'
                f' not {matrix.tolist()}: is it transposed?')
        rotation = matrix[:3, :3]
        if np.abs(rotation @ rotation.T - np.eye(3)).max() > .02:
            raise DatasetError(f'{path}: the pose is not rigid: rows of its '
                               'rotation must be orthogonal, of length 1')
        if np.linalg.det(rotation) < 0:
            raise DatasetError(f'{path}: the pose mirrors the world: an axis '
                               'has the wrong sign')
        if not self.world_to_camera:
            matrix = np.linalg.inv(matrix)
        return np.diag((*AXES[self.axes], 1)) @ matrix

    def _read_intrinsics(self, place: str) -> np.ndarray:
        """Matrix to pixels of the color."""
        matrix = self.intrinsics
        if isinstance(matrix, str):
            place = osp.join(place, matrix)
            matrix = read_matrix(place)
        return check_intrinsics(matrix, place)

    def frames_of_scenes(self) -> Dict[str, List[int]]:
        """Indices of the frames of each scene."""
        scenes: Dict[str, List[int]] = {}
        for i in range(len(self)):
            scenes.setdefault(self.get_data_info(i)['scene'], []).append(i)
        return scenes


def check_intrinsics(matrix: Sequence, place: str) -> np.ndarray:
    """The matrix (3, 3) to pixels."""
    matrix = np.asarray(matrix, dtype=np.float64)
    matrix = matrix[:3, :3] if matrix.ndim == 2 else matrix
    if matrix.shape != (3, 3) or not np.allclose(matrix[2], (0, 0, 1)):
        raise DatasetError(
            f'{place}: intrinsics are a matrix 3x3 with 0 0 1 in its last row,'
            f' not {matrix.tolist()}: is it transposed?')
    return matrix


def read_boxes(path: str, classes: Sequence[str]) -> Dict[str, dict]:
    """``instances`` of the classes, ``height`` and ``width`` of each image of
    a COCO file."""
    content = read_coco_json(path)
    check_category_names(content, path, classes,
                         "Give the names of the file in metainfo['classes']")
    labels = {
        x['id']: classes.index(x['name'])
        for x in content['categories'] if x['name'] in classes
    }
    images = {
        x['id']:
        dict(instances=[], height=x.get('height'), width=x.get('width'))
        for x in content['images']
    }
    for annotation in content['annotations']:
        box, ignored = check_annotation(annotation, path)
        if annotation['category_id'] in labels:
            images[annotation['image_id']]['instances'].append(
                dict(
                    bbox=box,
                    bbox_label=labels[annotation['category_id']],
                    ignore_flag=int(ignored)))
    return {
        osp.normpath(x['file_name']): images[x['id']]
        for x in content['images']
    }


def read_matrix(path: str) -> np.ndarray:
    """A matrix of numbers in a text file."""
    try:
        return np.loadtxt(path, ndmin=2)
    except (OSError, ValueError) as error:
        raise DatasetError(f'{path}: the matrix is missing or not of numbers '
                           f'({error})') from error


def read_trajectory(place: str, path: str) -> tuple:
    """TUM's files: the depth of each color, and its pose or None."""
    try:
        times = {
            name:
            dict(line.split()[:2]
                 for line in open(osp.join(place, f'{name}.txt'))
                 if line.strip() and not line.startswith('#'))
            for name in ('rgb', 'depth')
        }
        poses = np.loadtxt(path, ndmin=2)
    except (OSError, ValueError) as error:
        raise DatasetError(f'{path}: no trajectory with rgb.txt and depth.txt '
                           f'beside it ({error})') from error
    depths = np.array([float(x) for x in times['depth']])
    files = list(times['depth'].values())
    names, trajectory = {}, {}
    for time, name in times['rgb'].items():
        nearest = np.abs(depths - float(time)).argmin()
        pose = poses[np.abs(poses[:, 0] - float(time)).argmin()]
        names[name] = files[nearest]
        delays = depths[nearest] - float(time), pose[0] - float(time)
        late = np.abs(delays).max() > MAX_DELAY
        trajectory[name] = None if late else quaternion_pose(pose[1:])
    return names, trajectory


def quaternion_pose(numbers: np.ndarray) -> np.ndarray:
    """Camera to world (4, 4) of tx ty tz qx qy qz qw."""
    x, y, z, w = numbers[3:7] / np.linalg.norm(numbers[3:7])
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    pose = np.eye(4)
    pose[:3, :3] += 2 * w * cross + 2 * cross @ cross
    pose[:3, 3] = numbers[:3]
    return pose
