#!/usr/bin/env bash
# Runs a command on a spot TPU until it has ended, through preemptions and checkpoints:
#
#     scripts/tpu_vm.sh NAME ZONE ACCELERATOR COMMAND...
#
# such as
#
#     SETUP='sudo mkdir -p /mnt/runs && sudo gcsfuse -o allow_other my-bucket /mnt/runs' \
#         scripts/tpu_vm.sh d0 us-central1-a v5litepod-4 \
#         python -m efdet_jax.main --config=experiments/d0.py --workdir=/mnt/runs/d0
#
# NAME becomes a queued resource of Cloud TPU, which is deleted at the end, also after
# Ctrl-C. The files of this checkout are sent there and installed. SETUP is a line that
# each of its machines runs then: it has to mount what shall outlive them, checkpoints
# above all. Ends with the command's exit code; 42, a lost connection or a preempted TPU
# runs it again.
set -euo pipefail

fail() {
    echo "error: $1" >&2
    exit 2
}

[ $# -ge 4 ] || fail "too few arguments: scripts/tpu_vm.sh NAME ZONE ACCELERATOR COMMAND..."
name=$1 zone=$2 accelerator=$3
shift 3
command=$(printf '%q ' "$@")
setup=${SETUP:-true}
seconds_between_looks=${SECONDS_BETWEEN_LOOKS:-30}
case $accelerator in
v5litepod-*) runtime=v2-alpha-tpuv5-lite ;;
v5p-*) runtime=v2-alpha-tpuv5 ;;
v6e-*) runtime=v2-alpha-tpuv6e ;;
*) fail "accelerator $accelerator is unknown: use v5litepod-N, v5p-N or v6e-N" ;;
esac
command -v gcloud >/dev/null ||
    fail "the command gcloud is not on PATH: install the Google Cloud CLI"
cd "$(dirname "$0")/.."

# A shell answers signals only while it waits for a process in the background.
child=
patiently() {
    "$@" &
    child=$!
    wait "$child"
}

pause() {
    patiently sleep "$seconds_between_looks"
}

state() {
    gcloud compute tpus queued-resources describe "$name" --zone="$zone" \
        --format='value(state.state)' 2>/dev/null || true
}

create() {
    is_ours=yes
    patiently gcloud compute tpus queued-resources create "$name" --node-id="$name" \
        --zone="$zone" --accelerator-type="$accelerator" \
        --runtime-version="$runtime" --spot || {
        is_ours=''
        fail "$name could not be created: see what gcloud says above"
    }
}

delete() {
    gcloud compute tpus queued-resources delete "$name" --zone="$zone" --force --quiet ||
        echo "error: $name may still be there and cost money: delete it yourself" >&2
    is_ours='' is_installed=''
}

on_all_workers() {
    patiently gcloud compute tpus tpu-vm ssh "$name" --zone="$zone" --worker=all \
        --command="$1"
}

install() {
    patiently gcloud compute tpus tpu-vm scp "$archive" "$name:checkout.tar.gz" \
        --zone="$zone" --worker=all &&
        # The machines come with an older Python than we need.
        on_all_workers "mkdir -p checkout && tar -xzf checkout.tar.gz -C checkout &&
            python3 -m pip install --user uv &&
            ~/.local/bin/uv venv --allow-existing --python 3.12 ~/efdet &&
            ~/.local/bin/uv pip install --python ~/efdet/bin/python \
                --editable ./checkout 'jax[tpu]' && $setup"
}

# The lock: after a lost connection the last one may still be at it.
run() {
    on_all_workers "export PATH=\$HOME/efdet/bin:\$PATH && cd checkout &&
        flock ~/efdet.lock $command"
}

clean_up() {
    trap '' INT TERM
    [ -z "$child" ] || kill "$child" 2>/dev/null || true
    [ -z "$is_ours" ] || delete
    rm -f "$archive"
}

is_ours='' is_installed=''
archive=$(mktemp --suffix=.tar.gz)
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

before=$(state)
[ -z "$before" ] || fail "$name is there already ($before): use another name or delete it"
git ls-files -z --cached --others --exclude-standard |
    tar --create --gzip --ignore-failed-read --null --files-from=- --file="$archive"

while :; do
    [ -n "$is_ours" ] || create
    case $(state) in
    ACTIVE) ;;
    SUSPENDED | PREEMPTED)
        delete
        continue
        ;;
    FAILED) fail "$name could not be provided: is there a $accelerator in $zone?" ;;
    *)
        pause
        continue
        ;;
    esac

    code=0
    if [ -z "$is_installed" ]; then
        install || code=$?
        [ "$code" != 0 ] || is_installed=yes
    else
        run || code=$?
        case $code in 0 | 1 | 2 | 3) exit "$code" ;; esac
    fi
    case $code in
    0 | 42) ;;
    255) pause ;; # ssh: the machine is not ready yet, or the connection was lost.
    *)
        # A preemption, too, may end it with any code.
        pause
        [ "$(state)" != ACTIVE ] || exit "$code"
        ;;
    esac
done
