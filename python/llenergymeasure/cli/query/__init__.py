"""Queries of a store: names of columns, conditions, rows and aggregates."""
