import pytest
import torch
from mmaction.models.data_preprocessors import ActionDataPreprocessor
from mmaction.structures import ActionDataSample

from fsar_llava import EpisodeBatch
from tests.factories import episode_samples


def restamp(sample, **changes):
    sample.set_metainfo(changes)


def test_indices_of_two_episodes():
    samples = episode_samples(3, 2, 1, episode_id=7) + episode_samples(3, 2, 1, episode_id=9, first_class=3)
    batch = EpisodeBatch.from_samples(samples)
    assert batch.support_index.tolist() == [
        [[0, 1], [2, 3], [4, 5]],
        [[9, 10], [11, 12], [13, 14]],
    ]
    assert batch.query_index.tolist() == [[6, 7, 8], [15, 16, 17]]
    assert batch.query_way.tolist() == [[0, 1, 2], [0, 1, 2]]
    assert batch.episode_ids == (7, 9)
    assert batch.class_names[1] == ('class 3', 'class 4', 'class 5')
    assert batch.class_ids == ((0, 1, 2), (3, 4, 5))
    assert batch.digests == ('digest7', 'digest9')
    assert batch.query_names[1] == ('class 3/6.mp4', 'class 4/7.mp4', 'class 5/8.mp4')
    assert batch.num_ways == 3


def test_order_within_an_episode_is_free():
    samples = episode_samples(2, 1, 1)
    batch = EpisodeBatch.from_samples([samples[3], samples[1], samples[0], samples[2]])
    assert batch.support_index.tolist() == [[[2], [1]]]
    assert batch.query_index.tolist() == [[0, 3]]
    assert batch.query_way.tolist() == [[1, 0]]
    assert batch.query_names == (('class 1/3.mp4', 'class 0/2.mp4'),)


def test_same_episode_twice_stays_two_episodes():
    batch = EpisodeBatch.from_samples(episode_samples(2, 1, 1) + episode_samples(2, 1, 1))
    assert batch.support_index.shape == (2, 2, 1)


def test_ordinary_samples_are_refused():
    with pytest.raises(ValueError, match='EpisodicSampler'):
        EpisodeBatch.from_samples([ActionDataSample()])


def test_blended_videos_are_refused():
    samples = [sample.set_gt_label(sample.metainfo['class_id']) for sample in episode_samples(3, 1, 1)]
    assert EpisodeBatch.from_samples(samples).num_ways == 3
    data_preprocessor = ActionDataPreprocessor(blending=dict(type='MixupBlending', num_classes=3))
    videos = [torch.zeros(1, 3, 4, 4) for _ in samples]
    blended = data_preprocessor(dict(inputs=videos, data_samples=samples), training=True)['data_samples']
    with pytest.raises(ValueError, match='blending=None'):
        EpisodeBatch.from_samples(blended)


@pytest.mark.parametrize('way', [3, -2])
def test_query_of_a_foreign_class_is_named(way):
    samples = episode_samples(3, 1, 1)
    restamp(samples[-1], way=way, class_name='juggling')
    with pytest.raises(ValueError, match=rf"'juggling' has way {way}"):
        EpisodeBatch.from_samples(samples)


def test_support_without_a_way_is_refused():
    samples = episode_samples(3, 1, 1)
    restamp(samples[0], way=-1)
    with pytest.raises(ValueError, match='support video'):
        EpisodeBatch.from_samples(samples)


def test_unequal_shots_are_counted():
    samples = episode_samples(2, 2, 1)
    restamp(samples[3], way=0)
    with pytest.raises(ValueError, match=r"'class 0': 3, 'class 1': 1"):
        EpisodeBatch.from_samples(samples)


def test_episodes_of_unequal_shape_are_refused():
    with pytest.raises(ValueError, match=r'\(2, 1, 2\), \(3, 1, 3\)'):
        EpisodeBatch.from_samples(episode_samples(2, 1, 1) + episode_samples(3, 1, 1))


def test_cut_episode_is_refused():
    with pytest.raises(ValueError, match='only 5 of them'):
        EpisodeBatch.from_samples(episode_samples(3, 1, 1)[:5])


def test_unlabelled_queries_can_be_scored_but_not_trained_on():
    samples = episode_samples(2, 1, 1)
    restamp(samples[-1], way=-1)
    batch = EpisodeBatch.from_samples(samples)
    assert batch.query_way.tolist() == [[0, -1]]
    with pytest.raises(ValueError, match='way -1'):
        batch.labels()
    assert torch.equal(EpisodeBatch.from_samples(episode_samples(2, 1, 1)).labels(), torch.tensor([[0, 1]]))
