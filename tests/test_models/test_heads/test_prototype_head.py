import pytest
import torch

from fsar_llava import EpisodeBatch, VideoFeatures
from fsar_llava.models import PrototypeHead
from tests.factories import episode_samples, random_features

UNIMODAL = [
    dict(matching=dict(type='CosineMatching'), prototype=dict(type='MeanPrototype')),
    dict(matching=dict(type='EuclideanMatching'), prototype=dict(type='MeanPrototype')),
    dict(matching=dict(type='OTAM')),
    dict(matching=dict(type='BiMHM', reduction='mean')),
]
MULTIMODAL = dict(
    matching=dict(type='MultimodalMatching', matching=dict(type='BiMHM', reduction='mean'), temperature=0.07),
    prototype=dict(type='CompositeTaskOrientedPrototype', channels=8, num_heads=2),
    temperature=0.07,
)
EVERY = [*UNIMODAL, MULTIMODAL]


def build(cfg):
    torch.manual_seed(0)
    head = PrototypeHead(**cfg)
    for parameter in head.parameters():  # away from the zero initialisation that makes prototypes plain means
        torch.nn.init.normal_(parameter, std=0.3)
    return head.eval()


def predict(head, samples, features):
    with torch.no_grad():
        return torch.stack([result.pred_scores for result in head.predict(features, samples)])


@pytest.mark.parametrize('cfg', EVERY)
def test_one_result_per_episode(cfg):
    samples = episode_samples(3, 2, 2, episode_id=4) + episode_samples(3, 2, 2, episode_id=5, first_class=3)
    results = build(cfg).predict(random_features(len(samples)), samples)
    assert [result.metainfo['episode_id'] for result in results] == [4, 5]
    assert results[1].metainfo['class_ids'] == (3, 4, 5)
    assert results[1].metainfo['episode_digest'] == 'digest5'
    assert results[1].metainfo['query_names'][1:3] == ('class 3/7.mp4', 'class 4/8.mp4')
    for result in results:
        assert result.pred_scores.shape == (6, 3)
        torch.testing.assert_close(result.pred_scores.sum(-1), torch.ones(6))
        assert torch.equal(result.pred_label, result.pred_scores.argmax(-1))
        assert result.gt_label.tolist() == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize('value', [float('nan'), float('inf')])
@pytest.mark.parametrize('cfg', EVERY)
def test_features_that_are_no_numbers_show_in_the_scores(cfg, value):
    samples = episode_samples(3, 1, 2) + episode_samples(3, 1, 2, episode_id=1)
    features = random_features(len(samples))
    features.visual[1, 0, 0] = value  # of the support of a way
    broken, whole = predict(build(cfg), samples, features)
    assert broken.isnan().all()
    assert whole.isfinite().all()


@pytest.mark.parametrize('cfg', EVERY)
def test_query_labels_do_not_reach_the_logits(cfg):
    head, samples = build(cfg), episode_samples(3, 1, 2)
    features = random_features(len(samples))
    before = predict(head, samples, features)
    for sample, way in zip(samples[3:], [2, 1, -1, 0, 2, 1]):
        sample.set_metainfo(dict(way=way, class_name=f'class {way}', class_id=way))
    assert torch.equal(predict(head, samples, features), before)


@pytest.mark.parametrize('cfg', EVERY)
def test_permuting_ways_permutes_logits(cfg):
    head, samples = build(cfg), episode_samples(3, 2, 1)
    features = random_features(len(samples))
    before = predict(head, samples, features)
    new_way = [2, 0, 1]
    for sample in samples:
        sample.set_metainfo(dict(way=new_way[sample.metainfo['way']]))
    after = predict(head, samples, features)
    torch.testing.assert_close(after[..., new_way], before)


@pytest.mark.parametrize('cfg', EVERY)
def test_other_episodes_in_the_batch_change_nothing(cfg):
    head, samples = build(cfg), episode_samples(3, 2, 2)
    features, others = random_features(len(samples)), random_features(2 * len(samples), seed=1)
    alone = predict(head, samples, features)
    joined = VideoFeatures(
        torch.cat([others.visual[:12], features.visual, others.visual[12:]]),
        torch.cat([others.textual[:12], features.textual, others.textual[12:]]),
        torch.cat([others.textual_mask[:12], features.textual_mask, others.textual_mask[12:]]),
    )
    batch = [*episode_samples(3, 2, 2, episode_id=1), *samples, *episode_samples(3, 2, 2, episode_id=2)]
    torch.testing.assert_close(predict(head, batch, joined)[1:2], alone)


@pytest.mark.parametrize('cfg', EVERY)
def test_loss_and_score_agree_with_predict(cfg):
    head, samples = build(cfg), episode_samples(3, 2, 2)
    features = random_features(len(samples))
    features.visual.requires_grad_()
    batch = EpisodeBatch.from_samples(samples)
    logits = head.score(features[batch.support_index], features[batch.query_index])
    torch.testing.assert_close(logits.softmax(-1).detach(), predict(head, samples, features))
    losses = head.loss(features, samples)
    picked = logits.log_softmax(-1).gather(-1, batch.query_way[..., None])
    assert float(losses['loss_q2s']) == pytest.approx(-float(picked.mean()), rel=1e-5)
    assert float(losses['acc']) == pytest.approx(100 * float((logits.argmax(-1) == batch.query_way).float().mean()))
    losses['loss_q2s'].backward()
    assert torch.isfinite(features.visual.grad).all()
    assert (features.visual.grad != 0).any()


def test_modalities_can_be_supervised_one_by_one():
    cfg = dict(
        MULTIMODAL, losses=[dict(type='FewShotCrossEntropy'), dict(type='FewShotCrossEntropy', parts=('textual',))]
    )
    losses = build(cfg).loss(random_features(12), episode_samples(3, 2, 2))
    assert {name for name in losses if 'loss' in name} == {'loss_q2s', 'loss_q2s_textual'}


@pytest.mark.parametrize('prototype', [UNIMODAL[0]['prototype'], MULTIMODAL['prototype']])
def test_supports_that_a_modulation_conditions_on_the_query_take_no_prototype(prototype):
    modulation = dict(type='HybridRelation', channels=8, num_heads=2)
    head = build(dict(UNIMODAL[3], modulation=modulation, prototype=prototype))
    message = (
        rf'HybridRelation conditions .*= \[1, 6, 3, 1, 4, 8\], but {prototype["type"]} takes .* Leave prototype out'
    )
    with pytest.raises(ValueError, match=message):
        predict(head, episode_samples(3, 2, 2), random_features(12))


def test_temperature_divides_what_is_fused_and_each_modality():
    features, batch = random_features(12), EpisodeBatch.from_samples(episode_samples(3, 2, 2))
    support, query = features[batch.support_index], features[batch.query_index]
    head = build(dict(matching=MULTIMODAL['matching'], temperature=0.3))
    scores, distances = head.episode_scores(support, query), head.matching.distances(query, support)
    torch.testing.assert_close(scores.logits, -head.matching.fuse(distances) / 0.3)
    assert scores.parts.keys() >= {'visual', 'textual'}
    for name, part in scores.parts.items():
        torch.testing.assert_close(part, -distances[name] / 0.3)


def test_losses_of_one_name_are_added():
    loss = dict(type='FewShotCrossEntropy')
    single, both = (
        build(dict(UNIMODAL[3], losses=losses)).loss(random_features(12), episode_samples(3, 2, 2))
        for losses in (loss, [loss, dict(loss, loss_weight=2.0)])
    )
    torch.testing.assert_close(both['loss_q2s'], 3 * single['loss_q2s'])


class FrameMeans(torch.nn.Module):
    """A metric of the user's own, that knows of no base class."""

    def forward(self, query, support, query_mask=None, support_mask=None):
        return torch.cdist(query.mean(-2), support.mean((-2, -3)))


@pytest.mark.parametrize('fusion', [None, 'mean', 'union'])
def test_any_module_that_gives_distances_is_a_metric(fusion):
    metric, features = dict(type=FrameMeans), random_features(12)
    head = build(dict(matching=dict(type='MultimodalMatching', matching=metric, fusion=fusion) if fusion else metric))
    batch = EpisodeBatch.from_samples(episode_samples(3, 2, 2))
    support, query = features[batch.support_index], features[batch.query_index]
    visual, textual = (FrameMeans()(getattr(query, name), getattr(support, name)) for name in ('visual', 'textual'))
    tokens = [torch.cat((side.visual, side.textual), -2) for side in (query, support)]
    expected = {None: visual, 'mean': (visual + textual) / 2, 'union': FrameMeans()(*tokens)}[fusion]
    torch.testing.assert_close(head.score(support, query), -expected)


def test_stock_features_with_any_number_of_segments():
    head, samples = build(UNIMODAL[2]), episode_samples(2, 1, 1)
    for segments in (1, 3):
        assert predict(head, samples, torch.randn(4 * segments, 8, 2, 2)).shape == (1, 2, 2)


def test_separated_classes_are_recognised():
    samples = episode_samples(3, 2, 2)
    visual = torch.zeros(12, 4, 8)
    for position, sample in enumerate(samples):
        visual[position, :, sample.metainfo['way']] = 1
    for cfg in UNIMODAL:
        result = build(cfg).predict(VideoFeatures(visual), samples)[0]
        assert torch.equal(result.pred_label, result.gt_label)


def test_temperature_must_be_positive():
    with pytest.raises(ValueError, match=r'temperature must be positive, but is 0'):
        PrototypeHead(matching=dict(type='CosineMatching'), temperature=0)
