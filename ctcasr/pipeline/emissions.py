"""What a network says about many recordings, kept so that they can be searched again and again.

An hour at 30 ms a frame and 30 labels is 14 MB, at 1,000 labels 480 MB, and for an attention
decoder, which looks at 512 numbers a frame, 246 MB more; what is beyond a limit goes into a
temporary file.
"""

import tempfile
from collections.abc import Iterator
from types import TracebackType
from typing import IO, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ctcasr.decoder import Emissions

_BATCH = 64

_Matrix = NDArray[np.float32]


class EmissionStore:
    """Emissions of recordings, in the order in which they came. Use as a context manager.

    Args:
        limit: bytes kept in memory.
    """

    def __init__(self, *, limit: int = 2**30) -> None:
        self._room = limit
        self._kept: list[tuple[_Matrix | tuple[int, ...], ...]] = []  # or the shape of a stored one
        self._file: IO[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not None:
            self._file.close()

    def __len__(self) -> int:
        return len(self._kept)

    def append(self, emissions: Emissions) -> None:
        """Keep some more."""
        for at, log_probs in enumerate(emissions.log_probs):
            row = [log_probs]
            if emissions.encoded:
                row.append(emissions.encoded[at].cpu().numpy())
            self._kept.append(tuple(self._keep(matrix) for matrix in row))

    def batches(self) -> Iterator[Emissions]:
        """Yield all of them, some at a time."""
        if self._file is not None:
            self._file.seek(0)
        for first in range(0, len(self._kept), _BATCH):
            rows = [[self._load(one) for one in row] for row in self._kept[first : first + _BATCH]]
            encoded: list[Tensor] = [torch.from_numpy(frames) for row in rows for frames in row[1:]]
            yield Emissions([row[0] for row in rows], encoded)

    def _keep(self, matrix: _Matrix) -> _Matrix | tuple[int, ...]:
        if self._file is None and matrix.nbytes <= self._room:
            self._room -= matrix.nbytes
            return matrix.copy()
        if self._file is None:
            self._file = tempfile.TemporaryFile(prefix="ctcasr-")  # noqa: SIM115 - until __exit__
        self._file.write(matrix.astype(np.float32).tobytes())
        return matrix.shape

    def _load(self, one: _Matrix | tuple[int, ...]) -> _Matrix:
        if not isinstance(one, tuple):
            return one
        assert self._file is not None
        content = bytearray(self._file.read(4 * int(np.prod(one))))  # torch wants it writable
        return np.frombuffer(content, dtype=np.float32).reshape(one)
