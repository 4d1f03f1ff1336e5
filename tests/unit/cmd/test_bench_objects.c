#include "tests/lib/unit.h"

#include "base/buf.h"
#include "base/err.h"
#include "cmd/bench_data.h"
#include "cmd/bench_objects.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char path[] = "/tmp/kitten-manifest-XXXXXX";

static char *copy_of(const char *text)
{
    char *copy = mem_alloc(strlen(text) + 1);
    memcpy(copy, text, strlen(text) + 1);
    return copy;
}

static void write_file(const char *text)
{
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static void files_survive_with_any_name(void **state)
{
    (void)state;
    struct bench_objects o, back;
    struct bench_object first = {.id = {7, 8, 9}, .index = 3, .size = 12, .crc = 0xabcdef01};
    struct bench_object second = {.index = UINT64_MAX, .size = 1};
    objects_init(&o, 42, true);
    assert_int_equal(objects_add(&o, &first, copy_of("a b/\t%\n\xc3\xa9")), 0);
    assert_int_equal(objects_add(&o, &second, copy_of("x")), 0);
    o.state[1] = OBJECT_MAYBE;
    assert_int_equal(objects_save(path, &o), 0);
    assert_int_equal(objects_load(path, &back), 0);
    assert_int_equal(back.n, 2);
    assert_int_equal(back.seed, 42);
    assert_true(back.files);
    assert_memory_equal(&back.items[0].id, &first.id, sizeof(first.id));
    assert_int_equal(back.items[0].index, 3);
    assert_int_equal(back.items[0].size, 12);
    assert_int_equal(back.items[0].crc, 0xabcdef01);
    assert_string_equal(back.names[0], "a b/\t%\n\xc3\xa9");
    assert_true(back.items[1].index == UINT64_MAX);
    assert_int_equal(back.state[0], OBJECT_LIVE);
    assert_int_equal(back.state[1], OBJECT_MAYBE);
    objects_done(&o);
    objects_done(&back);
}

static void made_up_objects_get_their_checksum(void **state)
{
    (void)state;
    struct bench_objects o, back;
    struct bench_object item = {.index = 5, .size = 1000};
    data_pattern_make();
    objects_init(&o, 42, false);
    assert_int_equal(objects_add(&o, &item, NULL), 0);
    assert_int_equal(objects_save(path, &o), 0);
    assert_int_equal(objects_load(path, &back), 0);
    assert_int_equal(back.items[0].crc, data_crc(42, 5, 1000));
    assert_int_equal(back.items[0].id.vid, 0);
    objects_done(&o);
    objects_done(&back);
}

static void malformed_manifests_name_the_line(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "alive\t-\t1\t2\t3\t\n",        "live\t-\t1\t2\t3\n",
        "live\tx\t1\t2\t3\t\n",         "live\t-\tg\t2\t3\t\n",
        "live\t-\t1\t-2\t3\t\n",        "live\t-\t1\t4294967296\t3\t\n",
        "live\t-\t1\t2\t100000000\t\n", "\n",
        "live\t-\t1\t2\t3\t%zz\n",
    };
    struct bench_objects o;
    char text[256];
    for (size_t i = 0; i < KT_ARRAY_LEN(lines); i++) {
        snprintf(text, sizeof(text), "kitten-bench 1\t1\t1\nlive\t-\t1\t2\t3\tok\n%s", lines[i]);
        write_file(text);
        assert_int_equal(objects_load(path, &o), -KT_ERR_FORMAT);
        assert_non_null(strstr(err_text(-KT_ERR_FORMAT), "line 3"));
    }
    write_file("something else\n");
    assert_int_equal(objects_load(path, &o), -KT_ERR_FORMAT);
    write_file("");
    assert_int_equal(objects_load(path, &o), -KT_ERR_FORMAT);
    assert_int_equal(objects_load("/nonexistent/manifest", &o), -KT_ERR_NOT_FOUND);
}

static void append_moves_names_and_marks(void **state)
{
    (void)state;
    struct bench_objects to, from;
    struct bench_object item = {.index = 1};
    objects_init(&to, 1, true);
    objects_init(&from, 1, true);
    assert_int_equal(objects_add(&to, &item, copy_of("one")), 0);
    assert_int_equal(objects_add(&from, &item, copy_of("two")), 0);
    from.state[0] = OBJECT_DEAD;
    assert_int_equal(objects_append(&to, &from), 0);
    objects_done(&from);
    assert_int_equal(to.n, 2);
    assert_string_equal(to.names[1], "two");
    assert_int_equal(to.state[1], OBJECT_DEAD);
    objects_done(&to);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_survive_with_any_name),
        cmocka_unit_test(made_up_objects_get_their_checksum),
        cmocka_unit_test(malformed_manifests_name_the_line),
        cmocka_unit_test(append_moves_names_and_marks),
    };
    int fd = mkstemp(path);
    if (fd < 0)
        return 1;
    close(fd);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(path);
    return failed;
}
