#include "format/blobid.h"
#include "format_test.h"

static void formats_without_leading_zeros(void **state)
{
    (void)state;
    const struct {
        struct blobid id;
        const char *text;
    } cases[] = {
        {{0x1f3a09c2, 0x4d2, 0x0123456789abcdef}, "1f3a09c2,4d2-0123456789abcdef"},
        {{1, 0, 0}, "1,0-0000000000000000"},
        {{UINT32_MAX, UINT32_MAX, UINT64_MAX}, "ffffffff,ffffffff-ffffffffffffffff"},
        {{0x10, 0x100, 1}, "10,100-0000000000000001"},
    };
    for (size_t i = 0; i < KT_ARRAY_LEN(cases); i++) {
        char out[BLOBID_TEXT_MAX];
        struct blobid back;
        size_t n = blobid_format(&cases[i].id, out);
        assert_int_equal(n, strlen(cases[i].text));
        assert_memory_equal(out, cases[i].text, n);
        assert_int_equal(blobid_parse(slice_of(out, n), &back), 0);
        assert_int_equal(back.vid, cases[i].id.vid);
        assert_int_equal(back.seq, cases[i].id.seq);
        assert_true(back.cookie == cases[i].id.cookie);
    }
}

static void refuses_any_other_spelling(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        ",",
        "-",
        ",-",
        "1,2",
        "1-2",
        "1,2-",
        "1,2-3",
        "0,2-0123456789abcdef",
        "1,2-0123456789abcde",
        "1,2-0123456789abcdef0",
        "01,2-0123456789abcdef",
        "1,02-0123456789abcdef",
        "1,2-0123456789ABCDEF",
        "A,2-0123456789abcdef",
        "100000000,2-0123456789abcdef",
        "1,100000000-0123456789abcdef",
        "1,-0123456789abcdef",
        ",2-0123456789abcdef",
        "1,2-0123456789abcdeg",
        " 1,2-0123456789abcdef",
        "1,2-0123456789abcdef ",
        "1,2,3-0123456789abcde",
        "1-2,0123456789abcdef",
        "1,2-01234567-9abcdef",
        "+1,2-0123456789abcdef",
        "0x1,2-0123456789abcdef",
        "1,2-0123456789abcdef,1,2-0123456789abcdef",
    };
    for (size_t i = 0; i < KT_ARRAY_LEN(bad); i++) {
        struct blobid id;
        if (blobid_parse(slice_str(bad[i]), &id) != -KT_ERR_INVALID)
            fail_msg("took \"%s\"", bad[i]);
    }
    struct blobid id;
    char nul[] = "1,2-0123456789abcde\0";
    assert_int_equal(blobid_parse(slice_of(nul, 20), &id), -KT_ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(formats_without_leading_zeros),
        cmocka_unit_test(refuses_any_other_spelling),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
