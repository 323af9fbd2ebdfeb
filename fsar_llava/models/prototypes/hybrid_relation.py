"""HyRSM's hybrid relation module."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import repeat
from mmaction.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from fsar_llava.models.layers import ResidualAttention, TemporalPosition
from fsar_llava.structures import VideoFeatures


@MODELS.register_module()
class HybridRelation(BaseModule):
    """Relates the frames of each video to each other, then each query to all classes of its task.

    For the ``modulation`` slot of :class:`PrototypeHead` [C]::

        F  = relu(F + TemporalAttn(F + position))                       over T, video by video
        F  = mean over the shots of a class                             of supports
        R  = [mean_T of N classes ; mean_T of the query]                for each query
        R  = relu(R + RelationAttn(R))
        F' = W [F ; R of its own class or video]                        2D -> D

    What the supports become depends on the query. Pre-norm attention, and the initial values: attention outputs at zero
    and ``W = [identity ; 0]``, so that features that are not negative pass unchanged, are ours [R].

    Args:
        channels: D.
        num_heads: Heads of both attentions.
        num_frames: T in training; the position embedding is interpolated for another T.
        relu: Whether there are the two ReLUs. They fit the features of ResNets; leave them out for features of CLIP,
            which have negative parts.
        init_cfg: As for every mmengine module.
    """

    def __init__(
        self,
        channels: int,
        *,
        num_heads: int = 8,
        num_frames: int = 8,
        relu: bool = True,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        self.position = TemporalPosition(num_frames, channels)
        self.temporal = ResidualAttention(channels, num_heads)
        self.relation = ResidualAttention(channels, num_heads)
        self.merge = nn.Linear(2 * channels, channels, bias=False)
        nn.init.eye_(self.merge.weight)
        self.activation = F.relu if relu else nn.Identity()

    def forward(self, support: VideoFeatures, query: VideoFeatures) -> tuple[VideoFeatures, VideoFeatures]:
        """Relate the videos of each task.

        Args:
            support: visual ``[B, N, K, T, D]``.
            query: visual ``[B, Q, T, D]``.

        Returns:
            The classes as each query sees them, visual ``[B, Q, N, 1, T, D]``, and the queries, visual
            ``[B, Q, T, D]``. Textual features are left out.
        """
        classes, videos = self._relate_frames(support.visual).mean(2), self._relate_frames(query.visual)
        means = repeat(classes.mean(-2), 'b n d -> b q n d', q=videos.shape[1])
        task = self.activation(self.relation(torch.cat([means, videos.mean(-2, keepdim=True)], dim=2)))
        # W [F ; R] = W_F F + W_R R: the frames are projected once, not once for each query.
        to_frame, to_task = self.merge.weight.chunk(2, dim=1)
        task = F.linear(task, to_task)
        related = F.linear(classes, to_frame)[:, None] + task[:, :, :-1, None]
        return (
            VideoFeatures(related[:, :, :, None]),
            VideoFeatures(F.linear(videos, to_frame) + task[:, :, -1:]),
        )

    def _relate_frames(self, frames: Tensor) -> Tensor:
        """``[*, T, D]`` to ``[*, T, D]``."""
        return self.activation(self.temporal(frames, position=self.position(frames.shape[-2])))
