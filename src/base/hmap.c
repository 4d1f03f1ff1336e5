/* hmap: linear probing with backward-shift removal, once for numbers and once for bytes. */
#include "base/hmap.h"

#include "base/assert.h"
#include "base/buf.h"
#include "base/enc.h"
#include "base/err.h"
#include "base/rand.h"

#define FIRST_CAP 16u
#define CAP_MAX (UINT32_C(1) << 30)

static uint64_t rotl(uint64_t v, int k)
{
    return v << k | v >> (64 - k);
}

static void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rotl(v[1], 13) ^ v[0];
    v[0] = rotl(v[0], 32);
    v[2] += v[3];
    v[3] = rotl(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotl(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotl(v[1], 17) ^ v[2];
    v[2] = rotl(v[2], 32);
}

uint64_t hmap_hash_bytes(const uint64_t key[2], struct slice s)
{
    uint64_t v[4] = {key[0] ^ UINT64_C(0x736f6d6570736575), key[1] ^ UINT64_C(0x646f72616e646f6d),
                     key[0] ^ UINT64_C(0x6c7967656e657261), key[1] ^ UINT64_C(0x7465646279746573)};
    size_t i = 0;
    for (; s.len - i >= 8; i += 8) {
        uint64_t word = load_u64le(s.p + i);
        v[3] ^= word;
        sip_round(v);
        v[0] ^= word;
    }
    uint64_t last = (uint64_t)s.len << 56;
    for (size_t j = 0; i + j < s.len; j++)
        last |= (uint64_t)s.p[i + j] << (8 * j);
    v[3] ^= last;
    sip_round(v);
    v[0] ^= last;
    v[2] ^= 0xff;
    for (int r = 0; r < 3; r++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* Room for one more under 3/4 load: the capacity to grow to, the present one, or 0 at the end of
 * growth. */
static uint32_t cap_for(uint32_t cap, uint32_t len)
{
    if (cap == 0)
        return FIRST_CAP;
    if (len + 1 <= cap / 4 * 3)
        return cap;
    return cap < CAP_MAX ? cap * 2 : 0;
}

/* With a hole at `hole` and an entry at `at` whose home is `home`: may the entry move into the
 * hole? It may when the hole lies between its home and its place, going round. */
static bool fills_hole(uint32_t home, uint32_t hole, uint32_t at, uint32_t mask)
{
    return ((at - home) & mask) >= ((at - hole) & mask);
}

/* ---- numbers ---- */

static uint32_t number_home(const struct hmap *m, uint64_t key)
{
    uint64_t state = key ^ m->seed;
    return (uint32_t)rand_splitmix(&state) & (m->cap - 1);
}

void hmap_init(struct hmap *m, uint64_t seed, uint32_t max)
{
    *m = (struct hmap){.seed = seed, .max = max};
}

void hmap_done(struct hmap *m)
{
    mem_free(m->slots);
    m->slots = NULL;
    m->cap = m->len = 0;
}

/* The key's slot, or the free one where it belongs; cap > len. */
static struct hmap_slot *number_slot(const struct hmap *m, uint64_t key)
{
    uint32_t i = number_home(m, key);
    while (m->slots[i].value && m->slots[i].key != key)
        i = (i + 1) & (m->cap - 1);
    return &m->slots[i];
}

void *hmap_get(const struct hmap *m, uint64_t key)
{
    return m->cap ? number_slot(m, key)->value : NULL;
}

static int number_grow(struct hmap *m)
{
    uint32_t cap = cap_for(m->cap, m->len);
    if (cap == m->cap)
        return 0;
    struct hmap_slot *slots = cap ? mem_try_alloc(cap * sizeof(*slots)) : NULL;
    if (!slots)
        return err_set(KT_ERR_NO_MEMORY, "no memory for a map of %u entries", m->len + 1);
    memset(slots, 0, cap * sizeof(*slots));
    struct hmap old = *m;
    m->slots = slots;
    m->cap = cap;
    for (uint32_t i = 0; i < old.cap; i++)
        if (old.slots[i].value)
            *number_slot(m, old.slots[i].key) = old.slots[i];
    mem_free(old.slots);
    return 0;
}

int hmap_set(struct hmap *m, uint64_t key, void *value, void **ret_old)
{
    kt_assert(value);
    struct hmap_slot *s = m->cap ? number_slot(m, key) : NULL;
    if (!s || !s->value) {
        if (m->len >= m->max)
            return err_set(KT_ERR_LIMIT, "map is full at %u entries", m->max);
        int rc = number_grow(m);
        if (rc < 0)
            return rc;
        s = number_slot(m, key);
        m->len++;
    }
    if (ret_old)
        *ret_old = s->value;
    *s = (struct hmap_slot){key, value};
    return 0;
}

void *hmap_remove(struct hmap *m, uint64_t key)
{
    struct hmap_slot *s = m->cap ? number_slot(m, key) : NULL;
    if (!s || !s->value)
        return NULL;
    void *removed = s->value;
    uint32_t mask = m->cap - 1;
    uint32_t hole = (uint32_t)(s - m->slots);
    for (uint32_t at = (hole + 1) & mask; m->slots[at].value; at = (at + 1) & mask) {
        if (fills_hole(number_home(m, m->slots[at].key), hole, at, mask)) {
            m->slots[hole] = m->slots[at];
            hole = at;
        }
    }
    m->slots[hole].value = NULL;
    m->len--;
    return removed;
}

bool hmap_next(const struct hmap *m, uint32_t *at, uint64_t *ret_key, void **ret_value)
{
    for (uint32_t i = *at; i < m->cap; i++) {
        if (m->slots[i].value) {
            *at = i + 1;
            *ret_key = m->slots[i].key;
            *ret_value = m->slots[i].value;
            return true;
        }
    }
    return false;
}

/* ---- bytes ---- */

void bmap_init(struct bmap *m, uint64_t seed, uint32_t max)
{
    *m = (struct bmap){.max = max};
    m->seed[0] = rand_splitmix(&seed);
    m->seed[1] = rand_splitmix(&seed);
}

void bmap_done(struct bmap *m)
{
    mem_free(m->slots);
    m->slots = NULL;
    m->cap = m->len = 0;
}

static struct bmap_slot *bytes_slot(const struct bmap *m, uint64_t hash, struct slice key)
{
    uint32_t i = (uint32_t)hash & (m->cap - 1);
    while (m->slots[i].value && !(m->slots[i].hash == hash && slice_eq(m->slots[i].key_view, key)))
        i = (i + 1) & (m->cap - 1);
    return &m->slots[i];
}

void *bmap_get(const struct bmap *m, struct slice key)
{
    return m->cap ? bytes_slot(m, hmap_hash_bytes(m->seed, key), key)->value : NULL;
}

static int bytes_grow(struct bmap *m)
{
    uint32_t cap = cap_for(m->cap, m->len);
    if (cap == m->cap)
        return 0;
    struct bmap_slot *slots = cap ? mem_try_alloc(cap * sizeof(*slots)) : NULL;
    if (!slots)
        return err_set(KT_ERR_NO_MEMORY, "no memory for a map of %u entries", m->len + 1);
    memset(slots, 0, cap * sizeof(*slots));
    struct bmap old = *m;
    m->slots = slots;
    m->cap = cap;
    for (uint32_t i = 0; i < old.cap; i++)
        if (old.slots[i].value)
            *bytes_slot(m, old.slots[i].hash, old.slots[i].key_view) = old.slots[i];
    mem_free(old.slots);
    return 0;
}

int bmap_set(struct bmap *m, struct slice key, void *value, void **ret_old)
{
    kt_assert(value);
    uint64_t hash = hmap_hash_bytes(m->seed, key);
    struct bmap_slot *s = m->cap ? bytes_slot(m, hash, key) : NULL;
    if (!s || !s->value) {
        if (m->len >= m->max)
            return err_set(KT_ERR_LIMIT, "map is full at %u entries", m->max);
        int rc = bytes_grow(m);
        if (rc < 0)
            return rc;
        s = bytes_slot(m, hash, key);
        m->len++;
    }
    if (ret_old)
        *ret_old = s->value;
    *s = (struct bmap_slot){hash, key, value};
    return 0;
}

void *bmap_remove(struct bmap *m, struct slice key)
{
    struct bmap_slot *s = m->cap ? bytes_slot(m, hmap_hash_bytes(m->seed, key), key) : NULL;
    if (!s || !s->value)
        return NULL;
    void *removed = s->value;
    uint32_t mask = m->cap - 1;
    uint32_t hole = (uint32_t)(s - m->slots);
    for (uint32_t at = (hole + 1) & mask; m->slots[at].value; at = (at + 1) & mask) {
        if (fills_hole((uint32_t)m->slots[at].hash & mask, hole, at, mask)) {
            m->slots[hole] = m->slots[at];
            hole = at;
        }
    }
    m->slots[hole] = (struct bmap_slot){0};
    m->len--;
    return removed;
}

bool bmap_next(const struct bmap *m, uint32_t *at, struct slice *ret_key, void **ret_value)
{
    for (uint32_t i = *at; i < m->cap; i++) {
        if (m->slots[i].value) {
            *at = i + 1;
            *ret_key = m->slots[i].key_view;
            *ret_value = m->slots[i].value;
            return true;
        }
    }
    return false;
}
