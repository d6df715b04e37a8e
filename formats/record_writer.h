/* SPDX-License-Identifier: MIT
 *
 * Records -> JSONL with the end mark: an LF is written *before* each further
 * record and the last LF only at a clean close, so that a reader sees when a
 * producer died (docs/formats/record.md). */
#ifndef PF_FORMATS_RECORD_WRITER_H
#define PF_FORMATS_RECORD_WRITER_H

#include "base/io.h"
#include "data/record.h"

typedef struct pf_record_writer {
    pf_writer *w; /* the caller's */
    bool started;
} pf_record_writer;

/* Writes lines joined by LF, without a final LF ("{..}\n{..}\n{..}"). */
void pf_record_writer_put(pf_record_writer *rw, pf_slice lines);
/* The last LF (when anything was written). Call it only after success. */
void pf_record_writer_finish(pf_record_writer *rw);

#endif
