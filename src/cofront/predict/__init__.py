"""What a model of it says: predictors of accuracy, latency or energy, on arrays, with uncertainty."""
