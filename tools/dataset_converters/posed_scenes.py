# Copyright (c) mmbombo contributors.
"""Build PosedRooms: rooms with furniture, seen from cameras around them.

    python tools/dataset_converters/posed_scenes.py

draws 14 rooms to train on and 6 to validate, 40 views of each, and downloads
nothing. A room has tables with vases on them, chairs, a sofa, a bookcase and a
lamp, each of a size and a texture of its own; no two rooms share any. Pictures
are ray-cast, so that depth, poses, masks and boxes are exact.

The folder is laid out as 7-Scenes is, with a folder for each room
(``train_00``, ``val_00``, ...); ``masks/ROOM/VIEW.color.png`` are true masks,
``boxes/train.json`` and ``val.json`` the boxes of all views, and
``boxes/train_4.json`` and so on those of 2, 4, 8 and 16 views of each room,
evenly spread.

With --depth-noise and --pose-noise, what the files say of the geometry is
wrong by a normal error: of each pixel's depth by so many meters, of each
view's direction by so many degrees.
"""
import argparse
import json
import os
import zlib
from pathlib import Path

CLASSES = ('chair', 'table', 'sofa', 'bookcase', 'lamp', 'vase')
#: Of how many views of each room there are files of boxes.
BOXED = (2, 4, 8, 16)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        '--out',
        type=Path,
        default=Path('data/posed_rooms'),
        help='folder (default: %(default)s)')
    parser.add_argument(
        '--rooms',
        type=int,
        nargs=2,
        default=(14, 6),
        metavar=('TRAIN', 'VAL'),
        help='how many (default: 14 6)')
    parser.add_argument(
        '--views', type=int, default=40, help='of each (default: %(default)s)')
    parser.add_argument(
        '--short-side',
        type=int,
        default=120,
        help='of the images, in pixels, at 4:3 (default: %(default)s)')
    parser.add_argument(
        '--depth-noise', type=float, default=0, help='meters (default: 0)')
    parser.add_argument(
        '--pose-noise', type=float, default=0, help='degrees (default: 0)')
    parser.add_argument(
        '--seed', type=int, default=0, help='default: %(default)s')
    parser.add_argument(
        '--jobs',
        type=int,
        default=os.cpu_count(),
        help='processes (default: all cores)')
    return parser.parse_args()


if __name__ == '__main__':  # --help waits for no library
    parse_args()

import cv2
import numpy as np

from mmbombo.utils import user_errors
from mmbombo.utils.processes import in_processes
from mmbombo.visualization import class_styles, label_map_image

#: Meters that a camera keeps from what it sees.
CLEARANCE = .4


def rotation(yaw):
    """Into what is turned about z."""
    cos, sin = np.cos(yaw), np.sin(yaw)
    return np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]])


class Part:
    """A box, or an upright elliptic cylinder, with a texture.

    Args:
        center (tuple): x, y, z, in the room.
        half (tuple): Half of its sides.
        yaw (float): It is turned by, about z.
        look (tuple): Two colors, a pattern and its frequency.
        round_ (bool): Whether it is a cylinder.
    """

    def __init__(self, center, half, yaw, look, round_=False):
        self.center, self.half = np.array(center), np.array(half)
        self.turn = rotation(yaw)
        self.look, self.round = look, round_

    def corners(self):
        """Those of its box (8, 3)."""
        signs = np.stack(np.meshgrid(*[(-1, 1)] * 3), -1).reshape(-1, 3)
        return self.center + (signs * self.half) @ self.turn

    def hit(self, eye, rays):
        """Distance along rays (N, 3), infinite where they miss, and there
        the normal and the place on the part."""
        start = self.turn @ (eye - self.center)
        rays = rays @ self.turn.T
        with np.errstate(divide='ignore', invalid='ignore'):
            sides = np.stack([(-self.half - start) / rays,
                              (self.half - start) / rays])
            enter, leave = sides.min(0), sides.max(0)
            if self.round:
                scale = self.half[:2]
                p, v = start[:2] / scale, rays[:, :2] / scale
                a, b = (v**2).sum(1), v @ p
                root = np.sqrt(b**2 - a * ((p**2).sum() - 1))
                enter = np.stack([(-b - root) / a, enter[:, 2]], 1)
                leave = np.stack([(-b + root) / a, leave[:, 2]], 1)
            axis = enter.argmax(1)
            near, far = enter.max(1), leave.min(1)
            near[~((near < far) & (near > 0))] = np.inf
        place = start + np.where(np.isfinite(near), near, 0)[:, None] * rays
        if self.round:
            side = (place / self.half**2) * [1, 1, 0]
            flat = -np.sign(rays[:, 2:]) * [0, 0, 1]
            normal = np.where((axis == 0)[:, None], side, flat)
            normal /= np.linalg.norm(normal, axis=1, keepdims=True) + 1e-9
        else:
            normal = -np.sign(rays) * np.eye(3)[axis]
        return near, normal @ self.turn, place


def paint(look, place):
    """Colors (N, 3) of a look at places (N, 3)."""
    one, other, pattern, frequency, phase = look
    x = place * frequency + phase
    if pattern == 0:  # stripes
        share = np.sin(x @ [1, .4, .9]) > 0
    elif pattern == 1:  # checks
        share = np.floor(x / np.pi).sum(1) % 2
    elif pattern == 2:  # wood
        share = .5 + .5 * np.sin(x[:, 0] * 3 + 2 * np.sin(x[:, 1]) + x[:, 2])
    else:  # speckles
        cells = np.floor(x * 3).astype(np.int64)
        share = (cells @ [73856093, 19349663, 83492791] >> 3) % 7 / 6
    return one + (other - one) * np.asarray(share, float)[:, None]


class Room:
    """A room and what is in it, drawn at random.

    Attributes:
        parts (list[tuple[Part, int]]): Each part and the number of its
            object, from 1; 0 is the room.
        labels (list[int]): Class of each object.
    """

    def __init__(self, rng):
        self.rng = rng
        self.size = rng.uniform([4.4, 4.4, 2.6], [5.6, 5.6, 2.9])
        self.parts, self.labels = [], []
        self.taken = []
        self.walls = [self.look(.35) for _ in range(3)]
        self.light = rng.normal(size=3) * .5 + [0, 0, 1.5]
        self.light /= np.linalg.norm(self.light)
        half = self.size / 2
        for _ in range(rng.integers(1, 3)):
            self.add('table', rng.uniform(-.9, .9, 2), rng.uniform(0, 6.3))
        for name in ('sofa', 'bookcase'):
            side = rng.permutation(4)[0]
            along = rng.uniform(-.5, .5) * half[1 - side % 2]
            depth = half[side % 2] - .5
            place = [depth, along] if side % 2 == 0 else [along, depth]
            sign = 1 if side < 2 else -1
            self.add(name, np.multiply(place, sign), side * np.pi / 2)
        for _ in range(rng.integers(3, 5)):
            self.add('chair', rng.uniform(-1.6, 1.6, 2), rng.uniform(0, 6.3))
        self.add('lamp', rng.uniform(-1, 1, 2) * (half[:2] - .4), 0)

    def look(self, contrast=1.):
        """A texture of its own."""
        one = self.rng.uniform(30, 230, 3)
        other = self.rng.uniform(20, 240, 3)
        return (one, one + contrast * (other - one), self.rng.integers(4),
                self.rng.uniform(8, 40), self.rng.uniform(0, 9, 3))

    def add(self, name, place, yaw):
        """Put an object where there is room for it, near a place."""
        radius = dict(table=.75, chair=.35, sofa=.8, bookcase=.55, lamp=.2)
        limit = self.size[:2] / 2 - .3
        for _ in range(60):
            if all(
                    np.hypot(*(place - x)) > radius[name] + r
                    for x, r in self.taken) and (abs(place) < limit).all():
                break
            place = place + self.rng.normal(size=2) * .3
        else:
            return
        self.taken.append((place, radius[name]))
        for top in getattr(self, name)(place, yaw) or ():
            for _ in range(self.rng.integers(1, 3)):
                self.vase(*top)

    def new(self, name, place, yaw):
        """A function that adds parts to a new object."""
        self.labels.append(CLASSES.index(name))
        number, turn = len(self.labels), rotation(yaw)[:2, :2]

        def part(center, half, look, round_=False):
            x, y = np.add(place, np.array(center[:2]) @ turn)
            self.parts.append((Part((x, y, center[2]), half, yaw, look,
                                    round_), number))

        return part

    def legs(self, part, width, depth, height, look):
        for x in (-1, 1):
            for y in (-1, 1):
                part((x * width, y * depth, height / 2),
                     (.025, .025, height / 2), look)

    def table(self, place, yaw):
        width, depth, height = self.rng.uniform([.45, .3, .6], [.6, .42, .78])
        part, look = self.new('table', place, yaw), self.look()
        part((0, 0, height), (width, depth, .025), look)
        self.legs(part, width - .05, depth - .05, height, self.look())
        yield place, yaw, width * .8, depth * .8, height + .025

    def chair(self, place, yaw):
        width, height, back = self.rng.uniform([.19, .4, .2], [.24, .5, .3])
        part, look = self.new('chair', place, yaw), self.look()
        part((0, 0, height), (width, width, .025), look)
        part((0, width - .02, height + back), (width, .02, back), look)
        self.legs(part, width - .03, width - .03, height, look)

    def sofa(self, place, yaw):
        width, depth, height = self.rng.uniform([.35, .6, .38],
                                                [.42, .85, .46])
        part, look = self.new('sofa', place, yaw), self.look()
        part((0, 0, height / 2), (width, depth, height / 2), look)
        part((width - .08, 0, height + .2), (.08, depth, .2), look)
        for y in (-1, 1):
            part((0, y * (depth - .07), height + .08), (width, .07, .08), look)

    def bookcase(self, place, yaw):
        depth, width, height = self.rng.uniform([.15, .4, .9], [.2, .55, 1.7])
        part, look = self.new('bookcase', place, yaw), self.look()
        part((depth, 0, height / 2), (.02, width, height / 2), self.look())
        for y in (-1, 1):
            part((0, y * width, height / 2), (depth, .02, height / 2), look)
        shelves = np.linspace(.04, height, 4)
        for z in shelves:
            part((0, 0, z), (depth, width, .02), look)
        yield place, yaw, depth * .5, width * .7, shelves[2] + .02

    def lamp(self, place, yaw):
        height, radius = self.rng.uniform([1.2, .14], [1.6, .22])
        part, look = self.new('lamp', place, yaw), self.look()
        part((0, 0, .02), (.14, .14, .02), look, True)
        part((0, 0, height / 2), (.025, .025, height / 2), look, True)
        part((0, 0, height), (radius, radius, .14), self.look(), True)

    def vase(self, place, yaw, width, depth, top):
        radius, height = self.rng.uniform([.05, .07], [.09, .13])
        x, y = self.rng.uniform([-width, -depth], [width, depth])
        place = place + np.array([x, y]) @ rotation(yaw)[:2, :2]
        part = self.new('vase', place, yaw)
        part((0, 0, top + height), (radius, radius, height), self.look(), True)

    def pose(self, k, count):
        """World to camera of a view from an orbit."""
        for trial in range(50):
            angle = 2 * np.pi * (k + self.rng.uniform(-.3, .3)) / count
            radius = self.rng.uniform(.7, .92) * (1 - trial / 60)
            eye = np.append(
                radius * (self.size[:2] / 2 - .1) *
                [np.cos(angle), np.sin(angle)], self.rng.uniform(1.2, 2.1))
            if all((np.abs(part.turn @ (eye - part.center)) > part.half +
                    CLEARANCE).any() for part, _ in self.parts):
                break
        target = np.append(self.rng.normal(size=2) * .5, .5)
        forward = (target - eye) / np.linalg.norm(target - eye)
        right = np.cross(forward, [0, 0, 1])
        right /= np.linalg.norm(right)
        pose = np.eye(4)
        pose[:3, :3] = right, np.cross(forward, right), forward
        pose[:3, 3] = -pose[:3, :3] @ eye
        return pose

    def render(self, pose, intrinsics, height, width):
        """Color (H, W, 3), depth (H, W) and the number of each object."""
        y, x = np.mgrid[:height, :width] + .5
        rays = np.stack([x, y, np.ones_like(x)],
                        -1) @ np.linalg.inv(intrinsics).T @ pose[:3, :3]
        eye = -pose[:3, :3].T @ pose[:3, 3]
        half = np.array([*self.size[:2] / 2, self.size[2]])
        with np.errstate(divide='ignore'):
            ends = np.where(rays > 0, half - eye,
                            -half * [1, 1, 0] - eye) / rays
        axis, depth = ends.argmin(-1), ends.min(-1)
        place = eye + depth[..., None] * rays
        normal = -np.sign(rays) * np.eye(3)[axis]
        color = np.zeros_like(rays)
        for i, look in enumerate(self.walls):
            color[axis == i] = paint(look, place[axis == i])
        number = np.zeros((height, width), int)
        for part, index in self.parts:
            window = _window(part.corners(), pose, intrinsics, height, width)
            seen = rays[window]
            hit, side, on = part.hit(eye, seen.reshape(-1, 3))
            front = hit.reshape(seen.shape[:2]) < depth[window]
            flat = front.ravel()
            depth[window][front] = hit[flat]
            number[window][front] = index
            normal[window][front] = side[flat]
            color[window][front] = paint(part.look, on[flat])
        shade = .55 + .45 * np.clip(normal @ self.light, -.3, 1)
        color = color * shade[...,
                              None] + self.rng.normal(size=color.shape) * 3
        return color.clip(0, 255).astype(np.uint8), depth, number


def _window(corners, pose, intrinsics, height, width):
    """Slices of the pixels that corners (8, 3) may cover, which makes a room
    four times faster."""
    inside = corners @ pose[:3, :3].T + pose[:3, 3]
    if inside[:, 2].min() < .05:
        whole = slice(None) if inside[:, 2].max() > 0 else slice(0)
        return whole, whole
    x, y = ((inside / inside[:, 2:]) @ intrinsics.T)[:, :2].T.round()
    return (slice(int(max(y.min() - 1, 0)), int(max(y.max() + 2, 0))),
            slice(int(max(x.min() - 1, 0)), int(max(x.max() + 2, 0))))


def turned(pose, degrees, rng):
    """A pose whose direction is wrong by a normal error."""
    vector = rng.normal(size=3)
    vector *= np.radians(degrees) * rng.normal() / np.linalg.norm(vector)
    pose = pose.copy()
    eye = -pose[:3, :3].T @ pose[:3, 3]
    pose[:3, :3] = cv2.Rodrigues(vector)[0] @ pose[:3, :3]
    pose[:3, 3] = -pose[:3, :3] @ eye
    return pose


def make_room(job):
    """Write a room; its images and annotations, as COCO has them."""
    name, args = job
    # so that no two have anything in common, and noise changes no room
    seed = [args.seed, zlib.crc32(name.encode())]
    room, noise = Room(np.random.default_rng(seed)), np.random.default_rng(
        [*seed, 1])
    height, width = args.short_side, round(args.short_side * 4 / 3)
    intrinsics = np.array([[.75 * width, 0, width / 2],
                           [0, .75 * width, height / 2], [0, 0, 1]])
    folder, masks = args.out / name, args.out / 'masks' / name
    for path in (folder, masks):
        path.mkdir(parents=True, exist_ok=True)
    np.savetxt(folder / 'camera-intrinsics.txt', intrinsics)
    classes = np.array([0, *(x + 1 for x in room.labels)])
    styles = class_styles(dict(seg_classes=('background', *CLASSES)))[1]
    images, annotations = [], []
    for k in range(args.views):
        pose = room.pose(k, args.views)
        color, depth, number = room.render(pose, intrinsics, height, width)
        depth += args.depth_noise * noise.normal(size=depth.shape)
        said = turned(pose, args.pose_noise, noise)
        start = folder / f'{k:03d}'
        cv2.imwrite(f'{start}.color.jpg', color,
                    [cv2.IMWRITE_JPEG_QUALITY, 95])
        cv2.imwrite(f'{start}.depth.png',
                    (depth * 1000).round().clip(1, 65534).astype(np.uint16))
        np.savetxt(f'{start}.pose.txt', np.linalg.inv(said))
        label_map_image(classes[number],
                        styles).save(masks / f'{k:03d}.color.png')
        images.append(
            dict(
                file_name=f'{name}/{k:03d}.color.jpg',
                height=height,
                width=width))
        annotations.append([([*cv2.boundingRect(np.uint8(number == i))],
                             room.labels[i - 1])
                            for i in np.unique(number[number > 0])])
    return images, annotations


def write_boxes(path, rooms, count, views):
    """Write the boxes of so many views of each room."""
    images, annotations = [], []
    for infos, boxes in rooms:
        for k in {i * views // count for i in range(count)}:
            images.append(dict(infos[k], id=len(images)))
            for box, label in boxes[k]:
                annotations.append(
                    dict(
                        id=len(annotations) + 1,
                        image_id=images[-1]['id'],
                        category_id=label + 1,
                        bbox=box,
                        area=box[2] * box[3],
                        iscrowd=0))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        json.dumps(
            dict(
                images=images,
                annotations=annotations,
                categories=[
                    dict(id=i + 1, name=x) for i, x in enumerate(CLASSES)
                ])))


@user_errors()
def main() -> None:
    args = parse_args()
    cv2.setNumThreads(1)
    names = [
        f'{split}_{i:02d}'
        for split, count in zip(('train', 'val'), args.rooms)
        for i in range(count)
    ]
    rooms = list(in_processes(make_room, [(x, args) for x in names],
                              args.jobs))
    for split in ('train', 'val'):
        chosen = [r for x, r in zip(names, rooms) if x.startswith(split)]
        for count in (*BOXED, args.views) if chosen else ():
            end = '' if count == args.views else f'_{count}'
            write_boxes(args.out / 'boxes' / f'{split}{end}.json', chosen,
                        min(count, args.views), args.views)
    print(f'{args.out}: {len(names)} rooms of {args.views} views')


if __name__ == '__main__':
    main()
