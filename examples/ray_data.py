"""Read a tree of results with Ray Data: one task per partition of the scan.

pip install 'ray[data]', and run: python ray_data.py STORE
"""

import sys

import pyarrow as pa
import ray

from llenergymeasure import ResultStore


class Results(ray.data.Datasource):
    def __init__(self, scan):
        super().__init__()
        self.scan = scan

    def estimate_inmemory_data_size(self):
        return None

    def get_read_tasks(self, parallelism, *_args, **_options):
        # The tree is listed once, here; each part has the same columns, and is read by a worker.
        tasks = []
        for part in self.scan.partitions(max(1, parallelism)):
            metadata = ray.data.block.BlockMetadata(
                num_rows=None, size_bytes=None, input_files=None, exec_stats=None
            )
            tasks.append(ray.data.ReadTask(lambda part=part: [pa.table(part)], metadata))
        return tasks


def read_results(scan, **options):
    """Return a dataset of the rows of a scan."""
    return ray.data.read_datasource(Results(scan), **options)


if __name__ == "__main__":
    store = ResultStore(sys.argv[1])
    ray.init(log_to_driver=False, logging_level="ERROR")
    # Ray does not tell a datasource which columns and rows it needs: name them here.
    scan = store.scan(["path", "total_energy_j"], where=[("backend", "==", "vllm")])
    results = read_results(scan, override_num_blocks=4).materialize()
    energy = sum(batch["total_energy_j"].sum() for batch in results.iter_batches())
    print(results.count(), "results of vllm,", energy, "J")
