/* SPDX-License-Identifier: MIT
 *
 * Bytes up to a NUL replace a part of a small tokenizer.json: refused, or it
 * encodes the rest, ids are in range, and NONE gives no special token. */
#include <stdlib.h>

#include "base/utf8.h"
#include "text/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The whole byte alphabet as a vocabulary, ids in order of the bytes. */
static void alphabet(pf_buf *out)
{
    unsigned next = 256;
    for (unsigned b = 0; b < 256; b++) {
        bool self = (b > 32 && b < 127) || (b > 160 && b < 173) || b > 173;
        char c[4];
        int n = pf_utf8_put(c, self ? b : next++);
        pf_buf_printf(out, "\"%s%.*s\":%u,",
                      b == '"' || b == '\\' ? "\\" : "", n, c, b);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *nul = size ? memchr(data, 0, size) : NULL;
    size_t k = nul ? (size_t)(nul - data) : size;
    pf_buf j = {0};
    pf_tokenizer *t = NULL;
    pf_tok_scratch *s = NULL;
    pf_idbuf ids = {0};
    pf_buf_str(&j, "{\"decoder\":{\"type\":\"ByteLevel\"},\"model\":{"
                   "\"type\":\"BPE\",\"vocab\":{");
    alphabet(&j);
    pf_buf_str(&j, "\"ab\":256,\"aba\":257},\"merges\":[\"a b\",\"ab a\"]}");
    if (k == 0)
        pf_buf_str(&j, ",\"pre_tokenizer\":{\"type\":\"ByteLevel\"},"
                       "\"normalizer\":{\"type\":\"NFC\"}");
    pf_buf_add(&j, data, k);
    pf_buf_char(&j, '}');
    if (pf_tokenizer_of_json(&t, pf_buf_slice(&j), (pf_slice){NULL, 0}, "t",
                             NULL) == 0 &&
        pf_tok_scratch_new(&s, t, NULL) == 0 && nul) {
        pf_slice text = {(const char *)nul + 1, size - k - 1};
        bool valid = pf_utf8_valid(text.p, text.n);
        pf_buf out = {0};
        for (int i = PF_SPECIAL_NONE; i <= PF_SPECIAL_PARSE; i++) {
            ids.n = 0;
            int rc = pf_tok_encode(t, s, text, (pf_special)i, &ids, NULL);
            if ((rc == 0) != valid)
                abort();
            if (rc == 0 &&
                pf_tok_decode(t, ids.id, ids.n, false, &out, NULL) < 0)
                abort();
        }
        pf_buf_release(&out);
    }
    pf_idbuf_release(&ids);
    pf_tok_scratch_free(s);
    pf_tokenizer_free(t);
    pf_buf_release(&j);
    return 0;
}
