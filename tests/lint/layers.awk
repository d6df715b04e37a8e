# SPDX-License-Identifier: MIT
#
# Prints the includes of a file (-v file=...) that its layer may not have.
# The arrows are those of docs/ARCHITECTURE.md; tools include anything public.
BEGIN {
    allow["base"] = "base"
    allow["data"] = "base data"
    allow["text"] = "base data text"
    allow["model"] = "base data model"
    allow["backend"] = "base backend"
    allow["prep"] = "base data text prep"
    allow["score"] = "base data model score"
    allow["train"] = "base data model train"
    allow["formats"] = "base data formats"
    allow["tools"] = "base data text model backend prep score train formats tools"
    n = split(file, part, "/")
    me = part[1] == "libcore" ? part[2] : part[1]
}

/^[ \t]*#[ \t]*include[ \t]*"/ {
    match($0, /"[^"]*"/)
    inc = substr($0, RSTART + 1, RLENGTH - 2)
    k = split(inc, p, "/")
    if (p[1] == "libcore")
        bad = "is not included as layer/file.h"
    else if (k < 2)
        bad = "names no layer"
    else if (index(" " allow[me] " ", " " p[1] " ") == 0 && \
             !(me == "backend" && inc == "model/ops.h"))
        bad = "is not below " me
    else if (p[1] != me && inc ~ /_int\.h$/)
        bad = "is private to " p[1]
    else
        next
    print file ":" FNR ": " inc " " bad
}
