#!/bin/sh
# What one accelerator does with remjax, offline and within ten minutes:
#
#     benchmarks/accelerator.sh OUT DATA_DIR      (DATA_DIR holds the files of MNIST)
#     benchmarks/accelerator.sh --small OUT       the same on a CPU, with the embedded digits
#
# Writes tables, JSON and pictures into OUT. Run it from the repository's root; PYTHON=... names the
# interpreter, whose JAX decides on the device. Each part has its share of the ten minutes; one that
# is not done by then is stopped, the fit with everything saved: called again it goes on.
set -u

usage() { sed -n '2,10s/^# \{0,1\}//p' "$0" >&2; exit 2; }

small=
[ "${1-}" = --small ] && { small=yes; shift; }
out=${1-}
[ -n "$out" ] || usage
data_dir=${2-}
[ -n "$small" ] || [ -n "$data_dir" ] || usage
mkdir -p "$out" || exit
python=${PYTHON:-python3}
failures=0 unfinished=0

# run NAME SECONDS MODULE FLAG...: prints and keeps the output; a failure of one leaves the others.
run() {
    name=$1 seconds=$2
    shift 2
    echo "== $name"
    timeout -k 5 "$seconds" "$python" -m "$@" > "$out/$name.txt" 2>&1
    code=$?
    if [ $code = 124 ] || [ $code = 137 ]; then
        echo "not done within $seconds s" >> "$out/$name.txt"
        unfinished=$((unfinished + 1))
    elif [ $code != 0 ]; then
        echo "failed (exit code $code)" >> "$out/$name.txt"
        failures=$((failures + 1))
    fi
    cat "$out/$name.txt"
}

fit=experiments.train
if [ -n "$small" ]; then
    run roofline 60 benchmarks.roofline --num_particles=50 --size=256 --json="$out/roofline.json"
    run rem 270 $fit --dataset=digits --epochs=2 --num_particles=50 --train_size=300 \
        --eval_num_particles=50 --run_dir="$out/rem" --resume
    run peers 180 benchmarks.peers --methods=rem_v1,rws,iwae,e_step,epoch --sizes=4x8 --keep=4 \
        --repeats=1 --epoch_steps=2 --json="$out/peers.json" --picture="$out/peers.png"
    run scaling 90 benchmarks.scaling --methods=rem_v1 --particles=100,1000 --seconds=5 \
        --json="$out/scaling.json" --picture="$out/scaling.png"
else
    run roofline 60 benchmarks.roofline --batch_size=100 --num_particles=1000 --size=8192 \
        --json="$out/roofline.json"
    run rem 330 $fit --method=rem_v1 --dataset=mnist --data_dir="$data_dir" --epochs=200 \
        --num_particles=1000 --keep=64 --run_dir="$out/rem" --resume
    run peers 120 benchmarks.peers --methods=rem_v1,iwae,epoch --sizes=20x1000,20x10000 \
        --seconds=5 --json="$out/peers.json" --picture="$out/peers.png"
    run scaling 75 benchmarks.scaling --methods=iwae,rem_v1 --seconds=2 \
        --json="$out/scaling.json" --picture="$out/scaling.png"
fi
# 1: something failed; 3: nothing did, but a part was not done in its time.
[ $failures = 0 ] || exit 1
[ $unfinished = 0 ] || exit 3
