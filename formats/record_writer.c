/* SPDX-License-Identifier: MIT */
#include "formats/record_writer.h"

void pf_record_writer_put(pf_record_writer *rw, pf_slice lines)
{
    if (lines.n == 0)
        return;
    if (rw->started)
        pf_writer_write(rw->w, "\n", 1);
    else
        pf_writer_hold_lf(rw->w);
    rw->started = true;
    pf_writer_write(rw->w, lines.p, lines.n);
}

void pf_record_writer_finish(pf_record_writer *rw)
{
    if (rw->started)
        pf_writer_write(rw->w, "\n", 1);
}
