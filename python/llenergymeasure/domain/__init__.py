"""What a result is."""
