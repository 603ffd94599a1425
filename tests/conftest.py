"""Hypothesis without deadlines: a slow machine is no fault of the code."""

from hypothesis import HealthCheck, settings

settings.register_profile("cofront", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
settings.load_profile("cofront")
