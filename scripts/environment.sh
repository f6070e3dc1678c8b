# Sourced by the other scripts: makes .venv hold the packages of a lock file and this project.
#
# An environment whose lock has not changed is used as it is; scripts/test's lock holds all that scripts/demo's does,
# so that both use the same one.

die() {
  echo "$0: $*" >&2
  exit 1
}

find_python() {
  local candidate
  for candidate in "${PYTHON:-}" python3.11 python3.12 python3.10 python3; do
    if [[ -n "$candidate" ]] && command -v "$candidate" >/dev/null &&
      "$candidate" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null; then
      echo "$candidate"
      return
    fi
  done
  die "Python 3.10, 3.11 or 3.12 is needed and was not found; PYTHON=/path/to/python names one"
}

# is_installed LOCK: whether .venv holds just what the lock says.
is_installed() {
  [[ -x .venv/bin/beamtune && "$(cat ".venv/installed-$1" 2>/dev/null)" == "$(fingerprint "$1")" ]]
}

fingerprint() {
  cat "requirements/$1.txt" pyproject.toml | sha256sum | cut -d' ' -f1
}

# use_environment LOCK: LOCK is the name of a file in requirements/, without its ending.
use_environment() {
  local lock=requirements/$1.txt python
  if is_installed "$1" || is_installed dev; then
    return
  fi
  python=$(find_python)
  echo "installing $lock into .venv (a few minutes the first time)"
  [[ -x .venv/bin/python ]] || "$python" -m venv .venv || die "$python -m venv failed; on Debian: apt-get install python3-venv"
  # --no-deps: the lock names every package; without it older versions of pip trip over extras in hash mode.
  .venv/bin/python -m pip install --quiet --no-deps --require-hashes --requirement "$lock"
  .venv/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable .
  fingerprint "$1" >".venv/installed-$1"
}
