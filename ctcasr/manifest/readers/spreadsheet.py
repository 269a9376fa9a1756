"""Spreadsheets: the first sheet of an .xlsx file, its cells as a person sees them."""

import warnings
import zipfile
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

from ctcasr.errors import ManifestError
from ctcasr.manifest.readers.delimited import Table, make_table


def read_spreadsheet(path: Path) -> Table:
    """Return the first sheet as a table whose first row is its header.

    Whole numbers have no ".0", numbers shown with leading zeros keep them, formulas give the value
    last calculated.

    Raises:
        ManifestError: the file cannot be read as .xlsx, or the sheet is empty.
    """
    from openpyxl import load_workbook
    from openpyxl.utils.exceptions import InvalidFileException

    try:
        with warnings.catch_warnings():
            # colours, drop-down lists and the like, which we do not read anyway
            warnings.filterwarnings("ignore", category=UserWarning, module="openpyxl")
            workbook = load_workbook(path, read_only=True, data_only=True)
            try:
                sheet = workbook.worksheets[0]
                sheet.reset_dimensions()  # some programs write wrong ones
                rows = [tuple(_as_seen(cell) for cell in row) for row in sheet.iter_rows()]
            finally:
                workbook.close()
    except (
        InvalidFileException, zipfile.BadZipFile, OSError, KeyError, IndexError, ValueError
    ) as error:  # fmt: skip
        raise ManifestError(
            f"{path}: cannot be read as a spreadsheet ({error}); open it and save it as .xlsx or "
            f"as CSV"
        ) from error
    table = make_table(rows, path)
    width = len(table.header)  # a row ends with its last filled cell
    padded = tuple((number, row + ("",) * (width - len(row))) for number, row in table.rows)
    return Table(table.header, padded)


def _as_seen(cell: Any) -> str:
    """Return the text of a cell of openpyxl."""
    value = cell.value
    match value:
        case None:
            return ""
        case bool():
            return str(value).upper()
        case float() if not value.is_integer():
            return repr(value)
        case int() | float():
            shown_format = str(cell.number_format)
            digits = len(shown_format) if set(shown_format) == {"0"} else 0
            return f"{int(value):0{digits}d}" if digits else str(int(value))
        case datetime() if value.time() == time():
            return value.date().isoformat()
        case datetime() | date() | time():
            return value.isoformat()
        case _:
            return str(value)
