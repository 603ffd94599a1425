"""What is kept: the SQLite study, the JSON documents, the HTML report."""

from cofront.study.store import Run, RunRecord, Study

__all__ = ["Run", "RunRecord", "Study"]
