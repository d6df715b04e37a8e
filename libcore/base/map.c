/* SPDX-License-Identifier: MIT */
#include "base/map.h"

#include "base/hash.h"
#include "base/mem.h"

typedef struct entry {
    uint64_t hash, value;
    size_t key_off, key_len;
} entry;

struct pf_map {
    uint64_t seed;
    entry *e;
    size_t n, cap;
    uint32_t *slot; /* entry index + 1, 0 = free; n_slot is a power of two */
    size_t n_slot;
    pf_buf keys;
};

pf_map *pf_map_new(uint64_t seed)
{
    pf_map *m = pf_calloc(1, sizeof *m);
    if (!m)
        return NULL;
    m->seed = seed;
    m->n_slot = 16;
    m->slot = pf_calloc(m->n_slot, sizeof *m->slot);
    if (!m->slot) {
        pf_free(m);
        return NULL;
    }
    return m;
}

void pf_map_free(pf_map *m)
{
    if (!m)
        return;
    pf_free(m->e);
    pf_free(m->slot);
    pf_buf_release(&m->keys);
    pf_free(m);
}

size_t pf_map_count(const pf_map *m)
{
    return m->n;
}

pf_slice pf_map_key(const pf_map *m, size_t i)
{
    return (pf_slice){m->keys.p + m->e[i].key_off, m->e[i].key_len};
}

uint64_t pf_map_value(const pf_map *m, size_t i)
{
    return m->e[i].value;
}

/* The slot that holds key, or the free slot where it would go. */
static size_t find(const pf_map *m, pf_slice key, uint64_t hash)
{
    size_t mask = m->n_slot - 1, i = hash & mask;
    for (;; i = (i + 1) & mask) {
        uint32_t at = m->slot[i];
        if (at == 0)
            return i;
        if (m->e[at - 1].hash == hash &&
            pf_slice_eq(pf_map_key(m, at - 1), key))
            return i;
    }
}

uint64_t *pf_map_get(const pf_map *m, pf_slice key)
{
    uint64_t hash = pf_xxh3_64(key.p, key.n, m->seed);
    uint32_t at = m->slot[find(m, key, hash)];
    return at ? &m->e[at - 1].value : NULL;
}

static bool rehash(pf_map *m)
{
    size_t n = m->n_slot * 2, mask = n - 1;
    uint32_t *slot = pf_calloc(n, sizeof *slot);
    if (!slot)
        return false;
    for (size_t k = 0; k < m->n; k++) {
        size_t i = m->e[k].hash & mask;
        while (slot[i])
            i = (i + 1) & mask;
        slot[i] = (uint32_t)k + 1;
    }
    pf_free(m->slot);
    m->slot = slot;
    m->n_slot = n;
    return true;
}

uint64_t *pf_map_put(pf_map *m, pf_slice key, bool *added)
{
    uint64_t hash = pf_xxh3_64(key.p, key.n, m->seed);
    size_t i = find(m, key, hash);
    *added = false;
    if (m->slot[i])
        return &m->e[m->slot[i] - 1].value;
    if (m->n >= UINT32_MAX - 1)
        return NULL;
    if ((m->n + 1) * 2 > m->n_slot) {
        if (!rehash(m))
            return NULL;
        i = find(m, key, hash);
    }
    size_t off = m->keys.n;
    if (!PF_GROW(&m->e, &m->cap, m->n + 1))
        return NULL;
    pf_buf_add(&m->keys, key.p, key.n);
    if (pf_buf_failed(&m->keys)) {
        m->keys.failed = false; /* the bytes before are intact */
        return NULL;
    }
    m->e[m->n] = (entry){hash, 0, off, key.n};
    m->slot[i] = (uint32_t)++m->n;
    *added = true;
    return &m->e[m->n - 1].value;
}
