/* SPDX-License-Identifier: MIT
 *
 * The container of token rows: chunk streams for pipes, shard sets on disk.
 * docs/formats/shard.md is normative; this header is how to use it.
 *
 *   pf_rows_out   rows (and references) -> a stream or a set
 *   pf_rows_in    a stream or a set -> chunks of rows, in order
 *   pf_set        a set opened for random access (a pf_rowset)
 *
 * Nothing under a final name is ever incomplete: a stream ends with an END
 * chunk, a set with its manifest. */
#ifndef PF_FORMATS_SHARD_H
#define PF_FORMATS_SHARD_H

#include <stdio.h>

#include "base/io.h"
#include "base/log.h"
#include "data/identity.h"
#include "data/row.h"
#include "data/reason.h"

/* What is known of a stream or set before its first row. Zero-initialise and
 * release. The blobs travel in META chunks and lie in a set as files. */
typedef struct pf_rows_head {
    pf_row_kind kind;
    uint32_t n_branch;
    uint32_t vocab;       /* ids are below it; <= 65536 stores u16 */
    pf_ident recipe;      /* all that decides rows; recipe_id is its digest */
    char *tokenizer_json; /* as used, or NULL */
    size_t tokenizer_json_n;
    char *tokenizer_config; /* tokenizer_config.json as used, or NULL */
    size_t tokenizer_config_n;
    char *chat_template;  /* source as used, or NULL */
    size_t chat_template_n;
    char *provenance;     /* JSON lines, oldest first, or NULL */
    size_t provenance_n;
} pf_rows_head;

void pf_rows_head_release(pf_rows_head *h);
PF_MUST_CHECK int pf_rows_head_copy(pf_rows_head *to, const pf_rows_head *from,
                                    pf_err *e);
/* Appends a provenance line for this run: tool, version, argv, time, host. */
PF_MUST_CHECK int pf_provenance_add(pf_rows_head *h, const char *tool,
                                    int argc, char **argv, pf_err *e);

/* Totals that END and the manifest carry. */
typedef struct pf_rows_total {
    uint64_t rows, tokens, completion;
    pf_tally tally; /* of the producer that made the rows */
    uint8_t set_id[PF_SHA256_BYTES];
} pf_rows_total;

/* --------------------------------------------------------------- writing */

typedef struct pf_rows_out pf_rows_out;

/* A reference that comes with the rows. name: pf_ref_name_check(). ident: its
 * identity (the weights, dtype, kernel: see docs/formats/shard.md). */
#define PF_REF_NAME_MAX 64
typedef struct pf_ref_decl {
    const char *name;
    const pf_ident *ident;
} pf_ref_decl;

/* Letters, digits, '.', '_', '-', not beginning with '.' or '-', at most 64;
 * "imported" is taken. PF_E_USAGE otherwise. */
PF_MUST_CHECK int pf_ref_name_check(const char *name, pf_err *e);

typedef struct pf_rows_out_opts {
    const char *dir;      /* a set in this directory; NULL = stream to w */
    pf_writer *w;         /* the stream's target (the caller's) */
    uint64_t shard_bytes; /* 0 = 64 MiB */
    uint32_t shard_rows;  /* 0 = 32768 */
    bool replace;         /* -f: an existing set is replaced at finish */
    const pf_ref_decl *refs; /* references that come with every row */
    uint32_t n_refs;
} pf_rows_out_opts;

/* An existing set without replace is PF_E_IO. Takes a copy of head. */
PF_MUST_CHECK int pf_rows_out_open(pf_rows_out **out, const pf_rows_head *head,
                                   const pf_rows_out_opts *o, pf_err *e);
/* Adds a row (checked). */
PF_MUST_CHECK int pf_rows_out_add(pf_rows_out *o, const pf_row *r, pf_err *e);
/* The same with its references, one for each of the opts in their order. */
PF_MUST_CHECK int pf_rows_out_add_refs(pf_rows_out *o, const pf_row *r,
                                       const pf_row_ref *refs, pf_err *e);
/* Publishes: END chunk, or shards under their names, manifest last. Frees. */
PF_MUST_CHECK int pf_rows_out_finish(pf_rows_out *o, const pf_tally *tally,
                                     pf_rows_total *total, pf_err *e);
/* Removes what was written under temporary names. Frees. NULL is fine. */
void pf_rows_out_abort(pf_rows_out *o);

/* --------------------------------------------------------------- reading */

/* A chunk of rows of a stream, or a shard of a set. */
typedef struct pf_chunk pf_chunk;
uint32_t pf_chunk_rows(const pf_chunk *c);
/* Row i of it; points into the chunk. */
void pf_chunk_row(const pf_chunk *c, uint32_t i, pf_row *out);
pf_hash128 pf_chunk_key(const pf_chunk *c, uint32_t i);
/* Recomputes what reading takes on trust: row keys, reference sums. */
PF_MUST_CHECK int pf_chunk_verify(const pf_chunk *c, pf_err *e);
/* References that came with the chunk, all complete. */
uint32_t pf_chunk_refs(const pf_chunk *c);
pf_ref_decl pf_chunk_ref(const pf_chunk *c, uint32_t ref);
void pf_chunk_row_ref(const pf_chunk *c, uint32_t i, uint32_t ref,
                      pf_row_ref *out);

typedef struct pf_rows_in pf_rows_in;

/* path: "-" or a stream file, or a set's directory (read in order; opened
 * and verified whole first). PF_E_FORMAT when it is neither (a text file is
 * named for what it is), PF_E_TRUNCATED for zero bytes on a pipe. */
PF_MUST_CHECK int pf_rows_in_open(pf_rows_in **out, const char *path,
                                  pf_err *e);
void pf_rows_in_close(pf_rows_in *in);
const pf_rows_head *pf_rows_in_head(const pf_rows_in *in);
/* 1 = a chunk (every byte verified, valid until the next call), 0 = the end,
 * with END seen and its totals equal to the rows that came; < 0: PF_E_FORMAT
 * damage (file, chunk, section, block, byte, wanted and found),
 * PF_E_TRUNCATED an end without END. */
PF_MUST_CHECK int pf_rows_in_next(pf_rows_in *in, const pf_chunk **out,
                                  pf_err *e);
/* After the end. */
const pf_rows_total *pf_rows_in_total(const pf_rows_in *in);

/* ---------------------------------------------------------- shard sets -- */

typedef struct pf_set pf_set;

/* Opens and verifies a set (sizes, headers, tables, all blocks, row keys
 * against set_id). ref_name: NULL = no references, "" = the only one there
 * is, else that one; "imported" = the sums that came with the rows. Errors:
 * PF_E_IO no such set, PF_E_FORMAT damage, PF_E_TRUNCATED a file shorter than
 * its manifest says, PF_E_IDENTITY references that are missing, partial, of
 * other rows or of another model, PF_E_USAGE "" and several. */
PF_MUST_CHECK int pf_set_open(pf_set **out, const char *dir,
                              const char *ref_name, pf_err *e);
void pf_set_close(pf_set *s);
const pf_rows_head *pf_set_head(const pf_set *s);
const pf_rows_total *pf_set_total(const pf_set *s);
/* Row access for scoring and training; valid as long as the set. */
const pf_rowset *pf_set_rows(const pf_set *s);
/* Identity of the opened reference, or NULL. Keys: docs/formats/shard.md. */
const pf_ident *pf_set_ref_ident(const pf_set *s);
bool pf_set_ref_imported(const pf_set *s); /* sums only */
/* As pf_set_open without references, and more: every row key recomputed, all
 * references, every file against SHA256SUMS. */
PF_MUST_CHECK int pf_set_verify(const char *dir, pf_err *e);
/* A np.memmap line for every section of one of its shards or sidecars. */
PF_MUST_CHECK int pf_shard_numpy(const char *dir, const char *file,
                                 FILE *out, pf_err *e);
/* Names of the complete references of a set, sorted; free both levels. */
PF_MUST_CHECK int pf_set_ref_names(const char *dir, char ***names, size_t *n,
                                   pf_err *e);

/* ----------------------------------------------------------- references -- */

/* Writes one reference for a set, cell by cell of the 1024-row grid of each
 * shard. Finished cells lie in *.part files, fsynced, so a killed run resumes;
 * when all are there they become one sidecar a shard and the reference's
 * manifest. */
#define PF_REF_GRID 1024
typedef struct pf_ref_out pf_ref_out;

/* ident: the reference identity without the rows' part (added here). resume:
 * keep finished cells of an equal identity; without it existing parts of that
 * name are removed. An existing complete reference is PF_E_IO unless
 * replace. */
PF_MUST_CHECK int pf_ref_out_open(pf_ref_out **out, const char *dir,
                                  const char *name, const pf_ident *ident,
                                  bool resume, bool replace, pf_err *e);
/* Number of cells and their row ranges [first, first + n) in the set. */
uint32_t pf_ref_out_cells(const pf_ref_out *o);
void pf_ref_out_cell(const pf_ref_out *o, uint32_t cell, uint64_t *first,
                     uint32_t *n, bool *done);
/* token: the f32 log-probs of the completion tokens of the cell's rows in
 * order; sum: n * n_branch f64. Any thread, any order. */
PF_MUST_CHECK int pf_ref_out_put(pf_ref_out *o, uint32_t cell,
                                 const float *token, const double *sum,
                                 pf_err *e);
/* The rows of the set it is for. */
const pf_rowset *pf_ref_out_rows(const pf_ref_out *o);
/* All cells there: publish and 0. Else 1, the parts stay for a later resume.
 * Frees. */
PF_MUST_CHECK int pf_ref_out_finish(pf_ref_out *o, pf_err *e);
void pf_ref_out_abort(pf_ref_out *o); /* keeps finished parts. Frees. */

/* The same parts for a set that is being written from a stream: the
 * references of rows [first, first + n) of a chunk, kept in dir under a
 * temporary name until the set is published. Load: 1 = token and sum filled,
 * 0 = not there (a part of other rows or another identity is removed). */
PF_MUST_CHECK int pf_ref_part_load(const char *dir, const char *name,
                                const pf_ident *ident, const pf_chunk *c,
                                uint32_t first, uint32_t n, float *token,
                                double *sum, pf_err *e);
PF_MUST_CHECK int pf_ref_part_save(const char *dir, const char *name,
                                const pf_ident *ident, const pf_chunk *c,
                                uint32_t first, uint32_t n,
                                const float *token, const double *sum,
                                pf_err *e);
PF_MUST_CHECK int pf_ref_part_remove(const char *dir, const char *name,
                                  pf_err *e);

#endif
