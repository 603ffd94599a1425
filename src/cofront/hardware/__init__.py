"""What it costs: one package per accelerator family."""
