# Copyright (c) mmbombo contributors.
"""Print a config with all its bases and command-line options merged."""
import argparse

from mmengine.config import DictAction


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config file, or a name of ours')
    parser.add_argument(
        '--save-path',
        help='also write the config to this file (.py, .json or .yml)')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        help='override settings of the config, key=value; lists as '
        'key="[a,b]" or key=a,b')
    return parser.parse_args()


if __name__ == '__main__':  # --help waits for no library
    parse_args()

from mmbombo.utils import user_errors
from mmbombo.utils.config_names import load_config


@user_errors()
def main() -> None:
    args = parse_args()
    cfg = load_config(args.config, args.cfg_options)
    print(cfg.pretty_text)
    if args.save_path is not None:
        cfg.dump(args.save_path)


if __name__ == '__main__':
    main()
