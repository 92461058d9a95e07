# spark_partitions.py: Spark runs a task again whose worker died; python spark_partitions.py /shared/sweep
import measurement
from pyspark.sql import SparkSession


def work(configs):
    measurement.work(measurement_root.value, list(configs))


if __name__ == "__main__":
    spark = SparkSession.builder.master("local[2, 4]").config("spark.ui.enabled", "false").getOrCreate()
    spark.sparkContext.addPyFile(measurement.__file__)
    measurement_root = spark.sparkContext.broadcast(measurement.ROOT)
    tasks = spark.sparkContext.parallelize(measurement.CONFIGS, len(measurement.CHUNKS))
    tasks.foreachPartition(work)
    spark.stop()
