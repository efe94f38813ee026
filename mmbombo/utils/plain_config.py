# Copyright (c) mmbombo contributors.
"""The text of a config, read without running it."""
import ast
from typing import Any, Optional, Tuple


def plain_config(text: Any) -> Optional[dict]:
    """Read the text of a config as plain data.

    Args:
        text (str): Assignments of literals and ``dict(...)``, as MMEngine
            writes them. What ``custom_imports`` names is not imported.

    Returns:
        dict or None: The config; None if the text is more than that.
    """
    # MMEngine fills in '{{...}}', across quotes, and runs what '_base_' names
    if not isinstance(text, str) or '{{' in text:
        return None
    try:
        config = dict(map(_assignment, ast.parse(text).body))
    except (MemoryError, RecursionError, SyntaxError, TypeError, ValueError):
        return None
    config.pop('custom_imports', None)
    return None if '_base_' in config else config


def _assignment(node: ast.stmt) -> Tuple[str, Any]:
    targets = getattr(node, 'targets', ())
    if not (isinstance(node, ast.Assign) and len(targets) == 1
            and isinstance(targets[0], ast.Name)):
        raise ValueError('not an assignment to one name')
    return targets[0].id, _literal(node.value)


def _literal(node: Optional[ast.expr]) -> Any:
    """As ``ast.literal_eval``, and with ``dict(a=1)``."""
    if isinstance(node, ast.Call):
        words = {word.arg: _literal(word.value) for word in node.keywords}
        name = getattr(node.func, 'id', None)
        if name != 'dict' or node.args or None in words:
            raise ValueError('a call')
        return words
    if isinstance(node, ast.Dict):
        return dict(zip(map(_literal, node.keys), map(_literal, node.values)))
    if isinstance(node, ast.List):
        return list(map(_literal, node.elts))
    if isinstance(node, ast.Tuple):
        return tuple(map(_literal, node.elts))
    return ast.literal_eval(node)
