"""The terminal: streams, tables, numbers, progress, JSON, input and interrupts."""
