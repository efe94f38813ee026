# Copyright (c) mmbombo contributors.
"""Write ``model_zoo.md`` from the metafiles: ``python docs/en/stat.py``."""
from pathlib import Path

import yaml

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parents[1]
METRICS = ('box AP', 'box AP50', 'mIoU')
HEAD = """\
# Model zoo

`python docs/en/stat.py` writes this page from the `metafile.yml` of each
folder of configs. A name is all that a tool or `MultiTaskInferencer` needs
for a config, be it listed here or not: that of any file in `configs/`.

Figures are percentages, mean ± sample deviation over three seeds, of a
training of 300 iterations at 160 pixels, by the command below the table;
[the notes](notes/ablation.md) have their details. Other configs were not
trained by us. No weights are uploaded yet: `tools/misc/publish_model.py`
[makes the files](user_guides/useful_tools.md#publish-a-checkpoint).
"""


def model_zoo() -> str:
    """The page."""
    index = yaml.safe_load((ROOT / 'model-index.yml').read_text())
    metafiles = [
        yaml.safe_load((ROOT / path).read_text()) for path in index['Import']
    ]
    return '\n'.join([HEAD, *map(section, metafiles)])


def section(metafile: dict) -> str:
    """The table of one metafile, and the commands behind its figures."""
    collection, = metafile['Collections']
    paper = collection['Paper']
    lines = [
        f'## {collection["Name"]}', '',
        f'[{paper["Title"]}]({paper["URL"]})', '',
        f'| config | data | {" | ".join(METRICS)} | weights |',
        '| --- | --- |' + ' ---: |' * len(METRICS) + ' --- |'
    ]
    lines += map(row, metafile['Models'])
    commands = [
        model['Metadata']['Training'] for model in metafile['Models']
        if 'Results' in model
    ]
    if commands:
        lines += ['', '```bash', *commands, '```']
    return '\n'.join([*lines, ''])


def row(model: dict) -> str:
    """The line of one model."""
    data = model['Metadata']['Training Data']
    values: dict = {}
    for result in model.get('Results', ()):
        values.update(result['Metrics'])
    figures = [
        f'{values[name]} ± {values[name + " std"]}' if name in values else ''
        for name in METRICS
    ]
    weights = model.get('Weights')
    cells = [
        f'[{model["Name"]}](../../{model["Config"]})',
        data if isinstance(data, str) else ', '.join(data), *figures,
        f'[model]({weights})' if weights else ''
    ]
    return f'| {" | ".join(cells)} |'


if __name__ == '__main__':
    (DOCS / 'model_zoo.md').write_text(model_zoo(), encoding='utf-8')
