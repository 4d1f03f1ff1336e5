/* keys.json: what is written is read, what is damaged is refused, and a running server takes over
 * changes. */
#include "tests/lib/unit.h"

#include "base/assert.h"
#include "gateway/keys.h"
#include "gateway/statefile.h"
#include "rt/rt.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define EXPECT(e) kt_assert(e)

static void test_parse(void **state)
{
    (void)state;
    static const struct {
        const char *json;
        int rc;
    } cases[] = {
        {"{\"version\":1,\"keys\":[]}", 0},
        {"{\"version\":1,\"keys\":[{\"access\":\"A\",\"secret\":\"0123456789abcdef\",\"name\":"
         "\"n\"}]}",
         0},
        {"", -KT_ERR_FORMAT},
        {"[]", -KT_ERR_FORMAT},
        {"{\"version\":2,\"keys\":[]}", -KT_ERR_FORMAT},
        {"{\"version\":1}", -KT_ERR_FORMAT},
        {"{\"version\":1,\"keys\":[{}]}", -KT_ERR_FORMAT},
        {"{\"version\":1,\"keys\":[{\"access\":\"A\",\"secret\":\"short\",\"name\":\"n\"}]}",
         -KT_ERR_FORMAT},
        {"{\"version\":1,\"keys\":[{\"access\":\"\",\"secret\":\"0123456789abcdef\",\"name\":\"n\"}"
         "]}",
         -KT_ERR_FORMAT},
        {"{\"version\":1,\"keys\":[{\"access\":\"A:B\",\"secret\":\"0123456789abcdef\",\"name\":"
         "\"n\"}]}",
         -KT_ERR_FORMAT},
        {"{\"version\":1,\"keys\":[{\"access\":\"A\",\"secret\":\"0123456789abcdef\",\"name\":"
         "\"n\"},"
         "{\"access\":\"A\",\"secret\":\"0123456789abcdef\",\"name\":\"m\"}]}",
         -KT_ERR_FORMAT},
    };
    for (size_t i = 0; i < KT_ARRAY_LEN(cases); i++) {
        struct key_list l = {0};
        assert_int_equal(keys_parse(slice_str(cases[i].json), &l), cases[i].rc);
        key_list_done(&l);
    }
}

static void expect_made(const struct key *k)
{
    EXPECT(strlen(k->access) == KEY_ACCESS_LEN && strlen(k->secret) == KEY_SECRET_LEN);
    EXPECT(strncmp(k->access, "KT", 2) == 0);
}

static void check_list(int dir)
{
    struct key_list l = {0}, back = {0};
    EXPECT(keys_make(&l, "one", 5) == 0 && keys_make(&l, "two", 6) == 0);
    EXPECT(keys_make(&l, "one", 7) == -KT_ERR_EXISTS);
    EXPECT(keys_make(&l, "", 7) == -KT_ERR_INVALID && keys_make(&l, "a b", 7) == -KT_ERR_INVALID);
    EXPECT(keys_make(&l, "a\"b", 7) == -KT_ERR_INVALID);
    expect_made(&l.at[0]);
    EXPECT(strcmp(l.at[0].access, l.at[1].access) != 0 &&
           strcmp(l.at[0].secret, l.at[1].secret) != 0);
    EXPECT(keys_save(dir, &l) == 0 && keys_load(dir, &back) == 0);
    EXPECT(back.n == 2);
    for (int i = 0; i < 2; i++)
        EXPECT(strcmp(back.at[i].access, l.at[i].access) == 0 &&
               strcmp(back.at[i].secret, l.at[i].secret) == 0 &&
               strcmp(back.at[i].name, l.at[i].name) == 0 &&
               back.at[i].created_s == l.at[i].created_s);
    EXPECT(keys_drop(&back, "nobody") == -KT_ERR_NOT_FOUND);
    EXPECT(keys_drop(&back, "one") == 0 && back.n == 1 && strcmp(back.at[0].name, "two") == 0);
    EXPECT(keys_drop(&back, back.at[0].access) == 0 && back.n == 0);
    for (int i = l.n; i < KEYS_MAX; i++) {
        char name[16];
        snprintf(name, sizeof(name), "k%d", i);
        EXPECT(keys_make(&l, name, 0) == 0);
    }
    EXPECT(keys_make(&l, "last", 0) == -KT_ERR_LIMIT);
    key_list_done(&l);
    key_list_done(&back);
    EXPECT(rt_file_unlink(dir, KEYS_FILE) == 0);
}

static void check_server(int dir, const char *path)
{
    struct keys *k;
    struct key first, got;
    struct key_list l = {0};
    struct stat st;
    char file[128];
    bool made;
    EXPECT(keys_open(dir, &k, &made) == 0 && made && keys_first(k, &first));
    expect_made(&first);
    snprintf(file, sizeof(file), "%s/" KEYS_FILE, path);
    EXPECT(stat(file, &st) == 0 && (st.st_mode & 0777) == 0600);
    EXPECT(keys_find(k, slice_str(first.access), &got) && strcmp(got.secret, first.secret) == 0);
    EXPECT(!keys_find(k, SLICE_LIT("KTNOBODY"), &got) && strlen(got.secret) == KEY_SECRET_LEN);
    EXPECT(keys_reload(k) == 1);
    EXPECT(keys_reload(k) == 0);
    EXPECT(keys_load(dir, &l) == 0 && keys_make(&l, "second", 1) == 0 && keys_save(dir, &l) == 0);
    EXPECT(keys_reload(k) == 1 && keys_count(k) == 2);
    /* Damage and loss leave the last good list in use. */
    EXPECT(statefile_write(dir, KEYS_FILE, SLICE_LIT("{")) == 0);
    EXPECT(keys_reload(k) == -KT_ERR_FORMAT && keys_reload(k) == -KT_ERR_FORMAT &&
           keys_count(k) == 2);
    EXPECT(rt_file_unlink(dir, KEYS_FILE) == 0 && keys_reload(k) == -KT_ERR_NOT_FOUND);
    EXPECT(keys_find(k, slice_str(first.access), &got));
    keys_close(k);
    /* A start with a damaged file is refused rather than making new keys. */
    EXPECT(statefile_write(dir, KEYS_FILE, SLICE_LIT("{")) == 0);
    EXPECT(keys_open(dir, &k, &made) == -KT_ERR_FORMAT);
    key_list_done(&l);
    EXPECT(rt_file_unlink(dir, KEYS_FILE) == 0);
}

static int in_fiber(void *arg)
{
    int dir = rt_dir_open(arg, false);
    EXPECT(dir >= 0);
    check_list(dir);
    check_server(dir, arg);
    rt_file_close(dir);
    return 0;
}

static void test_files(void **state)
{
    (void)state;
    char dir[] = "/tmp/kitten-keys-XXXXXX";
    struct rt_options o = {.loops = 1, .workers = 1};
    assert_non_null(mkdtemp(dir));
    assert_int_equal(rt_run(&o, in_fiber, dir), 0);
    assert_int_equal(rmdir(dir), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
