#!/bin/sh
# SPDX-License-Identifier: MIT
#
# man_examples.sh PAGE : runs the commands of the page's EXAMPLES in an empty
# directory that has samples/ in it; prints those that fail. Commands are .Dl
# lines and literal displays; where a display has lines beginning with "$ ",
# these are the commands and the rest is their output.
set -u
root=$PWD
page=$root/$1
dir=$(mktemp -d "${TMPDIR:-/tmp}/prefkit-man.XXXXXX") || exit 1
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1
cp -r "$root/samples" .
PATH=${BIN:-$root/build/rel/bin}:$PATH
awk '
    function plain(s) {
        gsub(/\\&/, "", s)
        gsub(/\\-/, "-", s)
        gsub(/\\\(aq/, "\047", s)
        gsub(/\\\(dq/, "\"", s)
        gsub(/\\e/, "\\", s)
        return s
    }
    function flush_block(   i, prompts) {
        for (i = 1; i <= n; i++)
            prompts += line[i] ~ /^\$ /
        for (i = 1; i <= n; i++) {
            joined = i > 1 && line[i - 1] ~ /\\$/
            if (prompts && line[i] !~ /^\$ / && !(joined && taken))
                { taken = 0; continue }
            taken = 1
            sub(/^\$ /, "", line[i])
            print line[i]
        }
        n = 0
    }
    /^\.Sh / { on = /EXAMPLES/ }
    !on { next }
    /^\.Dl / { s = plain(substr($0, 5)); sub(/^\$ /, "", s); print s; next }
    /^\.Bd -literal/ { block = 1; n = 0; next }
    /^\.Ed/ { flush_block(); block = 0; next }
    block { line[++n] = plain($0) }
' "$page" >commands
[ -s commands ] || { echo 'no commands in EXAMPLES'; exit 1; }
timeout 100 sh -eu commands >out 2>err </dev/null && exit 0
echo "exit $? from:"
cat commands
echo 'standard error:'
tail -n 5 err
