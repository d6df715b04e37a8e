#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Each reject/FORMAT/X.jsonl keeps its first row only; X.want lists line,
# reason and field of the others.
. tests/lib.sh

for f in tests/reject/*/*.jsonl; do
    format=$(basename "$(dirname "$f")")
    status 1 "$f" prefconv --from "$format" --rejects "$T/rejects" "$f"
    same "$f: rows kept" 1 "$(wc -l <"$T/out")"
    sed -E 's/^\{"file":"[^"]*","line":([0-9]+),"offset":[0-9]+,"reason":"([a-z0-9_]+)","field":(null|"[a-z_]+").*/\1 \2 \3/; s/null$/-/; s/"//g' \
        "$T/rejects" >"$T/list"
    same_file "$f" "$T/list" "${f%.jsonl}.want"
done
