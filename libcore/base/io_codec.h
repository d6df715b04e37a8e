/* SPDX-License-Identifier: MIT
 *
 * Inside of pf_reader: streaming decompression of gzip (through ISA-L) and
 * zstd. Bytes in, bytes out; it reads no file. */
#ifndef PF_BASE_IO_CODEC_H
#define PF_BASE_IO_CODEC_H

#include <stdint.h>

#include "base/io.h"

typedef struct pf_decoder pf_decoder;

/* What the first bytes of a file are (at least 4, fewer at its end). */
pf_codec pf_codec_sniff(const uint8_t *p, size_t n);

/* codec is not PF_CODEC_NONE. */
PF_MUST_CHECK int pf_decoder_new(pf_decoder **out, pf_codec codec, pf_err *e);
void pf_decoder_free(pf_decoder *d);

/* Takes bytes from [*in, *in + *n_in), advancing both, and writes up to cap
 * bytes to out. Returns how many, or < 0 with e set (without a position).
 * 0 with *n_in == 0 means that it wants more input. Call it with no input
 * too: output may be pending. */
PF_MUST_CHECK int64_t pf_decoder_step(pf_decoder *d, const uint8_t **in,
                                      size_t *n_in, uint8_t *out, size_t cap,
                                      pf_err *e);
/* May the input end here (between members or frames)? */
bool pf_decoder_complete(const pf_decoder *d);

#endif
