"""`accelerate`: cheaper operators for a trained network."""
