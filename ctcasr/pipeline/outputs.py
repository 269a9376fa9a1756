"""Where transcripts go: standard output, one file, or a folder that mirrors the inputs.

Everything that can be refused is refused before the first recording is read: two inputs with one
output, a file that stands there already.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path, PurePath

from ctcasr.errors import OutputError
from ctcasr.files import write_text
from ctcasr.manifest.readers.pages import page_format
from ctcasr.pipeline.inputs import Input
from ctcasr.reporting.transcripts import (
    LINE_RENDERERS,
    PAGE_RENDERERS,
    TranscriptFormat,
    render_file,
)
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
            holds one recording, two inputs with one output, a format that fills pages for what is
            no line of one, or an output that stands already and may be neither skipped nor
            overwritten.
    """
    _require_no_recording(inputs, [output])
    require_pages(inputs, formats)
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
        id(item): tuple(output / f"{_stem(item, form)}{form.suffix}" for form in formats)
        for item in inputs
    }
    _require_no_recording(inputs, [path for group in paths.values() for path in group])
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
        self._of_file: list[tuple[Input, Transcript]] = []

    def __enter__(self) -> "TranscriptFiles":
        return self

    def __exit__(self, *_: object) -> None:
        of_file = self._of_file
        self._finish_file()
        if self._plan.file is None or not self._plan.todo:
            return
        form = self._plan.formats[0]
        if form.fills_pages:
            if of_file:
                _write(self._plan.file, render_page(form, of_file))
            return
        if form in LINE_RENDERERS:
            _write(self._plan.file, "".join(line + "\n" for line in self._lines))
        elif self._whole:
            _write(self._plan.file, render_file(form, self._whole))

    def write(self, item: Input, transcript: Transcript) -> None:
        """Take one transcript; those of one input, and of one page, come one after another."""
        if self._of_file and not _share_a_file(self._of_file[-1][0], item):
            self._finish_file()
        self._of_file.append((item, transcript))

    def _finish_file(self) -> None:
        of_file, self._of_file = self._of_file, []
        if not of_file:
            return
        item, transcripts = of_file[0][0], [transcript for _, transcript in of_file]
        failed = any(transcript.error for transcript in transcripts)
        if self._plan.file is not None:
            form = self._plan.formats[0]
            if form.fills_pages:
                return
            if form in LINE_RENDERERS:
                self._lines += [LINE_RENDERERS[form](transcript) for transcript in transcripts]
            elif not (failed and form.holds_one_recording):
                self._whole += transcripts
            return
        if failed and item.page is None:
            return  # no file, so that --skip-existing tries it again
        for path, form in zip(self._plan.paths[id(item)], self._plan.formats, strict=True):
            if form.fills_pages:
                _write(path, render_page(form, of_file))
            else:
                _write(path, render_file(form, transcripts))


def render_page(form: TranscriptFormat, of_page: Sequence[tuple[Input, Transcript]]) -> str:
    """Return the page that lines came from, with their transcripts filled in.

    Args:
        form: that fills pages.
        of_page: all of one page, of which there is at least one.

    Raises:
        OutputError: the page can no longer be read.
    """
    page = of_page[0][0].page
    assert page is not None, "require_pages has looked"
    lines = {
        item.utterance.source.element: transcript
        for item, transcript in of_page
        if item.utterance.source is not None
    }
    try:
        content = page.read_bytes()
    except OSError as error:
        raise OutputError(
            f"{page}: cannot be read again ({error.strerror}); put it back"
        ) from error
    return PAGE_RENDERERS[form](content, lines)


def _share_a_file(one: Input, other: Input) -> bool:
    return one is other or (one.page is not None and one.page == other.page)


def _stem(item: Input, form: TranscriptFormat) -> PurePath:
    """Return where an output goes; what fills a page has its name, whoever lists the lines."""
    if form.fills_pages and item.page is not None and item.output_stem.name != item.page.stem:
        return PurePath(item.page.stem)
    return item.output_stem


def _write(path: Path, text: str) -> None:
    # The name of a recording need not be UTF-8; that must not cost its text.
    write_text(path, text.encode("utf-8", errors="replace").decode("utf-8"))


def require_one_recording(inputs: Sequence[Input], form: TranscriptFormat) -> None:
    """Refuse to put several recordings into one file of a format that holds one.

    Raises:
        OutputError: says what to do instead.
    """
    pages = {item.page for item in inputs}
    if form.fills_pages and len(pages) > 1:
        raise OutputError(
            f"-f {form}: one file is one page, and the lines are of {len(pages)}; give a folder, "
            f"which gets a file for each: -o DIR"
        )
    if form.holds_one_recording and len(inputs) > 1:
        raise OutputError(
            f"-f {form}: one file holds one recording, and there are {len(inputs)}; give a folder, "
            f"which gets a file for each: -o DIR"
        )


def _require_distinct(inputs: Sequence[Input], paths: Mapping[int, tuple[Path, ...]]) -> None:
    taken: dict[Path, Input] = {}
    for item in inputs:
        for path in paths[id(item)]:
            if path in taken and not _share_a_file(taken[path], item):
                raise OutputError(
                    f"{taken[path].utterance.path} and {item.utterance.path} would both be "
                    f"written to {path}; transcribe them into different folders"
                )
            taken[path] = item


def require_pages(inputs: Sequence[Input], formats: Sequence[TranscriptFormat]) -> None:
    """Refuse to write into pages what did not come from them.

    Raises:
        OutputError: names the first, and the format to ask for.
    """
    for form in formats:
        if not form.fills_pages:
            continue
        for item in inputs:
            if item.page is None:
                raise OutputError(
                    f"-f {form}: {item.utterance.id} is no line of a PAGE or ALTO file; give such "
                    f"a file, or ask for txt"
                )
        for page in {item.page: None for item in inputs if item.page is not None}:
            found = page_format(page)
            if found != form:
                raise OutputError(
                    f"-f {form}: {page} is {found or 'neither'}; ask for -f {found or 'txt'}"
                )


def _require_no_recording(inputs: Sequence[Input], outputs: Sequence[Path]) -> None:
    """Refuse to replace what is read by its text, even where outputs may be replaced."""
    read = {item.utterance.path for item in inputs} | {
        item.page for item in inputs if item.page is not None
    }
    for output in outputs:
        if output in read:
            raise OutputError(f"{output}: is one of the inputs; name another file for its text")


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
