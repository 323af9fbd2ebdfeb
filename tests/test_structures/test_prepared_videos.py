"""What is prepared of a bank's videos looks the same gathered beforehand and on demand."""

from __future__ import annotations

import pytest
import torch

from fsar_llava.structures import BankRows, PreparedVideos

BANK = dict(tokens=torch.arange(60.0).view(10, 3, 2), mask=torch.arange(30).view(10, 3) % 4 > 0)
ROWS = torch.tensor([[[3], [9]], [[0], [3]], [[7], [7]]])  # 3 episodes, 2 ways, 1 shot


@pytest.fixture(params=['beforehand', 'on demand'])
def videos(request: pytest.FixtureRequest) -> PreparedVideos:
    if request.param == 'on demand':
        return BankRows(BANK, ROWS)
    return PreparedVideos({name: tensor[ROWS] for name, tensor in BANK.items()}, 3)


def test_tensors_by_name(videos: PreparedVideos) -> None:
    assert list(videos) == ['tokens', 'mask']
    assert len(videos) == 2
    assert videos.shape == (3, 2, 1)
    assert videos.device == torch.device('cpu')
    for name, tensor in BANK.items():
        assert torch.equal(videos[name], tensor[ROWS])
    assert 'mask' in videos
    assert 'scale' not in videos
    assert videos.get('scale') is None
    with pytest.raises(KeyError, match='scale'):
        videos['scale']


def test_some_episodes(videos: PreparedVideos) -> None:
    part = videos.part(1, 9)
    assert part.shape == (2, 2, 1)
    assert part.keys() == videos.keys()
    assert torch.equal(part['tokens'], BANK['tokens'][ROWS[1:]])
    assert torch.equal(part.part(1, 2)['mask'], BANK['mask'][ROWS[2:]])


def test_gradients_reach_the_bank() -> None:
    bank = torch.ones(4, 2, requires_grad=True)
    BankRows(dict(tokens=bank), torch.tensor([[1, 1, 3]]))['tokens'].sum().backward()
    assert bank.grad[:, 0].tolist() == [0, 2, 0, 1]
