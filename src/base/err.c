/* err: the table of codes and the fiber's diagnostic. */
#include "base/err.h"

#include "base/assert.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct err_row {
    const char *name, *s3_code, *message;
    int http_status;
    bool retryable;
};

static const struct err_row rows[KT_ERR_COUNT] = {
    [KT_OK] = {"OK", "", "ok", 200, false},
#define ERR(name, http, s3, msg, retry) [KT_ERR_##name] = {#name, s3, msg, http, retry},
#include "base/err_list.h"
#undef ERR
};

static _Thread_local struct diag thread_diag;
_Thread_local struct diag *diag_fiber;

struct diag *diag_get(void)
{
    return diag_fiber ? diag_fiber : &thread_diag;
}

static int code_of_errno(int e)
{
    switch (e) {
    case ENOSPC:
    case EDQUOT:
        return KT_ERR_NO_SPACE;
    case ENOENT:
        return KT_ERR_NOT_FOUND;
    case ENOMEM:
        return KT_ERR_NO_MEMORY;
    case EEXIST:
        return KT_ERR_EXISTS;
    case EACCES:
    case EPERM:
    case ELOOP:
    case EXDEV:
        return KT_ERR_DENIED;
    case ETIMEDOUT:
        return KT_ERR_TIMEOUT;
    case ECONNRESET:
    case EPIPE:
    case ENOTCONN:
        return KT_ERR_CLOSED;
    case EMFILE:
    case ENFILE:
        return KT_ERR_LIMIT;
    case EAGAIN:
        return KT_ERR_AGAIN;
    case EADDRINUSE:
        return KT_ERR_CONFLICT;
    default:
        return KT_ERR_IO;
    }
}

int err_set_at(const char *file, int line, int code, int sys_errno, const char *fmt, ...)
{
    struct diag *d = diag_get();
    if (code == 0)
        code = code_of_errno(sys_errno);
    kt_assert(code > 0 && code < KT_ERR_COUNT);
    d->code = code;
    d->sys_errno = sys_errno;
    d->file = file;
    d->line = line;

    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(d->text, sizeof(d->text), fmt, ap);
    va_end(ap);
    if (sys_errno != 0 && n >= 0 && (size_t)n < sizeof(d->text)) {
        char why[64];
        snprintf(d->text + n, sizeof(d->text) - (size_t)n, ": %s",
                 strerror_r(sys_errno, why, sizeof(why)));
    }
    return -code;
}

int err_wrap(int rc, const char *fmt, ...)
{
    struct diag *d = diag_get();
    kt_assert(rc < 0);
    char inner[DIAG_TEXT_MAX];
    snprintf(inner, sizeof(inner), "%s", err_text(rc));
    if (d->code != -rc)
        *d = (struct diag){
            .code = -rc}; /* another error's place and errno must not stick to this one */

    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(d->text, sizeof(d->text), fmt, ap);
    va_end(ap);
    if (n >= 0 && (size_t)n < sizeof(d->text))
        snprintf(d->text + n, sizeof(d->text) - (size_t)n, ": %s", inner);
    return rc;
}

static const struct err_row *row_of(int rc)
{
    if (rc <= -KT_ERR_COUNT || rc >= KT_ERR_COUNT)
        return &rows[KT_ERR_INTERNAL];
    return &rows[rc < 0 ? -rc : rc];
}

const char *err_text(int rc)
{
    const struct diag *d = diag_get();
    return rc < 0 && d->code == -rc && d->text[0] ? d->text : row_of(rc)->message;
}

const char *err_name(int rc)
{
    return row_of(rc)->name;
}

const char *err_message(int rc)
{
    return row_of(rc)->message;
}

const char *err_s3_code(int rc)
{
    return row_of(rc)->s3_code;
}

int err_http_status(int rc)
{
    return row_of(rc)->http_status;
}

bool err_retryable(int rc)
{
    return row_of(rc)->retryable;
}
