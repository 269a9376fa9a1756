"""Results, transcripts and models to text: pure functions. No torch."""

from ctcasr.reporting.markdown import render_error_table, render_label_errors, render_report

__all__ = ["render_error_table", "render_label_errors", "render_report"]
