# Copyright (c) mmbombo contributors.
"""What may be wrong with the labels of a config's sources, worst first.

    python tools/analysis_tools/label_report.py CONFIG [CHECKPOINT]

The page says how many boxes, pixels and tags there are of each class, which
class a task lacks, and what each weak loss will teach. Below are the images
with boxes that are tiny, listed twice, cut off or contradict the mask, masks
with specks, pictures that training and validation have in common (with
imagehash installed) and, with a checkpoint, labels that the network doubts:
best one that was trained on other images.
"""
import argparse
import os
import sys
from collections import Counter
from itertools import groupby
from pathlib import Path
from typing import List

from mmengine.config import DictAction


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file, or a name of ours')
    parser.add_argument('checkpoint', nargs='?', help='checkpoint file')
    parser.add_argument(
        '--out', type=Path, default=Path('label_report.html'),
        help='the page (default: %(default)s)')
    parser.add_argument('--json', type=Path, help='file for all findings')
    parser.add_argument(
        '--jobs', type=int, default=os.cpu_count(),
        help='processes (default: all cores)')
    parser.add_argument(
        '--trust-checkpoint', action='store_true',
        help='load a checkpoint that runs code when it is loaded; only for '
        'files that you made yourself')
    parser.add_argument(
        '--cfg-options', nargs='+', action=DictAction,
        help='override settings of the config, key=value')
    return parser.parse_args()


if __name__ == '__main__':  # --help waits for no library
    parse_args()

import mmengine
from label_report_parts.cards import make_card, name_of
from label_report_parts.copies import phash
from label_report_parts.counts import UNITS
from label_report_parts.finding import TYPES
from label_report_parts.survey import Survey, survey
from mmengine.registry import init_default_scope
from mmengine.utils import track_iter_progress
from page_parts.page import Card, Table, write_page

from mmbombo.utils import use_checked_loader, user_errors
from mmbombo.utils.atomic_write import require_writable
from mmbombo.utils.config_names import load_config

#: Cards of each type of finding; the JSON file has all findings.
SHOWN = 40


def make_cards(found: Survey) -> List[Card]:
    """The worst findings of each type."""
    shown = []
    for _, group in groupby(found.findings, key=lambda x: x.type):
        alike = [*group]
        shown += [(finding, rank, len(alike), found.sources)
                  for rank, finding in enumerate(alike[:SHOWN], 1)]
    return [make_card(*x) for x in track_iter_progress(shown, file=sys.stderr)]


def make_tables(found: Survey) -> List[Table]:
    """What stands above the cards."""
    totals = Counter(x.type for x in found.findings)
    keys = {f'{part} {kind}': f'{part} {unit}' for kind, unit in UNITS.items()
            for part in ('train', 'val')
            if any(f'{part} {kind}' in x for x in found.classes.values())}
    scores = found.confidence
    kinds = [(title, totals[x], text) for x, (title, text) in TYPES.items()
             if totals[x]]
    sources = [(x['phase'], x['source'], ', '.join(x['kinds']), x['images'],
                *(sum(x['counts'].get(kind, {}).values()) for kind in UNITS),
                x['problem']) for x in found.rows]
    classes = [(name, *(row.get(x, '') for x in keys),
                *(round(x[name], 2) if name in x else ''
                  for x in scores.values()), ', '.join(row['remarks']))
               for name, row in found.classes.items()]
    taught = ('loss', 'task', 'source', 'images', 'objects', 'pixels')
    return [
        Table('Findings', ('kind', 'number', 'what it is'), kinds),
        Table(f'Sources ({len(sources)})', (
            'phase', 'source', 'kinds', 'images', *UNITS.values(), ''),
            sources),
        Table(f'Classes ({len(classes)})', (
            'class', *keys.values(), *(f'mean {x} score' for x in scores), ''),
            classes),
        Table('What weak losses will teach', taught,
              [[round(x[key], 2) if key == 'pixels' and key in x else
                x.get(key, '') for key in taught] for x in found.coverage])
    ]


def to_json(found: Survey) -> dict:
    """All that is known, the worst findings of each type first."""
    findings = [
        dict(x._asdict(), marks=[mark._asdict() for mark in x.marks],
             place=name_of(found.sources, x.place),
             other=x.other and name_of(found.sources, x.other))
        for x in found.findings
    ]
    return dict(sources=found.rows, classes=found.classes,
                coverage=found.coverage, confidence=found.confidence,
                findings=findings)


@user_errors()
def main() -> None:
    args = parse_args()
    for path in filter(None, (args.out, args.json)):
        require_writable(path)
    use_checked_loader(trust=args.trust_checkpoint)
    cfg = load_config(args.config, args.cfg_options)
    init_default_scope(cfg.get('default_scope', 'mmbombo'))
    found = survey(cfg, args.checkpoint, args.jobs)
    if args.json:
        mmengine.dump(to_json(found), args.json)
    tables = make_tables(found)
    write_page(
        args.out, f'Labels of {args.config}',
        'Orange is what a label says, blue what the network says. At most '
        f'{SHOWN} of each kind are shown, the worst first.', '',
        make_cards(found), tables)
    for title, number, _ in tables[0].rows:
        print(f'{number:6d} {title}')
    if phash is None:
        print('pip install imagehash, and pictures that training and '
              'validation have in common are found, too')
    print(f'{args.out} is written')


if __name__ == '__main__':
    main()
