/* What a log is worth after a kill and after damage: nothing acknowledged is lost, rot is never
 * taken for a torn tail, and only a torn tail is cut. */
#include "volume_test.h"

#define VID 0x77u
#define VOL "00000077.vol"
#define N 20u
#define LEN 1000u
#define NEEDLE_BYTES 1048u /* header and data, a multiple of 8 */

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

static long offset_of(uint32_t i)
{
    return (long)VOLUME_LOG_START + (long)(i * NEEDLE_BYTES);
}
static struct blobid id_of(uint32_t i)
{
    return (struct blobid){.vid = VID, .seq = i, .cookie = 0x1234567800000000u + i};
}

/* N needles, each a group of its own, and no mark behind the last. */
static int put_n(void *arg)
{
    const uint64_t *zeros = arg;
    struct disk_options o = {.volume_limit_bytes = 64u << 20,
                             .idle_mark_ms = 100000,
                             .zero_fill_bytes = zeros ? *zeros : 0};
    struct volume *v = volume_must(disk_must(dir, &o), VID, 64u << 20);
    for (uint32_t i = 0; i < N; i++)
        CHECK_EQ(blob_put(v, LEN, i).seq, i);
    return 0;
}
/* The same with a clean stop, which writes the mark. */
static int put_n_clean(void *arg)
{
    (void)arg;
    struct disk *d = disk_must(dir, NULL);
    struct volume *v = volume_must(d, VID, 64u << 20);
    for (uint32_t i = 0; i < N; i++)
        CHECK_EQ(blob_put(v, LEN, i).seq, i);
    drain_pool(d);
    return 0;
}

struct expect {
    uint8_t state;
    uint32_t good;   /* needles below this are fine, but */
    int32_t corrupt; /* this one, -1: none */
    int rest;        /* what the others answer */
    bool may_append;
};
static int check(void *arg)
{
    const struct expect *e = arg;
    struct disk *d = disk_must(dir, NULL);
    struct volume *v = volume_find(d, VID);
    CHECK(v != NULL);
    CHECK_EQ(volume_state_of(v), e->state);
    for (uint32_t i = 0; i < N; i++) {
        struct blobid id = id_of(i);
        int want = (int32_t)i == e->corrupt ? -KT_ERR_CORRUPT : i < e->good ? 0 : e->rest;
        CHECK_EQ(blob_get(v, &id, LEN, i), want);
    }
    struct blobid id;
    int rc = blob_try_put(v, LEN, 999, &id);
    CHECK_EQ(rc, e->may_append ? 0 : -KT_ERR_AGAIN);
    if (rc == 0) {
        CHECK_EQ(id.seq, e->good);
        CHECK_EQ(blob_get(v, &id, LEN, 999), 0);
    }
    drain_pool(d);
    return 0;
}
static void expect(uint8_t state, uint32_t good, int32_t corrupt, int rest, bool may_append)
{
    struct expect e = {state, good, corrupt, rest, may_append};
    run_on(1, check, &e);
}

static void test_kill(void **state)
{
    (void)state;
    die_after(2, put_n, NULL);
    CHECK_EQ(file_size(dir, VOL), offset_of(N));
    expect(VOLUME_OPEN, N, -1, -KT_ERR_NOT_FOUND, true);
}

/* Zeros written ahead of the log are not part of it, and not torn needles either. */
static void test_zeros_ahead(void **state)
{
    (void)state;
    uint64_t ahead = 10000;
    die_after(1, put_n, &ahead);
    CHECK(file_size(dir, VOL) > offset_of(N));
    expect(VOLUME_OPEN, N, -1, -KT_ERR_NOT_FOUND, true);
    CHECK_EQ(file_size(dir, VOL), offset_of(N + 1) + 48);
    teardown(NULL);
    setup(NULL);
    die_after(1, put_n, &ahead);
    flip_byte(dir, VOL, offset_of(N - 1) + 500);
    expect(VOLUME_OPEN, N - 1, -1, -KT_ERR_NOT_FOUND, true);
}

static void test_torn_last_group(void **state)
{
    (void)state;
    die_after(1, put_n, NULL);
    flip_byte(dir, VOL, offset_of(N - 1) + 500);
    expect(VOLUME_OPEN, N - 1, -1, -KT_ERR_NOT_FOUND, true);
}

static void test_torn_last_header(void **state)
{
    (void)state;
    die_after(1, put_n, NULL);
    flip_byte(dir, VOL, offset_of(N - 1) + 12);
    expect(VOLUME_OPEN, N - 1, -1, -KT_ERR_NOT_FOUND, true);
}

static void test_cut_short(void **state)
{
    (void)state;
    char path[128];
    die_after(1, put_n, NULL);
    snprintf(path, sizeof(path), "%s/" VOL, dir);
    CHECK_EQ(truncate(path, offset_of(N - 1) + 700), 0);
    expect(VOLUME_OPEN, N - 1, -1, -KT_ERR_NOT_FOUND, true);
    CHECK_EQ(truncate(path, VOLUME_LOG_START - 1), 0);
    expect(VOLUME_REFUSED, 0, -1, -KT_ERR_NOT_HERE, false);
}

static void test_garbage_behind_the_end(void **state)
{
    (void)state;
    die_after(1, put_n, NULL);
    append_bytes(dir, VOL, 5000, 0xa5);
    expect(VOLUME_OPEN, N, -1, -KT_ERR_NOT_FOUND, true);
    CHECK_EQ(file_size(dir, VOL), offset_of(N + 1) + 48);
    teardown(NULL);
    setup(NULL);
    die_after(1, put_n, NULL);
    append_bytes(dir, VOL, 3u << 20, 0);
    expect(VOLUME_OPEN, N, -1, -KT_ERR_NOT_FOUND, true);
    CHECK_EQ(file_size(dir, VOL), offset_of(N + 1) + 48);
}

/* mid-file-rot-then-restart: data that was acknowledged is damaged, not torn: it answers CORRUPT,
 * nothing is cut. */
static void test_rot_in_data(void **state)
{
    (void)state;
    die_after(1, put_n, NULL);
    flip_byte(dir, VOL, offset_of(5) + 100);
    expect(VOLUME_OPEN, N, 5, -KT_ERR_NOT_FOUND, true);
    CHECK_EQ(file_size(dir, VOL), offset_of(N + 1) + 48);
}

static void test_rot_in_header(void **state)
{
    (void)state;
    die_after(1, put_n, NULL);
    for (long at = 0; at < 48; at += 11) {
        flip_byte(dir, VOL, offset_of(5) + at);
        expect(VOLUME_DAMAGED, 5, -1, -KT_ERR_NOT_HERE, false);
        CHECK_EQ(file_size(dir, VOL), offset_of(N)); /* never cut */
        flip_byte(dir, VOL, offset_of(5) + at);
    }
    expect(VOLUME_OPEN, N, -1, -KT_ERR_NOT_FOUND, true);
}

/* Only the last needle knows that the one before it was synced: the break must not hide it. */
static void test_rot_before_the_last_group(void **state)
{
    (void)state;
    die_after(1, put_n, NULL);
    flip_byte(dir, VOL, offset_of(N - 2) + 20);
    expect(VOLUME_DAMAGED, N - 2, -1, -KT_ERR_NOT_HERE, false);
    CHECK_EQ(file_size(dir, VOL), offset_of(N));
}

/* A mark vouches for the last group: damage in it is rot, too. */
static void test_rot_under_a_mark(void **state)
{
    (void)state;
    run_on(1, put_n_clean, NULL);
    CHECK_EQ(file_size(dir, VOL), offset_of(N) + 48);
    flip_byte(dir, VOL, offset_of(N - 1) + 500);
    expect(VOLUME_OPEN, N, (int32_t)N - 1, -KT_ERR_NOT_FOUND, true);
    teardown(NULL);
    setup(NULL);
    run_on(1, put_n_clean, NULL);
    flip_byte(dir, VOL, offset_of(N - 1) + 20);
    expect(VOLUME_DAMAGED, N - 1, -1, -KT_ERR_NOT_HERE, false);
}

static void test_head_damage(void **state)
{
    (void)state;
    die_after(1, put_n, NULL);
    flip_byte(dir, VOL, 60);
    expect(VOLUME_REFUSED, 0, -1, -KT_ERR_NOT_HERE, false);
    flip_byte(dir, VOL, 60);
    flip_byte(dir, VOL, VOLUME_SLOT_A + 50);
    expect(VOLUME_REFUSED, 0, -1, -KT_ERR_NOT_HERE, false);
    flip_byte(dir, VOL, VOLUME_SLOT_A + 50);
    flip_byte(dir, VOL, VOLUME_SLOT_B + 50); /* the unused slot */
    expect(VOLUME_OPEN, N, -1, -KT_ERR_NOT_FOUND, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_kill, setup, teardown),
        cmocka_unit_test_setup_teardown(test_zeros_ahead, setup, teardown),
        cmocka_unit_test_setup_teardown(test_torn_last_group, setup, teardown),
        cmocka_unit_test_setup_teardown(test_torn_last_header, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cut_short, setup, teardown),
        cmocka_unit_test_setup_teardown(test_garbage_behind_the_end, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rot_in_data, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rot_in_header, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rot_before_the_last_group, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rot_under_a_mark, setup, teardown),
        cmocka_unit_test_setup_teardown(test_head_damage, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
