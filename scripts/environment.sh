# Sourced by the other scripts: makes .venv, or another folder, hold the packages of a lock file and this project, and no others.
#
# Nothing is done if the lock file has not changed. The lock file of scripts/test includes the packages of the one of
# scripts/demo, so that both use the same environment.

die() {
  echo "$0: $*" >&2
  exit 1
}

# find_python NEWEST: prints a Python from 3.11 to 3.NEWEST.
find_python() {
  local candidate versions="3.11"
  for candidate in "${PYTHON:-}" python3.11 python3.12 python3.13 python3; do
    if [[ -n "$candidate" ]] && command -v "$candidate" >/dev/null && is_python "$candidate" "$1"; then
      echo "$candidate"
      return
    fi
  done
  [[ "$1" == 11 ]] || versions="3.11 to 3.$1"
  die "Python $versions was not found: set PYTHON=/path/to/python"
}

# is_python COMMAND NEWEST: whether it is a Python from 3.11 to 3.NEWEST.
is_python() {
  "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, int(sys.argv[1])))' "$2" 2>/dev/null
}

# is_installed LOCK FOLDER: whether the current version of the lock file was installed into the folder.
is_installed() {
  [[ -x "$2/bin/beamtune" && "$(cat "$2/installed-$1" 2>/dev/null)" == "$(lock_hash "$1")" ]]
}

lock_hash() {
  cat "requirements/$1.txt" pyproject.toml | sha256sum | cut -d' ' -f1
}

# is_ours FOLDER: whether use_environment made the folder. Nothing in another one is changed.
is_ours() {
  [[ -f "$1/made-by-scripts" ]] || compgen -G "$1/installed-*" >/dev/null # of an older version
}

# use_environment LOCK [FOLDER]: installs requirements/LOCK.txt into a folder, .venv by default, unless it is installed.
use_environment() {
  local lock=requirements/$1.txt folder=${2:-.venv} newest=13 python uv
  if is_installed "$1" "$folder" || is_installed dev "$folder"; then
    return
  fi
  [[ ! -e "$folder" ]] || is_ours "$folder" || die "$folder was not made by scripts/: rename it, as its packages would be replaced"
  [[ "$1" != io ]] || newest=11 # for which requirements/io.txt is resolved
  python=$(find_python "$newest")
  echo "installing $lock into $folder (a few minutes the first time)"
  # An environment of a Python that is not supported any more is made anew.
  [[ ! -e "$folder" ]] || is_python "$folder/bin/python" "$newest" || rm -rf "$folder"
  if [[ ! -e "$folder" ]]; then
    mkdir "$folder"
    touch "$folder/made-by-scripts"
    "$python" -m venv "$folder" || die "$python -m venv failed; on Debian: apt-get install python3-venv"
  fi
  rm -f "$folder"/installed-*
  touch "$folder/made-by-scripts"
  # uv downloads in parallel, links files from its cache, and removes the packages that the lock file does not have.
  "$folder/bin/python" -m pip install --quiet --require-hashes --requirement requirements/uv.txt
  uv=("$folder/bin/uv" pip --quiet)
  # Compiled once: where PYTHONDONTWRITEBYTECODE is set, each process would compile what it imports.
  "${uv[@]}" sync --compile-bytecode --python "$folder/bin/python" --require-hashes requirements/uv.txt "$lock"
  "${uv[@]}" install --python "$folder/bin/python" --no-deps --no-build-isolation --editable .
  lock_hash "$1" >"$folder/installed-$1"
}
