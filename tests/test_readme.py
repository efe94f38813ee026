# Copyright (c) mmbombo contributors.
"""The commands of the README are ones that the tools understand."""
import re
import runpy
import shlex
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]


def commands(page):
    """Commands of the ``bash`` blocks, without their comments."""
    text = (REPO / page).read_text(encoding='utf-8')
    for block in re.findall(r'```bash\n(.*?)```', text, re.DOTALL):
        for line in block.replace('\\\n', ' ').splitlines():
            if words := shlex.split(line, comments=True):
                yield words


@pytest.mark.parametrize('page', ['README.md', 'README_zh-CN.md'])
def test_commands_are_understood(page, monkeypatch):
    tools = []
    for program, *words in commands(page):
        if program == 'bash':
            assert (REPO / words[0]).is_file()
        if program == 'python':
            monkeypatch.setattr('sys.argv', words)
            script = REPO / words[0]
            monkeypatch.syspath_prepend(str(script.parent))
            # a wrong option ends it with SystemExit
            runpy.run_path(str(script))['parse_args']()
            tools.append(script.stem)
    assert tools[:7] == [
        'new_config', 'check_data', 'train', 'train', 'test', 'image_demo',
        'browse_dataset'
    ]
