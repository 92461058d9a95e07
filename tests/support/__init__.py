"""Helpers that tests and their worker scripts share."""
