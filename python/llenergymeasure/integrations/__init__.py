"""Sources for engines that divide a tree of results among processes or hosts.

Each module needs its engine, and is imported only by name: `llenergymeasure.integrations.dask`,
`llenergymeasure.integrations.spark`.
"""
