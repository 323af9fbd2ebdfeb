"""What must hold, with the numbers."""

from __future__ import annotations

from collections.abc import Mapping

from .choosing import HIGH, LOW
from .results import Score

ABOVE_TRAINING_FREE, ABOVE_CONTROL = 10.0, 3.0
APART = '... and the intervals do not overlap'


def make_checks(layer: int, free: Mapping[int, Score], headline: Mapping[str, Score]) -> list[dict]:
    """Compare 1-shot accuracies on meta-test.

    Args:
        layer: The chosen one.
        free: Best metric without training, by layer.
        headline: Scores by method: ``linear-visual``, ``linear-both``, ``unknown``.

    Returns:
        ``dict(check, numbers, passed)`` each; ``passed`` is None where a result is missing.
    """
    ours, own = headline.get('unknown'), free.get(layer)
    anywhere = max(free.values(), key=lambda score: score.acc, default=None)
    controls = [headline[name] for name in ('linear-visual', 'linear-both') if name in headline]
    control = max(controls, key=lambda score: score.acc) if len(controls) == 2 else None
    room = None if own is None else LOW <= own.acc <= HIGH
    text = f'Best metric without training on layer {layer} is within {LOW:g} to {HIGH:g} %, as on meta-val by choice'
    checks = [dict(check=text, passed=room, numbers='' if own is None else str(own))]
    wanted = [
        (f'FSAR-LLaVA is {ABOVE_TRAINING_FREE:g} points above it', own, ABOVE_TRAINING_FREE),
        ('FSAR-LLaVA is above the best metric without training on any layer', anywhere, 0.0),
        (f'FSAR-LLaVA is {ABOVE_CONTROL:g} points above the better linear control', control, ABOVE_CONTROL),
    ]
    for text, other, margin in wanted:
        if ours is None or other is None:
            checks += [dict(check=name, passed=None, numbers='') for name in (text, APART)]
            continue
        gap = ours.acc - other.acc
        numbers = f'{ours} - {other} = {gap:+.2f}'
        checks.append(dict(check=text, passed=gap >= margin and gap > 0, numbers=numbers))
        apart = ours.interval[0] > other.interval[1]
        numbers = f'{ours.interval[0]:.2f} and {other.interval[1]:.2f}'
        checks.append(dict(check=APART, passed=apart, numbers=numbers))
    return checks


def verdict(passed: bool | None) -> str:
    """PASS, FAIL or that there is no result."""
    return {True: 'PASS', False: 'FAIL', None: 'NO RESULT'}[passed]
