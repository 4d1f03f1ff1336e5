/* ask: an HTTP client for unit tests that run the server in their own process. One request, one
 * connection, the whole answer in memory. A failed expectation aborts: it happens on a fiber, where
 * cmocka can't jump from. */
#ifndef KT_TESTS_UNIT_GATEWAY_ASK_H
#define KT_TESTS_UNIT_GATEWAY_ASK_H

#include "base/assert.h"
#include "base/buf.h"
#include "gateway/gateway.h"
#include "tests/lib/mem_store.h"

#define EXPECT(e) kt_assert(e)

struct answer {
    int status;
    struct buf all;          /* head and body */
    struct slice head, body; /* body: chunks already put together */
};

/* A running gateway over a mem_store in a directory of its own. */
struct world {
    char dir[64];
    struct mem_store store;
    struct gateway *gw;
    struct http_server *server;
    struct rt_addr addr;
    struct key key;
    bool new_key;
    struct answer last;
};

/* Makes the directory, the store, the gateway and a server on a free port. */
void world_open(struct world *w);
void world_close(struct world *w);
/* Stops and opens the gateway and server again over the same store and directory. */
void world_restart(struct world *w);
/* Removes buckets.json, as if it was lost. */
void world_unlink(struct world *w, const char *name);

/* Sends a request line with `fields` ("Name: value\r\n..." or "") and a body. */
struct answer *ask(struct world *w, const char *line, const char *fields, struct slice body);
/* The same with the world's key as bearer. */
struct answer *ask_key(struct world *w, const char *line, struct slice body);
/* Value of a field of the last answer, empty when absent. */
struct slice answer_field(const struct answer *a, const char *name);
bool body_has(const struct answer *a, const char *text);
/* Copies the string member `name` of a JSON body (first occurrence). */
void body_text(const struct answer *a, const char *name, char *out, size_t cap);

#endif
