"""Several processes that work as one: who they are, what they tell each other, how they end.

`torchrun` starts the same program several times and says in the environment how many there are.
The processes then run through the same lines, each with its share of the items, and meet wherever
a `World` is asked for something: all of them must ask for the same, in the same order. Only the
first one writes and speaks. Alone, a `World` costs nothing: there is nobody to ask.

What goes over the CPU goes by gloo, gradients on GPUs by NCCL. The processes are ours, started
together on the same checkout, so what they tell each other may be any Python value.
"""

import os
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import NoReturn, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from ctcasr.errors import CtcasrError, ToldElsewhereError, TrainingError

_LONGEST_WAIT = timedelta(days=1)  # for a first process that reads a large corpus
_LEFT = "ctcasr/first-has-left"

_Value = TypeVar("_Value")


class LostProcessError(TrainingError):
    """Another process of the run has gone without a word."""


@dataclass(frozen=True, slots=True)
class World:
    """The processes of a run, as one of them sees it.

    Attributes:
        rank: number of this process, from 0.
        size: how many there are.

    Raises:
        LostProcessError: by every method that asks the others: one is gone.
    """

    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes and speaks."""
        return self.rank == 0

    def share_of(self, items: Sequence[_Value]) -> Sequence[_Value]:
        """Return every `size`-th item, beginning with the `rank`-th; it may be none."""
        return items[self.rank :: self.size]

    def gather(self, value: _Value) -> list[_Value]:
        """Return everybody's value, in order of rank."""
        if self.size == 1:
            return [value]
        values: list[_Value | None] = [None] * self.size
        with _reaching_others():
            dist.all_gather_object(values, value)
        return values  # type: ignore[return-value] # all are filled in

    def sum(self, number: int) -> int:
        """Return the sum of everybody's number."""
        return self._reduce(number, dist.ReduceOp.SUM)

    def largest(self, number: int) -> int:
        """Return the largest of everybody's numbers."""
        return self._reduce(number, dist.ReduceOp.MAX)

    def from_first(self, compute: Callable[[], _Value]) -> _Value:
        """Have the first process compute something that all are to know.

        Raises:
            Exception: see `agreed`.
        """
        values: list[_Value | None] = [None]
        with self.agreed():
            if self.is_first:
                values = [compute()]
        if self.size > 1:
            with _reaching_others():
                dist.broadcast_object_list(values, src=0)
        return values[0]  # type: ignore[return-value] # None only where that was computed

    @contextmanager
    def agreed(self) -> Iterator[None]:
        """Leave the block together: what fails in one process ends all, and is told once.

        Nothing inside the block may ask the others.

        Raises:
            Exception: in the first process, the error, its own or another's.
            ToldElsewhereError: in the others.
        """
        if self.size == 1:
            yield
            return
        failure: Exception | None = None
        try:
            yield
        except Exception as error:
            failure = error
        if self.largest(failure is not None) == 0:
            return
        told = [one for one in self.gather(_told(failure, self.rank)) if one is not None]
        if self.is_first and failure is not None:
            raise failure
        kind, message = told[0]
        self.end(kind(message), status=2 if issubclass(kind, CtcasrError) else 1)

    def end(self, error: BaseException, *, status: int) -> NoReturn:
        """Raise an error that all processes have; only the first is to tell it.

        Raises:
            BaseException: in the first process, `error`.
            ToldElsewhereError: in the others, with the exit status.
        """
        if self.is_first:
            raise error
        raise ToldElsewhereError(status)

    def copy_from_first(self, tensors: Iterable[Tensor]) -> None:
        """Give tensors the values that they have in the first process."""
        if self.size == 1:
            return
        with _reaching_others():
            for tensor in tensors:
                dist.broadcast(tensor, src=0)

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace gradients by their sums over all processes, in one message.

        A process that had nothing to do has none, which counts as zero. Where nobody has one, none
        is made.
        """
        if self.size == 1:
            return
        trained = [p for p in parameters if p.requires_grad]
        found = [torch.tensor(p.grad is not None).to(p) for p in trained]
        parts = [torch.zeros_like(p) if p.grad is None else p.grad for p in trained]
        message = torch.cat([*(part.reshape(-1) for part in parts), torch.stack(found)])
        with _reaching_others():
            dist.all_reduce(message)
        sizes = [*(p.numel() for p in trained), len(trained)]
        *sums, anybody = torch.split(message, sizes)
        for parameter, total, count in zip(trained, sums, anybody.tolist(), strict=True):
            parameter.grad = total.view_as(parameter).clone() if count else None

    def _reduce(self, number: int, operation: dist.ReduceOp.RedOpType) -> int:
        if self.size == 1:
            return int(number)
        value = torch.tensor(int(number))
        with _reaching_others():
            dist.all_reduce(value, operation)
        return int(value)


ALONE = World()


def is_first_process() -> bool:
    """Return whether this process may write and speak, before it has joined the others."""
    return os.environ.get("RANK", "0") == "0"


@contextmanager
def join_world(device: torch.device) -> Iterator[World]:
    """Join the processes that `torchrun` has started; alone without it.

    Whoever has nothing more to do waits at the end for the first process, since torchrun kills what
    still runs when a process ends with an error.

    Args:
        device: where this process computes.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield ALONE
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, timeout=_LONGEST_WAIT)
    world = World(dist.get_rank(), dist.get_world_size())
    store = dist.distributed_c10d._get_default_store()
    waits = dist.is_torchelastic_launched()
    try:
        yield world
    except ToldElsewhereError:
        raise
    except BaseException:
        waits = False  # nobody knows of it: the others are to find this process gone
        raise
    finally:
        dist.destroy_process_group()
        with suppress(RuntimeError):  # torchrun itself is gone
            if world.is_first:
                store.set(_LEFT, "yes")
            elif waits:
                store.wait([_LEFT], _LONGEST_WAIT)


@contextmanager
def _reaching_others() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[0]
        raise LostProcessError(
            f"another process of the run is gone ({reason}); see what it said, and start them "
            f"again, with --resume where they train"
        ) from error


def _told(error: Exception | None, rank: int) -> tuple[type[Exception], str] | None:
    """Return kind and message of an error, as another process can raise it."""
    if error is None:
        return None
    if not isinstance(error, CtcasrError):
        return RuntimeError, f"in process {rank}:\n{''.join(traceback.format_exception(error))}"
    is_plain = type(error).__init__ is CtcasrError.__init__
    return type(error) if is_plain else CtcasrError, str(error)
