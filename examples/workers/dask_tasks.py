# dask_tasks.py: Dask runs a task again whose worker died; python dask_tasks.py /shared/sweep
import measurement
from dask.distributed import Client, LocalCluster

if __name__ == "__main__":
    cluster = LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None)
    with cluster, Client(cluster) as client:
        client.upload_file(measurement.__file__)
        roots = [measurement.ROOT] * len(measurement.CHUNKS)
        client.gather(client.map(measurement.work, roots, measurement.CHUNKS, pure=False))
