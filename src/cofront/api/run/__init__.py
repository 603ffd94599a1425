"""`run`: a published differentiable system from its search to a trained network."""
