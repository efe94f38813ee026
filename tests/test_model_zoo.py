# Copyright (c) mmbombo contributors.
"""The metafiles say what was measured, and the page what they say."""
import json
import re
from pathlib import Path

import pytest
import yaml
from toolbox import load_script

ROOT = Path(__file__).resolve().parents[1]
INDEX = yaml.safe_load((ROOT / 'model-index.yml').read_text())
MODELS = [
    model for path in INDEX['Import']
    for model in yaml.safe_load((ROOT / path).read_text())['Models']
]
KEYS = {'box AP': 'AP', 'box AP50': 'AP50', 'mIoU': 'mIoU'}


def test_page_is_that_of_the_metafiles():
    page = (ROOT / 'docs/en/model_zoo.md').read_text(encoding='utf-8')
    assert load_script(ROOT / 'docs/en/stat.py').model_zoo() == page
    assert all(model['Name'] in page for model in MODELS)


@pytest.mark.parametrize(
    'model', [model for model in MODELS if 'Results' in model],
    ids=lambda model: model['Name'])
def test_results_are_those_of_the_command(model):
    words = model['Metadata']['Training'].split()
    name = words[words.index('--rows') + 1]
    bench = ROOT / 'configs/ablation.yml'
    if '--bench' in words:
        bench = ROOT / words[words.index('--bench') + 1]
    config = yaml.safe_load(bench.read_text())['rows'][name]['config']
    assert model['Config'] == f'configs/{config}'
    measured = json.loads(
        (ROOT / model['Metadata']['Results In']).read_text())
    assert measured['meta']['bench'] == bench.name
    row = measured['rows'][name]
    stated = {}
    for result in model['Results']:
        stated.update(result['Metrics'])
    seeds = words[words.index('--seeds') + 1:]
    expected = {}
    for ours, theirs in KEYS.items():
        if theirs in row:
            assert len(row[theirs]['seeds']) == len(seeds) == 3
            expected[ours] = round(row[theirs]['mean'], 1)
            expected[f'{ours} std'] = round(row[theirs]['std'], 1)
    assert stated == expected


def test_weights_have_the_name_of_the_model():
    for model in MODELS:
        url = model.get('Weights', f'https://x/{model["Name"]}-0123abcd.pth')
        assert re.fullmatch(
            rf'https://\S+/{model["Name"]}-[0-9a-f]{{8}}\.pth', url)
