/* batch: runs many cases in child processes, so that a crash or a hang is one failed case and not
 * the end. */
#ifndef KT_TESTS_MODEL_BATCH_H
#define KT_TESTS_MODEL_BATCH_H

#include "tests/model/run.h"

#define BATCH_FAILURES_MAX 64
#define BATCH_TEXT_MAX 480

struct batch_failure {
    uint64_t id;
    char text[BATCH_TEXT_MAX];
};
struct batch_result {
    struct counters c;
    uint64_t done, failed;
    int nfailures; /* kept in `failures` */
    struct batch_failure failures[BATCH_FAILURES_MAX];
};

/* Runs fn(id, c, text) for every id in [first, last] on `jobs` processes. fn returns true when the
 * case is fine, else has filled `text`; it adds to *c. Each case gets `limit_s` seconds. Stops
 * early after `stop_after` failures (0: never). */
typedef bool (*batch_fn)(uint64_t id, struct counters *c, char text[BATCH_TEXT_MAX]);
struct batch {
    uint64_t first, last;
    int jobs, limit_s;
    uint64_t stop_after;
    batch_fn fn;
};
void batch_run(const struct batch *b, struct batch_result *ret);
void batch_print_counters(const struct counters *c);

#endif
