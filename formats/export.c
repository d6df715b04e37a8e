/* SPDX-License-Identifier: MIT */
#include "formats/export.h"

#include "base/json.h"
#include "data/record.h"

static void put_ids(pf_jw *w, const char *key, const pf_row *r, uint64_t from,
                    uint64_t n)
{
    pf_jw_key(w, key);
    pf_jw_arr(w);
    for (uint64_t i = 0; i < n; i++)
        pf_jw_u64(w, pf_row_id_at(r, from + i));
    pf_jw_end(w, ']');
}

static void put_logps(pf_jw *w, const char *key, const float *t, uint32_t n)
{
    pf_jw_key(w, key);
    pf_jw_arr(w);
    for (uint32_t i = 0; i < n; i++)
        pf_jw_f32(w, t[i]);
    pf_jw_end(w, ']');
}

static void put_refs(pf_jw *w, const pf_row *r, const pf_row_ref *ref,
                     unsigned flags)
{
    static const char *const sum[2][2] = {
        {"ref_logps", NULL}, {"ref_chosen_logps", "ref_rejected_logps"}};
    static const char *const token[2][2] = {
        {"ref_token_logps", NULL},
        {"ref_chosen_token_logps", "ref_rejected_token_logps"}};
    int pair = r->kind == PF_ROW_PAIR;
    if (!ref && !r->has_ref)
        return;
    for (uint32_t k = 0; k < r->n_branch; k++) {
        pf_jw_key(w, sum[pair][k]);
        pf_jw_f64(w, ref ? ref->sum[k] : r->ref_sum[k]);
    }
    if (!ref || !ref->token || !(flags & PF_EXPORT_TOKENS))
        return;
    const float *t = ref->token;
    for (uint32_t k = 0; k < r->n_branch; k++) {
        put_logps(w, token[pair][k], t, r->b_len[k]);
        t += r->b_len[k];
    }
}

void pf_export_row(pf_buf *out, const pf_row *r, const pf_row_ref *ref,
                   unsigned flags)
{
    pf_jw w = {.out = out};
    char src[40];
    uint64_t P = r->p_len;
    pf_jw_obj(&w);
    if (flags & PF_EXPORT_SRC) {
        pf_jw_key(&w, "_src");
        int n = pf_src_text(pf_src_of_row_id(r->row_id), src);
        pf_jw_str(&w, (pf_slice){src, (size_t)n});
    }
    switch (r->kind) {
    case PF_ROW_PAIR:
        put_ids(&w, "prompt_ids", r, 0, P);
        put_ids(&w, "chosen_ids", r, P, r->b_len[0]);
        put_ids(&w, "rejected_ids", r, P + r->b_len[0], r->b_len[1]);
        break;
    case PF_ROW_UNPAIRED:
        put_ids(&w, "prompt_ids", r, 0, P);
        put_ids(&w, "completion_ids", r, P, r->b_len[0]);
        pf_jw_key(&w, "label");
        pf_jw_bool(&w, r->label);
        break;
    case PF_ROW_SEQ:
        put_ids(&w, "input_ids", r, 0, r->b_len[0]);
        pf_jw_key(&w, "completion_mask");
        pf_jw_arr(&w);
        for (uint32_t i = 0; i < r->b_len[0]; i++)
            pf_jw_u64(&w, pf_row_mask_at(r, i));
        pf_jw_end(&w, ']');
        break;
    }
    put_refs(&w, r, ref, flags);
    pf_jw_end(&w, '}');
}
