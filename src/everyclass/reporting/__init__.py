"""From evaluations to one HTML file or a comment, to the paper's figures, and what gates print."""

from everyclass.reporting.building import Format, report, report_of, write_as
from everyclass.reporting.charts import recall_chart, recalls_chart
from everyclass.reporting.data import Report
from everyclass.reporting.from_files import named_files, report_of_files
from everyclass.reporting.gates import (
    gate_table,
    github_annotations,
    holds_junit,
    junit_xml,
    refusal_as_github,
    refusal_as_junit,
)
from everyclass.reporting.html import render_report, write_report
from everyclass.reporting.judged import Judged
from everyclass.reporting.markdown import render_comment, write_comment
from everyclass.reporting.marks import holds_report
from everyclass.reporting.notebook import comparison_html, evaluation_html, rescue_html
from everyclass.reporting.pareto import pareto_chart
from everyclass.reporting.rows import recall_rows
from everyclass.reporting.thumbnails import pictures_of

__all__ = [
    "Format",
    "Judged",
    "Report",
    "comparison_html",
    "evaluation_html",
    "gate_table",
    "github_annotations",
    "holds_junit",
    "holds_report",
    "junit_xml",
    "named_files",
    "pareto_chart",
    "pictures_of",
    "recall_chart",
    "recall_rows",
    "recalls_chart",
    "refusal_as_github",
    "refusal_as_junit",
    "render_comment",
    "render_report",
    "report",
    "report_of",
    "report_of_files",
    "rescue_html",
    "write_as",
    "write_comment",
    "write_report",
]
