"""Append to an Iceberg table the results that it does not have yet.

pip install 'pyiceberg[pyarrow,sql-sqlite]', and run: python iceberg.py STORE WAREHOUSE
"""

import sys
from pathlib import Path

import pyarrow as pa
from pyiceberg.catalog.sql import SqlCatalog

from llenergymeasure import ResultStore

KEY = ("path", "record_sha256")


def publish(scan, catalog, name):
    """Append the rows of a scan whose record is not in a table; return their number."""
    rows = pa.table(scan)
    table = catalog.create_table_if_not_exists(name, schema=rows.schema)
    known = table.scan(selected_fields=KEY).to_arrow()
    seen = set(zip(*(column.to_pylist() for column in known.columns), strict=True))
    keys = zip(*(rows[name].to_pylist() for name in KEY), strict=True)
    rows = rows.filter(pa.array([key not in seen for key in keys], pa.bool_()))
    if rows.num_rows:
        # The catalog refuses the commit if another publisher has changed the table since it was read above.
        table.append(rows.select(table.schema().column_names))
    return rows.num_rows


if __name__ == "__main__":
    store, warehouse = ResultStore(sys.argv[1]), Path(sys.argv[2]).absolute()
    warehouse.mkdir(exist_ok=True)
    catalog = SqlCatalog("local", uri=f"sqlite:///{warehouse}/catalog.db", warehouse=warehouse.as_uri())
    catalog.create_namespace_if_not_exists("llm")
    columns = ["path", "record_sha256", "backend", "total_tokens", "total_energy_j", "start_time"]
    print(publish(store.scan(columns), catalog, "llm.results"), "rows appended")
    print(catalog.load_table("llm.results").scan().to_arrow().num_rows, "rows in the table")
