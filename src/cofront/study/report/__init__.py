"""The report: one HTML file made from a study."""

from cofront.study.report.build import report_data, write_report

__all__ = ["report_data", "write_report"]
