/* slice: comparisons, clamping, byte order. */
#include "tests/lib/unit.h"

static void equality_compares_all_bytes(void **state)
{
    (void)state;
    assert_true(slice_eq(SLICE_LIT("a\0b"), SLICE_LIT("a\0b")));
    assert_false(slice_eq(SLICE_LIT("a\0b"), SLICE_LIT("a\0c")));
    assert_false(slice_eq(SLICE_LIT("ab"), SLICE_LIT("abc")));
    assert_true(slice_eq(slice_of(NULL, 0), SLICE_LIT("")));
}

static void prefix(void **state)
{
    (void)state;
    assert_true(slice_has_prefix(SLICE_LIT("blob/1"), SLICE_LIT("blob/")));
    assert_true(slice_has_prefix(SLICE_LIT("x"), slice_of(NULL, 0)));
    assert_false(slice_has_prefix(SLICE_LIT("blo"), SLICE_LIT("blob")));
    assert_false(slice_has_prefix(SLICE_LIT("Blob"), SLICE_LIT("blob")));
}

static void nocase_folds_ascii_letters_only(void **state)
{
    (void)state;
    assert_true(slice_eq_nocase(SLICE_LIT("Content-Type"), SLICE_LIT("cONTENT-tYPE")));
    assert_false(slice_eq_nocase(SLICE_LIT("ab"), SLICE_LIT("abc")));
    /* '@' and '`', '[' and '{' differ by 32 too, and are no letters */
    assert_false(slice_eq_nocase(SLICE_LIT("@["), SLICE_LIT("`{")));
    assert_false(slice_eq_nocase(SLICE_LIT("\xc4"), SLICE_LIT("\xe4")));
}

static void sub_is_clamped(void **state)
{
    (void)state;
    struct slice s = SLICE_LIT("hello");
    assert_slice_equal(slice_sub(s, 1, 3), SLICE_LIT("ell"));
    assert_slice_equal(slice_sub(s, 3, SIZE_MAX), SLICE_LIT("lo"));
    assert_int_equal(slice_sub(s, 5, 1).len, 0);
    assert_int_equal(slice_sub(s, SIZE_MAX, SIZE_MAX).len, 0);
    assert_int_equal(slice_sub(slice_of(NULL, 0), 7, 7).len, 0);
}

static void find_returns_first_index(void **state)
{
    (void)state;
    assert_int_equal(slice_find(SLICE_LIT("a=b=c"), '='), 1);
    assert_int_equal(slice_find(SLICE_LIT("abc"), '='), -1);
    assert_int_equal(slice_find(slice_of(NULL, 0), 0), -1);
}

static void secret_equality(void **state)
{
    (void)state;
    assert_true(slice_eq_secret(SLICE_LIT("s3cret"), SLICE_LIT("s3cret")));
    assert_false(slice_eq_secret(SLICE_LIT("s3cret"), SLICE_LIT("S3cret")));
    assert_false(slice_eq_secret(SLICE_LIT("s3cret"), SLICE_LIT("s3creT")));
    assert_false(slice_eq_secret(SLICE_LIT("s3cret"), SLICE_LIT("s3cre")));
    /* differences in several bytes must not cancel each other */
    assert_false(slice_eq_secret(SLICE_LIT("ab"), SLICE_LIT("ba")));
}

static void cmp_is_byte_order(void **state)
{
    (void)state;
    static const char *const sorted[] = {"", "A", "a", "a-", "aa", "b", "\x7f", "\x80", "\xff"};
    for (size_t i = 0; i < 9; i++) {
        for (size_t j = 0; j < 9; j++) {
            int c = slice_cmp(slice_str(sorted[i]), slice_str(sorted[j]));
            assert_int_equal((c > 0) - (c < 0), (i > j) - (i < j));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equality_compares_all_bytes),
        cmocka_unit_test(prefix),
        cmocka_unit_test(nocase_folds_ascii_letters_only),
        cmocka_unit_test(sub_is_clamped),
        cmocka_unit_test(find_returns_first_index),
        cmocka_unit_test(secret_equality),
        cmocka_unit_test(cmp_is_byte_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
