"""Features of all videos of a test in one place."""

from __future__ import annotations

import torch
from mmengine import dist
from torch import Tensor

from fsar_llava.structures import VideoFeatures

PORTION_BYTES = 1 << 28


class FeatureBank:
    """Collects the features of U rows (a video in a role) that several processes compute, then gives them to each.

    Attributes:
        device: Where the bank is to lie; to be set before the first features come.
    """

    def __init__(self) -> None:
        self.device: torch.device | None = None
        self._parts: list[tuple[list[int], VideoFeatures]] = []

    def add(self, rows: list[int], features: VideoFeatures) -> None:
        """Take features ``[R, ...]`` of R rows."""
        self._parts.append((rows, features.map(lambda tensor: tensor.to(self.device))))

    def gather(self, num_rows: int) -> VideoFeatures:
        """The features of all rows, of all processes: ``visual [U, T, D]``, ``textual [U, L, D]``; empties the bank.

        Args:
            num_rows: U. Rows that no process has are zero.

        Raises:
            ValueError: If videos differ in the number of their frames' tokens.
        """
        shapes = {tuple(features.visual.shape[1:]) for _, features in self._parts}
        texts = {tuple(part.textual.shape[1:]) for _, part in self._parts if part.textual is not None}
        kinds = {torch.device(self.device or 'cpu').type}
        everywhere = dist.all_gather_object((shapes, texts, kinds))
        shapes, texts, kinds = (set().union(*found) for found in zip(*everywhere))
        if 'cpu' in kinds:  # also where only one process has no room for the bank: all must score alike
            self.device = torch.device('cpu')
        if len(shapes) != 1:
            raise ValueError(
                f'All videos need equally many tokens to be compared in one batch, but their shapes [T, D] are '
                f'{sorted(shapes)}. Sample equally many frames of every video.'
            )
        # Each row has one owner; the others hold zeros, so that the sum is exact and arrives in the right order.
        bank = VideoFeatures(self._zeros(num_rows, *shapes.pop()))
        if texts:
            length, width = max(texts)
            bank = bank.replace(
                textual=self._zeros(num_rows, length, width), textual_mask=self._zeros(num_rows, length).byte()
            )
        while self._parts:
            rows, features = self._parts.pop()
            features = features.map(lambda tensor: tensor.to(self.device))
            bank.visual[rows] = features.visual
            if features.textual is not None:
                bank.textual[rows, : features.textual.shape[1]] = features.textual
                bank.textual_mask[rows, : features.textual.shape[1]] = features.textual_mask.byte()
        bank.map(_sum_over_processes)
        return bank if bank.textual is None else bank.replace(textual_mask=bank.textual_mask.bool())

    def _zeros(self, *shape: int) -> Tensor:
        return torch.zeros(*shape, device=self.device)


def _sum_over_processes(tensor: Tensor) -> None:
    """A portion at a time: a bank in main memory passes through the GPU if that is what connects the processes."""
    for part in tensor.split(max(1, PORTION_BYTES // max(1, tensor[:1].nbytes))):
        dist.all_reduce(part)
