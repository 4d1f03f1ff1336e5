/* Deletes: durable, exactly once, taken back within the window, over folds, kills and damage. */
#include "volume_test.h"

#include "format/deadlog.h"
#include "rt/backend.h"
#include <errno.h>

#define VID 0x20u
#define N 200u

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

static struct blobid id_of(uint32_t i)
{
    return (struct blobid){.vid = VID, .seq = i, .cookie = 0x1234567800000000u + i};
}
static int del(struct volume *v, uint32_t i)
{
    struct blobid id = id_of(i);
    return volume_delete(v, &id, SOON);
}
static int undel(struct volume *v, uint32_t i)
{
    struct blobid id = id_of(i);
    return volume_undelete(v, &id, SOON);
}
static int get(struct volume *v, uint32_t i)
{
    struct blobid id = id_of(i);
    return blob_get(v, &id, 100, i);
}

static struct disk_options options(uint64_t fold)
{
    return (struct disk_options){
        .volume_limit_bytes = 1u << 20, .dead_fold_bytes = fold, .idle_mark_ms = 100000};
}

/* Even ones die; of those, every 6th comes back; every 12th dies again. */
static int change(void *arg)
{
    struct disk_options o = options(*(uint64_t *)arg);
    struct disk *d = disk_must(dir, &o);
    struct volume *v = volume_must(d, VID, 1u << 20);
    for (uint32_t i = 0; i < N; i++)
        CHECK_EQ(blob_put(v, 100, i).seq, i);
    for (uint32_t i = 0; i < N; i += 2) {
        CHECK_EQ(del(v, i), 0);
        CHECK_EQ(get(v, i), -KT_ERR_NOT_FOUND);
        CHECK_EQ(del(v, i), -KT_ERR_NOT_FOUND);
    }
    for (uint32_t i = 0; i < N; i += 6)
        CHECK_EQ(undel(v, i), 0);
    for (uint32_t i = 0; i < N; i += 12)
        CHECK_EQ(del(v, i), 0);
    CHECK_EQ(undel(v, 1), -KT_ERR_CONFLICT);
    CHECK_EQ(del(v, N), -KT_ERR_NOT_FOUND);
    struct disk_stat st;
    disk_stat(d, &st);
    CHECK_EQ(st.dead_folds > 0, o.dead_fold_bytes < 100000);
    return 0;
}

static bool is_dead(uint32_t i)
{
    return i % 2 == 0 && (i % 6 != 0 || i % 12 == 0);
}
static int verify(void *arg)
{
    (void)arg;
    struct disk_options o = options(1u << 20);
    struct disk *d = disk_must(dir, &o);
    struct volume *v = volume_find(d, VID);
    uint32_t dead = 0;
    for (uint32_t i = 0; i < N; i++) {
        CHECK_EQ(get(v, i), is_dead(i) ? -KT_ERR_NOT_FOUND : 0);
        dead += is_dead(i);
    }
    struct volume_stat st;
    volume_stat(v, &st);
    CHECK_EQ(st.dead, dead);
    CHECK_EQ(st.needles, N);
    CHECK_EQ(st.dead_bytes, dead * 152);
    drain_pool(d);
    return 0;
}
static int seal(void *arg)
{
    (void)arg;
    struct disk_options o = options(1u << 20);
    struct disk *d = disk_must(dir, &o);
    struct volume *v = volume_find(d, VID);
    volume_seal_soon(v);
    while (volume_state_of(v) == VOLUME_OPEN)
        CHECK_EQ(rt_sleep_until(rt_after_ms(1)), 0);
    drain_pool(d);
    return 0;
}
/* Marks that were folded can still be taken back, and set again. */
static int back_and_forth(void *arg)
{
    (void)arg;
    struct disk_options o = options(1u << 20);
    struct disk *d = disk_must(dir, &o);
    struct volume *v = volume_find(d, VID);
    CHECK_EQ(get(v, 2), -KT_ERR_NOT_FOUND); /* loads the index */
    CHECK_EQ(undel(v, 2), 0);
    CHECK_EQ(get(v, 2), 0);
    CHECK_EQ(del(v, 2), 0);
    CHECK_EQ(del(v, 6), 0);
    CHECK_EQ(undel(v, 6), 0);
    CHECK_EQ(get(v, 6), 0);
    drain_pool(d);
    return 0;
}

static void test_kill(void **state)
{
    (void)state;
    uint64_t never = 1u << 20;
    die_after(1, change, &never);
    run_on(1, verify, NULL);
    run_on(1, seal, NULL);
    run_on(1, verify, NULL);
}

static void test_fold(void **state)
{
    (void)state;
    uint64_t small = 5000;
    die_after(2, change, &small);
    CHECK(file_size(dir, "00000020.dead") > 0);
    CHECK(file_size(dir, "dead.log") < 80000);
    run_on(1, verify, NULL);
    run_on(1, back_and_forth, NULL);
    run_on(2, verify, NULL);
    run_on(1, seal, NULL);
    run_on(1, verify, NULL);
    run_on(1, back_and_forth, NULL);
    run_on(1, verify, NULL);
}

static long read_all(const char *name, uint8_t *out, size_t max)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    int fd = open(path, O_RDONLY);
    CHECK(fd >= 0);
    ssize_t n = read(fd, out, max);
    CHECK(n > 0);
    close(fd);
    return n;
}
/* One more delete makes the log reach its size and fold. */
static int fold_now(void *arg)
{
    (void)arg;
    struct disk_options o = options(4096);
    struct disk *d = disk_must(dir, &o);
    struct volume *v = volume_find(d, VID);
    CHECK_EQ(del(v, 1), 0);
    CHECK_EQ(undel(v, 1), 0);
    struct disk_stat st;
    disk_stat(d, &st);
    CHECK(st.dead_folds > 0);
    drain_pool(d);
    return 0;
}

/* A fold that was cut off before the fresh log: the old one is replayed over the folded marks. */
static void test_fold_interrupted(void **state)
{
    (void)state;
    uint64_t never = 1u << 20;
    static uint8_t old[1 << 16];
    char path[128];
    die_after(1, change, &never);
    long size = read_all("dead.log", old, sizeof(old));
    run_on(1, fold_now, NULL);
    CHECK(file_size(dir, "00000020.dead") > 0);
    snprintf(path, sizeof(path), "%s/dead.log", dir);
    int fd = open(path, O_WRONLY | O_TRUNC);
    CHECK_EQ(write(fd, old, (size_t)size), size);
    close(fd);
    run_on(1, verify, NULL);
}

static int torn(void *arg);
static bool no_descriptors; /* for the dead log */

static int open_or_not(void *self, int d, const char *name, unsigned flags, unsigned mode)
{
    if (no_descriptors && strcmp(name, "dead.log") == 0)
        return -EMFILE;
    return rt_backend_linux.file_open(self, d, name, flags, mode);
}

/* Regression: a fold whose fresh log could not be opened again after its rename went on in the old
 * log, which had no name any more. */
static int fold_without_descriptors(void *arg)
{
    (void)arg;
    struct disk_options o = options(4096);
    struct disk *d = disk_must(dir, &o);
    struct volume *v = volume_must(d, VID, 1u << 20);
    for (uint32_t i = 0; i < 10; i++)
        CHECK_EQ(blob_put(v, 100, i).seq, i);
    no_descriptors = true;
    for (uint32_t i = 0; i < 8; i++)
        CHECK_EQ(del(v, i), 0);
    no_descriptors = false;
    drain_pool(d);
    return 0;
}

static void test_fold_without_descriptors(void **state)
{
    (void)state;
    struct rt_backend b = rt_backend_linux;
    const struct rt_options o = {.backend = &b, .loops = 1, .workers = 2};
    uint32_t all = 8;
    b.file_open = open_or_not;
    CHECK_EQ(rt_run(&o, fold_without_descriptors, NULL), 0);
    run_on(1, torn, &all);
}

/* A log that can't be folded takes no more than a start can replay. */
static int fill_log(void *arg)
{
    (void)arg;
    struct disk_options o = options(1u << 30);
    o.dead_log_bytes_max = 128 << 10;
    struct disk *d = disk_must(dir, &o);
    struct volume *v = volume_must(d, VID, 1u << 20);
    struct disk_stat st;
    int rc = 0;
    CHECK_EQ(blob_put(v, 100, 0).seq, 0);
    for (int i = 0; i < 4096 && rc == 0; i++)
        rc = i % 2 ? undel(v, 0) : del(v, 0);
    CHECK_EQ(rc, -KT_ERR_NO_SPACE);
    CHECK_EQ(rt_sleep_until(rt_after_ms(1)), 0);
    disk_stat(d, &st);
    CHECK_EQ(st.state, DISK_OK);
    CHECK(st.dead_log_bytes < o.dead_log_bytes_max);
    drain_pool(d);
    return 0;
}

static void test_full_log(void **state)
{
    (void)state;
    run_on(1, fill_log, NULL);
    CHECK(file_size(dir, "dead.log") <= 128 << 10);
}

static int undelete_late(void *arg)
{
    (void)arg;
    struct disk_options o = options(1u << 20);
    o.undelete_window_s = 1;
    struct disk *d = disk_must(dir, &o);
    struct volume *v = volume_must(d, VID, 1u << 20);
    CHECK_EQ(blob_put(v, 100, 0).seq, 0);
    CHECK_EQ(del(v, 0), 0);
    CHECK_EQ(rt_sleep_until(rt_after_ms(2100)), 0);
    CHECK_EQ(undel(v, 0), -KT_ERR_EXPIRED);
    CHECK_EQ(get(v, 0), -KT_ERR_NOT_FOUND);
    drain_pool(d);
    return 0;
}

static void test_undelete_window(void **state)
{
    (void)state;
    run_on(1, undelete_late, NULL);
}

/* ---- damage ---- */

static int put_and_delete(void *arg)
{
    (void)arg;
    struct disk_options o = options(1u << 20);
    struct disk *d = disk_must(dir, &o);
    struct volume *v = volume_must(d, VID, 1u << 20);
    for (uint32_t i = 0; i < 10; i++)
        CHECK_EQ(blob_put(v, 100, i).seq, i);
    for (uint32_t i = 0; i < 8; i++)
        CHECK_EQ(del(v, i), 0);
    return 0;
}
/* Deletes of the first *arg survived, the disk works. */
static int torn(void *arg)
{
    const uint32_t *kept = arg;
    struct disk_options o = options(1u << 20);
    struct disk *d = disk_must(dir, &o);
    struct volume *v = volume_find(d, VID);
    CHECK_EQ(disk_state_of(d), DISK_OK);
    for (uint32_t i = 0; i < 10; i++)
        CHECK_EQ(get(v, i), i < *kept ? -KT_ERR_NOT_FOUND : 0);
    CHECK_EQ(del(v, 9), 0);
    CHECK_EQ(undel(v, 9), 0);
    drain_pool(d);
    return 0;
}
/* Nothing is served, nothing is taken. */
static int untrusted(void *arg)
{
    (void)arg;
    struct disk_options o = options(1u << 20);
    struct disk *d = disk_must(dir, &o);
    struct volume *v = volume_find(d, VID);
    struct disk_stat st;
    disk_stat(d, &st);
    CHECK_EQ(st.state, DISK_FAILED);
    CHECK(strstr(st.reason, "kitten fsck") != NULL);
    for (uint32_t i = 0; i < 10; i++)
        CHECK_EQ(get(v, i), -KT_ERR_NOT_HERE);
    CHECK_EQ(del(v, 9), -KT_ERR_NOT_HERE);
    CHECK(!disk_writable(d));
    drain_pool(d);
    return 0;
}

static void test_torn_tail(void **state)
{
    (void)state;
    uint32_t all = 8, seven = 7;
    die_after(1, put_and_delete, NULL);
    append_bytes(dir, "dead.log", 50, 0x5a);
    run_on(1, torn, &all);
    teardown(NULL);
    setup(NULL);
    die_after(1, put_and_delete, NULL);
    /* Nothing vouches for the last record. */
    flip_byte(dir, "dead.log", DEADLOG_START + 7 * DEADLOG_RECORD + 3);
    run_on(1, torn, &seven);
}

static void test_damage(void **state)
{
    (void)state;
    die_after(1, put_and_delete, NULL);
    long size = file_size(dir, "dead.log");
    for (long at = 0; at < DEADLOG_START + 7 * DEADLOG_RECORD; at += 331) {
        flip_byte(dir, "dead.log", at);
        run_on(1, untrusted, NULL);
        CHECK_EQ(file_size(dir, "dead.log"), size);
        flip_byte(dir, "dead.log", at);
    }
    uint32_t all = 8;
    run_on(1, torn, &all);
}

static void test_missing_log(void **state)
{
    (void)state;
    char path[128];
    die_after(1, put_and_delete, NULL);
    snprintf(path, sizeof(path), "%s/dead.log", dir);
    CHECK_EQ(unlink(path), 0);
    run_on(1, untrusted, NULL);
}

static long log_size;

static int put_delete_last(void *arg)
{
    (void)arg;
    struct disk_options o = options(1u << 20);
    struct disk *d = disk_must(dir, &o);
    struct volume *v = volume_must(d, VID, 1u << 20);
    for (uint32_t i = 0; i < 10; i++) {
        log_size = i == 9 ? file_size(dir, "00000020.vol") : 0;
        CHECK_EQ(blob_put(v, 100, i).seq, i);
    }
    CHECK_EQ(del(v, 9), 0);
    char path[128];
    snprintf(path, sizeof(path), "%s/00000020.vol", dir);
    CHECK_EQ(truncate(path, log_size), 0);
    return 0;
}
static int lost_end(void *arg)
{
    (void)arg;
    struct disk_options o = options(1u << 20);
    struct disk *d = disk_must(dir, &o);
    struct volume *v = volume_find(d, VID);
    struct blobid id;
    CHECK_EQ(volume_state_of(v), VOLUME_DAMAGED);
    CHECK_EQ(blob_try_put(v, 100, 9, &id), -KT_ERR_AGAIN);
    for (uint32_t i = 0; i < 10; i++)
        CHECK_EQ(get(v, i), i < 9 ? 0 : -KT_ERR_NOT_HERE);
    drain_pool(d);
    return 0;
}

/* Regression: a log that had lost a deleted needle was appended to; the new needle of that seq was
 * dead from the next start on, and a delete of it failed an assertion. */
static void test_marks_beyond_the_log(void **state)
{
    (void)state;
    die_after(1, put_delete_last, NULL);
    run_on(1, lost_end, NULL);
}

static int refused_marks(void *arg)
{
    (void)arg;
    struct disk_options o = options(1u << 20);
    struct disk *d = disk_must(dir, &o);
    struct volume *v = volume_find(d, VID);
    CHECK_EQ(get(v, 1), -KT_ERR_NOT_HERE);
    CHECK_EQ(volume_state_of(v), VOLUME_REFUSED);
    drain_pool(d);
    return 0;
}

static void test_damaged_dead_file(void **state)
{
    (void)state;
    uint64_t small = 5000;
    die_after(1, change, &small);
    flip_byte(dir, "00000020.dead", 100);
    run_on(1, refused_marks, NULL);
    flip_byte(dir, "00000020.dead", 100);
    run_on(1, seal, NULL);
    flip_byte(dir, "00000020.dead", 100);
    run_on(1, refused_marks, NULL);
}

/* A volume whose VID.dead is damaged can't take its marks: a fold leaves them in the log. */
static int delete_in_second(void *arg)
{
    (void)arg;
    struct disk_options o = options(5000);
    struct disk *d = disk_must(dir, &o);
    CHECK_EQ(volume_state_of(volume_find(d, VID)), VOLUME_REFUSED);
    struct volume *v = volume_must(d, VID + 1, 1u << 20);
    for (uint32_t i = 0; i < 60; i++) {
        struct blobid id = blob_put(v, 10, i);
        CHECK_EQ(volume_delete(v, &id, SOON), 0);
    }
    struct disk_stat st;
    disk_stat(d, &st);
    CHECK(st.dead_folds > 0);
    return 0;
}

static void test_fold_around_a_refused_volume(void **state)
{
    (void)state;
    uint64_t never = 1u << 20;
    char path[128];
    die_after(1, change, &never);
    run_on(1, fold_now, NULL);
    run_on(1, back_and_forth, NULL); /* marks in the log, beside those in VID.dead */
    flip_byte(dir, "00000020.dead", 100);
    die_after(1, delete_in_second, NULL);
    flip_byte(dir, "00000020.dead", 100);
    snprintf(path, sizeof(path), "%s/00000021.dead", dir);
    CHECK(access(path, F_OK) == 0);
    run_on(1, verify, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_kill, setup, teardown),
        cmocka_unit_test_setup_teardown(test_fold, setup, teardown),
        cmocka_unit_test_setup_teardown(test_fold_interrupted, setup, teardown),
        cmocka_unit_test_setup_teardown(test_fold_without_descriptors, setup, teardown),
        cmocka_unit_test_setup_teardown(test_full_log, setup, teardown),
        cmocka_unit_test_setup_teardown(test_undelete_window, setup, teardown),
        cmocka_unit_test_setup_teardown(test_torn_tail, setup, teardown),
        cmocka_unit_test_setup_teardown(test_damage, setup, teardown),
        cmocka_unit_test_setup_teardown(test_missing_log, setup, teardown),
        cmocka_unit_test_setup_teardown(test_marks_beyond_the_log, setup, teardown),
        cmocka_unit_test_setup_teardown(test_damaged_dead_file, setup, teardown),
        cmocka_unit_test_setup_teardown(test_fold_around_a_refused_volume, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
