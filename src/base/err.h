/* err: error codes and the diagnostic that explains them.
 *
 * Model: a function that can fail returns int: 0 or a count on success, -KT_ERR_x on failure. The
 * one that finds the error calls err_set(), callers may add context with err_wrap(), and only the
 * edge (end of a request, loop of a background task) logs, once. The text lives in the current
 * fiber's `struct diag`; nothing is allocated.
 *
 *     if (len > max)
 *         return err_set(KT_ERR_TOO_LARGE, "body of %zu bytes, limit %zu", len, max);
 *
 * Threads and fibers: `diag_fiber` is thread-local; rt/ swaps it at each fiber switch. Never
 * yields.
 */
#ifndef KT_BASE_ERR_H
#define KT_BASE_ERR_H

#include "base/macros.h"
#include <stdbool.h>

enum kt_err {
    KT_OK = 0,
#define ERR(name, http, s3, msg, retry) KT_ERR_##name,
#include "base/err_list.h"
#undef ERR
    KT_ERR_COUNT
};

#define DIAG_TEXT_MAX 320

struct diag {
    int code;         /* positive KT_ERR_*, 0 when unset */
    int sys_errno;    /* errno that caused it, or 0 */
    const char *file; /* where err_set was called; static storage */
    int line;
    char text[DIAG_TEXT_MAX]; /* "outer: inner", NUL-terminated, truncated when too long */
};

/* The running fiber's diagnostic, set by rt/ at each switch; NULL outside fibers. */
extern _Thread_local struct diag *diag_fiber;
/* The diagnostic of the running fiber, or of the thread outside fibers. Never NULL. */
struct diag *diag_get(void);

/* Records an error and returns -code. `sys_errno` is kept when called through err_sys. */
#define err_set(code, ...) err_set_at(__FILE__, __LINE__, (code), 0, __VA_ARGS__)

/* The same for a failed system call given as a positive errno; maps ENOSPC/EDQUOT to NO_SPACE, EIO
 * to IO, ENOENT to NOT_FOUND, ENOMEM to NO_MEMORY, EEXIST to EXISTS, EACCES/EPERM to DENIED,
 * ETIMEDOUT to TIMEOUT, ECONNRESET/EPIPE to CLOSED, EMFILE/ENFILE to LIMIT, otherwise to IO. */
#define err_sys(sys_errno, ...) err_set_at(__FILE__, __LINE__, 0, (sys_errno), __VA_ARGS__)

/* Puts "context: " before the current text, keeps the code, and returns rc unchanged (rc < 0). */
int err_wrap(int rc, const char *fmt, ...) KT_PRINTF(2, 3);

int err_set_at(const char *file, int line, int code, int sys_errno, const char *fmt, ...)
    KT_PRINTF(5, 6);

/* The text of the current diagnostic, or the table's message for `rc` when none was set for it. */
const char *err_text(int rc);
/* Facts of the table; `rc` may be negative or positive. Unknown codes answer as INTERNAL. */
const char *err_name(int rc);
const char *err_message(int rc);
const char *err_s3_code(int rc);
int err_http_status(int rc);
bool err_retryable(int rc);

/* The static analyzer sees no function bodies of other files: tell it that an error is negative. */
#ifdef __clang_analyzer__
#undef err_set
#undef err_sys
#define err_set(code, ...) ((void)err_set_at("", 0, (code), 0, __VA_ARGS__), -(code))
#define err_sys(sys_errno, ...) ((void)err_set_at("", 0, 0, (sys_errno), __VA_ARGS__), -KT_ERR_IO)
#endif

#endif
