"""The plainest tuned neck."""

from __future__ import annotations

from collections.abc import Sequence

from einops import reduce
from mmaction.registry import MODELS
from mmaction.structures import ActionDataSample
from mmengine.model import BaseModule

from fsar_llava.models.layers import DownSampling
from fsar_llava.structures import VideoFeatures


@MODELS.register_module()
class LinearProjection(BaseModule):
    """Down-sampling alone, then the mean over the patches of each frame.

    What :class:`MultimodalFeatureEnhancement` has to beat, and what it equals at initialisation.

    Args:
        in_channels: Width of the backbone's tokens.
        channels: D.
        init_cfg: As for every mmengine module.
    """

    def __init__(self, in_channels: int, channels: int = 512, *, init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg=init_cfg)
        self.down_sampling = DownSampling(in_channels, channels)

    def forward(
        self, feats: VideoFeatures, data_samples: Sequence[ActionDataSample] | None = None
    ) -> tuple[VideoFeatures, dict]:
        """Project the tokens of V videos.

        Args:
            feats: visual ``[V, T, P, in_channels]`` or ``[V, T, in_channels]``; textual ``[V, L, in_channels]`` or
                None.
            data_samples: Not used; for MMAction2's interface.

        Returns:
            visual ``[V, T, D]`` and textual ``[V, L, D]`` (zero at padded positions) or None; and no losses.
        """
        tokens = self.down_sampling(feats)
        return tokens.replace(visual=reduce(tokens.visual, 'v t p d -> v t d', 'mean')), {}
