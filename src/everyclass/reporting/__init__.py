"""From the evaluations of a rescue to one HTML file, and to the paper's figures."""

from everyclass.reporting.charts import recall_chart, recalls_chart
from everyclass.reporting.data import RescueReport, recall_rows
from everyclass.reporting.html import render_report, write_report

__all__ = [
    "RescueReport",
    "recall_chart",
    "recall_rows",
    "recalls_chart",
    "render_report",
    "write_report",
]
