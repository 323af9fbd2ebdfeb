import pytest
import torch

from fsar_llava.models.layers import TemporalPosition


def test_gives_its_entries_for_the_frames_of_training():
    position = TemporalPosition(8, 4)
    assert torch.equal(position(8), position.embedding)
    assert 0.005 < position.embedding.std() < 0.04


@pytest.mark.parametrize('num_frames', [1, 3, 4, 5, 11, 16])
def test_other_lengths_are_interpolated_at_the_middles_of_their_segments(num_frames):
    position = TemporalPosition(8, 4)
    entries = position.embedding.detach()
    for frame, result in enumerate(position(num_frames)):
        place = min(max((frame + 0.5) / num_frames * 8 - 0.5, 0), 7)
        left = min(int(place), 6)
        expected = entries[left] + (place - left) * (entries[left + 1] - entries[left])
        torch.testing.assert_close(result, expected)


def test_every_entry_gets_a_gradient_from_longer_videos():
    position = TemporalPosition(3, 2)
    position(6).sum().backward()
    assert (position.embedding.grad > 0).all()


def test_at_least_one_frame():
    with pytest.raises(ValueError, match='num_frames must be at least 1, but is 0'):
        TemporalPosition(0, 4)
