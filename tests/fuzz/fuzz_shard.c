/* SPDX-License-Identifier: MIT
 *
 * Any bytes as one chunk of any kind: refused, or all it offers is inside it.
 * In MODE=fuzz checksums are taken for right, so the rules behind them are
 * reached. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "formats/shard_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile uint64_t sink; /* keeps the reads */

static void use_rows(const pf_ck *ck)
{
    pf_chunk c = {.ck = *ck};
    pf_rows_head h = {.kind = (pf_row_kind)ck->head.row_kind,
                      .n_branch = ck->head.n_branch,
                      .vocab = ck->head.vocab};
    uint64_t sum = 0;
    if (pf_chunk_init(&c, &h, NULL) == 0) {
        for (uint32_t i = 0; i < pf_chunk_rows(&c); i++) {
            pf_row r;
            pf_chunk_row(&c, i, &r);
            if (pf_row_check(&r, h.vocab, NULL) < 0)
                abort(); /* what was accepted keeps the rules of rows */
            sum += pf_row_key(&r).lo;
        }
    }
    pf_free(c.comp_off);
    sink = sum;
}

static void use_refs(const pf_ck *ck)
{
    pf_cols_head h;
    pf_cols cols;
    if (pf_cols_read(&h, &cols, ck, UINT64_MAX, NULL) < 0)
        return;
    double sum = 0;
    for (uint64_t i = 0; cols.token && i < cols.n_token; i++)
        sum += (double)cols.token[i];
    sink = (uint64_t)(sum == 0);
    pf_cols_head_release(&h);
}

static void use_meta(const pf_ck *ck)
{
    pf_rows_head h;
    if (pf_meta_read(&h, ck, NULL) == 0)
        pf_rows_head_release(&h);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    pf_ck ck = {0};
    pf_totals totals;
    uint8_t *p = pf_alloc(size); /* aligned, and of the exact size */
    if (!p)
        return 0;
    if (size)
        memcpy(p, data, size);
    int rc = pf_ck_open(&ck, p, size, "fuzz", 0, NULL);
    if (rc != 0 && rc != PF_E_FORMAT && rc != PF_E_TRUNCATED)
        abort();
    if (rc == 0) {
        switch (ck.head.kind) {
        case PF_CK_DATA:
            use_rows(&ck);
            break;
        case PF_CK_COLS:
            use_refs(&ck);
            break;
        case PF_CK_META:
            use_meta(&ck);
            break;
        default:
            pf_totals_init(&totals, ck.head.recipe);
            pf_totals_final(&totals);
            sink = (uint64_t)pf_end_read(&totals, &ck, NULL);
        }
    }
    pf_free(p);
    return 0;
}
