/* assert: invariants that stay on in release builds.
 *
 * kt_assert is for programming errors only. Bytes from the network or a disk never assert: they
 * return KT_ERR_PROTO or KT_ERR_CORRUPT. A failed assertion prints expression, place and the hook's
 * context (fiber, request id) to standard error and aborts. Callable from any thread, never yields.
 */
#ifndef KT_BASE_ASSERT_H
#define KT_BASE_ASSERT_H

#include "base/macros.h"

#define kt_assert(expr)                                                                            \
    do {                                                                                           \
        if (KT_UNLIKELY(!(expr)))                                                                  \
            assert_failed(#expr, __FILE__, __LINE__, __func__);                                    \
    } while (0)

void assert_failed(const char *expr, const char *file, int line, const char *func) KT_NORETURN;

/* Called once before abort to add context; set by rt/ and obs/. May only use async-signal-safe
 * calls. */
extern void (*assert_hook)(void);

#endif
