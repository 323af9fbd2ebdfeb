#!/usr/bin/env python
"""Compare results: a table of methods x data sets with 95 % intervals, and paired tests on the same episodes.

    python tools/analysis/compare.py work_dirs/*/few_shot_result.json [--markdown table.md]
    python tools/analysis/compare.py OTAM=a/few_shot_result.json 'FSAR-LLaVA=b/few_shot_result.json'

Method and data set are read from the name of the result's folder, `<method>_5way-1shot_<data set>`, which is the name
of the config; `NAME=FILE` gives the name, in the same form or as that of the method alone. A folder of another name is
the method, and the config that the result names tells the data set. The task is what the result says was tested, with
`?` for a number in which its episodes differ; older results, which do not say, have it from the name of the folder.

The result of a test with `settings` stands for `few_shot_result_<setting>.json` beside it: each is a method of its own,
named `<method> <setting>`. These files can be given as well.

Results with the same episode hash saw the same episodes in the same order, so that their difference can be tested
episode by episode, which is far sharper than two intervals side by side.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

RUN_NAME = re.compile(r'(?P<method>.+)_(?P<task>\d+way-\d+shot)_(?P<dataset>.+)')
SETTING_NAME = re.compile(r'few_shot_result_(?P<name>.+)')


class Result(NamedTuple):
    """A result file of ``FewShotMetric``.

    Attributes:
        method: Row of the table.
        column: Data set and task.
        acc: Accuracy in percent.
        ci95: Half width of its interval.
        episodes: How many were tested.
        episode_hash: Equal for the same episodes.
        list_hash: Equal for the same list of videos, None where unknown.
        episode_acc: Accuracy of each episode in percent, in their order; None in files without it.
        notes: Remarks that the result carries.
    """

    method: str
    column: str
    acc: float
    ci95: float
    episodes: int
    episode_hash: str
    list_hash: str | None = None
    episode_acc: tuple[float, ...] | None = None
    notes: tuple[str, ...] = ()


class PairedTest(NamedTuple):
    """The difference of two results on the same episodes, in percentage points: ``difference +- ci95``."""

    one: Result
    other: Result
    difference: float
    ci95: float
    p_value: float


def read_results(argument: str) -> list[Result]:
    """Read ``FILE`` or ``NAME=FILE``; where it lists the settings of a test, the results of these.

    Raises:
        ValueError: If a file cannot be read or is no result of ``FewShotMetric``.
    """
    name, equals, file = argument.partition('=')
    if not equals or Path(argument).is_file():
        name, file = '', argument
    path = Path(file)
    content = _load(path)
    if isinstance(content, dict) and isinstance(content.get('settings'), dict):
        if not content['settings']:
            raise ValueError(f'{path} has no settings. Run the test again.')
        files = {setting: path.with_name(f'{path.stem}_{setting}{path.suffix}') for setting in content['settings']}
        return [_result(_load(file), file, name, setting) for setting, file in files.items()]
    setting = None if name else SETTING_NAME.fullmatch(path.stem)
    return [_result(content, path, name, setting['name'] if setting else '')]


def _load(path: Path) -> object:
    try:
        return json.loads(path.read_text(encoding='utf-8'))
    except (OSError, ValueError) as error:
        raise ValueError(f'The result {path} cannot be read: {error}.') from error


def _result(content: object, path: Path, name: str, setting: str) -> Result:
    """The content of a file, as the method ``name`` (or its run) with a setting."""
    needed = {'acc', 'ci95', 'episodes', 'episode_hash'}
    if not isinstance(content, dict) or not needed <= set(content):
        raise ValueError(f'{path} is no result of FewShotMetric: it needs the keys {sorted(needed)}.')
    run, config = path.resolve().parent.name, Path(content.get('config') or '').stem
    own = RUN_NAME.fullmatch(name or run)
    parts = own or RUN_NAME.fullmatch(run)
    task = parts['task'] if parts else ''
    if 'num_ways' in content:
        parts = parts or RUN_NAME.fullmatch(config)
        numbers = (content['num_ways'], content.get('num_shots'))
        task = '{}way-{}shot'.format(*('?' if number is None else number for number in numbers))
        setting = re.sub(rf'^{re.escape(task)}_?', '', setting)  # a setting without a name begins with its task
    episode_acc = content.get('episode_acc')
    if episode_acc is not None and len(episode_acc) != content['episodes']:
        raise ValueError(f'{path} has {content["episodes"]} episodes, but {len(episode_acc)} values in episode_acc.')
    return Result(
        f'{own["method"] if own else name or run} {setting}'.rstrip(),
        f'{parts["dataset"] if parts else ""} {task}'.strip() or 'accuracy',
        *(content[key] for key in ('acc', 'ci95', 'episodes', 'episode_hash')),
        content.get('list_hash'),
        None if episode_acc is None else tuple(episode_acc),
        tuple(content.get('notes') or ()),
    )


def check_distinct(results: Sequence[Result]) -> None:
    """Refuse two results for one place in the table.

    Raises:
        ValueError: If there are such.
    """
    places = [(result.method, result.column) for result in results]
    for place in places:
        if places.count(place) > 1:
            raise ValueError(f'Several results are for {place[0]!r} on {place[1]!r}. Tell them apart with NAME=FILE.')


def paired_tests(results: Sequence[Result]) -> Iterator[PairedTest]:
    """Student's paired t test for any two results of a column with the same episodes."""
    from scipy.stats import t as student

    for one, other in combinations(results, 2):
        if one.column != other.column or one.episode_hash != other.episode_hash:
            continue
        if one.episode_acc is None or other.episode_acc is None or one.episodes < 2:
            continue
        differences = np.array(one.episode_acc) - np.array(other.episode_acc)
        mean, error = differences.mean(), differences.std(ddof=1) / np.sqrt(len(differences))
        if error > 0:
            p_value = 2 * student.sf(abs(mean) / error, len(differences) - 1)
        else:
            p_value = float(mean == 0)
        yield PairedTest(one, other, float(mean), float(1.96 * error), float(p_value))


def remarks(results: Sequence[Result]) -> list[str]:
    """What a reader of the table must know: marks of results, different lists or episodes within a column."""
    lines = [f'{result.method}, {result.column}: {note}' for result in results for note in result.notes]
    for column in dict.fromkeys(result.column for result in results):
        group = [result for result in results if result.column == column]
        if len({result.list_hash for result in group if result.list_hash}) > 1:
            lines.append(f'{column}: the results are about different lists of videos')
        elif len({result.episode_hash for result in group}) > 1:
            lines.append(f'{column}: the results are about different episodes, so only their intervals can be compared')
        elif len(group) > 1 and any(result.episode_acc is None for result in group):
            lines.append(f'{column}: no paired test without episode_acc in all results')
    return lines


def grid(results: Sequence[Result]) -> tuple[list[str], list[list[str]]]:
    """Head and rows of the table; ``*`` behind a number says that it carries a remark."""
    columns = list(dict.fromkeys(result.column for result in results))
    cells = {(r.method, r.column): f'{r.acc:.2f} ± {r.ci95:.2f}{"*" if r.notes else ""}' for r in results}
    methods = dict.fromkeys(result.method for result in results)
    return ['method', *columns], [[name, *(cells.get((name, column), '-') for column in columns)] for name in methods]


def sentence(test: PairedTest) -> str:
    difference = f'{test.one.method} - {test.other.method} = {test.difference:+.2f} ± {test.ci95:.2f}'
    p_value = 'p < 0.0001' if test.p_value < 1e-4 else f'p = {test.p_value:.4f}'
    return f'{test.one.column}: {difference}, {p_value} ({test.one.episodes} episodes)'


def sections(results: Sequence[Result]) -> dict[str, list[str]]:
    """What stands below the table."""
    texts = {
        'Paired tests, p not corrected for their number': [sentence(test) for test in paired_tests(results)],
        'Remarks': remarks(results),
    }
    return {title: items for title, items in texts.items() if items}


def markdown(results: Sequence[Result]) -> str:
    """The whole comparison as Markdown."""
    head, rows = grid(results)
    lines = [head, ['---', *['---:'] * (len(head) - 1)], *rows]
    text = ''.join('| ' + ' | '.join(cell.replace('|', r'\|') for cell in line) + ' |\n' for line in lines)
    for title, items in sections(results).items():
        text += f'\n{title}:\n\n' + ''.join(f'- {item}\n' for item in items)
    return text


def show(results: Sequence[Result], console: Console) -> None:
    """The whole comparison on a terminal."""
    head, rows = grid(results)
    table = Table(title='Accuracy in percent, 95 % interval')
    for number, name in enumerate(head):
        table.add_column(Text(name), justify='right' if number else 'left')
    for row in rows:
        table.add_row(*map(Text, row))
    console.print(table)
    for title, items in sections(results).items():
        console.print(Text('\n'.join([f'{title}:', *(f'- {item}' for item in items)])))


def main(argv: Sequence[str] | None = None) -> int:
    summary, _, details = __doc__.partition('\n')
    parser = argparse.ArgumentParser(
        description=summary, epilog=details, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('results', nargs='+', metavar='RESULT.json', help='result files, or NAME=FILE')
    parser.add_argument('--markdown', metavar='FILE', help="write the comparison as Markdown; '-' prints it")
    args = parser.parse_args(argv)
    try:
        # A file of settings and the files that it stands for may both be given.
        results = list(dict.fromkeys(result for argument in args.results for result in read_results(argument)))
        check_distinct(results)
    except ValueError as error:
        print(f'Error: {error}', file=sys.stderr)
        return 1
    if args.markdown == '-':
        print(markdown(results), end='')
        return 0
    show(results, Console())
    if args.markdown:
        Path(args.markdown).write_text(markdown(results), encoding='utf-8')
    return 0


if __name__ == '__main__':
    sys.exit(main())
