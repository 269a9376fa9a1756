"""How long this thread has to wait while another one computes."""

import threading
import time
from collections.abc import Callable


def watch(compute: Callable[[], object]) -> tuple[float, float]:
    """Run `compute` in a thread; return its seconds, and those of the longest pause here."""
    computing = threading.Thread(target=compute)
    begin = last = time.perf_counter()
    longest_wait = 0.0
    computing.start()
    while computing.is_alive():
        now = time.perf_counter()
        longest_wait, last = max(longest_wait, now - last), now
    return time.perf_counter() - begin, longest_wait
