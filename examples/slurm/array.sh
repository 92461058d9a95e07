#!/bin/sh
# sbatch array.sh /shared/sweep: each task measures its part of what is missing; submit it again after a failure
#SBATCH --array=0-3
#SBATCH --time=00:10:00
set -eu
cd "${SLURM_SUBMIT_DIR:-$(dirname "$0")}"
python=${PYTHON:-python3} root=$1

"$python" -m llenergymeasure missing configs.csv "$root" --repeats 3 \
    --shard "$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT" > "runs-$SLURM_ARRAY_TASK_ID.jsonl"
while IFS= read -r config; do
    "$python" run.py "$root" "$config" || echo "failed: $config" # the failure is saved, too
done < "runs-$SLURM_ARRAY_TASK_ID.jsonl"
