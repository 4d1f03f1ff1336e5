#include "base/macros.h"
#include "base/slice.h"
#include "format/superblock.h"
#include "volume/index.h"
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#define NEEDLES 200000u

struct model {
    uint64_t offset, size;
    bool dead;
};

static const struct index_head place = {.uuid = {7}, .vid = 3, .generation = 1};

/* A log with small and large needles, marks between them, gaps, and every 13th dead. */
static struct model *make_log(uint32_t n, uint64_t *ret_end)
{
    struct model *m = calloc(n, sizeof(*m));
    assert_non_null(m);
    uint64_t at = VOLUME_LOG_START;
    for (uint32_t i = 0; i < n; i++) {
        if (i % 9 == 8 || (i > 128 && i < 192)) /* single gaps, and one block without needles */
            continue;
        if (i % 50 == 0)
            at += NEEDLE_HEADER; /* a mark */
        m[i].offset = at;
        m[i].size = i % 1000 == 999 ? 600000 + 8ull * (i % 7) : 48 + 8ull * (i % 31);
        m[i].dead = i % 13 == 0;
        at += m[i].size;
    }
    *ret_end = at;
    return m;
}

static struct index *make_open(const struct model *m, uint32_t n)
{
    struct index *ix;
    assert_int_equal(index_new_open(VOLUME_LIMIT_MAX, &ix), 0);
    for (uint32_t i = 0; i < n; i++)
        if (m[i].size)
            assert_int_equal(index_add(ix, i, m[i].offset, m[i].size), 0);
    assert_int_equal(index_count(ix), 0);
    index_publish(ix, n);
    for (uint32_t i = 0; i < n; i++)
        assert_false(index_set_dead(ix, i, true));
    for (uint32_t i = 0; i < n; i++)
        if (!m[i].dead)
            assert_int_equal(index_set_dead(ix, i, false), m[i].size != 0);
    return ix;
}

/* Every seq answers as the model does; sizes may only grow by the marks behind a needle. */
static void compare(const struct index *ix, const struct model *m, uint32_t n, bool exact)
{
    struct index_totals sum = {0}, totals;
    assert_int_equal(index_count(ix), n);
    for (uint32_t i = 0; i < n; i++) {
        struct index_hit hit;
        if (index_find(ix, i, &hit) != (m[i].size != 0))
            fail_msg("seq %u: presence", i);
        if (m[i].size == 0)
            continue;
        if (hit.offset != m[i].offset || hit.size < m[i].size ||
            hit.size - m[i].size > (exact ? 0 : NEEDLE_HEADER) || hit.dead != m[i].dead)
            fail_msg("seq %u: at %llu size %llu", i, (unsigned long long)hit.offset,
                     (unsigned long long)hit.size);
        sum.needles++;
        sum.bytes += hit.size;
        sum.dead += m[i].dead;
        sum.dead_bytes += m[i].dead ? hit.size : 0;
    }
    index_totals(ix, &totals);
    assert_memory_equal(&totals, &sum, sizeof(sum));
    struct index_hit hit;
    assert_false(index_find(ix, n, &hit));
    assert_false(index_find(ix, UINT32_MAX, &hit));
}

static void open_form_answers_as_the_log(void **state)
{
    (void)state;
    uint64_t end;
    struct model *m = make_log(NEEDLES, &end);
    struct index *ix = make_open(m, NEEDLES);
    assert_false(index_is_sealed(ix));
    compare(ix, m, NEEDLES, true);
    assert_int_equal(index_add(ix, UINT32_MAX, end, 48), -KT_ERR_LIMIT);
    index_free(ix);
    free(m);
}

static void sealed_form_answers_as_the_log(void **state)
{
    (void)state;
    static const uint32_t counts[] = {0, 1, 63, 64, 65, 127, 128, 1000, NEEDLES};
    for (size_t i = 0; i < KT_ARRAY_LEN(counts); i++) {
        struct index_head head = place;
        struct model *m = make_log(NEEDLES, &head.log_end);
        struct index *open = make_open(m, counts[i]), *sealed;
        assert_int_equal(index_seal(open, &sealed), 0);
        assert_true(index_is_sealed(sealed));
        compare(sealed, m, counts[i], false);
        if (counts[i] == NEEDLES)
            assert_true(index_memory(sealed) < 24ul * NEEDLES / 10);
        index_free(open);
        index_free(sealed);
        free(m);
    }
}

static void sealed_file_loads_back(void **state)
{
    (void)state;
    struct index_head head = place, got;
    struct model *m = make_log(NEEDLES, &head.log_end);
    struct index *open = make_open(m, NEEDLES), *sealed, *loaded;
    assert_int_equal(index_seal(open, &sealed), 0);
    struct slice body = index_body(sealed, &head.count, &head.exceptions);
    assert_int_equal(head.count, NEEDLES);
    assert_true(head.exceptions > 100);
    uint8_t *file = malloc(INDEX_HEAD + body.len);
    memcpy(file + INDEX_HEAD, body.p, body.len);
    index_sealed_encode(&head, body.p, file);
    assert_int_equal(index_sealed_decode(slice_of(file, INDEX_HEAD + body.len), &head, &got), 0);
    assert_int_equal(index_new_sealed(&got, slice_of(file + INDEX_HEAD, body.len), &loaded), 0);
    free(file);
    for (uint32_t i = 0; i < NEEDLES; i++)
        assert_false(index_set_dead(loaded, i, m[i].dead));
    compare(loaded, m, NEEDLES, false);
    index_free(loaded);
    index_free(open);
    index_free(sealed);
    free(m);
}

static void open_records_of_the_file_load_back(void **state)
{
    (void)state;
    struct index_head head = place, got;
    struct model *m = make_log(NEEDLES, &head.log_end);
    struct index *ix = make_open(m, NEEDLES), *back;
    uint64_t *entries = malloc(8ul * INDEX_CHUNK);
    assert_int_equal(index_new_open(VOLUME_LIMIT_MAX, &back), 0);
    uint8_t *record = malloc(index_open_size(INDEX_CHUNK));
    for (uint32_t first = 0; first < NEEDLES; first += INDEX_CHUNK) {
        head.first_seq = first;
        head.count = index_chunk(ix, first / INDEX_CHUNK, entries);
        assert_int_equal(head.count, KT_MIN(INDEX_CHUNK, NEEDLES - first));
        index_open_encode(&head, entries, record);
        assert_int_equal(
            index_open_decode(slice_of(record, index_open_size(head.count)), &head, &got), 0);
        assert_int_equal(index_add_entries(back, first, record + INDEX_HEAD, got.count), 0);
        index_publish(back, first + got.count);
    }
    assert_int_equal(index_chunk(ix, NEEDLES / INDEX_CHUNK + 1, entries), 0);
    for (uint32_t i = 0; i < NEEDLES; i++)
        assert_false(index_set_dead(back, i, m[i].dead));
    compare(back, m, NEEDLES, true);
    free(entries);
    free(record);
    index_free(ix);
    index_free(back);
    free(m);
}

static void builder_refuses_needles_out_of_order(void **state)
{
    (void)state;
    struct index_builder *b;
    assert_int_equal(index_builder_new(100, &b), 0);
    assert_int_equal(index_builder_add(b, 5, VOLUME_LOG_START, 80), 0);
    assert_int_equal(index_builder_add(b, 5, VOLUME_LOG_START + 80, 80), -KT_ERR_INVALID);
    assert_int_equal(index_builder_add(b, 6, VOLUME_LOG_START + 72, 80), -KT_ERR_INVALID);
    assert_int_equal(index_builder_add(b, 100, VOLUME_LOG_START + 80, 80), -KT_ERR_INVALID);
    assert_int_equal(index_builder_add(b, 6, VOLUME_LOG_START + 81, 80), -KT_ERR_INVALID);
    assert_int_equal(index_builder_add(b, 6, VOLUME_LIMIT_MAX, 80), -KT_ERR_INVALID);
    index_builder_free(b);
}

static void *read_while_growing(void *arg)
{
    const struct index *ix = arg;
    for (;;) {
        uint32_t count = index_count(ix);
        struct index_hit hit;
        for (uint32_t i = count > 64 ? count - 64 : 0; i < count; i++)
            if (!index_find(ix, i, &hit) || hit.offset != VOLUME_LOG_START + 80ull * i)
                return (void *)(uintptr_t)(i + 1);
        if (count == NEEDLES)
            return NULL;
    }
}

static void readers_see_published_entries_whole(void **state)
{
    (void)state;
    struct index *ix;
    pthread_t reader;
    void *wrong;
    assert_int_equal(index_new_open(VOLUME_LIMIT_MAX, &ix), 0);
    assert_int_equal(pthread_create(&reader, NULL, read_while_growing, ix), 0);
    for (uint32_t i = 0; i < NEEDLES; i++) {
        assert_int_equal(index_add(ix, i, VOLUME_LOG_START + 80ull * i, 80), 0);
        if (i % 7 == 0 || i + 1 == NEEDLES)
            index_publish(ix, i + 1);
    }
    assert_int_equal(pthread_join(reader, &wrong), 0);
    assert_null(wrong);
    index_free(ix);
}

/* ---- dead bits that change while they are copied ---- */

#define CHANGES 400000u

struct change {
    uint32_t n;
    struct index *from, *to;
};

static void *change_bits(void *arg)
{
    const struct change *c = arg;
    uint32_t x = 1;
    for (uint32_t i = 0; i < CHANGES; i++) {
        x = x * 1664525u + 1013904223u;
        uint32_t seq = (x >> 8) % c->n;
        (void)index_set_dead(c->from, seq, x >> 31);
        (void)index_set_dead(c->to, seq, x >> 31);
    }
    return NULL;
}

static void copies_changing_dead_bits(void **state)
{
    (void)state;
    const uint32_t n = 1000;
    uint64_t end;
    struct model *m = make_log(n, &end);
    struct change c = {.n = n, .from = make_open(m, n)};
    pthread_t thread;
    assert_int_equal(index_seal(c.from, &c.to), 0);
    assert_int_equal(pthread_create(&thread, NULL, change_bits, &c), 0);
    for (int i = 0; i < 200; i++)
        index_copy_dead(c.from, c.to);
    assert_int_equal(pthread_join(thread, NULL), 0);
    for (uint32_t i = 0; i < n; i++) {
        struct index_hit hit;
        if (index_find(c.from, i, &hit))
            m[i].dead = hit.dead;
    }
    compare(c.from, m, n, true);
    compare(c.to, m, n, false);
    index_free(c.from);
    index_free(c.to);
    free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(open_form_answers_as_the_log),
        cmocka_unit_test(sealed_form_answers_as_the_log),
        cmocka_unit_test(sealed_file_loads_back),
        cmocka_unit_test(open_records_of_the_file_load_back),
        cmocka_unit_test(builder_refuses_needles_out_of_order),
        cmocka_unit_test(readers_see_published_entries_whole),
        cmocka_unit_test(copies_changing_dead_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
