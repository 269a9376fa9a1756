"""The C++ core, where it was built when ctcasr was installed."""

try:
    from ctcasr.decoding import _core as compiled

    HAS_CORE = True
except ImportError:  # there was no compiler
    HAS_CORE = False

__all__ = ["HAS_CORE", "compiled"]
