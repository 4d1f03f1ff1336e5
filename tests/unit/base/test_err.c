/* err: codes, the diagnostic, the mapping of errno, the table. */
#include "tests/lib/unit.h"

#include "base/err.h"
#include "base/macros.h"
#include <errno.h>
#include <limits.h>
#include <string.h>

static void set_returns_the_code_and_keeps_the_text(void **state)
{
    (void)state;
    int rc = err_set(KT_ERR_CORRUPT, "needle %x", 0xbeef);
    assert_int_equal(rc, -KT_ERR_CORRUPT);
    assert_string_equal(err_text(rc), "needle beef");
    assert_string_equal(err_name(rc), "CORRUPT");
    assert_int_equal(diag_get()->code, KT_ERR_CORRUPT);
    assert_int_equal(diag_get()->sys_errno, 0);
    assert_non_null(strstr(diag_get()->file, "test_err.c"));
}

static void sys_maps_errno(void **state)
{
    (void)state;
    static const int rows[][2] = {
        {ENOSPC, KT_ERR_NO_SPACE},   {EDQUOT, KT_ERR_NO_SPACE},  {EIO, KT_ERR_IO},
        {ENOENT, KT_ERR_NOT_FOUND},  {ENOMEM, KT_ERR_NO_MEMORY}, {EEXIST, KT_ERR_EXISTS},
        {EACCES, KT_ERR_DENIED},     {EPERM, KT_ERR_DENIED},     {ETIMEDOUT, KT_ERR_TIMEOUT},
        {ECONNRESET, KT_ERR_CLOSED}, {EPIPE, KT_ERR_CLOSED},     {EMFILE, KT_ERR_LIMIT},
        {ENFILE, KT_ERR_LIMIT},      {EAGAIN, KT_ERR_AGAIN},     {EADDRINUSE, KT_ERR_CONFLICT},
        {EBADF, KT_ERR_IO},
    };
    for (size_t i = 0; i < KT_ARRAY_LEN(rows); i++) {
        assert_int_equal(err_sys(rows[i][0], "open"), -rows[i][1]);
        assert_int_equal(diag_get()->sys_errno, rows[i][0]);
    }
    int rc = err_sys(ENOENT, "open 'x'");
    assert_string_equal(err_text(rc), "open 'x': No such file or directory");
}

static void wrap_puts_context_before(void **state)
{
    (void)state;
    int rc = err_sys(EIO, "read");
    rc = err_wrap(rc, "volume %d", 7);
    rc = err_wrap(rc, "scrub");
    assert_int_equal(rc, -KT_ERR_IO);
    assert_string_equal(err_text(rc), "scrub: volume 7: read: Input/output error");
    assert_int_equal(diag_get()->sys_errno, EIO);
}

static void wrap_of_another_error_drops_the_stale_one(void **state)
{
    (void)state;
    int rc = err_sys(EIO, "read");
    assert_int_equal(rc, -KT_ERR_IO);
    rc = err_wrap(-KT_ERR_TIMEOUT, "put");
    assert_string_equal(err_text(rc), "put: deadline passed");
    assert_int_equal(diag_get()->sys_errno, 0);
}

static void text_of_an_error_without_diagnostic(void **state)
{
    (void)state;
    int rc = err_set(KT_ERR_IO, "something else");
    assert_int_equal(rc, -KT_ERR_IO);
    assert_string_equal(err_text(-KT_ERR_QUOTA), "quota exceeded");
    assert_string_equal(err_text(0), "ok");
}

static void long_texts_are_cut(void **state)
{
    (void)state;
    char longer[1000];
    memset(longer, 'a', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = 0;
    int rc = err_set(KT_ERR_INVALID, "%s", longer);
    assert_int_equal(strlen(err_text(rc)), DIAG_TEXT_MAX - 1);
    rc = err_wrap(rc, "%s", longer);
    assert_int_equal(strlen(err_text(rc)), DIAG_TEXT_MAX - 1);
    rc = err_sys(EIO, "%.*s", DIAG_TEXT_MAX - 5, longer);
    assert_int_equal(strlen(err_text(rc)), DIAG_TEXT_MAX - 1);
}

static void fiber_diagnostics_are_apart(void **state)
{
    (void)state;
    struct diag mine = {0};
    int rc = err_set(KT_ERR_BUSY, "thread");
    diag_fiber = &mine;
    assert_int_equal(err_set(KT_ERR_LIMIT, "fiber"), -KT_ERR_LIMIT);
    diag_fiber = NULL;
    assert_string_equal(mine.text, "fiber");
    assert_string_equal(err_text(rc), "thread");
}

/* Every code: a name and message of its own, an S3 code and an HTTP status that fits it. */
static void the_table_is_complete(void **state)
{
    (void)state;
    static const struct {
        int code, http;
        const char *name, *s3;
        bool retry;
    } rows[] = {
#define ERR(name, http, s3, msg, retry) {KT_ERR_##name, http, #name, s3, retry},
#include "base/err_list.h"
#undef ERR
    };
    assert_int_equal(KT_ARRAY_LEN(rows), KT_ERR_COUNT - 1);
    for (size_t i = 0; i < KT_ARRAY_LEN(rows); i++) {
        int rc = -rows[i].code;
        assert_int_equal(rc, -(int)(i + 1));
        assert_string_equal(err_name(rc), rows[i].name);
        assert_string_equal(err_s3_code(rc), rows[i].s3);
        assert_int_equal(err_http_status(rc), rows[i].http);
        assert_int_equal(err_http_status(-rc), rows[i].http);
        assert_int_equal(err_retryable(rc), rows[i].retry);
        assert_true(strlen(err_message(rc)) > 0 && strlen(rows[i].s3) > 0);
        assert_true(rows[i].http == 304 || (rows[i].http >= 400 && rows[i].http < 600));
        /* A server-side trouble is worth another try; what the client did wrong is not. */
        if (rows[i].http == 503)
            assert_true(rows[i].retry);
    }
}

static void unknown_codes_are_internal(void **state)
{
    (void)state;
    static const int codes[] = {-KT_ERR_COUNT, KT_ERR_COUNT, INT_MIN, INT_MAX};
    for (size_t i = 0; i < KT_ARRAY_LEN(codes); i++) {
        assert_string_equal(err_name(codes[i]), "INTERNAL");
        assert_int_equal(err_http_status(codes[i]), 500);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(set_returns_the_code_and_keeps_the_text),
        cmocka_unit_test(sys_maps_errno),
        cmocka_unit_test(wrap_puts_context_before),
        cmocka_unit_test(wrap_of_another_error_drops_the_stale_one),
        cmocka_unit_test(text_of_an_error_without_diagnostic),
        cmocka_unit_test(long_texts_are_cut),
        cmocka_unit_test(fiber_diagnostics_are_apart),
        cmocka_unit_test(the_table_is_complete),
        cmocka_unit_test(unknown_codes_are_internal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
