/* crc32c: published vectors, a bitwise reference, chaining and combination. */
#include "tests/lib/unit.h"

#include "base/crc32c.h"
#include "base/macros.h"

static uint32_t reference(const uint8_t *p, size_t len)
{
    uint32_t crc = ~0u;
    while (len--) {
        crc ^= *p++;
        for (int i = 0; i < 8; i++)
            crc = crc & 1 ? crc >> 1 ^ 0x82f63b78u : crc >> 1;
    }
    return ~crc;
}

/* RFC 3720 appendix B.4, and the usual check value. */
static void vectors(void **state)
{
    (void)state;
    uint8_t b[32];
    assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283);
    assert_int_equal(crc32c(0, "", 0), 0);
    memset(b, 0, 32);
    assert_int_equal(crc32c(0, b, 32), 0x8a9136aa);
    memset(b, 0xff, 32);
    assert_int_equal(crc32c(0, b, 32), 0x62a8ab43);
    for (int i = 0; i < 32; i++)
        b[i] = (uint8_t)i;
    assert_int_equal(crc32c(0, b, 32), 0x46dd794e);
}

static void fill(uint8_t *p, size_t len)
{
    uint32_t x = 1;
    for (size_t i = 0; i < len; i++) {
        x = x * 1664525 + 1013904223;
        p[i] = (uint8_t)(x >> 24);
    }
}

static void all_lengths_and_alignments(void **state)
{
    (void)state;
    uint8_t b[700];
    fill(b, sizeof(b));
    for (size_t at = 0; at < 17; at++)
        for (size_t len = 0; len < 600; len += 1 + len / 16)
            assert_int_equal(crc32c(0, b + at, len), reference(b + at, len));
}

static void chaining_and_combining(void **state)
{
    (void)state;
    uint8_t b[2000];
    fill(b, sizeof(b));
    uint32_t whole = crc32c(0, b, sizeof(b));
    for (size_t cut = 0; cut <= sizeof(b); cut += 37) {
        uint32_t a = crc32c(0, b, cut);
        uint32_t c = crc32c(0, b + cut, sizeof(b) - cut);
        assert_int_equal(crc32c(a, b + cut, sizeof(b) - cut), whole);
        assert_int_equal(crc32c_combine(a, c, sizeof(b) - cut), whole);
    }
}

/* Bytes counted past 32 bits: 2^k zero bytes combined from halves agree with each other. */
static void combining_huge_lengths(void **state)
{
    (void)state;
    uint8_t zero[4096] = {0};
    uint32_t crc = crc32c(0, zero, sizeof(zero));
    uint64_t len = sizeof(zero);
    for (int i = 0; i < 30; i++) {
        crc = crc32c_combine(crc, crc, len);
        len *= 2;
    }
    assert_true(len == UINT64_C(1) << 42);
    /* once more, built from unequal parts */
    uint64_t part = len / 4096 * 1000;
    uint32_t a = 0, b = 0;
    uint64_t alen = 0, blen = 0;
    uint32_t block = crc32c(0, zero, sizeof(zero));
    uint64_t block_len = sizeof(zero);
    for (uint64_t n = part / 4096, m = (len - part) / 4096; n | m; n >>= 1, m >>= 1) {
        if (n & 1) {
            a = crc32c_combine(a, block, block_len);
            alen += block_len;
        }
        if (m & 1) {
            b = crc32c_combine(b, block, block_len);
            blen += block_len;
        }
        block = crc32c_combine(block, block, block_len);
        block_len *= 2;
    }
    assert_true(alen == part && blen == len - part);
    assert_int_equal(crc32c_combine(a, b, blen), crc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors),
        cmocka_unit_test(all_lengths_and_alignments),
        cmocka_unit_test(chaining_and_combining),
        cmocka_unit_test(combining_huge_lengths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
