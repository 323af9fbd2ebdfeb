"""The results of several settings in one table."""

from __future__ import annotations

import io
from collections.abc import Mapping


def settings_table(metrics: Mapping[str, Mapping[str, float]]) -> str:
    """One line a setting: accuracy with its 95 % interval, and the number of episodes.

    Args:
        metrics: Setting -> metrics of :class:`FewShotMetric` (with any prefix).
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table('setting', 'episodes', 'accuracy in %')
    table.columns[1].justify = table.columns[2].justify = 'right'
    for name, found in metrics.items():
        short = {key.rsplit('/', 1)[-1]: value for key, value in found.items()}
        if 'acc' not in short:
            table.add_row(Text(name), '', ', '.join(f'{key} {value}' for key, value in found.items()))
            continue
        interval = f' ± {short["ci95"]:.2f}' if 'ci95' in short else ''
        table.add_row(Text(name), f'{short.get("episodes", 0):.0f}', f'{short["acc"]:.2f}{interval}')
    console = Console(file=io.StringIO(), width=120)
    console.print(table)
    return console.file.getvalue().rstrip()
