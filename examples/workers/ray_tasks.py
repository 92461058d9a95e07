# ray_tasks.py: Ray runs a task again whose worker died; python ray_tasks.py /shared/sweep
import measurement
import ray

if __name__ == "__main__":
    ray.init(num_cpus=2, include_dashboard=False)
    work = ray.remote(num_cpus=1, max_retries=3)(measurement.work)
    ray.get([work.remote(measurement.ROOT, chunk) for chunk in measurement.CHUNKS])
