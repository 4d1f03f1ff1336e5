/* http_test: a server with a handler for every case, and raw sockets to be rude with.
 *
 * Test bodies run on a fiber, where cmocka's assertions can't jump away: CHECK prints and aborts.
 */
#ifndef KT_TESTS_UNIT_HTTP_HTTP_TEST_H
#define KT_TESTS_UNIT_HTTP_HTTP_TEST_H

#include "tests/lib/unit.h"

#include "base/crc32c.h"
#include "base/enc.h"
#include "http/client.h"
#include <stdio.h>
#include <stdlib.h>

#define CHECK(expr)                                                                                \
    do {                                                                                           \
        if (!(expr)) {                                                                             \
            fprintf(stderr, "%s:%d: %s (%s)\n", __FILE__, __LINE__, #expr, diag_get()->text);      \
            abort();                                                                               \
        }                                                                                          \
    } while (0)
#define CHECK_INT(a, b)                                                                            \
    do {                                                                                           \
        long long a_ = (long long)(a), b_ = (long long)(b);                                        \
        if (a_ != b_) {                                                                            \
            fprintf(stderr, "%s:%d: %s is %lld, not %lld (%s)\n", __FILE__, __LINE__, #a, a_, b_,  \
                    diag_get()->text);                                                             \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

struct env {
    struct http_limits limits;
    int loops;
    uint32_t max_fibers;
    const struct rt_backend *backend; /* NULL: Linux */
    void *user;                       /* the test's own */
    void (*body)(struct env *e);
    struct http_server *server; /* NULL after a test has stopped it itself */
    struct rt_addr addr;
    int done_calls, done_rc;
};

/* Starts a server with env's limits on a free port of 127.0.0.1, runs `body` and stops it; checks
 * that nothing is left. */
void env_run(struct env *e, void (*body)(struct env *e));
static inline struct env env_default(void)
{
    return (struct env){.limits = http_limits_default, .loops = 1};
}

/* A raw connection. */
struct raw {
    struct rt_sock sock;
    size_t len;
    char in[65536]; /* everything received so far, NUL-terminated */
};
struct raw *raw_open(const struct rt_addr *addr);
void raw_close(struct raw *r);
void raw_send(struct raw *r, const void *p, size_t len);
static inline void raw_say(struct raw *r, const char *s)
{
    raw_send(r, s, strlen(s));
}
/* Receives until `n` heads and their bodies' worth of `text` occurrences are in, or fails after 2
 * s. */
void raw_wait_for(struct raw *r, const char *text, int n);
/* Receives until the peer ends the stream; fails after `timeout_ms`. */
void raw_wait_end(struct raw *r, int timeout_ms);
int raw_count(const struct raw *r, const char *text);

#endif
