# Copyright (c) mmbombo contributors.
"""The option ``--jobs`` of the converters.

Needs neither mmbombo nor torch, so that ``photo_stamps.py`` runs without.
"""
import argparse
import os


def add_jobs_option(parser: argparse.ArgumentParser) -> None:
    """Give a command the option, with all usable cores as its default."""
    parser.add_argument(
        '--jobs',
        type=_at_least_one,
        default=usable_cores(),
        help='processes (default: all cores)')


def usable_cores() -> int:
    """Number of CPU cores this process may run on."""
    if hasattr(os, 'sched_getaffinity'):  # Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _at_least_one(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(
            f'{text!r} is not a positive whole number')
    return int(text)
