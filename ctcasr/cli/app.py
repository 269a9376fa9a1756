"""The `ctcasr` command: its subcommands, and how every one of them ends.

    0    done
    1    a bug of ours, with a traceback
    2    a mistake the user can fix, in one line
    3    finished, but items failed or `check` found fatal ones
    130  interrupted by Ctrl-C; 143 by SIGTERM; what was written is whole

Nothing heavy is imported here or in the command modules: each command imports what it needs.
"""

import contextlib
import errno
import io
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import Any

import click

from ctcasr.cli.align import align_command
from ctcasr.cli.check import check_command
from ctcasr.cli.compare import compare_command
from ctcasr.cli.demo import demo_command
from ctcasr.cli.evaluate import evaluate_command
from ctcasr.cli.info import info_command
from ctcasr.cli.lm import lm_command
from ctcasr.cli.manifest import manifest_command
from ctcasr.cli.progress import announce
from ctcasr.cli.report import report_command
from ctcasr.cli.score import score_command
from ctcasr.cli.show import show_command
from ctcasr.cli.train import train_command
from ctcasr.cli.transcribe import transcribe_command
from ctcasr.cli.tune import tune_command
from ctcasr.errors import CtcasrError, ToldElsewhereError

INTERRUPTED = 128
_SHARING = ("train", "transcribe", "evaluate")
"""Commands whose work several processes can share."""
# The disk is full or belongs to somebody else: nothing that we could have done better.
_USERS_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS}


class _Terminated(BaseException):
    """SIGTERM, where no command deals with it itself."""


class _Commands(click.Group):
    """The subcommands; whoever reads their output may leave early, as `head` does."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run one; a closed pipe is the end of it, where click would call it a failure."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            # Say nothing more, not even at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="ctcasr", message="ctcasr %(version)s")
@click.pass_context
def app(ctx: click.Context) -> None:
    """Turn recordings and handwriting into text, with a recognizer that you train and own."""
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    if processes > 1 and ctx.invoked_subcommand not in _SHARING:
        if os.environ.get("RANK", "0") != "0":
            raise ToldElsewhereError(2)
        raise click.UsageError(
            f"ctcasr {ctx.invoked_subcommand} works in one process, and torchrun has started "
            f"{processes}, which would each do all of it; start it without torchrun, which is for "
            f"{', '.join(_SHARING[:-1])} and {_SHARING[-1]}"
        )


for _command in (
    demo_command,
    manifest_command,
    check_command,
    train_command,
    transcribe_command,
    evaluate_command,
    align_command,
    score_command,
    compare_command,
    report_command,
    show_command,
    lm_command,
    tune_command,
    info_command,
):
    app.add_command(_command)


def run() -> None:
    """Entry point of the installed command."""
    sys.exit(main())


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return the exit status that the header lists."""
    _write_utf8()
    with contextlib.suppress(ValueError):  # not the main thread: whoever runs us has the signals
        signal.signal(signal.SIGTERM, _terminate)
    try:
        status = app(list(argv) if argv is not None else None, "ctcasr", standalone_mode=False)
        return int(status or 0)
    except ToldElsewhereError as error:
        return error.status
    except CtcasrError as error:
        return _mistake(str(error))
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return 2
    except click.ClickException as error:
        return _mistake(error.format_message())
    except (KeyboardInterrupt, click.Abort):
        return _interrupted(signal.SIGINT)
    except _Terminated:
        return _interrupted(signal.SIGTERM)
    except OSError as error:
        if error.errno not in _USERS_DISK:
            raise
        return _mistake(
            f"{error.filename or 'output'}: {error.strerror}; what was written before is whole; "
            f"free some space or name another place, and run the command again"
        )


def _mistake(message: str) -> int:
    announce(f"ctcasr: error: {message}")
    return 2


def _interrupted(number: signal.Signals) -> int:
    announce(f"ctcasr: interrupted ({number.name}); what was written is whole")
    return INTERRUPTED + number


def _terminate(_number: int, _frame: FrameType | None) -> None:
    raise _Terminated


def _write_utf8() -> None:
    """Make both outputs UTF-8, whatever the console's code page."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="replace")
