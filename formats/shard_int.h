/* SPDX-License-Identifier: MIT
 *
 * Inside of the container (docs/formats/shard.md): what the shard_*.c files
 * share.
 *
 *   shard_layout.c   one chunk as bytes: header, table, sections, hashes
 *   shard_meta.c     META and END chunks, zstd, provenance
 *   shard_data.c     DATA and COLS chunks <-> rows and references
 *   shard_manifest.c manifests, SHA256SUMS, names in a set's directory
 *   shard_out.c      pf_rows_out     shard_in.c  pf_rows_in
 *   shard_set.c      pf_set          shard_ref.c pf_ref_out */
#ifndef PF_FORMATS_SHARD_INT_H
#define PF_FORMATS_SHARD_INT_H

#include "base/io.h"
#include "formats/shard.h"

/* ------------------------------------------------------------- layout -- */

enum {
    PF_CK_HEADER = 128,
    PF_CK_ENTRY = 64,
    PF_CK_TRAILER = 64,
    PF_CK_ALIGN = 64,
    PF_CK_BLOCK = 1 << 20,
    PF_CK_SECTIONS = 32, /* at most, in a chunk */
};

typedef enum pf_ck_kind {
    PF_CK_DATA = 1,
    PF_CK_COLS = 2,
    PF_CK_META = 3,
    PF_CK_END = 4,
} pf_ck_kind;

typedef struct pf_ck_head {
    uint32_t kind;
    uint64_t bytes, seq, first_row;
    uint32_t n_rows, n_sec;
    uint8_t row_kind, n_branch;
    uint32_t vocab;
    uint8_t recipe[PF_SHA256_BYTES];
} pf_ck_head;

enum { PF_CK_RAW = 0, PF_CK_ZSTD = 1 };

/* A section: n elements of a dtype ('B' 'H' 'I' 'Q' 'f' 'd'); stored bytes
 * differ from n * size only under zstd (bytes then). */
typedef struct pf_ck_sec {
    char name[9];
    char dtype;
    uint8_t codec;
    bool critical; /* a reader that does not know it must refuse */
    const void *p;
    uint64_t stored, n;
} pf_ck_sec;

typedef struct pf_ck_tail {
    pf_hash128 row_sum;
    uint64_t tokens, completion;
    uint64_t hash; /* of the trailer: stands for the whole chunk */
} pf_ck_tail;

typedef struct pf_ck {
    pf_ck_head head;
    pf_ck_sec sec[PF_CK_SECTIONS];
    pf_ck_tail tail;
    const char *file; /* for messages */
    uint64_t at;      /* offset of the chunk in it */
} pf_ck;

/* Where chunk bytes go; sticky errors are the target's business. */
typedef struct pf_ck_sink {
    void (*write)(void *ctx, const void *p, size_t n);
    void *ctx;
} pf_ck_sink;

/* Appends a section to c->sec (for writing). */
void pf_ck_add(pf_ck *c, const char *name, char dtype, const void *p,
               uint64_t n);
/* Lays c out (head.bytes, head.n_sec are set here) and writes it; c->tail is
 * written as given, with its hash filled in. */
PF_MUST_CHECK int pf_ck_write(pf_ck *c, const pf_ck_sink *to, pf_err *e);

/* The 128 bytes at p, verified by their own hash. */
PF_MUST_CHECK int pf_ck_header(pf_ck_head *h, const uint8_t *p,
                               const char *file, uint64_t at, pf_err *e);
/* A whole chunk of n bytes (n == its chunk_bytes), every byte verified. The
 * sections point into p, which must be aligned to 8. file is kept. */
PF_MUST_CHECK int pf_ck_open(pf_ck *c, const uint8_t *p, size_t n,
                             const char *file, uint64_t at, pf_err *e);
const pf_ck_sec *pf_ck_find(const pf_ck *c, const char *name);
/* Refuses critical sections outside known[] (ends with NULL). */
PF_MUST_CHECK int pf_ck_known(const pf_ck *c, const char *const *known,
                              pf_err *e);
/* The section of that name with that dtype and count, raw; PF_E_FORMAT when
 * it is missing or another. n == UINT64_MAX takes any count. */
PF_MUST_CHECK int pf_ck_need(const pf_ck *c, const char *name, char dtype,
                             uint64_t n, const pf_ck_sec **out, pf_err *e);
/* An error about this chunk: position, "chunk N: ..." */
int pf_ck_error(const pf_ck *c, pf_err *e, const char *fmt, ...)
    PF_PRINTF(3, 4);

/* --------------------------------------------------------- META and END -- */

#define PF_BLOB_MAX ((size_t)256 << 20) /* tokenizer and the like, raw */
#define PF_JSON_MAX ((size_t)16 << 20)

/* zstd, level 3, with a checksum; allocated. */
PF_MUST_CHECK int pf_zstd_pack(const void *p, size_t n, char **out,
                               size_t *out_n, pf_err *e);
/* Exactly n raw bytes and a NUL after them; allocated. what: for messages. */
PF_MUST_CHECK int pf_zstd_unpack(const void *p, size_t stored, size_t n,
                                 const char *what, char **out, pf_err *e);

/* Parses text and hands the root over; *doc is the caller's to free, also on
 * failure (may be NULL then). */
PF_MUST_CHECK int pf_shard_json(pf_json **doc, pf_slice text, pf_jval *root,
                                pf_err *e);
void pf_head_fill(pf_ck_head *h, const pf_rows_head *r,
                  const uint8_t recipe[PF_SHA256_BYTES]);
PF_MUST_CHECK int pf_meta_write(const pf_rows_head *h, uint64_t seq,
                                const uint8_t recipe[PF_SHA256_BYTES],
                                const pf_ck_sink *to, pf_err *e);
PF_MUST_CHECK int pf_meta_read(pf_rows_head *h, const pf_ck *c, pf_err *e);

/* Running totals of rows, the same for END and the manifest. */
typedef struct pf_totals {
    pf_rows_total t;
    pf_hash128 row_sum;
    pf_set_hash hash;
} pf_totals;
void pf_totals_init(pf_totals *s, const uint8_t recipe[PF_SHA256_BYTES]);
/* n rows' keys (lo, hi) and a chunk's tail. */
void pf_totals_add(pf_totals *s, const uint64_t *key, uint32_t n,
                   const pf_ck_tail *tail);
void pf_totals_final(pf_totals *s);
/* The tally as a canonical object. */
void pf_tally_json(pf_jw *w, const pf_tally *t);
PF_MUST_CHECK int pf_tally_read(pf_tally *t, pf_jval v, pf_err *e);
PF_MUST_CHECK int pf_json_u64(pf_jval obj, const char *key, uint64_t *out,
                              pf_err *e);
PF_MUST_CHECK int pf_json_hex(pf_jval obj, const char *key, uint8_t *out,
                              size_t n, pf_err *e);
void pf_hash128_hex(pf_hash128 h, char buf[33]);
PF_MUST_CHECK int pf_end_write(const pf_totals *s, const pf_ck_head *like,
                               uint64_t seq, const pf_ck_sink *to, pf_err *e);
/* Compares with what was counted; takes the tally over. */
PF_MUST_CHECK int pf_end_read(pf_totals *s, const pf_ck *c, pf_err *e);

/* The bytes of provenance.jsonl: lines, then the closing line. */
PF_MUST_CHECK int pf_provenance_file(const char *lines, size_t n,
                                     pf_buf *out, pf_err *e);
/* Checks such a file (or the lines alone when !closed) and gives the length
 * of the lines. */
PF_MUST_CHECK int pf_provenance_check(const char *p, size_t n, bool closed,
                                      size_t *lines, const char *file,
                                      pf_err *e);

/* -------------------------------------------------------- DATA and COLS -- */

#define PF_MAX_REFS 16

/* References of the rows of a chunk. */
typedef struct pf_cols {
    const char *name; /* of the owner */
    const pf_ident *ident;
    const float *token; /* NULL: sums only */
    const double *sum;
    uint64_t n_token;
} pf_cols;

struct pf_chunk {
    pf_ck ck;
    pf_row_kind kind;
    uint32_t n, K;
    uint8_t id_size;
    const uint8_t *tokens;
    const uint32_t *row_off, *p_len, *b_len;
    const uint64_t *key, *row_id;
    const uint8_t *flags, *mask, *label;
    const double *imported;
    uint32_t n_refs;
    pf_cols ref[PF_MAX_REFS];
    uint32_t *comp_off; /* [n + 1] completion tokens before a row */
    size_t cap_comp;
};

/* A verified DATA chunk -> rows; checks lengths, ids, kind against head. */
PF_MUST_CHECK int pf_chunk_init(pf_chunk *c, const pf_rows_head *h,
                                pf_err *e);
/* Recomputes every row key (pf_ck_open proves bytes, not their meaning). */
PF_MUST_CHECK int pf_chunk_check_keys(const pf_chunk *c, pf_err *e);
pf_hash128 pf_rows_hash(const uint64_t *key, uint32_t n);
/* What a COLS chunk says of itself. */
typedef struct pf_cols_head {
    char name[PF_REF_NAME_MAX + 1];
    pf_ident ident;
    uint8_t ref_id[PF_SHA256_BYTES];
    pf_hash128 rows;
} pf_cols_head;
void pf_cols_head_release(pf_cols_head *h);
/* Reads a verified COLS chunk; it must have n_token log-probs (UINT64_MAX:
 * any number, the caller compares). */
PF_MUST_CHECK int pf_cols_read(pf_cols_head *h, pf_cols *out, const pf_ck *c,
                               uint64_t n_token, pf_err *e);
/* The rows' part of a cols chunk comes from head. */
PF_MUST_CHECK int pf_cols_write(const pf_ck_head *head, const pf_cols *cols,
                                pf_hash128 rows, const pf_ck_sink *to,
                                uint64_t *trailer, uint64_t *bytes,
                                pf_err *e);
/* Rows gathered for a chunk. */
typedef struct pf_gather_ref {
    float *token;
    double *sum;
    size_t n_token, cap_token, cap_sum;
} pf_gather_ref;
typedef struct pf_gather {
    pf_row_kind kind;
    uint32_t K;
    uint8_t id_size;
    uint32_t n;
    uint8_t *tokens;
    uint32_t *row_off, *p_len, *b_len;
    uint64_t *key, *row_id;
    uint8_t *flags, *mask, *label;
    double *imported;
    bool any_imported;
    size_t n_token, n_completion;
    size_t cap_tokens, cap_off, cap_p, cap_b, cap_key, cap_id, cap_flags,
        cap_mask, cap_label, cap_imp;
    pf_hash128 row_sum;
    uint32_t n_refs;
    pf_gather_ref ref[PF_MAX_REFS];
} pf_gather;
void pf_gather_init(pf_gather *g, const pf_rows_head *h, uint32_t n_refs);
void pf_gather_release(pf_gather *g);
void pf_gather_clear(pf_gather *g);
/* r was checked; refs[n_refs] or NULL. */
PF_MUST_CHECK int pf_gather_add(pf_gather *g, const pf_row *r,
                                const pf_row_ref *refs, pf_err *e);
/* Fills ck's sections and tail (head is the caller's) and writes it. */
PF_MUST_CHECK int pf_gather_write(pf_gather *g, pf_ck *ck,
                                  const pf_ck_sink *to, pf_err *e);

/* ------------------------------------------------------ set directories -- */

/* A file of a set as manifests list it. */
typedef struct pf_listed {
    char *file;
    uint64_t bytes, first_row, rows, tokens, completion;
    uint64_t trailer; /* shards */
    uint64_t raw;     /* blobs: uncompressed bytes */
    uint8_t sha256[PF_SHA256_BYTES]; /* other files */
} pf_listed;

typedef struct pf_manifest {
    pf_rows_head head; /* without blobs */
    uint8_t recipe[PF_SHA256_BYTES];
    pf_rows_total total;
    pf_hash128 row_sum;
    pf_listed *shard, *blob;
    size_t n_shard, cap_shard, n_blob, cap_blob;
} pf_manifest;
void pf_manifest_release(pf_manifest *m);
PF_MUST_CHECK int pf_manifest_json(const pf_manifest *m, pf_buf *out,
                                   pf_err *e);
PF_MUST_CHECK int pf_manifest_read(pf_manifest *m, const char *dir,
                                   pf_err *e);

typedef struct pf_ref_manifest {
    char name[PF_REF_NAME_MAX + 1];
    pf_ident ident;
    uint8_t set_id[PF_SHA256_BYTES];
    uint64_t rows, completion;
    pf_listed *shard;
    size_t n_shard, cap_shard;
} pf_ref_manifest;
void pf_ref_manifest_release(pf_ref_manifest *m);
PF_MUST_CHECK int pf_ref_manifest_json(const pf_ref_manifest *m, pf_buf *out,
                                       pf_err *e);
PF_MUST_CHECK int pf_ref_manifest_read(pf_ref_manifest *m, const char *dir,
                                       const char *name, pf_err *e);

void pf_listed_release(pf_listed *l, size_t n);
PF_MUST_CHECK int pf_listed_add(pf_listed **l, size_t *n, size_t *cap,
                                const pf_listed *item, const char *file,
                                pf_err *e);
/* "shard-00007.prf", "shard-00007.NAME.ref" */
void pf_shard_name(char *buf, size_t n, size_t shard, const char *ref);
/* Exclusive hold on a directory, released by close(fd) or death. */
PF_MUST_CHECK int pf_dir_lock(const char *dir, int *fd, pf_err *e);
/* rename(dir/from, dir/to) */
PF_MUST_CHECK int pf_dir_rename(const char *dir, const char *from,
                                const char *to, pf_err *e);
PF_MUST_CHECK int pf_dir_unlink(const char *dir, const char *name, pf_err *e);
/* Removes every file of ours that filter says true for. */
typedef bool pf_name_fn(const char *name, void *ctx);
PF_MUST_CHECK int pf_dir_sweep(const char *dir, pf_name_fn *fn, void *ctx,
                               pf_err *e);
bool pf_is_temporary(const char *name, void *ctx); /* "*.tmp*" of a set */

/* Writes a file as NAME.tmp, hashed on the way; renamed at publication. */
typedef struct pf_tmp_file {
    pf_writer *w;
    pf_sha256 sha;
    uint64_t bytes;
    char *dir, *name;
} pf_tmp_file;
PF_MUST_CHECK int pf_tmp_open(pf_tmp_file *f, const char *dir,
                              const char *name, pf_err *e);
pf_ck_sink pf_tmp_sink(pf_tmp_file *f);
/* Durable under NAME.tmp; f is released. sha may be NULL. */
PF_MUST_CHECK int pf_tmp_commit(pf_tmp_file *f,
                                uint8_t sha[PF_SHA256_BYTES], pf_err *e);
void pf_tmp_abort(pf_tmp_file *f);
PF_MUST_CHECK int pf_tmp_write(const char *dir, const char *name,
                               const void *p, size_t n,
                               uint8_t sha[PF_SHA256_BYTES], pf_err *e);

/* SHA256SUMS: name -> digest, sorted by name. */
typedef struct pf_sums {
    struct pf_sum {
        char *name;
        uint8_t sha[PF_SHA256_BYTES];
    } * item;
    size_t n, cap;
} pf_sums;
void pf_sums_release(pf_sums *s);
PF_MUST_CHECK int pf_sums_put(pf_sums *s, const char *name,
                              const uint8_t sha[PF_SHA256_BYTES], pf_err *e);
PF_MUST_CHECK int pf_sums_text(const pf_sums *s, pf_buf *out, pf_err *e);
PF_MUST_CHECK int pf_sums_read(pf_sums *s, const char *dir, pf_err *e);

/* One opened sidecar or part: mapped and verified. */
typedef struct pf_cols_file {
    pf_mapping map;
    pf_ck ck;
    pf_cols_head head;
    pf_cols cols;
    char *path;
} pf_cols_file;
void pf_cols_file_close(pf_cols_file *f);
PF_MUST_CHECK int pf_cols_file_open(pf_cols_file *f, const char *dir,
                                    const char *name, uint64_t n_token,
                                    pf_err *e);

/* The shards of an opened set, for the reader and for references. */
size_t pf_set_shards(const pf_set *s);
const pf_chunk *pf_set_shard(const pf_set *s, size_t i);
const pf_manifest *pf_set_manifest(const pf_set *s);
/* As pf_set_open with every complete reference attached to the chunks. */
PF_MUST_CHECK int pf_set_open_all(pf_set **out, const char *dir, pf_err *e);
#endif
