/* SPDX-License-Identifier: MIT
 *
 * Any bytes as gzip or zstd: decoding in one piece and byte by byte gives the
 * same bytes and the same verdict. (libzstd compares the content size in a
 * frame's header with the content only where it sees the frame whole, so there
 * only two good verdicts have to agree.) */
#include <stdint.h>
#include <stdlib.h>

#include "base/io_codec.h"

#define MOST ((size_t)1 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* 0 complete, 1 cut, 2 too much output, < 0 damaged. */
static int decode(pf_codec codec, const uint8_t *p, size_t n, size_t piece,
                  size_t room, pf_buf *out)
{
    pf_decoder *d;
    int verdict = 1;
    if (pf_decoder_new(&d, codec, NULL) < 0)
        abort();
    const uint8_t *end = p + n;
    size_t n_in = 0;
    for (const uint8_t *in = p;;) {
        if (!pf_buf_reserve(out, room))
            abort();
        int64_t made = pf_decoder_step(d, &in, &n_in,
                                       (uint8_t *)out->p + out->n, room, NULL);
        if (made < 0) {
            verdict = (int)made;
            break;
        }
        out->n += (size_t)made;
        if (out->n > MOST) {
            verdict = 2;
            break;
        }
        if (made == 0 && n_in == 0 && in == end) {
            verdict = pf_decoder_complete(d) ? 0 : 1;
            break;
        }
        if (made == 0 && n_in == 0)
            n_in = PF_MIN(piece, (size_t)(end - in));
    }
    pf_decoder_free(d);
    return verdict;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    pf_codec codec = pf_codec_sniff(data, size);
    if (codec == PF_CODEC_NONE)
        return 0;
    pf_buf one = {0}, two = {0};
    int a = decode(codec, data, size, size, 65536, &one);
    int b = decode(codec, data, size, 1, 777, &two);
    if (a != 2 && b != 2) {
        if (a != b && (codec == PF_CODEC_GZIP || (a == 0 && b == 1)))
            abort();
        if (a == 0 && b == 0 && !pf_slice_eq(pf_buf_slice(&one), pf_buf_slice(&two)))
            abort();
    }
    pf_buf_release(&one);
    pf_buf_release(&two);
    return 0;
}
