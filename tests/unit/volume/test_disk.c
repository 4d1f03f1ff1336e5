/* A data directory: who may use it, and with what sentence it is refused. */
#include "volume_test.h"

static char dir[64], other[64];

static int setup(void **state)
{
    (void)state;
    tmp_make(dir);
    tmp_make(other);
    return 0;
}
static int teardown(void **state)
{
    (void)state;
    tmp_remove(dir);
    tmp_remove(other);
    return 0;
}

static void touch(const char *where, const char *name)
{
    char path[160];
    snprintf(path, sizeof(path), "%s/%s", where, name);
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    CHECK(fd >= 0);
    close(fd);
}
static void copy_file(const char *from_dir, const char *from, const char *to_dir, const char *to)
{
    char a[160], b[160];
    static char block[1 << 16];
    snprintf(a, sizeof(a), "%s/%s", from_dir, from);
    snprintf(b, sizeof(b), "%s/%s", to_dir, to);
    int in = open(a, O_RDONLY), out = open(b, O_CREAT | O_TRUNC | O_WRONLY, 0600);
    CHECK(in >= 0 && out >= 0);
    for (ssize_t n; (n = read(in, block, sizeof(block))) > 0;)
        CHECK_EQ(write(out, block, (size_t)n), n);
    close(in);
    close(out);
}

struct refusal {
    int rc;
    const char *says;
    const struct disk_options *opt;
};
static int refused(void *arg)
{
    const struct refusal *r = arg;
    struct disk *d;
    struct disk_options o = {.volume_limit_bytes = 1u << 20};
    CHECK_EQ(disk_open(dir, r->opt ? r->opt : &o, &d), r->rc);
    if (!strstr(err_text(r->rc), r->says)) {
        fprintf(stderr, "\"%s\" does not say \"%s\"\n", err_text(r->rc), r->says);
        abort();
    }
    return 0;
}
static void expect_refused(int rc, const char *says)
{
    struct refusal r = {rc, says, NULL};
    run_on(1, refused, &r);
}

static int make(void *arg)
{
    struct disk *d = disk_must(arg, NULL);
    struct volume *v = volume_must(d, 0x10, 1u << 20);
    struct blobid id = blob_put(v, 100, 1);
    CHECK_EQ(id.seq, 0);
    drain_pool(d);
    return 0;
}

static int reopen(void *arg)
{
    const uint32_t *volumes = arg;
    struct disk *d = disk_must(dir, NULL);
    CHECK_EQ(disk_volume_count(d), *volumes);
    CHECK_EQ(disk_state_of(d), DISK_OK);
    drain_pool(d);
    return 0;
}

static void test_make_and_reopen(void **state)
{
    (void)state;
    uint32_t one = 1;
    run_on(1, make, dir);
    touch(dir, "00000010.vol.tmp");
    touch(dir, "00000099.dead.tmp");
    run_on(1, reopen, &one);
    CHECK_EQ(file_size(dir, "00000010.vol.tmp"), -1);
    CHECK_EQ(file_size(dir, "00000099.dead.tmp"), -1);
}

/* two-processes-one-disk */
static int while_held(void *arg)
{
    (void)arg;
    struct disk *d = disk_must(dir, NULL);
    struct disk *second;
    struct disk_options o = {.volume_limit_bytes = 1u << 20};
    CHECK_EQ(disk_open(dir, &o, &second), -KT_ERR_LOCKED);
    CHECK(strstr(err_text(-KT_ERR_LOCKED), "in use by another process") != NULL);
    drain_pool(d);
    return 0;
}

static void test_two_processes_one_disk(void **state)
{
    (void)state;
    run_on(1, while_held, NULL);
}

static void test_foreign_files(void **state)
{
    (void)state;
    touch(dir, "passwd");
    expect_refused(-KT_ERR_CONFLICT, "is not empty (\"passwd\")");
    CHECK_EQ(file_size(dir, "disk"), -1);
}

static void test_volumes_without_label(void **state)
{
    (void)state;
    run_on(1, make, dir);
    char path[160];
    snprintf(path, sizeof(path), "%s/disk", dir);
    CHECK_EQ(unlink(path), 0);
    expect_refused(-KT_ERR_CONFLICT, "holds volumes but no label");
}

static void test_damaged_label(void **state)
{
    (void)state;
    run_on(1, make, dir);
    flip_byte(dir, "disk", 50);
    expect_refused(-KT_ERR_CORRUPT, "label of data directory");
}

static void test_unknown_feature(void **state)
{
    (void)state;
    run_on(1, make, dir);
    char path[160];
    uint8_t block[BLOCK_SIZE];
    snprintf(path, sizeof(path), "%s/disk", dir);
    int fd = open(path, O_RDWR);
    struct disk_label label;
    CHECK_EQ(pread(fd, block, sizeof(block), 0), sizeof(block));
    CHECK_EQ(disk_label_decode(slice_of(block, sizeof(block)), &label), 0);
    label.features.incompat |= 1u << 20;
    disk_label_encode(&label, block);
    CHECK_EQ(pwrite(fd, block, sizeof(block), 0), sizeof(block));
    close(fd);
    expect_refused(-KT_ERR_FORMAT, "data directory");
}

static void test_other_cell(void **state)
{
    (void)state;
    run_on(1, make, dir);
    struct disk_options o = {.volume_limit_bytes = 1u << 20, .cell = {1, 2, 3}};
    struct refusal r = {-KT_ERR_CONFLICT, "belongs to another cell", &o};
    run_on(1, refused, &r);
}

static void test_links(void **state)
{
    (void)state;
    char path[160], target[160];
    run_on(1, make, dir);
    snprintf(target, sizeof(target), "%s/moved", other);
    /* The label. */
    snprintf(path, sizeof(path), "%s/disk", dir);
    CHECK_EQ(rename(path, target), 0);
    CHECK_EQ(symlink(target, path), 0);
    expect_refused(-KT_ERR_DENIED, "links");
    CHECK_EQ(unlink(path), 0);
    CHECK_EQ(rename(target, path), 0);
    /* A volume. */
    snprintf(path, sizeof(path), "%s/00000010.vol", dir);
    CHECK_EQ(rename(path, target), 0);
    CHECK_EQ(symlink(target, path), 0);
    expect_refused(-KT_ERR_DENIED, "links");
    CHECK_EQ(unlink(path), 0);
    /* A hard link is a second name for bytes that are ours alone. */
    CHECK_EQ(link(target, path), 0);
    expect_refused(-KT_ERR_DENIED, "links");
    CHECK_EQ(unlink(path), 0);
    CHECK_EQ(rename(target, path), 0);
    uint32_t one = 1;
    run_on(1, reopen, &one);
}

static int foreign_volume(void *arg)
{
    (void)arg;
    struct disk *d = disk_must(dir, NULL);
    struct volume *v = volume_find(d, 0x10), *copy = volume_find(d, 0x11);
    CHECK_EQ(volume_state_of(v), VOLUME_REFUSED);
    CHECK_EQ(volume_state_of(copy), VOLUME_REFUSED);
    struct volume_stat st;
    volume_stat(v, &st);
    CHECK(strstr(st.reason, "another cell") != NULL);
    volume_stat(copy, &st);
    CHECK(strstr(st.reason, "holds volume 00000010") != NULL);
    drain_pool(d);
    return 0;
}

static void test_foreign_volume(void **state)
{
    (void)state;
    run_on(1, make, dir);
    run_on(1, make, other);
    copy_file(dir, "00000010.vol", dir, "00000011.vol");   /* under another name */
    copy_file(other, "00000010.vol", dir, "00000010.vol"); /* of another cell */
    run_on(1, foreign_volume, NULL);
}

static int feature_volume(void *arg)
{
    const uint8_t *state = arg;
    struct disk *d = disk_must(dir, NULL);
    struct volume *v = volume_find(d, 0x10);
    CHECK_EQ(volume_state_of(v), *state);
    struct blobid id = {.vid = 0x10, .seq = 0, .cookie = 0x1234567800000001u}, fresh;
    CHECK_EQ(blob_get(v, &id, 100, 1), *state == VOLUME_REFUSED ? -KT_ERR_NOT_HERE : 0);
    CHECK_EQ(blob_try_put(v, 10, 2, &fresh), -KT_ERR_AGAIN);
    drain_pool(d);
    return 0;
}

static void set_volume_features(uint64_t ro_compat, uint64_t incompat)
{
    char path[160];
    uint8_t block[BLOCK_SIZE];
    struct superblock sb;
    snprintf(path, sizeof(path), "%s/00000010.vol", dir);
    int fd = open(path, O_RDWR);
    CHECK_EQ(pread(fd, block, sizeof(block), 0), sizeof(block));
    CHECK_EQ(superblock_decode(slice_of(block, sizeof(block)), &sb), 0);
    sb.features.ro_compat = ro_compat;
    sb.features.incompat = incompat;
    superblock_encode(&sb, block);
    CHECK_EQ(pwrite(fd, block, sizeof(block), 0), sizeof(block));
    close(fd);
}

static void test_volume_features(void **state)
{
    (void)state;
    uint8_t refused_state = VOLUME_REFUSED, read_only = VOLUME_FENCED;
    run_on(1, make, dir);
    set_volume_features(0, 1u << 9);
    run_on(1, feature_volume, &refused_state);
    long size = file_size(dir, "00000010.vol");
    set_volume_features(1u << 9, 0);
    run_on(1, feature_volume, &read_only);
    CHECK_EQ(file_size(dir, "00000010.vol"), size);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_make_and_reopen, setup, teardown),
        cmocka_unit_test_setup_teardown(test_two_processes_one_disk, setup, teardown),
        cmocka_unit_test_setup_teardown(test_foreign_files, setup, teardown),
        cmocka_unit_test_setup_teardown(test_volumes_without_label, setup, teardown),
        cmocka_unit_test_setup_teardown(test_damaged_label, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unknown_feature, setup, teardown),
        cmocka_unit_test_setup_teardown(test_other_cell, setup, teardown),
        cmocka_unit_test_setup_teardown(test_links, setup, teardown),
        cmocka_unit_test_setup_teardown(test_foreign_volume, setup, teardown),
        cmocka_unit_test_setup_teardown(test_volume_features, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
