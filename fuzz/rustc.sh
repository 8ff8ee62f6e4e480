#!/bin/sh
# Runs rustc, as Cargo calls it. Our own crates are compiled with the cfg `fuzzing`, and they and the parsers that they hand
# foreign bytes to with the counters that guide libFuzzer; all other crates as ever.
counters='-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters
    -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares'
case "${CARGO_PKG_NAME-} $*" in
    # A build script is not linked with libFuzzer.
    *' --crate-name build_script_'*) exec "$@" ;;
    # The shell is to split the words.
    portcullis*) exec "$@" --cfg fuzzing $counters ;;
    addr2line\ * | gimli\ * | saphyr* | wasmparser\ *) exec "$@" $counters ;;
    *) exec "$@" ;;
esac
