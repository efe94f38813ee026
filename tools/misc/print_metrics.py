# Copyright (c) mmbombo contributors.
"""Print the metrics file of ``tools/test.py --out`` as a table.

All numbers are percentages. AP is COCO's average over the IoU thresholds .5
to .95, AP50 the one at .5; AP s, m and l are of objects below 32 x 32 pixels,
below 96 x 96 and above. BIoU is boundary IoU. Columns that the file lacks, and
metrics with a prefix of their own (``det/voc/...``), are left out.
"""
import argparse
import json
import re
from typing import Dict

from terminaltables import AsciiTable

#: Heading, key of a class and of the mean, and the factor to a percentage.
COLUMNS = (('AP50', 'det/{}_AP50', 'det/bbox_mAP_50', 100),
           ('AP', 'det/{}_AP', 'det/bbox_mAP', 100),
           ('AP s', 'det/{}_AP_s', 'det/bbox_mAP_s', 100),
           ('AP m', 'det/{}_AP_m', 'det/bbox_mAP_m', 100),
           ('AP l', 'det/{}_AP_l', 'det/bbox_mAP_l', 100),
           ('IoU', 'seg/{}_IoU', 'seg/mIoU', 1),
           ('BIoU', 'seg/{}_BIoU', 'seg/mBIoU', 1))


def format_table(metrics: Dict[str, float]) -> str:
    """A line for each class, those of detection first, and the means."""
    found = [
        re.fullmatch(r'\w+/([^/]+)_(AP50|AP|IoU|BIoU)', x) for x in metrics
    ]
    columns = [x for x in COLUMNS if x[2] in metrics]
    rows = [['class', *(title for title, *_ in columns)]]
    for name in dict.fromkeys(match[1] for match in found if match):
        rows.append(
            [name, *(cell(metrics, x[1].format(name), x[3]) for x in columns)])
    rows.append(['mean', *(cell(metrics, x[2], x[3]) for x in columns)])
    table = AsciiTable(rows)
    table.justify_columns = dict.fromkeys(range(1, len(columns) + 1), 'right')
    table.inner_footing_row_border = True
    return table.table


def cell(metrics: Dict[str, float], key: str, factor: float) -> str:
    """A percentage, '-' where it is absent or undefined."""
    value = metrics.get(key)
    # NaN is not equal to itself; COCO marks "no ground truth" with -1.
    if value is None or value != value or value < 0:
        return '-'
    return f'{value * factor:.1f}'


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('metrics', help='JSON file of tools/test.py --out')
    with open(parser.parse_args().metrics, encoding='utf-8') as file:
        print(format_table(json.load(file)))


if __name__ == '__main__':
    main()
