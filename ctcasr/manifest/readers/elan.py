"""ELAN annotation files (.eaf), read by pympi.

Format: https://www.mpi.nl/tools/elan/EAF_Annotation_Format_3.0_and_ELAN.pdf.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from ctcasr.manifest.readers.annotations import (
    Annotation,
    AnnotationFile,
    Tier,
    UnreadableAnnotationError,
    collect_annotations,
    file_name,
)
from ctcasr.manifest.readers.collecting import Collector


def collect_elan(source: Path, collector: Collector, columns: Mapping[str, str]) -> None:
    """Add the annotations of an .eaf file or of all in a folder; see `collect_annotations`."""
    collect_annotations(source, collector, columns, suffix=".eaf", read=_read)


def _read(path: Path) -> AnnotationFile:
    from pympi import Eaf

    try:
        eaf = Eaf(str(path), suppress_version_warning=True)
        tiers = tuple(_tier(eaf, name) for name in eaf.get_tier_names())
        linked = {
            file_name(unquote(media.get("RELATIVE_MEDIA_URL") or media["MEDIA_URL"])): (
                int(media.get("TIME_ORIGIN", 0)) / 1000
            )
            for media in eaf.get_linked_files()
        }
    except Exception as error:  # pympi raises bare Exception, and KeyError, on damaged files
        raise UnreadableAnnotationError(f"{type(error).__name__}: {error}") from error
    return AnnotationFile(tiers, linked)


def _tier(eaf: Any, name: str) -> Tier:
    attributes = eaf.get_parameters_for_tier(name)
    annotations = sorted(
        (
            Annotation(_seconds(start), _seconds(end), text)
            for start, end, text, *_ in eaf.get_annotation_data_for_tier(name)
        ),
        key=lambda annotation: math.inf if annotation.start is None else annotation.start,
    )
    return Tier(
        name=name,
        annotations=tuple(annotations),
        participant=attributes.get("PARTICIPANT") or None,
        dependent=bool(attributes.get("PARENT_REF")),
    )


def _seconds(milliseconds: int | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000
