"""`llem show`: one result."""
