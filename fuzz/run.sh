#!/usr/bin/env bash
# Fuzzes.
#
#   fuzz/run.sh                      what CI does: replays every corpus, then fuzzes each target for 5 s
#   fuzz/run.sh TARGET [OPTION...]   fuzzes one target, optimised, until it is stopped; with options of libFuzzer, such as
#                                    -max_total_time=600
#   fuzz/run.sh TARGET FILE...       runs the files alone
#   fuzz/run.sh --list               the targets
#   fuzz/run.sh --merge TARGET       adds to the corpus the least of what was found since that reaches more code
#
# What is found is kept in fuzz/target/corpus/TARGET, what fails in fuzz/target/artifacts.
set -euo pipefail
cd "$(dirname "$0")"

# Seconds for each target, where all are fuzzed.
seconds=5

build() {
    cargo build --quiet --locked "$@"
}

# Runs a target: fuzz PROFILE TARGET ARGUMENT...
fuzz() {
    local profile=$1 target=$2
    shift 2
    [[ ! -e dictionaries/$target.dict ]] || set -- "-dict=dictionaries/$target.dict" "$@"
    PORTCULLIS_FUZZ_TARGET=$target "$folder/$profile/portcullis-fuzz" "-artifact_prefix=$artifacts/$target-" \
        -timeout=20 -rss_limit_mb=2048 "$@"
}

# Replays a target's corpus and fuzzes it for a moment; what libFuzzer prints is shown if it fails.
smoke() {
    local target=$1 output
    if output=$(fuzz debug "$target" corpus/"$target"/* 2>&1) &&
        output=$(scratch=$(mktemp -d) && fuzz debug "$target" -max_total_time=$seconds -print_final_stats=1 "$scratch" "corpus/$target" 2>&1 &&
            rm -r "$scratch"); then
        printf '%-16s %s executions\n' "$target" "$(grep -o 'stat::number_of_executed_units: .*' <<<"$output" | grep -o '[0-9]*$')"
    else
        printf '%s\n\nthe target "%s" failed; repeat it with: fuzz/run.sh %s FILE\n' "$output" "$target" "$target" >&2
        return 1
    fi
}

# A folder of its own: the same packages have other features and other flags in the workspace's.
folder=$PWD/target
artifacts=$folder/artifacts
export CARGO_TARGET_DIR=$folder
mkdir -p "$artifacts"

case ${1-} in
    '')
        build
        targets=$(PORTCULLIS_FUZZ_TARGET=list "$folder/debug/portcullis-fuzz" 2>/dev/null)
        # As many at once as there are cores.
        export -f fuzz smoke
        export folder artifacts seconds
        xargs -P "$(nproc)" -I TARGET bash -euo pipefail -c 'smoke TARGET' <<<"$targets"
        ;;
    --list)
        build
        PORTCULLIS_FUZZ_TARGET=list "$folder/debug/portcullis-fuzz" 2>/dev/null
        ;;
    --merge)
        build --release
        fuzz release "$2" -set_cover_merge=1 "corpus/$2" "$folder/corpus/$2"
        ;;
    *)
        build --release
        target=$1
        shift
        for argument in "$@"; do
            if [[ $argument != -* ]]; then
                fuzz release "$target" "$@"
                exit
            fi
        done
        mkdir -p "$folder/corpus/$target"
        fuzz release "$target" -print_final_stats=1 "$@" "$folder/corpus/$target" "corpus/$target"
        ;;
esac
