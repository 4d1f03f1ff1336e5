/* enc: every decoder is strict, every encoder is undone by its decoder. */
#include "tests/lib/unit.h"

#include "base/enc.h"
#include "base/macros.h"

static void little_endian_at_odd_addresses(void **state)
{
    (void)state;
    uint8_t b[16] = {0};
    store_u16le(b + 1, 0x1234);
    store_u32le(b + 3, 0x89abcdef);
    store_u64le(b + 7, UINT64_C(0x0123456789abcdef));
    static const uint8_t want[16] = {0,    0x34, 0x12, 0xef, 0xcd, 0xab, 0x89, 0xef,
                                     0xcd, 0xab, 0x89, 0x67, 0x45, 0x23, 0x01, 0};
    assert_memory_equal(b, want, 16);
    assert_int_equal(load_u16le(b + 1), 0x1234);
    assert_int_equal(load_u32le(b + 3), 0x89abcdef);
    assert_true(load_u64le(b + 7) == UINT64_C(0x0123456789abcdef));
}

static void hex_round_trip(void **state)
{
    (void)state;
    uint8_t all[256], back[256];
    char text[512];
    for (int i = 0; i < 256; i++)
        all[i] = (uint8_t)i;
    hex_encode(all, 256, text);
    assert_memory_equal(text + 2 * 0xa5, "a5", 2);
    assert_true(hex_decode(slice_of(text, 512), back, 256));
    assert_memory_equal(all, back, 256);
    assert_true(hex_decode(SLICE_LIT("AbCd"), back, 2));
    assert_int_equal(back[0], 0xab);
    assert_int_equal(back[1], 0xcd);
}

static void hex_refuses(void **state)
{
    (void)state;
    uint8_t out[4];
    static const char *const bad[] = {"0",  "000", "0g", "g0", " 0", "0x",
                                      "+1", "/0",  ":0", "@0", "`0"};
    for (size_t i = 0; i < KT_ARRAY_LEN(bad); i++)
        assert_false(hex_decode(slice_str(bad[i]), out, 1));
    assert_false(hex_decode(SLICE_LIT(""), out, 1));
    assert_true(hex_decode(SLICE_LIT(""), out, 0));
}

static void hex_numbers(void **state)
{
    (void)state;
    uint64_t v = 7;
    assert_true(hex_to_u64(SLICE_LIT("ffffffffffffffff"), &v) && v == UINT64_MAX);
    assert_true(hex_to_u64(SLICE_LIT("0"), &v) && v == 0);
    assert_true(hex_to_u64(SLICE_LIT("00000000000001Fe"), &v) && v == 0x1fe);
    v = 7;
    assert_false(hex_to_u64(SLICE_LIT("00000000000000000"), &v));
    assert_false(hex_to_u64(SLICE_LIT(""), &v));
    assert_false(hex_to_u64(SLICE_LIT("0x1"), &v));
    assert_false(hex_to_u64(SLICE_LIT("-1"), &v));
    assert_true(v == 7);
}

static void decimal_numbers(void **state)
{
    (void)state;
    uint64_t v = 7;
    char text[20];
    static const uint64_t values[] = {0,         1, 9, 10, 99, 100, 4294967296u, UINT64_MAX - 1,
                                      UINT64_MAX};
    for (size_t i = 0; i < KT_ARRAY_LEN(values); i++) {
        size_t n = dec_from_u64(values[i], text);
        assert_true(dec_to_u64(slice_of(text, n), &v));
        assert_true(v == values[i]);
    }
    assert_int_equal(dec_from_u64(UINT64_MAX, text), 20);
    v = 7;
    static const char *const bad[] = {"",
                                      " 1",
                                      "1 ",
                                      "+1",
                                      "-1",
                                      "1.0",
                                      "0x1",
                                      "18446744073709551616",
                                      "99999999999999999999",
                                      "000000000000000000000"};
    for (size_t i = 0; i < KT_ARRAY_LEN(bad); i++)
        assert_false(dec_to_u64(slice_str(bad[i]), &v));
    assert_true(v == 7);
}

/* RFC 4648 section 10. */
static void base64_vectors(void **state)
{
    (void)state;
    static const char *const rows[][2] = {{"", ""},
                                          {"f", "Zg=="},
                                          {"fo", "Zm8="},
                                          {"foo", "Zm9v"},
                                          {"foob", "Zm9vYg=="},
                                          {"fooba", "Zm9vYmE="},
                                          {"foobar", "Zm9vYmFy"}};
    for (size_t i = 0; i < KT_ARRAY_LEN(rows); i++) {
        char out[16];
        size_t n = b64_encode(rows[i][0], strlen(rows[i][0]), out);
        assert_int_equal(n, B64_ENCODED_LEN(strlen(rows[i][0])));
        assert_slice_equal(slice_of(out, n), slice_str(rows[i][1]));
        ptrdiff_t m = b64_decode(slice_str(rows[i][1]), out);
        assert_int_equal(m, strlen(rows[i][0]));
        assert_memory_equal(out, rows[i][0], (size_t)m);
    }
}

static void base64_refuses(void **state)
{
    (void)state;
    uint8_t out[16];
    static const char *const bad[] = {"Z",    "Zg",   "Zg=",    "Zh==",     "Zm9=",
                                      "====", "Z===", "=Zg=",   "Zg==Zg==", "Zm 9",
                                      "Zm-9", "Zm_9", "Zm9v\n", "Zg=v",     "\xc3\xa4=="};
    for (size_t i = 0; i < KT_ARRAY_LEN(bad); i++)
        assert_int_equal(b64_decode(slice_str(bad[i]), out), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(little_endian_at_odd_addresses),
        cmocka_unit_test(hex_round_trip),
        cmocka_unit_test(hex_refuses),
        cmocka_unit_test(hex_numbers),
        cmocka_unit_test(decimal_numbers),
        cmocka_unit_test(base64_vectors),
        cmocka_unit_test(base64_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
