"""What anyone who adds a space, an accelerator or a search can test it with."""
