"""Choices on meta-val: greedy, one after the other, with one seed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace

from .jobs import Job, Pool
from .recipes import Choices, grid, linear, shipped_choices, trained
from .results import result, score
from .rows import Row
from .settings import Settings, shipped
from .tasks import test, train, training_free_rows

LOW, HIGH = 45.0, 75.0  # a reference layer: the best metric without training lies between them
# Other episodes than those that choose the checkpoint during a training.
VAL_TESTS = [dict(name='1shot', num_shots=1, seed=1)]


@dataclass(frozen=True)
class Step:
    """One choice.

    Attributes:
        name: What is chosen.
        candidates: Choices by the value that a reader sees.
        row: The training that a candidate stands for.
    """

    name: str
    candidates: dict[str, Choices]
    row: Callable[[Choices], Row]


def steps(settings: Settings) -> list[Callable[[Choices], Step]]:
    """All choices in order; each is made from those before."""
    seed = settings.ablation_seeds[0]

    def full(choices: Choices) -> Row:
        return trained(settings, choices, seed, episodes=settings.choice_episodes)

    def layer(now: Choices) -> Step:
        return Step('layer', {str(k): replace(now, layer=k) for k in settings.layers if k}, full)

    def lr(now: Choices) -> Step:
        return Step('learning rate', {f'{lr:.2g}': replace(now, lr=lr) for lr in rates}, full)

    def tau(now: Choices) -> Step:
        return Step('tau', {f'{tau:g}': replace(now, tau=tau) for tau in settings.temperatures}, full)

    def tau_w(now: Choices) -> Step:
        candidates = {f'{tau:g}': replace(now, tau_w=tau, fusion='confidence') for tau in settings.fusion_temperatures}
        return Step('tau_w of the confidence', candidates, full)

    def fusion(now: Choices) -> Step:
        return Step('fusion and metric', {f'{c.fusion}, {c.metric}': c for c in grid(settings, now)}, full)

    def control(modality: str) -> Callable[[Choices], Step]:
        return lambda now: Step(
            f'learning rate, linear control ({modality})',
            {f'{lr:.2g}': replace(now, **{f'{modality}_lr': lr}) for lr in rates},
            lambda choices: linear(settings, choices, seed, modality, settings.choice_episodes),
        )

    rates = [float(f'{factor * shipped("tokens").optim_wrapper.optimizer.lr:.2g}') for factor in settings.rates]
    return [layer, lr, tau, tau_w, fusion, control('visual'), control('both')]


def planned(settings: Settings, choices: Choices) -> list[Job]:
    """The jobs of all steps if they all chose ``choices``."""
    made = [make(choices) for make in steps(settings)]
    return [job for step in made for job in _jobs(settings, step)]


def choose(settings: Settings, pool: Pool) -> tuple[Choices, list[dict]]:
    """Train the candidates of each step, and go on with the best on meta-val.

    Returns:
        The choices, and for each step ``dict(step, candidates={value: accuracy}, chosen, note)``.
    """
    now, record = shipped_choices(), []
    for make in steps(settings):
        step = make(now)
        pool.run(_jobs(settings, step))
        found = {value: score(settings, [step.row(c)], 'val', '1shot') for value, c in step.candidates.items()}
        accuracies = {value: one.acc for value, one in found.items() if one is not None}
        entry = dict(step=step.name, candidates=accuracies, chosen=None, note='')
        allowed = list(accuracies)
        if step.name == 'layer':
            entry['training_free'] = training_free_best(settings)
            allowed, entry['note'] = reference_layers(entry['training_free'], allowed)
        if allowed:
            entry['chosen'] = max(allowed, key=accuracies.__getitem__)
            now = step.candidates[entry['chosen']]
        else:
            entry['note'] = 'No result; the shipped value is kept.'
        record.append(entry)
    text = json.dumps(dict(choices=asdict(now), steps=record), indent=2)
    (settings.out / 'choices.json').write_text(text + '\n', encoding='utf-8')
    return now, record


def training_free_best(settings: Settings) -> dict[str, float]:
    """Best 1-shot meta-val accuracy without training, by layer."""
    best: dict[str, float] = {}
    for (layer, _), row in training_free_rows(settings).items():
        for path in (row.folder(settings) / 'val').glob('few_shot_result_*_1shot.json'):
            found = result(settings, row, 'val', path.stem.removeprefix('few_shot_result_'))
            if found is not None:
                best[str(layer)] = max(best.get(str(layer), 0.0), found['acc'])
    return best


def reference_layers(best: Mapping[str, float], layers: list[str]) -> tuple[list[str], str]:
    """Those layers that leave room for training, and a remark where that excludes some or there is none."""
    known = [layer for layer in layers if layer in best]
    inside = [layer for layer in known if LOW <= best[layer] <= HIGH]
    if inside == known:
        return layers, ''
    if inside:
        return inside, f'Only layers that are within {LOW:g} to {HIGH:g} % without training were to choose from.'
    nearest = min(known, key=lambda layer: max(LOW - best[layer], best[layer] - HIGH))
    return [nearest], f'No layer is within {LOW:g} to {HIGH:g} % without training; the nearest one is taken.'


def _jobs(settings: Settings, step: Step) -> list[Job]:
    rows = [step.row(choices) for choices in step.candidates.values()]
    return [train(settings, row) for row in rows] + [test(settings, row, 'val', VAL_TESTS) for row in rows]
