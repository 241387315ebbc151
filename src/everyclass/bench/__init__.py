"""The paper's tables and figures: what to run, run it, show ours beside the paper's.

Running needs torch and lives in ``everyclass.bench.run``; showing does not.
"""

from everyclass.bench.figures import figure_chart, figure_text, save_figure
from everyclass.bench.filling import filling_commands
from everyclass.bench.results import Result, load_results
from everyclass.bench.show import TableStyle, table_rows, table_text
from everyclass.bench.statistics import statistics_rows, statistics_text
from everyclass.bench.tables import Row, Table, load_table, table_names

__all__ = [
    "Result",
    "Row",
    "Table",
    "TableStyle",
    "figure_chart",
    "figure_text",
    "filling_commands",
    "load_results",
    "load_table",
    "save_figure",
    "statistics_rows",
    "statistics_text",
    "table_names",
    "table_rows",
    "table_text",
]
