/* SPDX-License-Identifier: MIT
 *
 * Any bytes as JSON: the tiers agree, accessors stay inside the text, and
 * what is written from an accepted document reads back the same. */
#include <stdint.h>
#include <stdlib.h>

#include "base/cpu.h"
#include "base/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void walk(pf_jval v, pf_slice text)
{
    pf_slice raw = pf_jraw(v);
    double d;
    if (raw.p < text.p || raw.p + raw.n > text.p + text.n ||
        raw.p != text.p + pf_joffset(v) ||
        pf_jf64(v, &d) != (pf_jtype(v) == PF_JSON_NUMBER))
        abort();
    pf_jiter it = pf_jiter_of(v);
    size_t n = 0;
    for (; pf_jiter_next(&it); n++)
        walk(it.value, text);
    if (n != pf_jcount(v))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    pf_slice text = {(const char *)data, size};
    pf_json *j = pf_json_new();
    pf_buf one = {0}, two = {0};
    pf_err first = PF_ERR_INIT;
    pf_jval v;
    int want = 0;
    for (int k = PF_CPU_PORTABLE; k <= PF_CPU_AVX512; k++) {
        pf_err e = PF_ERR_INIT;
        pf_cpu_cap((pf_cpu)k);
        int rc = pf_json_parse(j, text, &v, &e);
        if (k == PF_CPU_PORTABLE)
            want = rc, first = e;
        if (rc != want || e.byte != first.byte || (rc && rc != PF_E_FORMAT))
            abort();
    }
    if (want == 0) {
        walk(v, text);
        /* Duplicate keys have no canonical form. */
        if (pf_json_canonical(v, &one, NULL) == 0 &&
            (pf_json_parse(j, pf_buf_slice(&one), &v, NULL) != 0 ||
             pf_json_canonical(v, &two, NULL) != 0 ||
             !pf_slice_eq(pf_buf_slice(&one), pf_buf_slice(&two))))
            abort();
    }
    pf_buf_release(&one);
    pf_buf_release(&two);
    pf_json_free(j);
    return 0;
}
