"""The table in Markdown, and beside it JSON and figures."""

from __future__ import annotations

import itertools
import json
import os
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from fsar_llava.evaluation.report import versions, write_json

from .checks import verdict
from .figures import draw_figures
from .recipes import SHOTS, TASKS, metrics
from .results import Score
from .settings import Settings
from .stages import Outcome
from .table import FreeKey, Table

TITLES = {
    'linear-visual': 'Linear projection, visual tokens (control)',
    'linear-both': 'Linear projection, both modalities (control)',
    'unknown': '**FSAR-LLaVA, Unknown prompts**',
    'known': '**FSAR-LLaVA, Known prompts**',
    'clip_fsar': 'CLIP-FSAR',
    'ma_fsar': 'MA-FSAR',
    'clip_m2df': 'CLIP-M2DF',
}
TASK_TITLES = {'1shot': '1-shot', '5shot': '5-shot', 'reversed': 'reversed pairs'}
PARTS = {
    'spatial': 'spatial attention',
    'temporal': 'temporal attention',
    'visual_lead': 'visual-lead attention',
    'textual_lead': 'textual-lead attention',
    'local': 'local part of the prototype',
    'global': 'global part of the prototype',
    'local+global': 'both parts of the prototype (class means)',
}


def write_report(settings: Settings, outcome: Outcome, *, command: str, seconds: float) -> bool:
    """Write ``table.md``, ``table.json`` and the figures; print the checks.

    Returns:
        Whether all checks passed.
    """
    table = Table(settings, outcome)
    proofs = [json.loads(path.read_text()) for path in settings.out.glob('*/*/*.json') if path.parent.is_dir()]
    spent = sum(proof.get('seconds', 0) for proof in proofs if 'key' in proof)
    hashes = {name: tasks['1shot'].episode_hash for name, tasks in table.headline.items() if '1shot' in tasks}
    facts = dict(
        date=datetime.now().astimezone().isoformat(timespec='seconds'),
        command=command,
        versions=versions(),
        cores=os.cpu_count(),
        minutes=round(seconds / 60, 1),
        minutes_of_all_jobs=round(spent / 60, 1),
        episode_hash_1shot=next(iter(hashes.values()), None),
    )
    write_json(settings.out / 'table.json', dict(facts, **table.as_dict()))
    sections = [_head(settings, facts), _headline(table), _checks(table), _choices(table), _ablations(table)]
    sections += [_grid(table), _sweeps(table), _training_free(table), _failures(outcome)]
    (settings.out / 'table.md').write_text('\n\n'.join(filter(None, sections)) + '\n', encoding='utf-8')
    draw_figures(table, settings.out)
    for check in table.checks:
        print(f'{verdict(check["passed"]):9} {check["check"]}: {check["numbers"]}')
    return all(check['passed'] for check in table.checks)


def _head(settings: Settings, facts: dict) -> str:
    packages = ', '.join(f'{name} {version}' for name, version in facts['versions'].items() if version)
    seeds = (settings.seeds, settings.video_seeds, settings.ablation_seeds)
    headline, videos, ablations = (', '.join(map(str, some)) for some in seeds)
    made = (
        f'Made on {facts["date"][:10]} by `{facts["command"]}` in {facts["minutes"]:.0f} minutes on {facts["cores"]} '
        f'cores; all rows together, also those of earlier runs that were interrupted, took '
        f'{facts["minutes_of_all_jobs"]:.0f} minutes of processes. {packages}.'
    )
    meaning = (
        f'5-way accuracy in percent on {settings.test_episodes:,} meta-test episodes, the same for every row of a '
        f'column (hash of the 1-shot ones: `{str(facts["episode_hash_1shot"])[:12]}`). Where there are several seeds '
        f'({headline}; Known and methods on CLIP: {videos}; ablations: {ablations}): mean ± 95 % interval over seeds '
        "(Student's t); in brackets the 95 % interval over episodes. "
        f'Trained with {settings.train_episodes:,} 1-shot episodes (choices and ablations: '
        f'{settings.choice_episodes:,}; Known and methods on CLIP: {settings.video_episodes:,}); the same weights are '
        'tested at 5 shots. *Reversed pairs*: 2-way 1-shot episodes of classes that are the same film in opposite '
        f'directions, chance is 50. Choices were made on {settings.val_episodes:,} meta-val episodes. *Best metric* is '
        'the best one on meta-test.'
    )
    parts = ['# SyntheticMotion, miniature Video-LLaVA', made, meaning]
    return '\n\n'.join(textwrap.fill(part, 120, break_long_words=False, break_on_hyphens=False) for part in parts)


def _headline(table: Table) -> str:
    lines = []
    layer = table.outcome.choices.layer
    for title, where in ((f'Best metric without training, layer {layer}', layer), ('Best one, any layer', None)):
        found = {task: table.best_free(task, where) for task in TASKS}
        cells = [f'{one[1]}, {_name(one[0], where is None)}' if one else '' for one in found.values()]
        lines.append([title, *cells])
    for name, tasks in (table.headline | table.clip).items():
        lines.append([TITLES[name], *_cells(tasks, TASKS)])
    absent = [TITLES[method] for method in table.settings.clip if method not in table.clip]
    note = f'\n\nNot tested, for want of weights: {", ".join(absent)}.' if absent else ''
    return '## Methods\n\n' + markdown(['', *TASK_TITLES.values()], lines) + note


def _name(key: FreeKey, with_layer: bool) -> str:
    layer = f'layer {key.layer}, ' if with_layer else ''
    return f'{layer}{key.metric}, {key.modality}{", centred" if key.centred else ""}'


def _checks(table: Table) -> str:
    rows = [[check['check'], check['numbers'], verdict(check['passed'])] for check in table.checks]
    return '## Checks\n\n' + markdown(['1-shot, meta-test', '', ''], rows)


def _choices(table: Table) -> str:
    rows = []
    for step in table.outcome.record:
        values = [
            f'**{value}: {acc:.2f}**' if value == step['chosen'] else f'{value}: {acc:.2f}'
            for value, acc in step['candidates'].items()
        ]
        rows.append([step['step'], '; '.join(values) + (f'. {step["note"]}' if step['note'] else '')])
        if free := step.get('training_free'):
            rows.append(['best without training, by layer', '; '.join(f'{k}: {acc:.2f}' for k, acc in free.items())])
    title = '## Choices on meta-val\n\nOne after the other, 1-shot accuracy of one seed; chosen in bold.\n\n'
    return title + markdown(['', 'candidates'], rows)


def _ablations(table: Table) -> str:
    rows = [['full model', *_cells(table.full), '']]
    for part, found in table.without.items():
        gap = table.gap(table.outcome.rows.without[part])
        rows.append([f'without {PARTS[part]}', *_cells(found), f'{gap[0]:+.2f} ± {gap[1]:.2f}' if gap else ''])
    title = (
        '## Without parts\n\nEach trained anew. Differences at 1 shot are taken episode by episode and seed by seed; '
        'their interval is the wider one of those over episodes and over seeds.\n\n'
    )
    return title + markdown(['', '1-shot', '5-shot', 'difference'], rows)


def _grid(table: Table) -> str:
    names = list(dict.fromkeys(metric for _, metric in table.grid))
    fusions = dict.fromkeys(fusion for fusion, _ in table.grid)
    cells = {fusion: [_cells(table.grid.get((fusion, metric), {})) for metric in names] for fusion in fusions}
    rows = [[fusion, *itertools.chain(*found)] for fusion, found in cells.items()]
    head = [f'{name}, {TASK_TITLES[task]}' for name in names for task in SHOTS]
    return '## Fusion and the metric inside\n\nEach trained anew.\n\n' + markdown(['', *head], rows)


def _sweeps(table: Table) -> str:
    layers = []
    for layer, found in table.layers.items():
        free = table.best_free('1shot', layer)
        layers.append([layer, f'{free[1]}, {_name(free[0], False)}' if free else '', *_cells(found)])
    episodes = [[count, *_cells(found)] for count, found in table.episodes.items()]
    return (
        '## Layers\n\nFSAR-LLaVA with the shipped settings; one seed.\n\n'
        + markdown(['layer', 'best metric without training, 1-shot', 'FSAR-LLaVA, 1-shot', '5-shot'], layers)
        + '\n\n## Training episodes\n\n'
        + markdown(['episodes', '1-shot', '5-shot'], episodes)
    )


def _training_free(table: Table) -> str:
    parts = []
    for task, title in TASK_TITLES.items():
        groups = dict.fromkeys((k.layer, k.modality, k.centred) for k in table.free)
        rows = []
        for layer, modality, centred in sorted(groups, key=lambda g: (g[0], g[1] == 'textual', g[2])):
            found = [table.free.get(FreeKey(layer, modality, centred, metric, task)) for metric in metrics()]
            cells = [f'{one.acc:.2f} ± {one.over_episodes:.2f}' if one else '' for one in found]
            rows.append([f'{layer}, {modality}{", centred" if centred else ""}', *cells])
        parts.append(f'### {title}\n\n' + markdown(['tokens', *metrics()], rows))
    title = (
        '## Without training\n\nLayer 0 is what enters the decoder: frames from the tower; the words are the same for '
        'all videos. *Centred*: minus the mean token of the meta-train videos. Tuples are pairs of frames or words.'
        '\n\n'
    )
    return title + '\n\n'.join(parts)


def _failures(outcome: Outcome) -> str:
    return '## Failed\n\n' + '\n'.join(f'- {name}' for name in outcome.failed) if outcome.failed else ''


def _cells(found: Mapping[str, Score], tasks: Sequence[str] = SHOTS) -> list[str]:
    return [str(found.get(task, '')) for task in tasks]


def markdown(head: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [head, ['---'] * len(head), *rows]
    return '\n'.join('| ' + ' | '.join(map(str, line)) + ' |' for line in lines)
