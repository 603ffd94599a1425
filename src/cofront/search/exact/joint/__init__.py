"""The exact joint Pareto front of networks, precisions and accelerators."""

from cofront.search.exact.joint.api import JointFront, JointPoint, JointProgress, joint_front

__all__ = ["JointFront", "JointPoint", "JointProgress", "joint_front"]
