/* SPDX-License-Identifier: MIT
 *
 * Files and pipes.
 *
 * pf_reader   a byte stream from a path or standard input ("-"), gunzipped or
 *             un-zstd-ed on the fly by content, not by name
 * pf_map_file a read-only mapping of a regular file
 * pf_writer   a byte stream to a path or standard output; to a path it is
 *             atomic: temporary file beside it, fsync, rename, fsync of the
 *             directory. What was not committed leaves nothing behind.
 *
 * EINTR and short transfers are handled here. Each object belongs to one
 * thread at a time. */
#ifndef PF_BASE_IO_H
#define PF_BASE_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/str.h"

/* ------------------------------------------------------------- reading -- */

typedef struct pf_reader pf_reader;

typedef enum pf_codec { PF_CODEC_NONE, PF_CODEC_GZIP, PF_CODEC_ZSTD } pf_codec;

/* Opens path ("-" = standard input, kept open at the end) and recognises the
 * compression by its first bytes. Errors: PF_E_IO (cannot open, a directory),
 * PF_E_FORMAT (a compressed header that is broken), PF_E_LIMIT. */
PF_MUST_CHECK int pf_reader_open(pf_reader **out, const char *path, pf_err *e);
void pf_reader_close(pf_reader *r); /* NULL is fine */

/* Up to n bytes of the uncompressed stream into buf: > 0 the count, 0 at the
 * end, < 0 an error. A gzip or zstd stream that stops inside a member is
 * PF_E_TRUNCATED, a damaged one or junk after it PF_E_FORMAT, each with the
 * byte offset in the compressed file. Multi-member gzip, zero padding after
 * it, and several zstd frames are one stream. */
PF_MUST_CHECK ssize_t pf_reader_read(pf_reader *r, void *buf, size_t n,
                                     pf_err *e);

/* Makes at least min(want, rest of the stream) bytes visible without
 * consuming them and returns all that is visible; want <= 64 MiB. Fewer bytes
 * than wanted mean the end. out->p == NULL on error (then e is set). */
PF_MUST_CHECK int pf_reader_peek(pf_reader *r, size_t want, pf_slice *out,
                                 pf_err *e);

/* Starts a thread that decompresses ahead of pf_reader_read(); does nothing
 * for plain input. Call it once, after peeking. */
PF_MUST_CHECK int pf_reader_prefetch(pf_reader *r, pf_err *e);

const char *pf_reader_name(const pf_reader *r); /* path or "(stdin)" */
pf_codec pf_reader_codec(const pf_reader *r);
bool pf_reader_is_pipe(const pf_reader *r); /* a pipe or socket */
/* Bytes read from the file so far (compressed), and its size or -1. */
int64_t pf_reader_raw_pos(const pf_reader *r);
int64_t pf_reader_raw_size(const pf_reader *r);

/* The whole of a file, uncompressed, as one block with a NUL after it (free
 * it with pf_free). More than max bytes: PF_E_LIMIT. */
PF_MUST_CHECK int pf_read_file(const char *path, size_t max, char **out,
                               size_t *n, pf_err *e);

typedef struct pf_mapping {
    const unsigned char *p; /* NULL for an empty file */
    size_t n;
} pf_mapping;

/* Maps a regular file read-only. populate reads it in at once, which is
 * faster when all of it will be used. PF_E_IO on failure. */
PF_MUST_CHECK int pf_mapping_open(pf_mapping *m, const char *path,
                                  bool populate, pf_err *e);
void pf_mapping_close(pf_mapping *m);

/* ------------------------------------------------------------- writing -- */

typedef struct pf_writer pf_writer;

typedef enum pf_write_mode {
    PF_WRITE_NEW,    /* an existing target is PF_E_IO ("exists") */
    PF_WRITE_REPLACE /* an existing target is replaced at commit */
} pf_write_mode;

/* path "-" = standard output (no temporary; commit flushes and checks). A
 * path that is not a regular file (/dev/null, a FIFO) is written directly.
 * The temporary is PATH.tmp.PID, created O_EXCL. */
PF_MUST_CHECK int pf_writer_open(pf_writer **out, const char *path,
                                 pf_write_mode mode, pf_err *e);
/* Sticky: after a failure further writes do nothing and commit fails. */
void pf_writer_write(pf_writer *w, const void *p, size_t n);
/* For text whose end mark is a last LF (record streams): an LF that ends what
 * was written so far waits for the next byte or for the commit, and on a pipe
 * every write(2) is atomic and ends behind another byte. So whenever the
 * process is killed, what its reader has seen does not end with an LF. */
void pf_writer_hold_lf(pf_writer *w);
/* Flushes to the file descriptor (a filter does this per chunk). */
PF_MUST_CHECK int pf_writer_flush(pf_writer *w, pf_err *e);
/* Flush, fsync, rename, fsync of the directory; then w is freed. On any
 * failure the temporary is removed and e is set: nothing is published.
 * fsync is never retried (after a failure the kernel has dropped the pages). */
PF_MUST_CHECK int pf_writer_commit(pf_writer *w, pf_err *e);
/* Removes the temporary and frees w; NULL is fine. */
void pf_writer_abort(pf_writer *w);
uint64_t pf_writer_bytes(const pf_writer *w);

/* Writes n bytes as a whole file, atomically. */
PF_MUST_CHECK int pf_write_file(const char *path, const void *p, size_t n,
                                pf_write_mode mode, pf_err *e);
/* fsync of a directory, so that renames in it last. */
PF_MUST_CHECK int pf_sync_dir(const char *path, pf_err *e);
/* mkdir -p (existing directories are fine). */
PF_MUST_CHECK int pf_make_dirs(const char *path, pf_err *e);
bool pf_path_exists(const char *path);
bool pf_path_is_dir(const char *path);
/* "dir/name" in allocated memory, NULL when out of it. */
PF_MUST_CHECK char *pf_path_join(const char *dir, const char *name);
/* Names in dir (no "." and ".."), sorted bytewise, each allocated, as is the
 * array: free both. */
PF_MUST_CHECK int pf_list_dir(const char *dir, char ***names, size_t *n,
                              pf_err *e);

#endif
