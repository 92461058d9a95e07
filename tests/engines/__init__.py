"""The same queries in every engine: `adapters` has a module per engine, `queries` what they are asked."""
