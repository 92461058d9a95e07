"""`llem compare`: results or groups of results, side by side."""
