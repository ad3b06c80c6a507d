#!/usr/bin/env bash
# What a user of the wheel does: builds sdist and wheel, installs the wheel beside the
# packages of the active environment, but without this checkout on the path, and uses the
# command in an empty folder. Seconds, and a tiny training run.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The wheel is made of the sdist, so that it has nothing that the sdist lacks.
python -c 'import sys, setuptools.build_meta as backend; backend.build_sdist(sys.argv[1])' \
    "$work" >"$work/build.log" 2>&1 || { cat "$work/build.log" >&2 && exit 1; }
python -m pip --quiet wheel --no-deps --no-index --no-build-isolation \
    --disable-pip-version-check --wheel-dir "$work" "$work"/*.tar.gz
git ls-files --cached --others --exclude-standard efdet_jax |
    while read -r file; do [ ! -e "$file" ] || echo "$file"; done | sort >"$work/expected"
python -m zipfile --list "$work"/*.whl | awk '$1 ~ "^efdet_jax/" {print $1}' |
    sort >"$work/packed"
diff "$work/expected" "$work/packed" ||
    { echo "the wheel (>) has other files than the checkout (<)" >&2 && exit 1; }

# A path file adds a folder without following the path files in it, such as that of an
# editable installation.
python -m venv --without-pip "$work/environment"
python -m pip --quiet --python "$work/environment/bin/python" install --no-deps \
    --no-index --disable-pip-version-check "$work"/*.whl
packages='import sysconfig; print(sysconfig.get_path("purelib"))'
python -c "$packages" >"$("$work/environment/bin/python" -c "$packages")/packages.pth"
export PATH="$work/environment/bin:$PATH"
unset PYTHONPATH

mkdir "$work/elsewhere" && cd "$work/elsewhere"
python -c 'import efdet_jax; print(efdet_jax.__file__)' | grep --quiet "^$work/" ||
    { echo "the checkout is on the path" >&2 && exit 1; }
[ "efdet_jax-$(efdet --version)-py3-none-any.whl" = "$(basename "$work"/*.whl)" ]
efdet --help
for verb in $(efdet --help | awk '/^  / {print $1}'); do
    efdet "$verb" --help >help.txt
    grep --quiet "efdet $verb --" help.txt
done

export JAX_DISABLE_MOST_OPTIMIZATIONS=1 # compiles faster
tiny=(--config="$root/tests/tiny.py" --config.steps=2 --config.data.shapes.num_val=8)
efdet train "${tiny[@]}" --workdir=run
efdet eval "${tiny[@]}" --workdir=run
efdet convert "${tiny[@]}" --config.init_from=run --out=tiny.safetensors
