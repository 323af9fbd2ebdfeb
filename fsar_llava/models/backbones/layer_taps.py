"""Looking at several decoder layers during one pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack

from einops import reduce
from torch import Tensor, nn


class LayerTaps(AbstractContextManager):
    """Keeps the mean patch of every frame behind chosen decoder blocks while they run over videos.

    Args:
        blocks: The decoder's blocks.
        layers: Numbers of the blocks, from 1.
        prefix: Tokens before the video.
        tokens: Tokens of a frame, the CLS token first; it is left out of the mean.

    Attributes:
        frames: Layer -> ``[V, T, D]``, in float32.
    """

    def __init__(self, blocks: Sequence[nn.Module], layers: Sequence[int], *, prefix: int, tokens: int) -> None:
        self.frames: dict[int, Tensor] = {}
        self._prefix, self._tokens = prefix, tokens
        self._hooks = ExitStack()
        for layer in layers:
            self._hooks.enter_context(blocks[layer - 1].register_forward_hook(self._keeper(layer)))

    def _keeper(self, layer: int) -> Callable[..., None]:
        def keep(block: nn.Module, args: tuple, output: Tensor | tuple[Tensor, ...]) -> None:
            # Releases of transformers differ in what a block gives.
            states = output[0] if isinstance(output, tuple) else output
            frames = states[:, self._prefix :].unflatten(1, (-1, self._tokens))[:, :, 1:]
            self.frames[layer] = reduce(frames.float(), 'v t p d -> v t d', 'mean')

        return keep

    def __exit__(self, *error: object) -> None:
        self._hooks.close()
