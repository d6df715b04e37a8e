# SPDX-License-Identifier: MIT
#
# Prints files over 800 lines and functions over 100 lines, except functions
# named in the file `allow` ("FILE FUNCTION why", "-" for the file). A function begins at a '{'
# in the first column and ends at the next '}' there.
BEGIN {
    while ((getline line < allow) > 0) {
        split(line, w, " ")
        if (w[1] != "#")
            allowed[w[1] " " w[2]] = 1
    }
}

FNR == 1 {
    check_file()
    prev = ""
    start = 0
}

/^[a-zA-Z_].*\(/ && !/;$/ { name = $0 }

/^\{/ { start = FNR }

/^\}/ {
    if (start && FNR - start - 1 > 100) {
        sub(/\(.*/, "", name)
        sub(/.*[ *]/, "", name)
        if (!((FILENAME " " name) in allowed))
            print FILENAME ":" start ": " name "() has " FNR - start - 1 " lines"
    }
    start = 0
}

{
    last_file = FILENAME
    last_line = FNR
}

END { check_file() }

function check_file()
{
    if (last_line > 800 && !((last_file " -") in allowed))
        print last_file ": " last_line " lines"
}
