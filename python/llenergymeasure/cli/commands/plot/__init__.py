"""`llem plot`: pictures of results."""
