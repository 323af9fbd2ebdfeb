import pytest
import torch

from fsar_llava.models import PrototypeHead
from fsar_llava.models.matching.multimodal_matching import FUSIONS
from fsar_llava.models.necks import MultimodalFeatureEnhancement
from fsar_llava.models.prototypes import CompositeTaskOrientedPrototype
from tests.factories import episode_samples, random_features


def test_neck_and_prototype_of_the_full_size_stay_below_20_million():
    with torch.device('meta'):
        parts = MultimodalFeatureEnhancement(4096, 512), CompositeTaskOrientedPrototype(512)
    assert all(p.is_meta and p.requires_grad for part in parts for p in part.parameters())
    neck, prototype = (sum(p.numel() for p in part.parameters()) for part in parts)
    width, square = 512, 512**2
    norm, attention, ffn = 2 * width, 4 * square, 8 * square + 5 * width
    down_sampling = 2 * 4096 + 4096 * width + width
    assert neck == down_sampling + 4 * attention + 6 * norm + 8 * width + 2 * (ffn + norm) == 10_511_872
    assert prototype == 2 * (2 * attention + 3 * norm + 2 * square) == 5_249_024
    assert neck + prototype < 20_000_000


@pytest.mark.parametrize('fusion', FUSIONS)
def test_no_parameter_is_left_out_of_the_graph_where_ddp_would_refuse_it(fusion):
    switches = {'visual': (dict(textual=False), ['visual']), 'textual': (dict(visual=False), ['textual'])}
    halves, modalities = switches.get(fusion, ({}, ['visual', 'textual']))
    neck = MultimodalFeatureEnhancement(6, 8, num_heads=2, **halves)
    prototype = dict(type='CompositeTaskOrientedPrototype', channels=8, num_heads=2, modalities=modalities)
    head = PrototypeHead(dict(type='MultimodalMatching', fusion=fusion), prototype)
    features, _ = neck(random_features(9, channels=6))
    head.loss(features, episode_samples(3, 1, 2))['loss_q2s'].backward()
    named = [*neck.named_parameters(), *head.named_parameters()]
    assert [name for name, parameter in named if parameter.grad is None] == []
