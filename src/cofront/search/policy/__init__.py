"""Policies learnt by reinforcement: agents that know states and actions, not what they stand for."""
