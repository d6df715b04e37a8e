/* SPDX-License-Identifier: MIT
 *
 * gzip (RFC 1952) member by member, and zstd (RFC 8878) frame by frame.
 *
 * ISA-L's own member loop (ISAL_GZIP) fails at random when a member header
 * straddles two chunks of input, so headers are read by
 * isal_read_gzip_header() with one persistent header object, and only the
 * deflate data and its check sums by isal_inflate(). ISA-L does not know that
 * input has ended: a cut inside a member is found by pf_decoder_complete(). */
#define ZSTD_STATIC_LINKING_ONLY /* allocator hooks */
#include "base/io_codec.h"

#include <isa-l/igzip_lib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "base/mem.h"

#define STEP_MAX ((size_t)1 << 30)  /* ISA-L counts in u32 */
#define ZSTD_WINDOW_LOG_MAX 30      /* a window of 1 GiB: "zstd --long=30" */
#define GZIP_RESERVED_FLAGS 0xe0    /* RFC 1952, 2.3.1.2: must be zero */

enum gz_state { GZ_START, GZ_HEADER, GZ_BODY, GZ_PADDING };

struct pf_decoder {
    pf_codec codec;
    uint64_t members; /* members or frames that ended */
    /* gzip */
    enum gz_state state;
    unsigned header_at; /* bytes of the fixed header seen, for its flags */
    struct isal_gzip_header header;
    struct inflate_state *inflate;
    /* zstd */
    ZSTD_DCtx *zstd;
    bool in_frame;
};

pf_codec pf_codec_sniff(const uint8_t *p, size_t n)
{
    if (n >= 2 && p[0] == 0x1f && p[1] == 0x8b)
        return PF_CODEC_GZIP;
    if (n >= 4 && p[1] == 0xb5 && p[2] == 0x2f && p[3] == 0xfd && p[0] == 0x28)
        return PF_CODEC_ZSTD;
    /* a skippable frame first, as pzstd and some indexers write */
    if (n >= 4 && (p[0] & 0xf0) == 0x50 && p[1] == 0x2a && p[2] == 0x4d &&
        p[3] == 0x18)
        return PF_CODEC_ZSTD;
    return PF_CODEC_NONE;
}

static void *zstd_alloc(void *ctx, size_t n)
{
    (void)ctx;
    return pf_alloc(n);
}

static void zstd_free(void *ctx, void *p)
{
    (void)ctx;
    pf_free(p);
}

int pf_decoder_new(pf_decoder **out, pf_codec codec, pf_err *e)
{
    pf_decoder *d = pf_calloc(1, sizeof *d);
    if (!d)
        return pf_err_nomem(e);
    d->codec = codec;
    if (codec == PF_CODEC_GZIP) {
        d->inflate = pf_calloc(1, sizeof *d->inflate);
        if (!d->inflate)
            goto fail;
        isal_inflate_init(d->inflate);
    } else {
        ZSTD_customMem mem = {zstd_alloc, zstd_free, NULL};
        d->zstd = ZSTD_createDCtx_advanced(mem);
        if (!d->zstd)
            goto fail;
        ZSTD_DCtx_setParameter(d->zstd, ZSTD_d_windowLogMax,
                               ZSTD_WINDOW_LOG_MAX);
    }
    *out = d;
    return 0;
fail:
    pf_decoder_free(d);
    return pf_err_nomem(e);
}

void pf_decoder_free(pf_decoder *d)
{
    if (!d)
        return;
    pf_free(d->inflate);
    ZSTD_freeDCtx(d->zstd);
    pf_free(d);
}

bool pf_decoder_complete(const pf_decoder *d)
{
    if (d->codec == PF_CODEC_GZIP)
        return d->members && (d->state == GZ_START || d->state == GZ_PADDING);
    return d->members && !d->in_frame;
}

/* ------------------------------------------------------------------ gzip -- */

static const char *gz_message(int rc)
{
    switch (rc) {
    case ISAL_INVALID_BLOCK:
    case ISAL_INVALID_SYMBOL:
    case ISAL_INVALID_LOOKBACK:
        return "damaged gzip data";
    case ISAL_INCORRECT_CHECKSUM:
        return "gzip check sum does not match";
    case ISAL_UNSUPPORTED_METHOD:
        return "gzip member with an unknown compression method";
    default:
        return "damaged gzip header";
    }
}

static int gz_error(int rc, pf_err *e)
{
    return pf_err_set(e, PF_E_FORMAT, "%s", gz_message(rc));
}

/* Between members: another one, zero padding, or junk. */
static int gz_start(pf_decoder *d, uint8_t first, pf_err *e)
{
    if (first == 0x1f) {
        isal_gzip_header_init(&d->header);
        d->header_at = 0;
        d->state = GZ_HEADER;
    } else if (first == 0 && d->members) {
        d->state = GZ_PADDING;
    } else {
        return pf_err_set(e, PF_E_FORMAT, "junk after gzip data");
    }
    return 0;
}

static int gz_header(pf_decoder *d, const uint8_t **in, size_t *n_in,
                     pf_err *e)
{
    /* The flags are byte 3; ISA-L ignores the reserved ones. */
    for (size_t i = 0; i < *n_in && d->header_at < 4; i++, d->header_at++) {
        if (d->header_at == 3 && ((*in)[i] & GZIP_RESERVED_FLAGS))
            return gz_error(ISAL_INVALID_WRAPPER, e);
    }
    struct inflate_state *s = d->inflate;
    s->next_in = (uint8_t *)*in;
    s->avail_in = (uint32_t)*n_in;
    int rc = isal_read_gzip_header(s, &d->header);
    *in = s->next_in;
    *n_in = s->avail_in;
    if (rc == ISAL_DECOMP_OK) {
        s->crc_flag = ISAL_GZIP_NO_HDR_VER;
        d->state = GZ_BODY;
    } else if (rc != ISAL_END_INPUT) {
        return gz_error(rc, e);
    }
    return 0;
}

static int64_t gz_body(pf_decoder *d, const uint8_t **in, size_t *n_in,
                       uint8_t *out, size_t cap, pf_err *e)
{
    struct inflate_state *s = d->inflate;
    s->next_in = (uint8_t *)*in;
    s->avail_in = (uint32_t)*n_in;
    s->next_out = out;
    s->avail_out = (uint32_t)cap;
    int rc = isal_inflate(s);
    if (rc != ISAL_DECOMP_OK && rc != ISAL_END_INPUT && rc != ISAL_OUT_OVERFLOW)
        return gz_error(rc, e);
    int64_t made = (int64_t)cap - s->avail_out;
    *in = s->next_in;
    *n_in = s->avail_in;
    if (s->block_state == ISAL_BLOCK_FINISH) {
        isal_inflate_reset(s);
        d->members++;
        d->state = GZ_START;
    }
    return made;
}

static int64_t gz_step(pf_decoder *d, const uint8_t **in, size_t *n_in,
                       uint8_t *out, size_t cap, pf_err *e)
{
    int rc = 0;
    for (;;) {
        if (d->state == GZ_BODY) {
            int64_t made = gz_body(d, in, n_in, out, cap, e);
            if (made != 0 || *n_in == 0)
                return made;
            continue;
        }
        if (*n_in == 0)
            return 0;
        if (d->state == GZ_START) {
            rc = gz_start(d, **in, e);
        } else if (d->state == GZ_HEADER) {
            rc = gz_header(d, in, n_in, e);
        } else if (**in == 0) {
            ++*in;
            --*n_in;
        } else {
            rc = pf_err_set(e, PF_E_FORMAT, "junk after gzip data");
        }
        if (rc < 0)
            return rc;
    }
}

/* ------------------------------------------------------------------ zstd -- */

static int64_t zstd_step(pf_decoder *d, const uint8_t **in, size_t *n_in,
                         uint8_t *out, size_t cap, pf_err *e)
{
    ZSTD_inBuffer ib = {*in, *n_in, 0};
    ZSTD_outBuffer ob = {out, cap, 0};
    do {
        if (!d->in_frame && ib.pos == ib.size)
            break;
        d->in_frame = true;
        size_t rc = ZSTD_decompressStream(d->zstd, &ob, &ib);
        if (ZSTD_isError(rc)) {
            ZSTD_ErrorCode code = ZSTD_getErrorCode(rc);
            if (code == ZSTD_error_memory_allocation)
                return pf_err_nomem(e);
            if (code == ZSTD_error_frameParameter_windowTooLarge)
                return pf_err_set(e, PF_E_LIMIT,
                                  "zstd data with a window of over 1 GiB");
            return pf_err_set(e, PF_E_FORMAT, "damaged zstd data: %s",
                              ZSTD_getErrorName(rc));
        }
        if (rc == 0) {
            d->in_frame = false;
            d->members++;
        }
    } while (ob.pos == 0 && ib.pos < ib.size);
    *in += ib.pos;
    *n_in -= ib.pos;
    return (int64_t)ob.pos;
}

int64_t pf_decoder_step(pf_decoder *d, const uint8_t **in, size_t *n_in,
                        uint8_t *out, size_t cap, pf_err *e)
{
    cap = PF_MIN(cap, STEP_MAX);
    if (d->codec == PF_CODEC_GZIP)
        return gz_step(d, in, n_in, out, cap, e);
    return zstd_step(d, in, n_in, out, cap, e);
}
