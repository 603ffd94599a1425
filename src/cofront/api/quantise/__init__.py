"""`quantize`: bits for every layer of a trained network, and its integers."""
