#!/bin/sh
# sbatch slurm_array.sh /shared/sweep
#SBATCH --array=0-3
#SBATCH --requeue
#SBATCH --time=00:10:00
set -eu
cd "${SLURM_SUBMIT_DIR:-$(dirname "$0")}"
exec "${PYTHON:-python3}" slurm_task.py "$@"
