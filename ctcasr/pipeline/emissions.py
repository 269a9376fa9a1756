"""What a network says about many recordings, kept so that they can be searched again and again.

An hour at 30 ms a frame and 30 labels is 14 MB, at 1,000 labels 480 MB; what is beyond a limit goes
into a temporary file.
"""

import tempfile
from collections.abc import Iterator
from types import TracebackType
from typing import IO, Self

import numpy as np
from numpy.typing import NDArray

_BATCH = 64


class EmissionStore:
    """(T', V) float32 matrices, in the order in which they came. Use as a context manager.

    Args:
        limit: bytes kept in memory.
    """

    def __init__(self, *, limit: int = 2**30) -> None:
        self._room = limit
        self._kept: list[NDArray[np.float32] | tuple[int, ...]] = []  # or the shape of a stored one
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

    def append(self, matrix: NDArray[np.float32]) -> None:
        """Keep one more."""
        if self._file is None and matrix.nbytes <= self._room:
            self._room -= matrix.nbytes
            self._kept.append(matrix.copy())
            return
        if self._file is None:
            self._file = tempfile.TemporaryFile(prefix="ctcasr-")  # noqa: SIM115 - until __exit__
        self._file.write(matrix.astype(np.float32).tobytes())
        self._kept.append(matrix.shape)

    def batches(self) -> Iterator[list[NDArray[np.float32]]]:
        """Yield all of them, some at a time."""
        if self._file is not None:
            self._file.seek(0)
        for first in range(0, len(self._kept), _BATCH):
            yield [self._load(one) for one in self._kept[first : first + _BATCH]]

    def _load(self, one: NDArray[np.float32] | tuple[int, ...]) -> NDArray[np.float32]:
        if not isinstance(one, tuple):
            return one
        assert self._file is not None
        content = self._file.read(4 * int(np.prod(one)))
        return np.frombuffer(content, dtype=np.float32).reshape(one)
