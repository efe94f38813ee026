# Copyright (c) mmbombo contributors.
"""Print the metrics file of ``tools/test.py --out`` as a table.

All numbers are percentages. AP is COCO's average over the IoU thresholds .5
to .95, AP50 the one at .5. Metrics with a prefix of their own
(``det/voc/...``) are left out.
"""
import argparse
import json
from typing import Dict, List, Sequence

COLUMNS = ('AP50', 'AP', 'IoU')
# Key and factor to a percentage of each column, for a class and for all.
CLASS_KEYS = (('det/{}_AP50', 100), ('det/{}_AP', 100), ('seg/{}_IoU', 1))
TOTAL_KEYS = (('det/bbox_mAP_50', 100), ('det/bbox_mAP', 100), ('seg/mIoU', 1))


def class_names(metrics: Dict[str, float]) -> List[str]:
    """The classes that have a metric, those of detection first."""
    names = []
    for key in metrics:
        for pattern, _ in CLASS_KEYS:
            prefix, suffix = pattern.split('{}')
            if key.startswith(prefix) and key.endswith(suffix):
                names.append(key[len(prefix):-len(suffix)])
    return [name for name in dict.fromkeys(names) if '/' not in name]


def cell(metrics: Dict[str, float], key: str, factor: float) -> str:
    """A percentage, '-' where it is absent or undefined."""
    value = metrics.get(key)
    # NaN is not equal to itself; COCO marks "no ground truth" with -1.
    if value is None or value != value or value < 0:
        return '-'
    return f'{value * factor:.1f}'


def format_table(metrics: Dict[str, float]) -> str:
    """A line for each class, and one with the means."""
    rows = [[name] + [
        cell(metrics, pattern.format(name), factor)
        for pattern, factor in CLASS_KEYS
    ] for name in class_names(metrics)]
    mean = ['mean'] + [cell(metrics, *key) for key in TOTAL_KEYS]
    width = max(len(row[0]) for row in [*rows, ['class'], mean])
    rule = '-' * (width + 8 * len(COLUMNS))

    def line(row: Sequence[str]) -> str:
        return row[0].ljust(width) + ''.join(f'{x:>8}' for x in row[1:])

    lines = [line(['class', *COLUMNS]), rule]
    lines += [line(row) for row in rows]
    return '\n'.join([*lines, rule, line(mean)])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('metrics', help='JSON file of tools/test.py --out')
    with open(parser.parse_args().metrics, encoding='utf-8') as file:
        print(format_table(json.load(file)))


if __name__ == '__main__':
    main()
