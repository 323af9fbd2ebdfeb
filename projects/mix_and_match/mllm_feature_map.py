"""A video MLLM as a stock backbone, for heads that expect feature maps."""

from __future__ import annotations

from einops import rearrange
from mmaction.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor


@MODELS.register_module()
class MLLMFeatureMap(BaseModule):
    """Visual tokens of :class:`VideoMLLMBackbone`, laid out as the feature maps of a 2D or 3D backbone.

    Under ``Recognizer2D`` it feeds ``TSNHead`` and its kin, under ``Recognizer3D`` ``I3DHead`` and its kin. The MLLM
    stays frozen: only what follows it is trained.

    Args:
        mllm: Config of a :class:`VideoMLLMBackbone` without CLS tokens.
        num_frames: T, the frames of a video. Under ``Recognizer2D`` a backbone does not learn it from its input.
        prompt: What the MLLM is asked. Visual tokens come before the prompt in the decoder and do not depend on it.
        init_cfg: As for every mmengine module.
    """

    def __init__(
        self,
        mllm: dict,
        *,
        num_frames: int = 8,
        prompt: str = "What's the action of the video?",
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        self.mllm = MODELS.build(mllm)
        self.num_frames = num_frames
        self.prompt = prompt

    def forward(self, inputs: Tensor) -> Tensor:
        """Encode V videos.

        Args:
            inputs: ``[V*T, C, H, W]`` or ``[V, C, T, H, W]``.

        Returns:
            ``[V*T, D, h, w]`` or ``[V, D, T, h, w]``.
        """
        if inputs.ndim == 4:
            maps = self._maps(rearrange(inputs, '(v t) c h w -> v t c h w', t=self.num_frames))
            return rearrange(maps, 'v t h w d -> (v t) d h w')
        return rearrange(self._maps(rearrange(inputs, 'v c t h w -> v t c h w')), 'v t h w d -> v d t h w')

    def identity(self) -> dict:
        """What the tuned head was tuned for."""
        return self.mllm.identity()

    def _maps(self, videos: Tensor) -> Tensor:
        """``[V, T, C, H, W]`` to ``[V, T, h, w, D]``, in float32 for the head."""
        tokens = self.mllm(videos, [self.prompt] * len(videos)).visual
        return rearrange(tokens, 'v t (h w) d -> v t h w d', h=round(tokens.shape[2] ** 0.5)).float()
