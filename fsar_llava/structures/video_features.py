"""What a backbone or neck says about videos, and the adapter for stock MMAction2 backbones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from einops import rearrange, reduce
from torch import Tensor


@dataclass(frozen=True)
class VideoFeatures:
    """Features of some videos. The leading dimensions ``*`` are ``V``, or ``B, Q`` and ``B, N, K`` inside the head.

    Attributes:
        visual: ``[*, T, D]`` one token a frame, or ``[*, T, P, D]`` while the patches of a frame are apart.
        textual: ``[*, L, D]`` tokens of the prompt, or None for a method without text.
        textual_mask: ``[*, L]`` True for a valid token. Required where ``textual`` is given.
    """

    visual: Tensor
    textual: Tensor | None = None
    textual_mask: Tensor | None = None

    def __post_init__(self) -> None:
        if (self.textual is None) != (self.textual_mask is None):
            raise ValueError('VideoFeatures needs textual and textual_mask together, or neither.')
        if self.textual is not None and self.textual_mask.shape != self.textual.shape[:-1]:
            raise ValueError(
                'textual_mask must have the shape of textual without its last dimension, '
                f'{list(self.textual.shape[:-1])}, but has {list(self.textual_mask.shape)}.'
            )

    def __getitem__(self, index: Tensor | slice) -> VideoFeatures:
        """Select videos along the first dimension; an index ``[B, N, K]`` gives leading dimensions ``B, N, K``."""
        return self.map(lambda tensor: tensor[index])

    def map(self, function: Callable[[Tensor], Tensor]) -> VideoFeatures:
        """Apply ``function`` to each tensor that is present, the mask included."""
        return VideoFeatures(
            function(self.visual),
            None if self.textual is None else function(self.textual),
            None if self.textual_mask is None else function(self.textual_mask),
        )

    def replace(self, **changes: Tensor | None) -> VideoFeatures:
        """A copy with some tensors exchanged."""
        return replace(self, **changes)

    def float(self) -> VideoFeatures:
        """The features in float32; the mask stays as it is."""
        textual = None if self.textual is None else self.textual.float()
        return self.replace(visual=self.visual.float(), textual=textual)


def as_video_features(feats: VideoFeatures | Tensor, num_videos: int) -> VideoFeatures:
    """Turn the output of any backbone or neck into one token per frame.

    The views (segments, crops, clips) of a video follow each other in the flat batch, as MMAction2 lays them out; their
    tokens are joined along time.

    Args:
        feats: :class:`VideoFeatures`, whose patches are averaged if still apart, or the tensor of a stock backbone with
            ``n`` views of each video: ``[V*n, C]`` and ``[V*n, C, h, w]`` (2D, a token a view), ``[V*n, C, T, h, w]``
            (3D, a token a time step), ``[V*n, T, C]`` (token models, a token each); or a tuple of one such tensor.
        num_videos: V.

    Raises:
        ValueError: If the batch cannot be divided into V videos, or :class:`VideoFeatures` are not those of V videos.
        TypeError: If the features are no tensor (multi-scale outputs need a neck).
    """
    if isinstance(feats, VideoFeatures):
        visual = feats.visual
        if visual.ndim not in (3, 4) or len(visual) != num_videos:
            raise ValueError(
                f'Visual tokens of shape {list(visual.shape)} are not those of {num_videos} videos; VideoFeatures must '
                'be [V, T, D] or [V, T, P, D]. A backbone that is given views apart, as Recognizer2D and Recognizer3D '
                'do, returns a tensor instead.'
            )
        return feats if visual.ndim == 3 else feats.replace(visual=reduce(visual, 'v t p d -> v t d', 'mean'))
    if isinstance(feats, (tuple, list)) and len(feats) == 1:
        feats = feats[0]
    if not isinstance(feats, Tensor):
        raise TypeError(
            f'A few-shot head takes one tensor or VideoFeatures, but the backbone or neck gave {type(feats).__name__}. '
            'Configure a single output level (MViT: output_cls_token=False), or put a neck that merges the levels '
            'before the head.'
        )
    if feats.ndim not in (2, 3, 4, 5) or feats.shape[0] % num_videos:
        raise ValueError(
            f'Features of shape {list(feats.shape)} cannot be divided into {num_videos} videos; expected [V*n, C], '
            '[V*n, T, C], [V*n, C, h, w] or [V*n, C, T, h, w].'
        )
    if feats.ndim == 2:
        tokens = rearrange(feats, '(v n) c -> v n c', v=num_videos)
    elif feats.ndim == 3:
        tokens = rearrange(feats, '(v n) t c -> v (n t) c', v=num_videos)
    elif feats.ndim == 4:
        tokens = reduce(feats, '(v n) c h w -> v n c', 'mean', v=num_videos)
    else:
        tokens = reduce(feats, '(v n) c t h w -> v (n t) c', 'mean', v=num_videos)
    return VideoFeatures(tokens)
