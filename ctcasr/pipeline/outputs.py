"""Where transcripts go: standard output, one file, or a folder that mirrors the inputs.

Everything that can be refused is refused before the first recording is read: two inputs with one
output, a file that stands there already.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from ctcasr.errors import OutputError
from ctcasr.files import write_text
from ctcasr.pipeline.inputs import Input
from ctcasr.reporting.transcripts import LINE_RENDERERS, TranscriptFormat, render_file
from ctcasr.transcript import Transcript


class Existing(StrEnum):
    """What to do where an output stands already."""

    REFUSE = "refuse"
    SKIP = "skip"
    OVERWRITE = "overwrite"


@dataclass(frozen=True, slots=True)
class OutputPlan:
    """Where the output of each input goes.

    Attributes:
        formats: what to write, at least one.
        file: all inputs go into this file; None for a folder.
        paths: for a folder: the files of each input, one per format.
        todo: the inputs that are to be transcribed.
    """

    formats: tuple[TranscriptFormat, ...]
    file: Path | None
    paths: Mapping[int, tuple[Path, ...]]
    todo: tuple[Input, ...]


def plan_outputs(
    inputs: Sequence[Input],
    *,
    output: Path,
    is_folder: bool,
    formats: Sequence[TranscriptFormat],
    existing: Existing,
) -> OutputPlan:
    """Decide where everything goes, and what need not be done.

    Args:
        inputs: what will be transcribed.
        output: a file, or a folder.
        is_folder: which of the two.
        formats: what to write; a file takes one.
        existing: what to do where an output stands already.

    Raises:
        OutputError: several formats for one file, several inputs for one file of a format that
            holds one recording, two inputs with one output, or an output that stands already and
            may be neither skipped nor overwritten.
    """
    _require_no_recording(inputs, output)
    if not is_folder:
        if len(formats) > 1:
            raise OutputError(
                f"{output}: one file cannot hold {len(formats)} formats; give a folder: -o DIR"
            )
        require_one_recording(inputs, formats[0])
        require_free([output], existing)
        skip = existing is Existing.SKIP and output.exists()
        return OutputPlan(tuple(formats), output, {}, () if skip else tuple(inputs))
    paths = {
        id(item): tuple(output / f"{item.output_stem}{form.suffix}" for form in formats)
        for item in inputs
    }
    _require_distinct(inputs, paths)
    require_free([path for group in paths.values() for path in group], existing)
    todo = tuple(
        item
        for item in inputs
        if existing is not Existing.SKIP or not all(path.exists() for path in paths[id(item)])
    )
    return OutputPlan(tuple(formats), None, paths, todo)


class TranscriptFiles:
    """Writes transcripts as they come, so that what is done is on the disk if the rest fails.

    Use as a context manager: a single output file is written when the block ends, however it ends.
    """

    def __init__(self, plan: OutputPlan) -> None:
        self._plan = plan
        self._lines: list[str] = []
        self._whole: list[Transcript] = []  # for a format that has no lines of its own
        self._item: Input | None = None
        self._of_item: list[Transcript] = []

    def __enter__(self) -> "TranscriptFiles":
        return self

    def __exit__(self, *_: object) -> None:
        self._finish_item()
        if self._plan.file is None or not self._plan.todo:
            return
        form = self._plan.formats[0]
        if form in LINE_RENDERERS:
            _write(self._plan.file, "".join(line + "\n" for line in self._lines))
        elif self._whole:
            _write(self._plan.file, render_file(form, self._whole))

    def write(self, item: Input, transcript: Transcript) -> None:
        """Take one transcript; those of one input come one after another."""
        if item is not self._item:
            self._finish_item()
            self._item = item
        self._of_item.append(transcript)

    def _finish_item(self) -> None:
        item, transcripts = self._item, self._of_item
        self._item, self._of_item = None, []
        if item is None:
            return
        failed = any(transcript.error for transcript in transcripts)
        if self._plan.file is not None:
            form = self._plan.formats[0]
            if form in LINE_RENDERERS:
                self._lines += [LINE_RENDERERS[form](transcript) for transcript in transcripts]
            elif not (failed and form.holds_one_recording):
                self._whole += transcripts
            return
        if failed:
            return  # no file, so that --skip-existing tries it again
        for path, form in zip(self._plan.paths[id(item)], self._plan.formats, strict=True):
            _write(path, render_file(form, transcripts))


def _write(path: Path, text: str) -> None:
    # The name of a recording need not be UTF-8; that must not cost its text.
    write_text(path, text.encode("utf-8", errors="replace").decode("utf-8"))


def require_one_recording(inputs: Sequence[Input], form: TranscriptFormat) -> None:
    """Refuse to put several recordings into one file of a format that holds one.

    Raises:
        OutputError: says what to do instead.
    """
    if form.holds_one_recording and len(inputs) > 1:
        raise OutputError(
            f"-f {form}: one file holds one recording, and there are {len(inputs)}; give a folder, "
            f"which gets a file for each: -o DIR"
        )


def _require_distinct(inputs: Sequence[Input], paths: Mapping[int, tuple[Path, ...]]) -> None:
    taken: dict[Path, Input] = {}
    for item in inputs:
        for path in paths[id(item)]:
            if path in taken:
                raise OutputError(
                    f"{taken[path].utterance.path} and {item.utterance.path} would both be "
                    f"written to {path}; transcribe them into different folders"
                )
            taken[path] = item


def _require_no_recording(inputs: Sequence[Input], output: Path) -> None:
    """Refuse to replace a recording by its text, even where outputs may be replaced."""
    if any(item.utterance.path == output for item in inputs):
        raise OutputError(f"{output}: is one of the recordings; name another file for its text")


def require_free(paths: Sequence[Path], existing: Existing) -> None:
    """Refuse outputs that stand already, unless they may be skipped or replaced.

    Raises:
        OutputError: names the first one.
    """
    if existing is not Existing.REFUSE:
        return
    taken = [path for path in paths if path.exists()]
    if taken:
        more = f" (and {len(taken) - 1} more)" if len(taken) > 1 else ""
        raise OutputError(
            f"{taken[0]}: exists already{more}; add --skip-existing or --overwrite, or name "
            f"another place"
        )
