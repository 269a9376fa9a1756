"""Frontends whose signals are frames already, made by the threads that read: ink and images."""

from ctcasr.settings import Section


class FramedConfig(Section):
    """What such frontends have in common: a frame is a position, and one unit of the axis."""

    @property
    def hop(self) -> int:
        """Positions of the signal for each frame."""
        return 1

    @property
    def rate(self) -> float:
        """Positions of the signal for each unit of its axis, the point or pixel."""
        return 1.0

    def num_frames(self, num_positions: int) -> int:
        """Return T of a signal (N, F)."""
        return num_positions
