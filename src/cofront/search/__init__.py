"""How to choose: exact, evolutionary, tree, random; each takes a problem as arrays and returns a Front."""
