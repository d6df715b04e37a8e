/* SPDX-License-Identifier: MIT
 *
 * pf_reader: file descriptor -> raw buffer -> decoder -> peek buffer ->
 * caller, with an optional thread that decodes ahead. */
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io_codec.h"
#include "base/mem.h"

#define RAW_CAP ((size_t)256 << 10)
#define PEEK_STEP ((size_t)16 << 10)
#define PEEK_MAX ((size_t)64 << 20)
#define AHEAD_CAP ((size_t)512 << 10)
#define AHEAD_BLOCKS 3

typedef struct ahead_block {
    unsigned char *p;
    ssize_t n; /* > 0 bytes, 0 the end, < 0 an error: the last block */
} ahead_block;

/* The thread that decodes ahead: a ring of blocks. */
typedef struct ahead {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t change;
    ahead_block block[AHEAD_BLOCKS];
    unsigned filled, taken; /* counts; their difference is in the ring */
    size_t used;            /* bytes of the current block handed out */
    bool stop;
    pf_err err;
} ahead;

struct pf_reader {
    int fd;
    bool own_fd, pipe;
    char *name;
    int64_t size;
    pf_codec codec;
    pf_decoder *decoder;
    unsigned char *raw; /* compressed bytes, or the first ones of plain */
    size_t raw_at, raw_n;
    _Atomic int64_t raw_pos; /* bytes read from fd */
    unsigned char *peek;
    size_t peek_at, peek_n, peek_cap;
    bool ended;  /* the decoded stream has ended behind the peek buffer */
    int failed;  /* sticky error code */
    pf_err err;
    ahead *ahead;
};

/* read(2) that goes on after signals and waits where fd does not block. */
static ssize_t read_fd(pf_reader *r, void *buf, size_t n, pf_err *e)
{
    for (;;) {
        ssize_t got = read(r->fd, buf, n);
        if (got >= 0) {
            atomic_fetch_add_explicit(&r->raw_pos, got, memory_order_relaxed);
            return got;
        }
        if (errno == EAGAIN || errno == EWOULDBLOCK) {
            struct pollfd p = {.fd = r->fd, .events = POLLIN};
            if (poll(&p, 1, -1) >= 0 || errno == EINTR)
                continue;
        }
        if (errno != EINTR)
            return pf_err_errno(e, r->name, "cannot read");
    }
}

/* The compressed position up to which bytes were used. */
static int64_t used_pos(const pf_reader *r)
{
    return atomic_load_explicit(&r->raw_pos, memory_order_relaxed) -
           (int64_t)(r->raw_n - r->raw_at);
}

/* Decoded bytes from the file; the one source of all of them. */
static ssize_t decode(pf_reader *r, void *buf, size_t n, pf_err *e)
{
    if (r->codec == PF_CODEC_NONE) {
        size_t left = r->raw_n - r->raw_at;
        if (left == 0)
            return read_fd(r, buf, n, e);
        n = PF_MIN(n, left);
        memcpy(buf, r->raw + r->raw_at, n);
        r->raw_at += n;
        return (ssize_t)n;
    }
    for (;;) {
        const uint8_t *in = r->raw + r->raw_at;
        size_t n_in = r->raw_n - r->raw_at;
        int64_t made = pf_decoder_step(r->decoder, &in, &n_in, buf, n, e);
        r->raw_at = r->raw_n - n_in;
        if (made < 0) {
            pf_err_at(e, r->name, 0, used_pos(r));
            return (ssize_t)made;
        }
        if (made > 0)
            return (ssize_t)made;
        ssize_t got = read_fd(r, r->raw, RAW_CAP, e);
        if (got < 0)
            return got;
        r->raw_at = 0;
        r->raw_n = (size_t)got;
        if (got == 0)
            break;
    }
    if (pf_decoder_complete(r->decoder))
        return 0;
    return pf_err_pos(e, PF_E_TRUNCATED, r->name, 0, used_pos(r),
                      "truncated %s data",
                      r->codec == PF_CODEC_GZIP ? "gzip" : "zstd");
}

/* ------------------------------------------------------- decoding ahead -- */

static void *ahead_main(void *arg)
{
    pf_reader *r = arg;
    ahead *a = r->ahead;
    pthread_mutex_lock(&a->lock);
    for (;;) {
        while (!a->stop && a->filled - a->taken == AHEAD_BLOCKS)
            pthread_cond_wait(&a->change, &a->lock);
        if (a->stop)
            break;
        ahead_block *b = &a->block[a->filled % AHEAD_BLOCKS];
        pthread_mutex_unlock(&a->lock);
        pf_err err = PF_ERR_INIT;
        ssize_t n = 0, got = 1;
        while ((size_t)n < AHEAD_CAP && got > 0) {
            got = decode(r, b->p + n, AHEAD_CAP - (size_t)n, &err);
            n += got > 0 ? got : 0;
        }
        pthread_mutex_lock(&a->lock);
        if (n > 0) {
            b->n = n;
            a->filled++;
            pthread_cond_signal(&a->change);
            while (got <= 0 && !a->stop &&
                   a->filled - a->taken == AHEAD_BLOCKS)
                pthread_cond_wait(&a->change, &a->lock);
        }
        if (got <= 0) {
            a->block[a->filled % AHEAD_BLOCKS].n = got;
            a->err = err;
            a->filled++;
            pthread_cond_signal(&a->change);
            break;
        }
    }
    pthread_mutex_unlock(&a->lock);
    return NULL;
}

static void ahead_free(ahead *a)
{
    for (int i = 0; i < AHEAD_BLOCKS; i++)
        pf_free(a->block[i].p);
    pthread_mutex_destroy(&a->lock);
    pthread_cond_destroy(&a->change);
    pf_free(a);
}

int pf_reader_prefetch(pf_reader *r, pf_err *e)
{
    if (r->codec == PF_CODEC_NONE || r->ended || r->ahead || r->failed)
        return 0;
    ahead *a = pf_calloc(1, sizeof *a);
    if (!a)
        return pf_err_nomem(e);
    pthread_mutex_init(&a->lock, NULL);
    pthread_cond_init(&a->change, NULL);
    a->err = (pf_err)PF_ERR_INIT;
    for (int i = 0; i < AHEAD_BLOCKS; i++) {
        a->block[i].p = pf_alloc(AHEAD_CAP);
        if (!a->block[i].p) {
            ahead_free(a);
            return pf_err_nomem(e);
        }
    }
    r->ahead = a;
    /* Signals are for the main thread. */
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int rc = pthread_create(&a->thread, NULL, ahead_main, r);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (rc != 0) {
        r->ahead = NULL;
        ahead_free(a);
        return pf_err_set(e, PF_E_LIMIT, "cannot start a thread: %s",
                          strerror(rc));
    }
    return 0;
}

static ssize_t ahead_read(ahead *a, void *buf, size_t n, pf_err *e)
{
    pthread_mutex_lock(&a->lock);
    while (a->filled == a->taken)
        pthread_cond_wait(&a->change, &a->lock);
    ahead_block *b = &a->block[a->taken % AHEAD_BLOCKS];
    pthread_mutex_unlock(&a->lock);
    if (b->n <= 0) {
        if (b->n < 0 && e && !e->code)
            *e = a->err;
        return b->n;
    }
    n = PF_MIN(n, (size_t)b->n - a->used);
    memcpy(buf, b->p + a->used, n);
    a->used += n;
    if (a->used == (size_t)b->n) {
        a->used = 0;
        pthread_mutex_lock(&a->lock);
        a->taken++;
        pthread_cond_signal(&a->change);
        pthread_mutex_unlock(&a->lock);
    }
    return (ssize_t)n;
}

static void ahead_stop(pf_reader *r)
{
    ahead *a = r->ahead;
    if (!a)
        return;
    pthread_mutex_lock(&a->lock);
    a->stop = true;
    pthread_cond_signal(&a->change);
    pthread_mutex_unlock(&a->lock);
    pthread_join(a->thread, NULL);
    ahead_free(a);
    r->ahead = NULL;
}

/* ---------------------------------------------------------- the stream -- */

/* Decoded bytes with the end and errors made sticky. */
static ssize_t stream(pf_reader *r, void *buf, size_t n, pf_err *e)
{
    if (r->failed) {
        if (e && !e->code)
            *e = r->err;
        return r->failed;
    }
    if (r->ended || n == 0)
        return 0;
    pf_err err = PF_ERR_INIT;
    ssize_t got = r->ahead ? ahead_read(r->ahead, buf, n, &err)
                           : decode(r, buf, n, &err);
    if (got == 0)
        r->ended = true;
    if (got < 0) {
        r->failed = (int)got;
        r->err = err;
        if (e && !e->code)
            *e = err;
    }
    return got;
}

ssize_t pf_reader_read(pf_reader *r, void *buf, size_t n, pf_err *e)
{
    size_t left = r->peek_n - r->peek_at;
    if (left == 0)
        return stream(r, buf, n, e);
    n = PF_MIN(n, left);
    memcpy(buf, r->peek + r->peek_at, n);
    r->peek_at += n;
    return (ssize_t)n;
}

int pf_reader_peek(pf_reader *r, size_t want, pf_slice *out, pf_err *e)
{
    *out = (pf_slice){NULL, 0};
    want = PF_MIN(want, PEEK_MAX);
    if (!PF_GROW(&r->peek, &r->peek_cap, PF_MAX(want, PEEK_STEP)))
        return pf_err_nomem(e);
    if (r->peek_at) {
        r->peek_n -= r->peek_at;
        memmove(r->peek, r->peek + r->peek_at, r->peek_n);
        r->peek_at = 0;
    }
    while (r->peek_n < want) {
        ssize_t got = stream(r, r->peek + r->peek_n,
                             r->peek_cap - r->peek_n, e);
        if (got < 0)
            return (int)got;
        if (got == 0)
            break;
        r->peek_n += (size_t)got;
    }
    *out = (pf_slice){(char *)r->peek, r->peek_n};
    return 0;
}

/* ------------------------------------------------------- open and close -- */

static int open_fd(pf_reader *r, const char *path, pf_err *e)
{
    if (strcmp(path, "-") == 0) {
        r->fd = STDIN_FILENO;
    } else {
        do
            r->fd = open(path, O_RDONLY | O_CLOEXEC);
        while (r->fd < 0 && errno == EINTR);
        if (r->fd < 0)
            return pf_err_errno(e, r->name, "cannot open");
        r->own_fd = true;
    }
    struct stat st;
    if (fstat(r->fd, &st) < 0)
        return pf_err_errno(e, r->name, "cannot stat");
    if (S_ISDIR(st.st_mode))
        return pf_err_pos(e, PF_E_IO, r->name, 0, -1, "is a directory");
    r->pipe = S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode);
    r->size = S_ISREG(st.st_mode) ? (int64_t)st.st_size : -1;
    return 0;
}

/* First bytes, the codec they name, and its decoder. */
static int start(pf_reader *r, pf_err *e)
{
    while (r->raw_n < 4) {
        ssize_t got = read_fd(r, r->raw + r->raw_n, RAW_CAP - r->raw_n, e);
        if (got < 0)
            return (int)got;
        if (got == 0)
            break;
        r->raw_n += (size_t)got;
    }
    r->codec = pf_codec_sniff(r->raw, r->raw_n);
    if (r->codec == PF_CODEC_NONE)
        return 0;
    return pf_decoder_new(&r->decoder, r->codec, e);
}

int pf_reader_open(pf_reader **out, const char *path, pf_err *e)
{
    int rc;
    pf_reader *r = pf_calloc(1, sizeof *r);
    if (!r)
        return pf_err_nomem(e);
    r->fd = -1;
    r->err = (pf_err)PF_ERR_INIT;
    r->name = pf_strdup(strcmp(path, "-") == 0 ? "(stdin)" : path);
    r->raw = pf_alloc(RAW_CAP);
    if (!r->name || !r->raw) {
        rc = pf_err_nomem(e);
        goto fail;
    }
    rc = open_fd(r, path, e);
    if (rc < 0)
        goto fail;
    rc = start(r, e);
    if (rc < 0)
        goto fail;
    *out = r;
    return 0;
fail:
    pf_reader_close(r);
    return rc;
}

void pf_reader_close(pf_reader *r)
{
    if (!r)
        return;
    ahead_stop(r);
    if (r->own_fd)
        close(r->fd);
    pf_decoder_free(r->decoder);
    pf_free(r->peek);
    pf_free(r->raw);
    pf_free(r->name);
    pf_free(r);
}

const char *pf_reader_name(const pf_reader *r)
{
    return r->name;
}

pf_codec pf_reader_codec(const pf_reader *r)
{
    return r->codec;
}

bool pf_reader_is_pipe(const pf_reader *r)
{
    return r->pipe;
}

int64_t pf_reader_raw_pos(const pf_reader *r)
{
    return atomic_load_explicit(&r->raw_pos, memory_order_relaxed);
}

int64_t pf_reader_raw_size(const pf_reader *r)
{
    return r->size;
}

/* ----------------------------------------------------------- whole files -- */

int pf_read_file(const char *path, size_t max, char **out, size_t *n,
                 pf_err *e)
{
    pf_reader *r;
    pf_buf b = {0};
    int rc = pf_reader_open(&r, path, e);
    if (rc < 0)
        return rc;
    size_t step = r->size > 0 && (uint64_t)r->size < max
                      ? (size_t)r->size + 1 : (size_t)64 << 10;
    for (;;) {
        if (b.n > max) {
            rc = pf_err_pos(e, PF_E_LIMIT, r->name, 0, -1,
                            "file of more than %zu bytes", max);
            goto fail;
        }
        if (!pf_buf_reserve(&b, step)) {
            rc = pf_err_nomem(e);
            goto fail;
        }
        ssize_t got = pf_reader_read(r, b.p + b.n, b.cap - b.n - 1, e);
        rc = (int)PF_MIN(got, 0);
        if (got < 0)
            goto fail;
        if (got == 0)
            break;
        b.n += (size_t)got;
        step = (size_t)64 << 10;
    }
    pf_reader_close(r);
    *out = pf_buf_take(&b, n);
    return *out ? 0 : pf_err_nomem(e);
fail:
    pf_buf_release(&b);
    pf_reader_close(r);
    return rc;
}

int pf_mapping_open(pf_mapping *m, const char *path, bool populate, pf_err *e)
{
    *m = (pf_mapping){0};
    int fd, rc = 0;
    do
        fd = open(path, O_RDONLY | O_CLOEXEC);
    while (fd < 0 && errno == EINTR);
    if (fd < 0)
        return pf_err_errno(e, path, "cannot open");
    struct stat st;
    if (fstat(fd, &st) < 0) {
        rc = pf_err_errno(e, path, "cannot stat");
    } else if (!S_ISREG(st.st_mode)) {
        rc = pf_err_pos(e, PF_E_IO, path, 0, -1, "not a regular file");
    } else if (st.st_size > 0) {
        int flags = MAP_PRIVATE;
#ifdef MAP_POPULATE
        flags |= populate ? MAP_POPULATE : 0;
#endif
        void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, flags, fd, 0);
        if (p == MAP_FAILED)
            rc = pf_err_errno(e, path, "cannot map");
        else
            *m = (pf_mapping){p, (size_t)st.st_size};
    }
    close(fd);
    return rc;
}

void pf_mapping_close(pf_mapping *m)
{
    if (m->p)
        munmap((void *)m->p, m->n);
    *m = (pf_mapping){0};
}
