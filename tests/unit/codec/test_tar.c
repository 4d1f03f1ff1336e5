/* tar: what the writer writes the reader reads, however it is cut; damage ends the stream; odd
 * members are refused. */
#include "tests/lib/unit.h"

#include "base/macros.h"
#include "codec/tar.h"
#include <stdio.h>
#include <string.h>

/* What a reading of a whole archive gave, as text: "E name size [refused]\nD bytes\n.\n". */
static int read_all(struct slice in, size_t step, struct buf *out, uint64_t *ret_skipped)
{
    struct tar_reader *r = tar_reader_new();
    int rc = 0;
    while (rc >= 0) {
        struct slice part = slice_sub(in, 0, step), data;
        size_t used;
        in = slice_sub(in, part.len, in.len);
        do {
            rc = tar_reader_next(r, part, &used, &data);
            part = slice_sub(part, used, part.len);
            const struct tar_entry *e = tar_reader_entry(r);
            if (rc == TAR_ENTRY)
                assert_int_equal(buf_addf(out, "E %s %llu %d\n", e->name,
                                          (unsigned long long)e->size, e->refused),
                                 0);
            else if (rc == TAR_DATA)
                assert_int_equal(buf_add_slice(out, data), 0);
            else if (rc == TAR_ENTRY_END)
                assert_int_equal(buf_add_str(out, "."), 0);
        } while (rc > TAR_MORE && rc != TAR_END);
        if (in.len == 0)
            break;
    }
    if (rc >= 0)
        rc = tar_reader_finish(r);
    *ret_skipped = tar_reader_skipped(r);
    tar_reader_free(r);
    return rc;
}

static void add_file(struct buf *out, const char *name, const char *data)
{
    static const uint8_t zeros[TAR_BLOCK];
    assert_int_equal(tar_write_header(out, slice_str(name), strlen(data), 1700000000), 0);
    assert_int_equal(buf_add_str(out, data), 0);
    assert_int_equal(buf_add(out, zeros, tar_padding(strlen(data))), 0);
}

static void fix_checksum(uint8_t *b)
{
    unsigned sum = 8 * ' ';
    for (unsigned i = 0; i < TAR_BLOCK; i++)
        sum += i >= 148 && i < 156 ? 0u : b[i];
    snprintf((char *)b + 148, 8, "%06o", sum);
    b[155] = ' ';
}

static void long_name(char *out, size_t len, char c)
{
    memset(out, c, len);
    out[len] = 0;
}

static void test_round_trip_any_cut(void **state)
{
    (void)state;
    char deep[200], big[301];
    long_name(deep, 150, 'd');
    deep[80] = '/';
    deep[150] = 0;
    long_name(big, 300, 'n');
    struct buf ar = BUF_INIT(MIB(1));
    add_file(&ar, "a.txt", "hello");
    add_file(&ar, "empty", "");
    add_file(&ar, deep, "prefix split");
    add_file(&ar, big, "pax name");
    add_file(&ar, "caf\xc3\xa9", "utf8");
    assert_int_equal(tar_write_end(&ar), 0);

    char want[2048];
    snprintf(want, sizeof(want),
             "E a.txt 5 0\nhello.E empty 0 0\n.E %s 12 0\nprefix split.E %s 8 0\n"
             "pax name.E caf\xc3\xa9 4 0\nutf8.",
             deep, big);
    static const size_t steps[] = {1, 3, 511, 512, 513, 100000};
    for (size_t i = 0; i < KT_ARRAY_LEN(steps); i++) {
        struct buf got = BUF_INIT(MIB(1));
        uint64_t skipped;
        assert_int_equal(read_all(buf_slice(&ar), steps[i], &got, &skipped), 0);
        assert_int_equal(skipped, 0);
        assert_int_equal(got.len, strlen(want));
        assert_memory_equal(got.p, want, got.len);
        buf_done(&got);
    }
    buf_done(&ar);
}

/* Every cut in the middle is an error; cuts between members are forgiven. */
static void test_truncated(void **state)
{
    (void)state;
    struct buf ar = BUF_INIT(MIB(1));
    add_file(&ar, "a", "hello");
    size_t member = ar.len;
    add_file(&ar, "b", "world");
    for (size_t n = 1; n < ar.len; n++) {
        struct buf got = BUF_INIT(MIB(1));
        uint64_t skipped;
        int rc = read_all(slice_sub(buf_slice(&ar), 0, n), 100, &got, &skipped);
        bool whole = (n >= TAR_BLOCK + 5 && n <= member) || n >= member + TAR_BLOCK + 5;
        assert_int_equal(rc, whole ? 0 : -KT_ERR_EOF);
        buf_done(&got);
    }
    buf_done(&ar);
}

static int read_one(uint8_t *block, size_t len, char *out, size_t cap, uint64_t *ret_skipped)
{
    struct buf got = BUF_INIT(MIB(1));
    int rc = read_all(slice_of(block, len), 4096, &got, ret_skipped);
    size_t n = KT_MIN(got.len, cap - 1);
    if (n)
        memcpy(out, got.p, n);
    out[n] = 0;
    buf_done(&got);
    return rc;
}

static void header(uint8_t *b, const char *name, char type, const char *size_octal)
{
    struct buf one = BUF_INIT(4096);
    assert_int_equal(tar_write_header(&one, slice_str(name), 0, 0), 0);
    memcpy(b, one.p, TAR_BLOCK);
    buf_done(&one);
    b[156] = (uint8_t)type;
    memcpy(b + 124, size_octal, strlen(size_octal) + 1);
    fix_checksum(b);
}

static void test_members_passed_over(void **state)
{
    (void)state;
    uint8_t b[TAR_BLOCK];
    char got[64];
    uint64_t skipped;
    for (const char *t = "1234567"; *t; t++) {
        header(b, "x", *t, "00000000000");
        assert_int_equal(read_one(b, sizeof(b), got, sizeof(got), &skipped), 0);
        assert_int_equal(skipped, *t == '7' ? 0 : 1);
        assert_string_equal(got, *t == '7' ? "E x 0 0\n." : "");
    }
    /* A directory's size says nothing of data. */
    header(b, "dir/", '5', "00000010000");
    assert_int_equal(read_one(b, sizeof(b), got, sizeof(got), &skipped), 0);
    header(b, "dir/", 0, "00000000000");
    assert_int_equal(read_one(b, sizeof(b), got, sizeof(got), &skipped), 0);
    assert_int_equal(skipped, 1);
    assert_string_equal(got, "");
}

static void test_damage(void **state)
{
    (void)state;
    uint8_t b[TAR_BLOCK];
    char got[64];
    uint64_t skipped;
    header(b, "x", '0', "00000000000");
    for (size_t i = 0; i < TAR_BLOCK; i++) {
        if (i >= 148 && i < 156)
            continue;
        b[i] ^= 1;
        assert_int_equal(read_one(b, sizeof(b), got, sizeof(got), &skipped), -KT_ERR_PROTO);
        b[i] ^= 1;
    }
    header(b, "x", '0', "0000000000x");
    assert_int_equal(read_one(b, sizeof(b), got, sizeof(got), &skipped), -KT_ERR_PROTO);
    /* base-256: negative, and beyond 2^62 */
    header(b, "x", '0', "00000000000");
    memset(b + 124, 0xff, 12);
    fix_checksum(b);
    assert_int_equal(read_one(b, sizeof(b), got, sizeof(got), &skipped), -KT_ERR_PROTO);
    b[124] = 0x80;
    fix_checksum(b);
    assert_int_equal(read_one(b, sizeof(b), got, sizeof(got), &skipped), -KT_ERR_PROTO);
    memset(b + 124, 0, 12);
    b[124] = 0x80;
    b[128] = 0x7f;
    fix_checksum(b);
    assert_int_equal(read_one(b, sizeof(b), got, sizeof(got), &skipped), -KT_ERR_PROTO);
}

static void test_refused_entries(void **state)
{
    (void)state;
    uint8_t b[3 * TAR_BLOCK] = {0};
    char got[64];
    uint64_t skipped;
    header(b, "holes", 'S', "00000000003");
    header(b + (size_t)2 * TAR_BLOCK, "next", '0', "00000000000");
    assert_int_equal(read_one(b, sizeof(b), got, sizeof(got), &skipped), 0);
    char want[64];
    snprintf(want, sizeof(want), "E holes 3 %d\n.E next 0 0\n.", KT_ERR_UNSUPPORTED);
    assert_string_equal(got, want);

    header(b, "./", '0', "00000000000");
    assert_int_equal(read_one(b, TAR_BLOCK, got, sizeof(got), &skipped), 0);
    snprintf(want, sizeof(want), "E  0 %d\n.", KT_ERR_INVALID);
    assert_string_equal(got, want);
}

static int read_pax(const char *records, char *out, size_t cap)
{
    uint8_t b[3 * TAR_BLOCK] = {0};
    char octal[13];
    uint64_t skipped;
    snprintf(octal, sizeof(octal), "%011zo", strlen(records));
    header(b, "pax", 'x', octal);
    memcpy(b + TAR_BLOCK, records, strlen(records));
    header(b + (size_t)2 * TAR_BLOCK, "plain", '0', "00000000000");
    return read_one(b, sizeof(b), out, cap, &skipped);
}

static void test_pax(void **state)
{
    (void)state;
    char got[64], want[64];
    assert_int_equal(read_pax("12 path=abc\n", got, sizeof(got)), 0);
    assert_string_equal(got, "E abc 0 0\n.");
    assert_int_equal(read_pax("20 mtime=1.123456789\n", got, sizeof(got)), -KT_ERR_PROTO);
    assert_int_equal(read_pax("22 GNU.sparse.major=1\n", got, sizeof(got)), 0);
    snprintf(want, sizeof(want), "E plain 0 %d\n.", KT_ERR_UNSUPPORTED);
    assert_string_equal(got, want);
    static const char *const bad[] = {"x path=a\n",
                                      "9 path=a",
                                      "99 path=a\n",
                                      "3 a\n",
                                      "11 size=-1\n",
                                      "5 =a\n",
                                      "0 path=a\n",
                                      "99999999999999999999 path=a\n",
                                      "29 size=99999999999999999999\n"};
    for (size_t i = 0; i < KT_ARRAY_LEN(bad); i++)
        if (read_pax(bad[i], got, sizeof(got)) != -KT_ERR_PROTO)
            fail_msg("accepted pax record %s", bad[i]);
    /* A size that pax gives replaces the header's, and what follows must be there. */
    assert_int_equal(read_pax("9 size=5\n", got, sizeof(got)), -KT_ERR_EOF);
}

static void test_gnu_long_name(void **state)
{
    (void)state;
    uint8_t b[5 * TAR_BLOCK] = {0};
    struct buf got = BUF_INIT(MIB(1));
    uint64_t skipped;
    header(b, "././@LongLink", 'L', "00000001131"); /* 601 bytes: 600 and a NUL */
    memset(b + TAR_BLOCK, 'q', 600);
    header(b + (size_t)3 * TAR_BLOCK, "cut", '0', "00000000000");
    assert_int_equal(read_all(slice_of(b, sizeof(b)), 700, &got, &skipped), 0);
    assert_int_equal(got.len, 2 + 600 + 6);
    assert_memory_equal(got.p + 2, b + TAR_BLOCK, 600);
    buf_done(&got);

    /* Too long to keep: refused, the next member is fine. */
    uint8_t c[7 * TAR_BLOCK] = {0};
    header(c, "././@LongLink", 'L', "00000003001"); /* 1537 */
    memset(c + TAR_BLOCK, 'q', 1536);
    header(c + (size_t)5 * TAR_BLOCK, "cut", '0', "00000000000");
    header(c + (size_t)6 * TAR_BLOCK, "next", '0', "00000000000");
    assert_int_equal(read_all(slice_of(c, sizeof(c)), 700, &got, &skipped), 0);
    char tail[32];
    int n = snprintf(tail, sizeof(tail), " 0 %d\n.E next 0 0\n.", KT_ERR_TOO_LARGE);
    assert_true(got.len > (size_t)n);
    assert_memory_equal(got.p + got.len - (size_t)n, tail, (size_t)n);
    buf_done(&got);
}

static void test_meta_over_limit(void **state)
{
    (void)state;
    uint8_t b[TAR_BLOCK];
    char got[16];
    uint64_t skipped;
    header(b, "pax", 'x', "00000100001"); /* 32769 */
    assert_int_equal(read_one(b, sizeof(b), got, sizeof(got), &skipped), -KT_ERR_PROTO);
}

static void test_writer_refuses(void **state)
{
    (void)state;
    struct buf out = BUF_INIT(MIB(1));
    char name[TAR_NAME_MAX + 2];
    long_name(name, TAR_NAME_MAX + 1, 'n');
    assert_int_equal(tar_write_header(&out, slice_str(name), 0, 0), -KT_ERR_INVALID);
    assert_int_equal(tar_write_header(&out, slice_str(""), 0, 0), -KT_ERR_INVALID);
    assert_int_equal(tar_write_header(&out, slice_of("a\0b", 3), 0, 0), -KT_ERR_INVALID);
    assert_int_equal(out.len, 0);
    /* 10 GiB needs the pax size; the reader sees it. */
    assert_int_equal(tar_write_header(&out, SLICE_LIT("big"), GIB(10), 0), 0);
    struct buf got = BUF_INIT(4096);
    uint64_t skipped;
    assert_int_equal(read_all(buf_slice(&out), 4096, &got, &skipped), -KT_ERR_EOF);
    assert_memory_equal(got.p, "E big 10737418240 0\n", got.len);
    buf_done(&got);
    buf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip_any_cut),  cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_members_passed_over), cmocka_unit_test(test_damage),
        cmocka_unit_test(test_refused_entries),     cmocka_unit_test(test_pax),
        cmocka_unit_test(test_gnu_long_name),       cmocka_unit_test(test_meta_over_limit),
        cmocka_unit_test(test_writer_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
