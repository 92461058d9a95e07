"""The one Spark session of a test run: it takes seconds to start."""

from __future__ import annotations

import os
import shutil
import sys
from functools import cache
from typing import Any

import pytest

from .loopback import HOST
from .processes import export_support


@cache
def session() -> Any:
    """Return the session, with two threads, UTC and names that differ in case; skip without Java."""
    if shutil.which("java") is None and not os.environ.get("JAVA_HOME"):
        pytest.skip("needs a Java runtime: apt-get install default-jre-headless")
    export_support()
    # The workers of Spark would be the python3 of the system.
    os.environ["PYSPARK_PYTHON"] = sys.executable
    os.environ["SPARK_LOCAL_IP"] = HOST
    from pyspark.sql import SparkSession

    from llenergymeasure.integrations.spark import ResultsSource

    settings = {
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.caseSensitive": "true",
        "spark.sql.shuffle.partitions": "2",
        "spark.sql.python.filterPushdown.enabled": "true",
        "spark.log.level": "ERROR",
    }
    builder = SparkSession.builder.master("local[2]").appName("tests")
    for name, value in settings.items():
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    spark.dataSource.register(ResultsSource)
    return spark


def load(root: str, **options: str) -> Any:
    """Return the data frame of a store; the name of an option has `__` for a dot."""
    reader = session().read.format("llenergymeasure")
    for name, value in options.items():
        reader = reader.option(name.replace("__", "."), value)
    return reader.load(root)
