# ray_actors.py: actors with an open writer save while they measure; python ray_actors.py /shared/sweep
import measurement
import ray

from llenergymeasure import ResultStore


@ray.remote(num_cpus=1, max_restarts=3, max_task_retries=3)
class Worker:
    def __init__(self, root):
        self.store = ResultStore(root)
        self.writer = self.store.writer()

    def work(self, configs):
        for config in self.store.missing(configs):
            self.writer.submit(measurement.measure(config))
        self.writer.flush()  # all are durable when the task returns

    def close(self):
        self.writer.close()


if __name__ == "__main__":
    ray.init(num_cpus=2, include_dashboard=False)
    workers = [Worker.remote(measurement.ROOT) for _ in range(2)]
    ray.get([workers[n % 2].work.remote(chunk) for n, chunk in enumerate(measurement.CHUNKS)])
    ray.get([worker.close.remote() for worker in workers])
