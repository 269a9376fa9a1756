"""What is wrong with a data set before training; its fatal part runs inside `train`."""

from ctcasr.checking.class_checks import class_of, classes_of
from ctcasr.checking.findings import CheckReport, Finding, Kind, Severity, Unusable
from ctcasr.checking.frame_checks import frame_classes_of, stretches_of
from ctcasr.checking.render import render_report, write_report
from ctcasr.checking.run import check_utterances
from ctcasr.checking.usable import Requirements, find_usable

__all__ = [
    "CheckReport",
    "Finding",
    "Kind",
    "Requirements",
    "Severity",
    "Unusable",
    "check_utterances",
    "class_of",
    "classes_of",
    "find_usable",
    "frame_classes_of",
    "render_report",
    "stretches_of",
    "write_report",
]
