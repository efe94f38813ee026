# Copyright (c) mmbombo contributors.
"""The command line of the tools that look at a network."""
import argparse

from mmengine.config import DictAction


def parse_args(description: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument('config', help='config file, or a name of ours')
    parser.add_argument(
        '--shape',
        type=int,
        nargs='+',
        default=[320, 320],
        metavar='PIXELS',
        help='height and width of an image, or one side of a square '
        '(default: 320 320)')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        help='override settings of the config, key=value')
    args = parser.parse_args()
    args.shape = (args.shape[0], args.shape[-1])
    return args
