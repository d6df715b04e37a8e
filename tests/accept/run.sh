#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Each accept/FORMAT/X.jsonl is kept whole and gives X.want, named or sniffed;
# what comes out goes in again unchanged.
. tests/lib.sh

for f in tests/accept/*/*.jsonl; do
    format=$(basename "$(dirname "$f")")
    expect=${f%.jsonl}.want
    status 0 "$f" prefconv --from "$format" "$f"
    cp "$T/out" "$T/first"
    same_file "$f" "$T/first" "$expect"
    status 0 "$f by auto" prefconv "$f"
    same_file "$f by auto" "$T/out" "$expect"
    status 0 "$f again" prefconv --from trl "$T/first"
    same_file "$f again" "$T/out" "$expect"
    same "$f: rows" "$(wc -l <"$expect")" "$(grep -c . "$f")"
done
