"""The few-shot head: prototypes from supports, distances of queries to them, losses."""

from __future__ import annotations

from collections.abc import Sequence

from mmaction.models.heads import BaseHead
from mmaction.registry import MODELS
from mmaction.structures import ActionDataSample
from mmengine.model import ModuleList
from torch import Tensor

from fsar_llava.structures import EpisodeBatch, EpisodeScores, VideoFeatures, as_video_features


@MODELS.register_module()
class PrototypeHead(BaseHead):
    """Classifies the queries of an episode by their distance to prototypes of its classes.

    The head alone knows episodes. It works under any recognizer whose backbone or neck gives features per video or per
    frame (see :func:`as_video_features`), for any number of ways, shots and queries.

    Args:
        matching: The metric: ``matching(query, prototypes) -> distance [B, Q, N]`` of tensors, any module. One that
            sets ``multimodal`` takes :class:`VideoFeatures` and has the methods of :class:`MultimodalMatching`.
        prototype: How supports become prototypes: ``prototype(support, query) -> VideoFeatures``. None keeps every shot
            apart; the matching then averages the distances to the shots of a class.
        losses: One or more losses over :class:`EpisodeScores`; their values are added, also under one name. None is
            ``dict(type='FewShotCrossEntropy')``.
        temperature: ``logits = -distance / temperature``.
        modulation: What changes the features of both sides before prototypes are made, such as attention to class texts
            or among the videos of a task: ``modulation(support, query) -> (support, query)``. The support may come back
            conditioned on the query, with leading dimensions ``B, Q, N, K``, if there is no ``prototype``.
        init_cfg: As for every mmengine module.
    """

    def __init__(
        self,
        matching: dict,
        prototype: dict | None = None,
        *,
        losses: dict | Sequence[dict] | None = None,
        temperature: float = 1.0,
        modulation: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        # BaseHead's own constructor only sets up a classifier over a closed set of classes.
        super(BaseHead, self).__init__(init_cfg=init_cfg)
        if temperature <= 0:
            raise ValueError(f'PrototypeHead: temperature must be positive, but is {temperature}.')
        self.modulation = None if modulation is None else MODELS.build(modulation)
        self.prototype = None if prototype is None else MODELS.build(prototype)
        self.matching = MODELS.build(matching)
        losses = losses or dict(type='FewShotCrossEntropy')
        losses = [losses] if isinstance(losses, dict) else losses
        self.losses = ModuleList(MODELS.build(loss) for loss in losses)
        self.temperature = temperature

    @property
    def multimodal(self) -> bool:
        """Whether the metric takes :class:`VideoFeatures` instead of tensors."""
        return getattr(self.matching, 'multimodal', False)

    def forward(
        self, feats: VideoFeatures | Tensor, data_samples: Sequence[ActionDataSample], **kwargs: object
    ) -> Tensor:
        """Logits ``[B, Q, N]`` of the episodes that ``data_samples`` describe."""
        return self._scores(feats, data_samples)[0].logits

    def loss(
        self, feats: VideoFeatures | Tensor, data_samples: Sequence[ActionDataSample], **kwargs: object
    ) -> dict[str, Tensor]:
        """Losses by name, and the accuracy of the batch in percent as ``acc``.

        Args:
            feats: Output of the backbone or neck for V videos.
            data_samples: V samples stamped by :class:`EpisodicDataset`.
            **kwargs: What stock recognizers pass to stock heads (``num_segs``, ``loss_aux``, ...); not needed here.
        """
        scores, batch = self._scores(feats, data_samples)
        losses: dict[str, Tensor] = {}
        for loss in self.losses:
            for name, value in loss(scores, batch).items():
                losses[name] = losses[name] + value if name in losses else value
        hits = scores.logits.argmax(-1) == batch.labels()
        losses['acc'] = 100 * hits.float().mean()
        return losses

    def predict(
        self, feats: VideoFeatures | Tensor, data_samples: Sequence[ActionDataSample], **kwargs: object
    ) -> list[ActionDataSample]:
        """One result per episode.

        Returns:
            B samples with ``pred_scores [Q, N]`` (softmax of the logits; NaN where one is infinite), ``pred_label [Q]``
            and ``gt_label [Q]`` (ways) and the metainfo ``episode_id``, ``episode_digest``, ``class_names``,
            ``class_ids``, ``num_shots``, ``query_names`` (Q videos, in the order of the predictions) and
            ``unreadable``.
        """
        scores, batch = self._scores(feats, data_samples)
        return self.results(scores.logits, batch)

    @staticmethod
    def results(logits: Tensor, batch: EpisodeBatch) -> list[ActionDataSample]:
        """Pack logits ``[B, Q, N]`` into one sample per episode."""
        labels = logits.argmax(-1)
        # A class whose features overflowed is infinitely far: a probability of zero would hide that.
        probabilities = logits.float().masked_fill(logits.isinf(), float('nan')).softmax(-1)
        results = []
        for episode, episode_id in enumerate(batch.episode_ids):
            result = ActionDataSample()
            stamps = dict(
                episode_id=episode_id,
                episode_digest=batch.digests[episode],
                class_names=batch.class_names[episode],
                class_ids=batch.class_ids[episode],
                num_shots=batch.support_index.shape[2],
                query_names=batch.query_names[episode],
                unreadable=batch.unreadable[episode],
            )
            for name, value in stamps.items():  # set_metainfo would copy them deeply
                result.set_field(value, name, field_type='metainfo')
            # Copies: with a part of a tensor, pickle writes the whole of it.
            result.set_field(probabilities[episode].clone(), 'pred_scores')
            result.set_pred_label(labels[episode].clone())
            result.set_gt_label(batch.query_way[episode].clone())
            results.append(result)
        return results

    def score(self, support: VideoFeatures, query: VideoFeatures) -> Tensor:
        """Logits of queries, from features alone.

        Args:
            support: Features with leading dimensions ``B, N, K``.
            query: Features with leading dimensions ``B, Q``.

        Returns:
            ``[B, Q, N]``.
        """
        return self.episode_scores(support, query).logits

    def episode_scores(self, support: VideoFeatures, query: VideoFeatures) -> EpisodeScores:
        """As :meth:`score`, with the logits of the single modalities where the matching tells them apart.

        Raises:
            ValueError: If the modulation conditions the supports on the query, and there is a prototype.
        """
        if self.modulation is not None:
            support, query = self.modulation(support, query)
        if self.prototype is not None and support.visual.ndim == 6:
            raise ValueError(
                f'PrototypeHead: {type(self.modulation).__name__} conditions the supports on the query, '
                f'[B, Q, N, K, T, D] = {list(support.visual.shape)}, but {type(self.prototype).__name__} takes '
                '[B, N, K, T, D]. Leave prototype out: the matching takes supports as each query sees them.'
            )
        if self.prototype is None:
            distances = self._distances(query, support)
        elif hasattr(self.prototype, 'map_queries'):  # query-conditioned prototypes, a few queries at a time
            distances = self.prototype.map_queries(self._distances, support, query)
        else:
            distances = self._distances(query, self.prototype(support, query))
        parts = {name: -distance / self.temperature for name, distance in distances.items()}
        if not self.multimodal:
            return EpisodeScores(parts['visual'])
        return EpisodeScores(-self.matching.fuse(distances) / self.temperature, parts)

    def _distances(self, query: VideoFeatures, prototypes: VideoFeatures) -> dict[str, Tensor]:
        """Distances ``[B, Q, N]`` by modality."""
        if self.multimodal:
            return self.matching.distances(query, prototypes)
        return {'visual': self.matching(query.visual, prototypes.visual)}

    def _scores(
        self, feats: VideoFeatures | Tensor, data_samples: Sequence[ActionDataSample]
    ) -> tuple[EpisodeScores, EpisodeBatch]:
        features = as_video_features(feats, len(data_samples))
        batch = EpisodeBatch.from_samples(data_samples, device=features.visual.device)
        return self.episode_scores(features[batch.support_index], features[batch.query_index]), batch
