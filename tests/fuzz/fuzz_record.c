/* SPDX-License-Identifier: MIT
 *
 * Any line through every dataset format: what is kept is written, read back
 * as a record and written again the same, also as message lists. */
#include <stdint.h>
#include <stdlib.h>

#include "formats/source.h"
#include "prep/transcript.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Writes r, reads that as a record of ours, writes it again: the same. */
static void round_trip(const pf_record *r, pf_json *j, pf_arena *a)
{
    pf_buf one = {0}, two = {0};
    pf_record again;
    pf_jval v;
    pf_reason why;
    const char *where;
    pf_record_to_json(r, &one);
    if (pf_json_parse(j, pf_buf_slice(&one), &v, NULL) < 0)
        abort();
    if (pf_format_find("trl")->convert(&again, v, a, &why, &where, NULL) != 1)
        abort();
    pf_record_to_json(&again, &two);
    if (!pf_slice_eq(pf_buf_slice(&one), pf_buf_slice(&two)))
        abort();
    pf_buf_release(&one);
    pf_buf_release(&two);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    pf_json *j = pf_json_new(), *k = pf_json_new();
    pf_arena a = {0};
    pf_buf scratch = {0};
    pf_jval v;
    pf_slice line = {(const char *)data, size};
    if (pf_json_parse(j, line, &v, NULL) == 0) {
        for (const pf_format *const *f = pf_formats(); *f; f++) {
            pf_record r;
            pf_reason why = PF_KEPT;
            const char *where = NULL;
            (void)(*f)->probe(v);
            pf_arena_reset(&a);
            int rc = pf_jtype(v) == PF_JSON_OBJECT
                         ? (*f)->convert(&r, v, &a, &why, &where, NULL) : 2;
            if (rc != 1)
                continue;
            round_trip(&r, k, &a);
            rc = pf_record_to_messages(&r, &a, &scratch, &why, &where, NULL);
            if (rc == 1 && !pf_record_check(&r, &where))
                round_trip(&r, k, &a);
        }
    }
    pf_json_free(j);
    pf_json_free(k);
    pf_arena_release(&a);
    pf_buf_release(&scratch);
    return 0;
}
