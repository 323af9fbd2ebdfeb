"""CLIP-M2DF's distillation between its two views."""

from __future__ import annotations

import math

import pytest
import torch

from fsar_llava.models.losses import MutualDistillation
from fsar_llava.structures import EpisodeScores

from .episodes import B, N, Q
from .loops import array, softmax


def draw_parts(seed=0, scale=2.0):
    generator = torch.Generator().manual_seed(seed)
    names = ('local', 'global', 'text_local', 'text_global')
    return {
        name: (scale * torch.randn(B, 12, N, generator=generator, dtype=torch.float64)).requires_grad_()
        for name in names
    }


def distillation(parts, direction='both', visual=True, textual=True):
    """Plain loops over episodes and queries."""
    value = {name: array(part) for name, part in parts.items()}
    total = 0.0
    for b in range(B):
        sums = {'local': [0.0, 0.0], 'global': [0.0, 0.0]}
        for q in range(value['local'].shape[1]):
            p = {name: softmax(part[b, q]) for name, part in value.items()}
            holds = []
            if visual:
                holds.append(max(p['local']) >= max(p['global']))
            if textual:
                holds.append(max(p['text_local']) >= max(p['text_global']))
            for teacher, student, teaches in (('local', 'global', all(holds)), ('global', 'local', not any(holds))):
                if not teaches or direction not in ('both', teacher):
                    continue
                weight = max(p[teacher]) + max(p[f'text_{teacher}'])
                kl = sum(a * (math.log(a) - math.log(c)) for a, c in zip(p[teacher], p[student]))
                sums[teacher][0] += weight * kl
                sums[teacher][1] += weight
        total += sum(s / w for s, w in sums.values() if w) / B
    return total


@pytest.mark.parametrize(('direction', 'student'), [('local', 'global'), ('global', 'local')])
def test_only_the_student_has_a_gradient(direction, student):
    parts = draw_parts()
    MutualDistillation(direction=direction)(EpisodeScores(parts['local'], parts), None)['loss_distill'].backward()
    assert {name for name, part in parts.items() if part.grad is not None and part.grad.any()} == {student}


@pytest.mark.parametrize('direction', ['both', 'local', 'global'])
@pytest.mark.parametrize(('visual', 'textual'), [(True, True), (True, False), (False, True), (False, False)])
def test_distillation_equals_plain_loops(direction, visual, textual):
    parts = draw_parts()
    module = MutualDistillation(
        direction=direction, visual_condition=visual, textual_condition=textual, loss_weight=0.7
    )
    loss = module(EpisodeScores(parts['local'], parts), None)['loss_distill']
    expected = distillation(parts, direction, visual, textual)
    assert expected > 0.01
    assert float(loss.detach()) == pytest.approx(0.7 * expected, rel=1e-9)


def test_the_local_view_teaches_where_both_are_as_confident():
    parts = draw_parts()
    parts |= {'global': parts['local'], 'text_global': parts['text_local']}
    local, other = MutualDistillation().teachers(EpisodeScores(parts['local'], parts))
    assert local.all()
    assert not other.any()


def one_sided(teacher):
    """Scores in which one view is the more confident one for every query, or neither is for any."""
    sharp, flat = torch.tensor([9.0, 0.0, 0.0]), torch.tensor([0.5, 0.0, 0.0])
    local = dict(local=(sharp, sharp), neither=(sharp, flat)).get(teacher, (flat, flat))
    other = dict(local=(flat, flat), neither=(flat, sharp)).get(teacher, (sharp, sharp))
    values = dict(zip(('local', 'text_local', 'global', 'text_global'), (*local, *other)))
    return {name: value.expand(B, Q, N).clone().requires_grad_() for name, value in values.items()}


@pytest.mark.parametrize(
    ('teacher', 'direction', 'positive'),
    [
        ('local', 'both', True),
        ('local', 'global', False),
        ('global', 'both', True),
        ('global', 'local', False),
        ('neither', 'both', False),
    ],
)
def test_where_nothing_qualifies_the_loss_is_zero_and_finite(teacher, direction, positive):
    parts = one_sided(teacher)
    loss = MutualDistillation(direction=direction)(EpisodeScores(parts['local'], parts), None)['loss_distill']
    loss.backward()
    assert torch.isfinite(loss)
    assert (float(loss) > 0.1) if positive else (float(loss) == 0)
    gradients = {name: part.grad for name, part in parts.items() if part.grad is not None}
    assert all(torch.isfinite(grad).all() for grad in gradients.values())
    student = dict(local='global').get(teacher, 'local')
    assert {name for name, grad in gradients.items() if grad.any()} == ({student} if positive else set())


def test_distillation_stays_finite_where_the_student_excludes_the_answer():
    parts = one_sided('local')
    parts['local'] = parts['local'].detach() * 1e4
    parts['global'] = (-parts['global'].detach() * 100).requires_grad_()
    loss = MutualDistillation(visual_condition=False)(EpisodeScores(parts['local'], parts), None)['loss_distill']
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(parts['global'].grad).all()


def test_distillation_needs_two_views():
    with pytest.raises(KeyError, match='MultiviewHead'):
        MutualDistillation()(EpisodeScores(torch.zeros(1, 2, 3)), None)
    with pytest.raises(ValueError, match=r"direction must be one of .* 'up'"):
        MutualDistillation(direction='up')
