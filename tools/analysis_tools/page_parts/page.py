# Copyright (c) mmbombo contributors.
"""A page of pictures with notes, in one file that opens from the disk.

Names of files and classes are data: they reach the page as JSON, the script
writes them as text, and the page's policy runs no other script.
"""
import base64
import hashlib
import html
import json
from pathlib import Path
from typing import Any, Dict, NamedTuple, Optional, Sequence, Tuple

from mmbombo.utils.atomic_write import atomic_file

HERE = Path(__file__).parent


class Box(NamedTuple):
    """A rectangle with a color of CSS, such as ``#e69f00``."""
    xyxy: Sequence[float]  #: in pixels of :attr:`Card.size`
    color: str
    text: str = ''
    dashed: bool = False


class Panel(NamedTuple):
    """A look at the picture of a card; keys show and hide it by its name."""
    name: str
    text: str = ''
    boxes: Sequence[Box] = ()
    mask: Optional[bytes] = None  #: a PNG with transparency
    legend: Sequence[Tuple[str, str]] = ()  #: names and colors
    image: Optional[bytes] = None  #: a JPEG in place of the card's


class Table(NamedTuple):
    """What stands above the cards; all but the first are folded up."""
    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[object]]


class Card(NamedTuple):
    """A picture and what is to be said about it."""
    title: str
    image: bytes  #: a JPEG
    size: Tuple[int, int]  #: its width and height
    panels: Sequence[Panel]
    score: Optional[float]  #: the largest comes first, None last
    facts: Dict[str, str] = {}
    tags: Dict[str, Sequence[str]] = {}  #: values by the filter's name


def write_page(path: Path, title: str, text: str, score: str,
               cards: Sequence[Card], tables: Sequence[Table] = ()) -> None:
    """Write cards, those with the largest score first.

    ``text`` stands above them, a paragraph for each line; ``score`` says what
    that is, '' that it is not shown. There is a filter for each name in the
    tags of the cards.
    """
    cards = sorted(cards, key=lambda x: (-(x.score or 0), x.title))
    style, script = ((HERE / f'page.{end}').read_text(encoding='utf-8')
                     for end in ('css', 'js'))
    policy = (f"default-src 'none'; img-src data:; style-src {_hash(style)}; "
              f'script-src {_hash(script)}')
    places: Dict[str, int] = {}  # from left to right
    for card in cards:
        for place, panel in enumerate(card.panels):
            places[panel.name] = max(place, places.get(panel.name, 0))
    index = dict(
        score=score,
        panels=sorted(places, key=lambda x: (places[x], x)),
        cards=[(x.title, x.score, x.facts, x.tags) for x in cards])
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as unfinished, open(
            unfinished, 'w', encoding='utf-8') as file:
        print(
            '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n'
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
            '<meta name="viewport" content="width=device-width">\n'
            f'<title>{html.escape(title)}</title>\n<style>{style}</style>\n'
            f'<header>\n<h1>{html.escape(title)}</h1>',
            *(f'<p>{html.escape(line)}</p>' for line in text.splitlines()),
            '<form id="bar"></form>\n</header>',
            *(_table(x, x is tables[0]) for x in tables),
            '<main></main>',
            sep='\n',
            file=file)
        for number, card in enumerate(cards):
            # read only when the card is looked at
            pictures = (card.image, card.size, card.panels)
            print(_data(f'card-{number}', pictures), file=file)
        print(
            _data('index', index), f'<script>{script}</script>\n</html>',
            sep='\n', file=file)


def _table(table: Table, is_open: bool) -> str:
    """A table in HTML; numbers stand at the right."""
    rows = ''.join(
        '<tr>' + ''.join(
            f'<td>{html.escape(x)}' if isinstance(x, str) else
            f'<td class=number>{x:,}' for x in row) for row in table.rows)
    return (f'<details{" open" * is_open}>'
            f'<summary>{html.escape(table.title)}</summary>'
            f'<table><tr><th>{"<th>".join(map(html.escape, table.columns))}'
            f'{rows}</table></details>')


def _data(name: str, value: Any) -> str:
    """A block of data, which no ``</script>`` in it ends."""
    text = json.dumps(value, separators=(',', ':'), default=_plain)
    text = text.replace('<', '\\u003c')
    return f'<script type="application/json" id="{name}">{text}</script>'


def _plain(value: Any) -> Any:
    """A picture as its address, an array or tensor as a list."""
    if not isinstance(value, bytes):
        return value.tolist()
    kind = 'png' if value.startswith(b'\x89PNG') else 'jpeg'
    return f'data:image/{kind};base64,{base64.b64encode(value).decode()}'


def _hash(code: str) -> str:
    digest = hashlib.sha256(code.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
