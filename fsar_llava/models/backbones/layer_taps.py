"""Looking at several decoder layers during one pass."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack

from einops import reduce
from torch import Tensor, nn


class LayerTaps(AbstractContextManager):
    """Keeps the mean patch of every frame behind chosen decoder blocks while they run over videos.

    Args:
        decoder: The decoder, which is called with ``inputs_embeds``.
        layers: Numbers of its blocks, from 1; 0 is what enters the first.
        prefix: Tokens before the video.
        tokens: Tokens of a frame, the CLS token first; it is left out of the mean.

    Attributes:
        frames: Layer -> ``[V, T, D]``, in float32.
    """

    def __init__(self, decoder: nn.Module, layers: Sequence[int], *, prefix: int, tokens: int) -> None:
        self.frames: dict[int, Tensor] = {}
        self._prefix, self._tokens = prefix, tokens
        self._hooks = ExitStack()
        for layer in layers:
            if layer:
                hook = decoder.layers[layer - 1].register_forward_hook(self._keeper(layer))
            else:
                hook = decoder.register_forward_pre_hook(self._keep_entering, with_kwargs=True)
            self._hooks.enter_context(hook)

    def _keeper(self, layer: int) -> Callable[..., None]:
        def keep(block: nn.Module, args: tuple, output: Tensor | tuple[Tensor, ...]) -> None:
            # Releases of transformers differ in what a block gives.
            self._keep(layer, output[0] if isinstance(output, tuple) else output)

        return keep

    def _keep_entering(self, decoder: nn.Module, args: tuple, kwargs: Mapping) -> None:
        self._keep(0, kwargs['inputs_embeds'])

    def _keep(self, layer: int, states: Tensor) -> None:
        frames = states[:, self._prefix :].unflatten(1, (-1, self._tokens))[:, :, 1:]
        self.frames[layer] = reduce(frames.float(), 'v t p d -> v t d', 'mean')

    def __exit__(self, *error: object) -> None:
        self._hooks.close()
