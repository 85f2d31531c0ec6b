# Sourced by the other scripts. `setup EXTRAS` makes the repository the current folder and leaves in it a .venv
# that holds dlnmc with these extras. The .venv belongs to the scripts: delete it to start over.

# Where it is set, each process compiles all that it imports anew, for seconds; the tests start hundreds.
unset PYTHONDONTWRITEBYTECODE

fail() {
    echo "$0: $*" >&2
    exit 1
}

find_python() {
    local candidate found=""
    for candidate in python3 python3.14 python3.13 python3.12 python3.11 python; do
        "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue
        found=$candidate
        "$candidate" -c 'import ensurepip, venv' 2>/dev/null || continue
        echo "$candidate"
        return
    done
    [[ $found ]] || fail "no Python 3.11 or newer here; on Debian or Ubuntu: apt install python3 python3-venv"
    fail "$found lacks venv or pip; on Debian or Ubuntu: apt install $("$found" -c \
        'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"
}

setup() {
    local extras=$1 root python stamp wanted
    root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
    cd "$root"

    stamp=.venv/installed-$extras
    wanted=$({ echo "$root"; cat pyproject.toml; } | cksum)
    if [[ -x .venv/bin/python && -f $stamp && $(<"$stamp") == "$wanted" ]]; then
        return
    fi

    if ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
        python=$(find_python)
        "$python" -m venv --clear .venv
    fi
    echo "setting up .venv with dlnmc[$extras]: once, a minute or two" >&2
    # Python compiles what it imports, once; pip would compile everything, which takes as long as the rest.
    .venv/bin/python -m pip install --quiet --no-compile --disable-pip-version-check --editable ".[$extras]" ||
        fail "pip could not install dlnmc[$extras]; its reason stands above"
    echo "$wanted" >"$stamp"
}
