"""The exact joint search as a registered method."""

from __future__ import annotations

from cofront.api.joint import exact_front
from cofront.front import Front
from cofront.search.method import Job, Method


def _run(job: Job) -> Front:
    return exact_front(
        job.problem,
        on_progress=lambda stage, designs, gap: job.heard(designs, gap, stage),
        should_stop=job.budget.should_stop,
        time_limit_s=job.budget.time_s,
    )


METHOD = Method("exact", _run, "the proven front", certifies=True)
