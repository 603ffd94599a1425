"""Networks as PyTorch modules, and PyTorch modules as Networks; `cofront.network.pytorch` is the way in."""
