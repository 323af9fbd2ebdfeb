import torch

from fsar_llava.models.layers import FeedForward

from .loops import feed_forward, names_with_gradient, numbers, perturb, random


def test_equals_plain_loops():
    block, x = perturb(FeedForward(8, ratio=3)), random(5, 8)
    assert block.expand.out_features == 24
    for result, token in zip(block(x), numbers(x)):
        torch.testing.assert_close(result, torch.tensor(feed_forward(block, token)))


def test_is_the_identity_at_initialisation_and_learns():
    block, x = FeedForward(8).double(), random(5, 8)
    assert torch.equal(block(x), x)
    (block(x) * random(5, 8, seed=1)).sum().backward()
    assert names_with_gradient(block) == {'output.weight', 'output.bias'}
