"""Quantisation of any trained network after training."""
