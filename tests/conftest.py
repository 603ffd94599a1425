"""Hypothesis without deadlines: a slow machine is no fault of the code. One thread a process: workers share cores."""

import os
import sys

import pytest
from hypothesis import HealthCheck, settings

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

settings.register_profile("cofront", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
settings.load_profile("cofront")


@pytest.fixture(autouse=True)
def one_thread():
    """What an earlier test of the same process trained with: two workers of two threads on two cores crawl."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.get_num_threads() != 1:
        torch.set_num_threads(1)
