"""From evaluations to one HTML file, to the paper's figures, and to what gates print."""

from everyclass.reporting.charts import recall_chart, recalls_chart
from everyclass.reporting.data import RescueReport, recall_rows
from everyclass.reporting.gates import gate_table, github_annotations, junit_xml
from everyclass.reporting.html import render_report, write_report
from everyclass.reporting.notebook import comparison_html, evaluation_html, rescue_html

__all__ = [
    "RescueReport",
    "comparison_html",
    "evaluation_html",
    "gate_table",
    "github_annotations",
    "junit_xml",
    "recall_chart",
    "recall_rows",
    "recalls_chart",
    "render_report",
    "rescue_html",
    "write_report",
]
