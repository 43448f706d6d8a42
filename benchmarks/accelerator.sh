#!/bin/sh
# What one accelerator does with remjax, offline and within ten minutes:
#
#     benchmarks/accelerator.sh OUT DATA_DIR      (DATA_DIR holds the files of MNIST)
#     benchmarks/accelerator.sh --small OUT       the same on a CPU, with the embedded digits
#
# Writes tables, JSON and pictures into OUT. Run it from the repository's root; PYTHON=... names the
# interpreter, whose JAX decides on the device.
set -eu

usage() { sed -n '2,9s/^# \{0,1\}//p' "$0" >&2; exit 2; }

small=
[ "${1-}" = --small ] && { small=yes; shift; }
out=${1-}
[ -n "$out" ] || usage
data_dir=${2-}
[ -n "$small" ] || [ -n "$data_dir" ] || usage
mkdir -p "$out"
python=${PYTHON:-python3}

# Prints and keeps the output of one benchmark; a failure of one leaves the others.
run() {
    name=$1
    shift
    echo "== $name"
    "$python" -m "$@" > "$out/$name.txt" 2>&1 || echo "failed (exit code $?)" >> "$out/$name.txt"
    cat "$out/$name.txt"
}

if [ -n "$small" ]; then
    sizes="--sizes=4x8 --keep=4 --repeats=1 --epoch_steps=2"
    particles="--methods=rem_v1 --particles=100,1000 --seconds=5"
    step="--num_particles=50 --size=256"
    fit="--dataset=digits --epochs=2 --num_particles=50 --train_size=300 --eval_num_particles=50"
else
    sizes="--seconds=10"
    particles="--methods=iwae,rws,rem_v1 --seconds=5"
    step="--batch_size=100 --num_particles=1000 --size=8192"
    fit="--dataset=mnist --data_dir=$data_dir --epochs=200 --num_particles=1000"
fi

# Lists of flags, so they are split on purpose.
# shellcheck disable=SC2086
{
    run roofline benchmarks.roofline $step --json="$out/roofline.json"
    run peers benchmarks.peers $sizes --json="$out/peers.json" --picture="$out/peers.png"
    run scaling benchmarks.scaling $particles --json="$out/scaling.json" --picture="$out/scaling.png"
    run rem experiments.train --method=rem_v1 $fit --run_dir="$out/rem"
}
