"""The report: one HTML file made from a study."""

from cofront.study.report.build import has_search, report_data, write_report

__all__ = ["has_search", "report_data", "write_report"]
