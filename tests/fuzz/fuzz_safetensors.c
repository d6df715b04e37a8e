/* SPDX-License-Identifier: MIT
 *
 * Any bytes as a safetensors file: refused, or all its data is readable. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char path[64];

static void clean(void)
{
    unlink(path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!path[0]) {
        snprintf(path, sizeof path, "/tmp/pf-fuzz-safetensors.%ld",
                 (long)getpid());
        atexit(clean);
    }
    FILE *out = fopen(path, "wb");
    if (!out || fwrite(data, 1, size, out) != size || fclose(out) != 0)
        abort();
    pf_st_file *f;
    pf_err e = PF_ERR_INIT;
    int rc = pf_st_open(&f, path, &e);
    if (rc) {
        if (rc != PF_E_FORMAT || !e.msg[0])
            abort();
        return 0;
    }
    unsigned sum = 0;
    for (size_t i = 0; i < pf_st_count(f); i++) {
        const pf_st_tensor *t = pf_st_at(f, i);
        size_t n = (size_t)t->count * pf_dtype_size(t->dtype);
        for (size_t k = 0; k < n; k++)
            sum += ((const unsigned char *)t->data)[k];
        if (pf_st_find(f, t->name) != t)
            abort();
    }
    static volatile unsigned sink; /* keeps the reads */
    sink = sum;
    pf_st_close(f);
    return (int)(sink & 0);
}
