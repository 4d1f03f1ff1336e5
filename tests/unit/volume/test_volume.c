/* One volume on a real directory: what goes in comes out, also after a restart, a seal and a
 * rollover. */
#include "volume_test.h"

#include "base/crc32c.h"
#include "obs/metric.h"

static char dir[64];

static int setup(void **state)
{
    (void)state;
    tmp_make(dir);
    return 0;
}
static int teardown(void **state)
{
    (void)state;
    tmp_remove(dir);
    return 0;
}

static const uint32_t sizes[] = {0,     1,     7,     8,      100,      1024,   4096,
                                 65535, 65536, 65537, 200000, 1u << 20, 3000001};
static struct blobid ids[64];

static int put_all(void *arg)
{
    (void)arg;
    struct disk *d = disk_must(dir, NULL);
    struct volume *v = volume_must(d, 0x1001, 64u << 20);
    for (uint32_t i = 0; i < KT_ARRAY_LEN(sizes); i++) {
        ids[i] = blob_put(v, sizes[i], i);
        CHECK_EQ(ids[i].seq, i);
        CHECK_EQ(ids[i].vid, 0x1001);
        CHECK_EQ(blob_get(v, &ids[i], sizes[i], i), 0);
    }
    drain_pool(d);
    return 0;
}

static int get_all(void *arg)
{
    const uint8_t *state = arg;
    struct disk *d = disk_must(dir, NULL);
    struct volume *v = volume_find(d, 0x1001);
    CHECK(v != NULL);
    CHECK_EQ(volume_state_of(v), *state);
    for (uint32_t i = 0; i < KT_ARRAY_LEN(sizes); i++)
        CHECK_EQ(blob_get(v, &ids[i], sizes[i], i), 0);
    struct blobid wrong = ids[3];
    wrong.cookie ^= 1;
    CHECK_EQ(blob_get(v, &wrong, sizes[3], 3), -KT_ERR_NOT_FOUND);
    wrong = ids[11];
    wrong.cookie ^= 1;
    CHECK_EQ(blob_get(v, &wrong, sizes[11], 11), -KT_ERR_NOT_FOUND);
    struct blobid absent = {.vid = 0x1001, .seq = KT_ARRAY_LEN(sizes), .cookie = 1};
    CHECK_EQ(blob_get(v, &absent, 1, 0), -KT_ERR_NOT_FOUND);
    drain_pool(d);
    return 0;
}

static void test_put_get_restart(void **state)
{
    (void)state;
    uint8_t open = VOLUME_OPEN;
    run_on(1, put_all, NULL);
    run_on(2, get_all, &open);
    run_on(1, get_all, &open);
}

static int ranges(void *arg)
{
    (void)arg;
    struct disk *d = disk_must(dir, NULL);
    struct volume *v = volume_find(d, 0x1001);
    for (uint32_t i = 5; i < KT_ARRAY_LEN(sizes); i++) {
        uint32_t n = sizes[i];
        CHECK_EQ(blob_try_get(v, &ids[i], n, i, 0, 1), 0);
        CHECK_EQ(blob_try_get(v, &ids[i], n, i, n - 1, 1), 0);
        CHECK_EQ(blob_try_get(v, &ids[i], n, i, n / 3, n / 2), 0);
        CHECK_EQ(blob_try_get(v, &ids[i], n, i, n, 0), 0);
        if (n > 65537)
            CHECK_EQ(blob_try_get(v, &ids[i], n, i, 65535, 3), 0);
    }
    drain_pool(d);
    return 0;
}

static void test_ranges(void **state)
{
    (void)state;
    run_on(1, put_all, NULL);
    run_on(1, ranges, NULL);
}

static int seal(void *arg)
{
    (void)arg;
    struct disk *d = disk_must(dir, NULL);
    struct volume *v = volume_find(d, 0x1001);
    struct blobid id;
    volume_seal_soon(v);
    while (volume_state_of(v) == VOLUME_OPEN)
        CHECK_EQ(rt_sleep_until(rt_after_ms(1)), 0);
    CHECK_EQ(blob_try_put(v, 10, 1, &id), -KT_ERR_AGAIN);
    for (uint32_t i = 0; i < KT_ARRAY_LEN(sizes); i++)
        CHECK_EQ(blob_get(v, &ids[i], sizes[i], i), 0);
    drain_pool(d);
    return 0;
}

static void test_seal_and_lazy_index(void **state)
{
    (void)state;
    uint8_t sealed = VOLUME_SEALED;
    run_on(1, put_all, NULL);
    run_on(1, seal, NULL);
    run_on(2, get_all, &sealed);
    /* The index is a cache: missing, damaged, or of the open form, it is rebuilt. */
    char path[128];
    snprintf(path, sizeof(path), "%s/00001001.idx", dir);
    CHECK_EQ(unlink(path), 0);
    run_on(1, get_all, &sealed);
    CHECK(file_size(dir, "00001001.idx") > 0);
    flip_byte(dir, "00001001.idx", 80);
    run_on(1, get_all, &sealed);
    CHECK_EQ(truncate(path, 70), 0);
    run_on(1, get_all, &sealed);
}

static int roll(void *arg)
{
    (void)arg;
    struct disk *d = disk_must(dir, NULL);
    struct volume *v = volume_must(d, 5, 100000);
    struct blobid id;
    uint32_t n = 0;
    while (blob_try_put(v, 9000, n, &id) == 0)
        n++;
    CHECK(n >= 9 && n <= 11);
    while (volume_state_of(v) == VOLUME_OPEN)
        CHECK_EQ(rt_sleep_until(rt_after_ms(1)), 0);
    CHECK_EQ(volume_state_of(v), VOLUME_SEALED);
    for (uint32_t i = 0; i < n; i++) {
        id = (struct blobid){.vid = 5, .seq = i, .cookie = 0x1234567800000000u + i};
        CHECK_EQ(blob_get(v, &id, 9000, i), 0);
    }
    /* One needle above the limit still finds a place in an empty volume. */
    v = volume_must(d, 6, 100000);
    id = blob_put(v, 300000, 3);
    CHECK_EQ(blob_get(v, &id, 300000, 3), 0);
    drain_pool(d);
    return 0;
}

static void test_rollover(void **state)
{
    (void)state;
    run_on(1, roll, NULL);
}

/* Many fibers at once: groups form, every id is distinct, all come back. */
#define CROWD 200
struct crowd_member {
    struct volume *v;
    uint32_t i;
    struct blobid id;
};
static int crowd_put(void *arg)
{
    struct crowd_member *m = arg;
    m->id = blob_put(m->v, 500 + m->i, m->i);
    return blob_get(m->v, &m->id, 500 + m->i, m->i);
}
static int crowd(void *arg)
{
    (void)arg;
    static struct crowd_member members[CROWD];
    struct disk *d = disk_must(dir, NULL);
    struct volume *v = volume_must(d, 9, 64u << 20);
    struct rt_group g;
    rt_group_open(&g);
    int rc = 0;
    for (uint32_t i = 0; i < CROWD && rc == 0; i++) {
        members[i] = (struct crowd_member){.v = v, .i = i};
        rc = rt_go(&g, crowd_put, &members[i]);
    }
    CHECK_EQ(rt_group_wait(&g, rc), 0);
    bool seen[CROWD] = {false};
    for (uint32_t i = 0; i < CROWD; i++) {
        CHECK(members[i].id.seq < CROWD && !seen[members[i].id.seq]);
        seen[members[i].id.seq] = true;
        CHECK_EQ(blob_get(v, &members[i].id, 500 + i, i), 0);
    }
    struct volume_stat st;
    volume_stat(v, &st);
    CHECK_EQ(st.group_needles, CROWD);
    CHECK(st.groups < CROWD / 2);
    CHECK_EQ(st.needles, CROWD);
    struct metric_labels disk = METRIC_L(metric_label(DIM_DISK, slice_str(dir)));
    CHECK_EQ(metric_value(METRIC_STORE_GROUPS, disk), st.groups);
    CHECK_EQ(metric_value(METRIC_STORE_GROUP_NEEDLES, disk), CROWD);
    uint8_t op_write = metric_label(DIM_OP, SLICE_LIT("write"));
    CHECK(metric_value(METRIC_STORE_NEEDLE_BYTES, METRIC_L(op_write, disk.value[0])) > CROWD * 500);
    drain_pool(d);
    return 0;
}

static void test_group_commit(void **state)
{
    (void)state;
    run_on(1, crowd, NULL);
    tmp_remove(dir);
    tmp_make(dir);
    run_on(2, crowd, NULL);
}

/* More needles than a chunk holds: VID.idx has a record, and the restart uses it or does without.
 */
#define MANY 70000
static int put_many(void *arg)
{
    (void)arg;
    struct disk *d = disk_must(dir, NULL);
    struct volume *v = volume_must(d, 3, 64u << 20);
    static struct append *a[1000];
    struct blobid id;
    for (uint32_t i = 0; i < MANY; i += KT_ARRAY_LEN(a)) {
        for (uint32_t k = 0; k < KT_ARRAY_LEN(a); k++) {
            a[k] = blob_new((i + k) % 50, i + k, (struct slice){NULL, 0});
            CHECK_EQ(volume_append(v, a[k]), 0);
        }
        for (uint32_t k = 0; k < KT_ARRAY_LEN(a); k++) {
            CHECK_EQ(append_wait(a[k], SOON, &id), 0);
            CHECK_EQ(id.seq, i + k);
            append_unref(a[k]);
        }
    }
    drain_pool(d);
    return 0;
}
static int get_many(void *arg)
{
    (void)arg;
    struct disk *d = disk_must(dir, NULL);
    struct volume *v = volume_find(d, 3);
    CHECK_EQ(volume_state_of(v), VOLUME_OPEN);
    for (uint32_t i = 0; i < MANY; i += 61) {
        struct blobid id = {.vid = 3, .seq = i, .cookie = 0x1234567800000000u + i};
        CHECK_EQ(blob_get(v, &id, i % 50, i), 0);
    }
    struct volume_stat st;
    volume_stat(v, &st);
    CHECK_EQ(st.needles, MANY);
    drain_pool(d);
    return 0;
}

static void test_index_records(void **state)
{
    (void)state;
    run_on(1, put_many, NULL);
    long record = 64 + 8 * 65536;
    CHECK_EQ(file_size(dir, "00000003.idx"), record);
    run_on(1, get_many, NULL);
    CHECK_EQ(file_size(dir, "00000003.idx"), record);
    flip_byte(dir, "00000003.idx", 1000);
    run_on(1, get_many, NULL);
    CHECK_EQ(file_size(dir, "00000003.idx"), record); /* written again */
    run_on(1, get_many, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_put_get_restart, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ranges, setup, teardown),
        cmocka_unit_test_setup_teardown(test_seal_and_lazy_index, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rollover, setup, teardown),
        cmocka_unit_test_setup_teardown(test_group_commit, setup, teardown),
        cmocka_unit_test_setup_teardown(test_index_records, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
