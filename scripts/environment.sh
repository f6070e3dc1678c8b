# Sourced by the other scripts: installs the packages of a lock file and this project into .venv.
#
# Nothing is installed if the lock file has not changed. The lock file of scripts/test includes the packages of the one of
# scripts/demo, so that both use the same environment.

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
  die "Python 3.10, 3.11 or 3.12 was not found: set PYTHON=/path/to/python"
}

# is_installed LOCK: whether the current version of the lock file was installed into .venv.
is_installed() {
  [[ -x .venv/bin/beamtune && "$(cat ".venv/installed-$1" 2>/dev/null)" == "$(lock_hash "$1")" ]]
}

lock_hash() {
  cat "requirements/$1.txt" pyproject.toml | sha256sum | cut -d' ' -f1
}

# use_environment LOCK: installs requirements/LOCK.txt into .venv, unless it is installed.
use_environment() {
  local lock=requirements/$1.txt python
  if is_installed "$1" || is_installed dev; then
    return
  fi
  python=$(find_python)
  echo "installing $lock into .venv (a few minutes the first time)"
  [[ -x .venv/bin/python ]] || "$python" -m venv .venv || die "$python -m venv failed; on Debian: apt-get install python3-venv"
  # --no-deps: the lock file lists every package; without the option, older versions of pip fail on extras in hash mode.
  .venv/bin/python -m pip install --quiet --no-deps --require-hashes --requirement "$lock"
  .venv/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable .
  lock_hash "$1" >".venv/installed-$1"
}
