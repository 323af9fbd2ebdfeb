"""What a matching metric prepared of the videos of some episodes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor


class PreparedVideos(Mapping[str, Tensor]):
    """Tensors by name, whose leading dimensions are ``B, Q`` for queries and ``B, N, K`` for supports.

    Attributes:
        shape: The leading dimensions.
        device: Where the tensors are.
    """

    shape: torch.Size
    device: torch.device

    def __init__(self, tensors: Mapping[str, Tensor], axes: int) -> None:
        """Take what is prepared already.

        Args:
            tensors: With the leading dimensions.
            axes: How many these are.
        """
        some = next(iter(tensors.values()))
        self._tensors, self.shape, self.device = tensors, some.shape[:axes], some.device

    def __getitem__(self, name: str) -> Tensor:
        return self._tensors[name]

    def __contains__(self, name: object) -> bool:
        return name in self._tensors

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)

    def part(self, begin: int, end: int) -> PreparedVideos:
        """Those of some episodes."""
        return PreparedVideos({name: tensor[begin:end] for name, tensor in self.items()}, len(self.shape))


class BankRows(PreparedVideos):
    """The same for rows of a bank; a tensor is gathered, and takes memory, each time it is asked for.

    What is gathered just before its use, and given up behind it, is still in a CPU's cache when it is used.

    Attributes:
        bank: Tensors of all videos.
        rows: Which of them, ``[B, Q]`` or ``[B, N, K]``.
    """

    def __init__(self, bank: Mapping[str, Tensor], rows: Tensor) -> None:
        """Take what is prepared of all videos.

        Args:
            bank: ``[U, ...]``.
            rows: ``[B, Q]`` or ``[B, N, K]``.
        """
        super().__init__(bank, 0)
        self.bank, self.shape, self.rows = bank, rows.shape, rows

    def __getitem__(self, name: str) -> Tensor:
        return gather(self.bank[name], self.rows)

    def part(self, begin: int, end: int) -> BankRows:
        """Those of some episodes."""
        return BankRows(self.bank, self.rows[begin:end])


def gather(bank: Tensor, rows: Tensor) -> Tensor:
    """``bank[rows]`` for rows ``[*]`` of a bank ``[U, ...]``; copies whole rows, at half the time on a CPU."""
    return bank.index_select(0, rows.flatten()).view(*rows.shape, *bank.shape[1:])
