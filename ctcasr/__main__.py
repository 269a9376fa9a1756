"""`python -m ctcasr` is `ctcasr`."""

from ctcasr.cli.app import run

if __name__ == "__main__":
    run()
