"""Ctrl-C and SIGTERM while training: finish the step, save, then stop.

The first signal is only noted; the loop asks between two steps. A second Ctrl-C does not wait.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupted(Exception):  # noqa: N818 - it is no error
    """The run was asked to stop and has saved its state."""

    def __init__(self, signal_number: int) -> None:
        self.signal_number = signal_number
        super().__init__(f"interrupted by {signal.Signals(signal_number).name}")


class StopRequest:
    """Whether, and by which signal, the run was asked to stop."""

    def __init__(self) -> None:
        self.signal_number: int | None = None

    def __call__(self, signal_number: int, frame: FrameType | None) -> None:
        """Note a signal; on the second, stop where we are."""
        if self.signal_number is not None:
            raise KeyboardInterrupt
        self.signal_number = signal_number


@contextmanager
def listen_for_stop() -> Iterator[StopRequest]:
    """Note SIGINT and SIGTERM inside the block; outside the main thread, note nothing."""
    request = StopRequest()
    previous = {}
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            previous[number] = signal.signal(number, request)
        except ValueError:  # not the main thread: whoever runs us deals with signals
            break
    try:
        yield request
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
