#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The rules of the tree that a program can check. Needs a built tree; mandoc
# for the man pages (skipped, and counted as skipped, where it is absent).
. tests/lib.sh
here=tests/lint

files() { # tracked or new files, not ignored, of these patterns
    if [ -d .git ] || [ -f .git ]; then
        git ls-files -co --exclude-standard -- "$@" |
            while read -r f; do [ -f "$f" ] && echo "$f"; done
    else
        for p in "$@"; do
            find . -path ./build -prune -o -type f -name "${p##*/}" -print
        done | sed 's,^\./,,'
    fi
}

# nothing WHAT: passes when $T/found is empty, else shows it.
nothing() {
    if [ -s "$T/found" ]; then
        fail "$1:"
        head -n 30 "$T/found"
    else
        pass
    fi
}

files '*.c' '*.h' >"$T/c"
files '*.c' '*.h' '*.sh' '*.py' >"$T/code"
files '*.c' '*.h' '*.sh' '*.py' '*.md' '*.1' '*.5' Makefile >"$T/text"

while read -r f; do
    case $f in libcore/* | formats/* | tools/*)
        awk -v file="$f" -f $here/layers.awk "$f" ;;
    esac
done <"$T/c" >"$T/found"
nothing 'layers: an include goes sideways or up'

while read -r f; do
    case $f in libcore/*.h | formats/*.h | tools/*.h)
        printf '#include "%s"\n' "${f#libcore/}" |
            gcc -std=c11 -D_DEFAULT_SOURCE -Ilibcore -I. -Wall -Werror \
                -DPF_VERSION='""' -fsyntax-only -x c - 2>&1 | head -n 3 ;;
    esac
done <"$T/c" >"$T/found"
nothing 'a header that does not compile alone'

xargs awk -f $here/sizes.awk -v allow=$here/exceptions.txt <"$T/c" >"$T/found"
nothing 'too large (files 800 lines; functions 100, or listed in exceptions.txt)'

grep -E '^(libcore|formats|tools)/' "$T/c" >"$T/own"
xargs grep -nE '(^|[^a-zA-Z0-9_])(strcpy|strncpy|strcat|strncat|sprintf|vsprintf|strtok|atoi|atol|atoll|atof|gets|sscanf|alloca)[[:space:]]*\(' \
    <"$T/own" >"$T/found"
nothing 'banned function'

# Libraries never print and never end the process; memory goes through mem.h.
grep -E '^(libcore|formats)/' "$T/c" |
    grep -vxE 'libcore/base/(err|mem)\.c' >"$T/lib"
xargs grep -nE '(^|[^a-zA-Z0-9_.>])(printf|puts|perror|exit|_exit|abort)[[:space:]]*\(|fprintf[[:space:]]*\(std(out|err)' \
    <"$T/lib" | grep -vE '^[^:]*:[0-9]*: ?\*' >"$T/found"
nothing 'a library that prints or exits'
xargs grep -nE '(^|[^a-zA-Z0-9_.>])(malloc|calloc|realloc|free|strdup|strndup|posix_memalign|aligned_alloc)[[:space:]]*\(' \
    <"$T/lib" | grep -vE '^[^:]*:[0-9]*: ?\*' >"$T/found"
nothing 'memory outside base/mem.h'

xargs grep -LE 'SPDX-License-Identifier: MIT' <"$T/code" >"$T/found"
nothing 'no SPDX line'
xargs grep -nE '[[:space:]]$' <"$T/text" >"$T/found"
nothing 'trailing white space'
grep -v Makefile "$T/text" | xargs grep -nP '\t' >"$T/found"
nothing 'a tab'
xargs awk 'length > 100 { print FILENAME ":" FNR ": " length " columns" }' \
    <"$T/c" >"$T/found"
nothing 'a line over 100 columns'
xargs grep -nE '(^|[^A-Z])(TODO|FIXME|XXX)([^A-Z]|$)' <"$T/c" >"$T/found"
nothing 'an open end'

# Every source file has its place in the reading order.
grep -E '^(libcore|formats|tools)/.*\.c$' "$T/own" | while read -r f; do
    name=${f##*/}
    name=${name%.c}
    case $name in *_int) name=${name%_int} ;; esac
    family=$(echo "$name" | sed 's/_\(avx2\|avx512\|portable\|scalar\)$//')
    grep -qE "\`($name|$family|${family}_\*|${name%%_*})(_int)?(\.c)?\`" docs/ARCHITECTURE.md ||
        echo "$f"
done >"$T/found"
nothing 'a file that docs/ARCHITECTURE.md does not place'

# Names of our own carry the prefix (every visible symbol of the library).
nm -g --defined-only build/rel/libprefkit.a 2>/dev/null |
    awk 'NF == 3 && $3 !~ /^pf_/ { print $3 }' >"$T/found"
nothing 'a global symbol without pf_'

if command -v mandoc >/dev/null 2>&1; then
    for page in docs/man/*.1 docs/man/*.5; do
        [ -f "$page" ] || continue
        mandoc -Tlint -W warning "$page" >"$T/found" 2>&1
        nothing "$page: mandoc"
    done
else
    skip 'mandoc is not installed: man pages are not checked'
fi
for tool in "$BIN"/*; do
    [ -x "$tool" ] || continue
    name=${tool##*/}
    page=docs/man/$name.1
    if [ ! -f "$page" ]; then
        fail "$name has no man page"
        continue
    fi
    "$tool" --help-mdoc | grep -E '^\.It' | sort >"$T/want"
    awk '/^\.Sh/ { on = /OPTIONS/ } on && /^\.It (Fl|Xo)/' "$page" |
        sort >"$T/got"
    diff "$T/want" "$T/got" | sed -n 's/^</page lacks:/p; s/^>/page has:/p' >"$T/found"
    nothing "$page: options differ from $name --help"
    # The synopsis as rendered, without bold and underline, on one line.
    if command -v mandoc >/dev/null 2>&1; then
        got=$(mandoc -Tascii -O width=1000 "$page" | sed 's/.\x08//g' |
            awk '/^[A-Z]/ { on = /^SYNOPSIS/; next } on' |
            tr -s ' \n' '  ' | sed 's/^ //; s/ $//')
        want=$("$tool" --help | sed -n '1s/^usage: //p')
        same "$page: synopsis" "$got" "$want"
    fi
    sh $here/man_examples.sh "$page" >"$T/found" 2>&1
    nothing "$page: EXAMPLES"
done
