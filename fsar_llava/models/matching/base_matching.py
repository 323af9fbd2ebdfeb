"""What all matching metrics share: checked arguments, float32 arithmetic, shots and query-conditioned supports."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import torch
from einops import rearrange
from torch import Tensor, nn

from fsar_llava.structures import PreparedVideos


class BaseMatching(nn.Module, ABC):
    """A distance between query videos and the classes of their episode.

    A metric is written as two steps: :meth:`describe` knows one video, :meth:`compare` knows an episode. Calling the
    metric runs both. Code that meets the same video in many episodes calls :meth:`prepare` once per video and
    :meth:`match` with :class:`BankRows` of what that gave.

    Half-precision tokens are promoted to float32, also under autocast: sums over many frames and exponentials of
    distances do not survive 8 bits of mantissa. Masked tokens are zeroed first, so that padding of any content is
    harmless.
    """

    multimodal = False
    """Whether the metric takes :class:`VideoFeatures` instead of tensors."""

    ordered = False
    """Whether the order of the frames matters."""

    min_frames = 1
    """Valid frames that every video must have."""

    def forward(
        self, query: Tensor, support: Tensor, query_mask: Tensor | None = None, support_mask: Tensor | None = None
    ) -> Tensor:
        """Distance of every query to every class.

        Args:
            query: ``[B, Q, T, D]``.
            support: ``[B, N, K, T, D]``, or ``[B, Q, N, K, T, D]`` where every query has prototypes of its own. Its T
                may differ from the query's.
            query_mask: ``[B, Q, T]``, True for a valid frame. None: all are.
            support_mask: The shape of ``support`` without D. None: all are valid.

        Returns:
            ``[B, Q, N]``, the mean over the K shots where a metric compares shots one by one.

        Raises:
            ValueError: If shapes do not fit together, or a video has fewer than ``min_frames`` valid frames.
            TypeError: If tokens are not floating point or a mask is not boolean.
        """
        self._check_pair(query, support, query_mask, support_mask)
        # Masks that hide nothing would only cost time.
        query_mask, support_mask = (
            mask if mask is None or not mask.all() else None for mask in (query_mask, support_mask)
        )
        num_episodes, num_queries = query.shape[:2]
        conditioned = support.ndim == 6
        if conditioned:  # every query is an episode of its own
            query, support = query.flatten(0, 1)[:, None], support.flatten(0, 1)
            query_mask = None if query_mask is None else query_mask.flatten(0, 1)[:, None]
            support_mask = None if support_mask is None else support_mask.flatten(0, 1)
        # Both sides in one dtype; prepare() takes care of half precision.
        dtype = torch.promote_types(query.dtype, support.dtype)
        described = self.prepare(query.to(dtype), query_mask), self.prepare(support.to(dtype), support_mask)
        distance = self.match(*described)
        return rearrange(distance, '(b q) 1 n -> b q n', b=num_episodes, q=num_queries) if conditioned else distance

    def prepare(self, tokens: Tensor, mask: Tensor | None = None) -> dict[str, Tensor]:
        """Whatever the metric needs of a video that does not depend on the episode.

        Args:
            tokens: ``[*, T, D]``; ``*`` is V in a feature bank.
            mask: ``[*, T]``, True for a valid frame. None: all are.

        Returns:
            Tensors by name, all with leading dimensions ``*``.

        Raises:
            ValueError: If a video has fewer than ``min_frames`` valid frames, or :meth:`describe` gives a tensor whose
                leading dimensions are others.
            TypeError: If :meth:`describe` gives anything else than tensors by name.
        """
        self._check_frames(tokens, mask)
        with torch.autocast(tokens.device.type, enabled=False):
            tokens = tokens.to(torch.promote_types(tokens.dtype, torch.float32))
            if mask is not None:
                tokens = tokens.masked_fill(~mask[..., None], 0)
            described = self.describe(tokens, mask)
        if not isinstance(described, Mapping):
            raise TypeError(
                f'{type(self).__name__}.describe must return tensors by name, such as dict(tokens=tokens), but got '
                f'{type(described).__name__}.'
            )
        for name, value in described.items():
            self._check_described(name, value, tokens.shape)
        return described

    def match(self, query: Mapping[str, Tensor], support: Mapping[str, Tensor]) -> Tensor:
        """Distances from what :meth:`prepare` gave.

        Args:
            query: Tensors with leading dimensions ``B, Q``.
            support: Tensors with leading dimensions ``B, N, K``.

        Returns:
            ``[B, Q, N]``.

        Raises:
            ValueError: If :meth:`compare` gives another shape than ``[B, Q, N, K]``.
        """
        query, support = (
            side if isinstance(side, PreparedVideos) else PreparedVideos(side, axes)
            for side, axes in ((query, 2), (support, 3))
        )
        with torch.autocast(query.device.type, enabled=False):
            distance = self.compare(query, support)
        shape = [*query.shape, support.shape[1]]
        if distance.ndim != 4 or list(distance.shape[:3]) != shape:
            raise ValueError(
                f'{type(self).__name__}.compare must return [B, Q, N, K], here {shape} and the shots (or 1 in their '
                f'place), but returned {list(distance.shape)}. The mean over the shots is taken afterwards.'
            )
        return distance.mean(-1)

    @abstractmethod
    def describe(self, tokens: Tensor, mask: Tensor | None) -> dict[str, Tensor]:
        """:meth:`prepare` without its checks: tokens ``[*, T, D]`` are float32 or float64, masked ones are zero."""

    @abstractmethod
    def compare(self, query: PreparedVideos, support: PreparedVideos) -> Tensor:
        """Distances ``[B, Q, N, K]``; the last is 1 for a metric that compares all shots of a class at once.

        Tensors of a bank are gathered each time they are asked for: keep what is used twice in a variable.
        """

    def _check_pair(
        self, query: Tensor, support: Tensor, query_mask: Tensor | None, support_mask: Tensor | None
    ) -> None:
        name = type(self).__name__
        if query.ndim != 4:
            raise ValueError(f'{name}: query must have shape [B, Q, T, D], but has {list(query.shape)}.')
        if support.ndim not in (5, 6):
            raise ValueError(
                f'{name}: support must have shape [B, N, K, T, D], or [B, Q, N, K, T, D] with prototypes for each '
                f'query, but has {list(support.shape)}.'
            )
        axes = '[B, N, K, T, D]' if support.ndim == 5 else '[B, Q, N, K, T, D]'
        found = f'query [B, Q, T, D] = {list(query.shape)}, support {axes} = {list(support.shape)}'
        if 0 in (*query.shape[2:], *support.shape[-4:]):
            raise ValueError(f'{name}: ways, shots, frames and features cannot be empty, but got {found}.')
        shared = {'B (episodes)': 0, 'D (feature width)': -1}
        if support.ndim == 6:
            shared['Q (queries)'] = 1
        for axis, position in shared.items():
            if query.shape[position] != support.shape[position]:
                raise ValueError(f'{name}: query and support must agree in {axis}, but got {found}.')
        for side, tokens, mask in (('query', query, query_mask), ('support', support, support_mask)):
            if not tokens.is_floating_point():
                raise TypeError(f'{name}: {side} must be floating point, but is {tokens.dtype}.')
            if mask is None:
                continue
            if mask.dtype != torch.bool:
                raise TypeError(
                    f'{name}: {side}_mask must be boolean, True for a valid frame, but is {mask.dtype}. '
                    'Pass mask.bool().'
                )
            if mask.shape != tokens.shape[:-1]:
                raise ValueError(
                    f'{name}: {side}_mask must have the shape of {side} without D, {list(tokens.shape[:-1])}, '
                    f'but has {list(mask.shape)}.'
                )

    def _check_described(self, name: str, value: object, shape: torch.Size) -> None:
        """Refuse what is not one entry a video: a bank would take rows of it for what belongs to single videos."""
        if not isinstance(value, Tensor):
            raise TypeError(
                f'{type(self).__name__}.describe must return tensors by name, but {name!r} is {type(value).__name__}.'
            )
        if value.shape[: len(shape) - 2] != shape[:-2]:
            raise ValueError(
                f'{type(self).__name__}.describe must return tensors [*, ...] for tokens [*, T, D] = {list(shape)}, '
                f'but {name!r} has shape {list(value.shape)}. What is the same for all videos, such as a parameter, '
                'compare finds in the metric itself.'
            )

    def _check_frames(self, tokens: Tensor, mask: Tensor | None) -> None:
        """Refuse videos that have too few valid frames for a distance to exist. Masks on a GPU cost one wait."""
        fewest = tokens.shape[-2] if mask is None or not mask.numel() else int(mask.sum(-1).min())
        if fewest < self.min_frames:
            raise ValueError(
                f'{type(self).__name__}: every video needs at least {self.min_frames} valid frame(s), but one of the '
                f'videos of shape {list(tokens.shape)} has {fewest}. Sample more frames, or check its mask; '
                'if these are words, give every video a prompt that is long enough.'
            )
