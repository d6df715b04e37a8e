# SPDX-License-Identifier: MIT
#
# Deliberate mistakes in a copy of the tree: for each, at least one of the
# named tests must fail. A mistake that survives is a hole in the suite.
. tests/lib.sh

copy=$T/tree
mkdir "$copy"
cp -R Makefile libcore formats tools tests samples docs "$copy"
mkdir -p "$copy/build"
[ ! -d build/rel ] || cp -Rp build/rel "$copy/build"
(cd "$copy" && make -s -j2 MODE=rel all build-tests) >"$T/log" 2>&1 ||
    { cat "$T/log"; exit 1; }

# suite TEST...: units by name, shell tests by path; fails when one does.
suite() {
    for t in "$@"; do
        case $t in
        *.sh) (cd "$copy" && BIN=$copy/build/rel/bin timeout 300 sh "$t") ;;
        *) (cd "$copy" && timeout 300 "build/rel/tests/t_$t") ;;
        esac >>"$T/log" 2>&1 </dev/null || return 1
    done
}

# mutant WHAT FILE SED TEST...
mutant() {
    what=$1 file=$2 edit=$3
    shift 3
    cp -p "$copy/$file" "$T/kept"
    sed "$edit" "$T/kept" >"$copy/$file"
    if cmp -s "$T/kept" "$copy/$file"; then
        fail "$what: the edit of $file changes nothing"
    elif ! (cd "$copy" && make -s -j2 MODE=rel all build-tests) >"$T/log" 2>&1; then
        fail "$what: does not compile"
        cat "$T/log"
    elif suite "$@"; then
        fail "$what: survives $*"
    else
        echo "caught: $what"
        pass
    fi
    cp "$T/kept" "$copy/$file"
}

check 'the tests pass without a mistake' suite plan model_golden row shard \
    refs train trajectory loss tests/golden/prefconv.sh tests/golden/preftok.sh

mutant 'wrong label shift' libcore/model/plan.c \
    's/g + (int32_t)(at + t) - 1, at + t)/g + (int32_t)(at + t), at + t)/' \
    plan model_golden
mutant 'mask off by one' libcore/data/row.h \
    's/r->mask\[i >> 3\] >> (i & 7)/r->mask[(i + 1) >> 3] >> ((i + 1) \& 7)/' \
    plan train
mutant 'sibling mask dropped' libcore/model/plan.c \
    's/(pf_keys){g, g + P, start, row + 1}/(pf_keys){g, g + P, g + P, row + 1}/' \
    plan model_golden
mutant 'positions not restarted' libcore/model/plan.c \
    's/b->pos\[row\] = P + (int32_t)t;/b->pos[row] = row - g;/' \
    plan model_golden
mutant 'references of chosen and rejected swapped' libcore/train/batch.c \
    's/it->x.ref\[k\] = b->ref\[i\].sum\[k\];/it->x.ref[k] = b->ref[i].sum[1 - k];/' \
    train trajectory
mutant 'chosen and rejected swapped in the loss' libcore/train/loss.c \
    's/m.u = m.x - m.y;/m.u = m.y - m.x;/' \
    loss train trajectory
mutant 'one bit of a stored reference' formats/shard_data.c \
    's/r->sum\[(size_t)i \* c->K + k\]/(1 + 0x1p-52) * &/' \
    refs shard
mutant 'the last token of a completion is not scored' libcore/model/plan.c \
    's/t < r->b_len\[k\]; t++)$/t + 1 < r->b_len[k]; t++)/' \
    plan model_golden
