"""The gradient of a batch worked out by several threads, each with a part of it.

On a CPU this is faster than several threads inside every operation: they meet once a step and not at every layer.
Measured on 2 cores: 1.2 to 1.4 times.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

_SMALLEST_PART = 16  # pictures; batch norms need some to tell a mean
_Result = TypeVar("_Result")
_Item = TypeVar("_Item")


class Replicas:
    """Copies of a network that share its parameters, but not gradients and batch-norm statistics; a thread for each."""

    def __init__(self, network: nn.Module, batch_size: int, device: torch.device) -> None:
        threads = torch.get_num_threads()
        self.count = 1 if device.type != "cpu" else max(1, min(threads, batch_size // _SMALLEST_PART))
        self.networks: list[Any] = [network, *(_twin(network) for _ in range(self.count - 1))]
        self._threads = max(1, threads // self.count)
        self._before = threads
        self._pool = ThreadPoolExecutor(self.count, initializer=torch.set_num_threads, initargs=(self._threads,))

    def close(self) -> None:
        """Ends the threads and gives the process its number of threads back."""
        self._pool.shutdown()
        torch.set_num_threads(self._before)

    def map(self, function: Callable[[_Item], _Result], items: Iterable[_Item]) -> list[_Result]:
        """What the function returns of each item, in order."""
        return list(self._pool.map(function, items))

    def losses(self, loss_of: Callable[[Any, int, Tensor], Tensor], rows: Tensor) -> Tensor:
        """The mean loss of the batch's rows, shape (); the gradients lie in the first network's parameters.

        loss_of: (network, number of the part, its rows) -> mean loss, a scalar.
        """
        parts = rows.tensor_split(max(1, min(self.count, len(rows) // _SMALLEST_PART)))

        def run(number: int) -> Tensor:
            network = self.networks[number]
            for parameter in network.parameters():
                parameter.grad = None
            loss = loss_of(network, number, parts[number]) * (len(parts[number]) / len(rows))
            loss.backward()
            return loss.detach()

        total = torch.stack(self.map(run, range(len(parts)))).sum()
        if len(parts) > 1:
            _gather(self.networks[: len(parts)])
        self._share_statistics(len(parts))
        return total

    def _share_statistics(self, used: int) -> None:
        """All networks get the mean of the batch-norm statistics of those that were used."""
        if self.count == 1:
            return
        for buffers in zip(*(network.buffers() for network in self.networks), strict=True):
            if buffers[0].is_floating_point():
                mean = torch.stack(buffers[:used]).mean(dim=0)
                for buffer in buffers:
                    buffer.copy_(mean)


def _twin(network: nn.Module) -> nn.Module:
    twin = copy.deepcopy(network)
    for own, original in zip(twin.parameters(), network.parameters(), strict=True):
        own.data = original.data  # the same memory: a step of the optimiser is seen by all
    return twin


@torch.no_grad()
def _gather(networks: Sequence[nn.Module]) -> None:
    """Adds all gradients into the first network's, always in the same order."""
    columns = [[p.grad for p in network.parameters() if p.grad is not None] for network in networks]
    for others in columns[1:]:
        torch._foreach_add_(columns[0], others)
