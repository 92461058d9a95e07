# slurm_task.py: one task of an array; submitted again, the array measures what is missing
import os

import measurement

if __name__ == "__main__":
    number, count = int(os.environ["SLURM_ARRAY_TASK_ID"]), int(os.environ["SLURM_ARRAY_TASK_COUNT"])
    measurement.work(measurement.ROOT, measurement.CONFIGS[number::count])
