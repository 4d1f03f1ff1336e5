/* The store behind its interface, on real directories. */
#include "store_test.h"

static char dir_a[64], dir_b[64];
static const char *dirs[2] = {dir_a, dir_b};

static int setup(void **state)
{
    (void)state;
    tmp_make(dir_a);
    tmp_make(dir_b);
    return 0;
}
static int teardown(void **state)
{
    (void)state;
    tmp_remove(dir_a);
    tmp_remove(dir_b);
    return 0;
}

static struct store_options options(int ndirs)
{
    return (struct store_options){
        .dirs = dirs, .ndirs = ndirs, .volume_limit_bytes = 1u << 20, .reserve_bytes = 1};
}

#define N 300
static struct blobid ids[N];
static uint32_t size_of(uint32_t i)
{
    return i % 17 == 0 ? 150000 : i * 31 % 9000;
}

/* Rolls over many times (1 MiB volumes), deletes every third, takes every ninth back. */
static int fill(void *arg)
{
    struct store_options o = options(*(int *)arg);
    struct store *s = store_must(&o);
    for (uint32_t i = 0; i < N; i++)
        ids[i] = api_put(s, size_of(i), i);
    for (uint32_t i = 0; i < N; i += 3)
        CHECK_EQ(api_remove(s, &ids[i]), 0);
    for (uint32_t i = 0; i < N; i += 3)
        CHECK_EQ(api_remove(s, &ids[i]), -KT_ERR_NOT_FOUND);
    for (uint32_t i = 0; i < N; i += 9)
        CHECK_EQ(api_unremove(s, &ids[i]), 0);
    CHECK_EQ(api_unremove(s, &ids[0]), -KT_ERR_CONFLICT);
    CHECK_EQ(api_unremove(s, &ids[1]), -KT_ERR_CONFLICT);
    store_close(s);
    return 0;
}

static int verify(void *arg)
{
    struct store_options o = options(*(int *)arg);
    struct store *s = store_must(&o);
    for (uint32_t i = 0; i < N; i++) {
        int want = i % 3 == 0 && i % 9 != 0 ? -KT_ERR_NOT_FOUND : 0;
        CHECK_EQ(api_get(s, &ids[i], size_of(i), i), want);
    }
    struct blobid id = ids[1];
    id.cookie++;
    CHECK_EQ(api_get(s, &id, 0, 0), -KT_ERR_NOT_FOUND);
    CHECK_EQ(api_remove(s, &id), -KT_ERR_NOT_FOUND);
    CHECK_EQ(api_unremove(s, &id), -KT_ERR_NOT_FOUND);
    id = ids[1];
    id.vid ^= 0x40000;
    CHECK_EQ(api_get(s, &id, 0, 0), -KT_ERR_NOT_FOUND);
    store_close(s);
    return 0;
}

static void test_put_remove_restart(void **state)
{
    (void)state;
    int one = 1;
    run_on(2, fill, &one);
    run_on(1, verify, &one);
    run_on(2, verify, &one);
}

static void on_disk(void *arg, const struct store_disk_stat *st)
{
    uint32_t *volumes = arg;
    CHECK_EQ(st->state, STORE_DISK_OK);
    volumes[st->disk] = st->volumes;
}

static int spread(void *arg)
{
    (void)arg;
    uint32_t volumes[2] = {0};
    struct store_options o = options(2);
    struct store *s = store_must(&o);
    struct store_walk w = {.arg = volumes, .disk = on_disk};
    store_api_of(s)->walk(store_api_of(s)->self, &w);
    CHECK(volumes[0] >= 1 && volumes[1] >= 1);
    store_close(s);
    return 0;
}

/* An id whose directory is missing is "can't tell", not "no". */
static int missing(void *arg)
{
    (void)arg;
    struct store_options o = options(1);
    struct store *s = store_must(&o);
    uint32_t found = 0, cannot = 0;
    for (uint32_t i = 1; i < N; i += 3) {
        int rc = api_get(s, &ids[i], size_of(i), i);
        CHECK(rc == 0 || rc == -KT_ERR_NOT_HERE);
        found += rc == 0;
        cannot += rc == -KT_ERR_NOT_HERE;
    }
    CHECK(found > 0 && cannot > 0);
    store_close(s);
    return 0;
}

static int forgotten(void *arg)
{
    (void)arg;
    struct store_options o = options(1);
    o.forget_missing = true;
    struct store *s = store_must(&o);
    for (uint32_t i = 1; i < N; i += 3) {
        int rc = api_get(s, &ids[i], size_of(i), i);
        CHECK(rc == 0 || rc == -KT_ERR_NOT_FOUND);
    }
    store_close(s);
    return 0;
}

static void test_two_disks(void **state)
{
    (void)state;
    int two = 2;
    run_on(2, fill, &two);
    run_on(2, spread, NULL);
    run_on(1, verify, &two);
    run_on(1, missing, NULL);
    run_on(1, forgotten, NULL);
}

/* A batch larger than the queue allows lands whole, in few groups. */
#define BATCH 20000
static int batch(void *arg)
{
    (void)arg;
    struct store_options o = options(1);
    o.volume_limit_bytes = 8u << 20;
    struct store *s = store_must(&o);
    const struct store_api *api = store_api_of(s);
    struct store_put *puts = mem_zalloc(BATCH * sizeof(*puts));
    struct store_put_result *rets = mem_zalloc(BATCH * sizeof(*rets));
    int *rcs = mem_zalloc(BATCH * sizeof(*rcs));
    uint8_t data[700];
    fill_pattern(data, sizeof(data), 1);
    struct slice piece = slice_of(data, sizeof(data));
    for (int i = 0; i < BATCH; i++)
        puts[i] = (struct store_put){.kind = NEEDLE_DATA, .data = &piece, .ndata = 1};
    CHECK_EQ(api->put_many(api->self, puts, BATCH, SOON, rets, rcs), 0);
    for (int i = 0; i < BATCH; i++) {
        struct store_reader r;
        struct slice got;
        CHECK_EQ(rcs[i], 0);
        CHECK_EQ(api->open(api->self, &rets[i].id, 0, SOON, &r), 0);
        CHECK_EQ(api->read(&r, SOON, &got), 0);
        CHECK(slice_eq(got, piece));
        CHECK_EQ(r.info.data_crc, rets[i].data_crc);
        api->close(&r);
    }
    struct store_totals t;
    store_totals(s, &t);
    CHECK_EQ(t.puts, BATCH);
    CHECK_EQ(t.group_needles, BATCH);
    CHECK(t.groups < BATCH / 50);
    mem_free(puts);
    mem_free(rets);
    mem_free(rcs);
    store_close(s);
    return 0;
}

static void test_batch(void **state)
{
    (void)state;
    run_on(1, batch, NULL);
}

static int expiry(void *arg)
{
    (void)arg;
    struct store_options o = options(1);
    struct store *s = store_must(&o);
    struct blobid gone, stays, plain = api_put(s, 100, 1);
    uint32_t now_s = (uint32_t)(rt_wall_ns() / NS_PER_SEC);
    CHECK_EQ(api_try_put(s, 100, 2, now_s - 1, &gone), 0);
    CHECK_EQ(api_try_put(s, 100, 3, now_s + 1000, &stays), 0);
    CHECK_EQ(api_get(s, &gone, 100, 2), -KT_ERR_NOT_FOUND);
    CHECK_EQ(api_remove(s, &gone), -KT_ERR_NOT_FOUND);
    CHECK_EQ(api_get(s, &stays, 100, 3), 0);
    CHECK(stays.vid != plain.vid);
    /* A removed bucket refuses at once. */
    store_api_of(s)->drop_bucket(store_api_of(s)->self, 3);
    CHECK_EQ(api_get(s, &plain, 100, 1), -KT_ERR_NOT_FOUND);
    store_close(s);
    return 0;
}

/* At the cap, what expires stays with what expires: among blobs without an expiry it would never be
 * given back. */
static int expiry_at_cap(void *arg)
{
    (void)arg;
    struct store_options o = options(1);
    o.open_volumes_max = 2;
    struct store *s = store_must(&o);
    struct blobid week, hour, longest, plain = api_put(s, 100, 1);
    uint32_t now_s = (uint32_t)(rt_wall_ns() / NS_PER_SEC);
    CHECK_EQ(api_try_put(s, 100, 2, now_s + 5 * 24 * 3600, &week), 0);
    CHECK(week.vid != plain.vid);
    CHECK_EQ(api_try_put(s, 100, 3, now_s + 60, &hour), 0);
    CHECK_EQ(hour.vid, week.vid);
    CHECK_EQ(api_try_put(s, 100, 4, now_s + 90 * 24 * 3600, &longest), 0);
    CHECK_EQ(longest.vid, week.vid);
    store_close(s);
    return 0;
}

static void test_expiry_at_the_cap_of_open_volumes(void **state)
{
    (void)state;
    run_on(1, expiry_at_cap, NULL);
}

static void test_expiry_and_buckets(void **state)
{
    (void)state;
    run_on(1, expiry, NULL);
}

struct seen {
    uint32_t n;
    bool by_index[N];
};
static int on_scan(void *arg, const struct blobid *id, const struct needle_info *info,
                   struct slice meta)
{
    struct seen *seen = arg;
    CHECK(meta.len > 0 && info->kind == NEEDLE_DATA);
    for (uint32_t i = 0; i < N; i++) {
        if (ids[i].vid == id->vid && ids[i].seq == id->seq) {
            CHECK_EQ(ids[i].cookie, id->cookie);
            CHECK(!seen->by_index[i]);
            seen->by_index[i] = true;
            seen->n++;
        }
    }
    return 0;
}
static int scan(void *arg)
{
    (void)arg;
    struct store_options o = options(1);
    struct store *s = store_must(&o);
    const struct store_api *api = store_api_of(s);
    static struct seen seen;
    CHECK_EQ(api->scan_kind(api->self, NEEDLE_BUCKET, SOON, on_scan, &seen), 0);
    CHECK_EQ(seen.n, 0);
    CHECK_EQ(api->scan_kind(api->self, 0, SOON, on_scan, &seen), 0);
    for (uint32_t i = 0; i < N; i++)
        CHECK_EQ(seen.by_index[i], !(i % 3 == 0 && i % 9 != 0));
    store_close(s);
    return 0;
}

static void test_scan(void **state)
{
    (void)state;
    int one = 1;
    run_on(1, fill, &one);
    run_on(1, scan, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_put_remove_restart, setup, teardown),
        cmocka_unit_test_setup_teardown(test_two_disks, setup, teardown),
        cmocka_unit_test_setup_teardown(test_batch, setup, teardown),
        cmocka_unit_test_setup_teardown(test_expiry_and_buckets, setup, teardown),
        cmocka_unit_test_setup_teardown(test_expiry_at_the_cap_of_open_volumes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_scan, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
