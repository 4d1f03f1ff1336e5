/* bench_run: the load generator's engine.
 *
 * Model. `conns` connections, spread over `threads` event loops, each a fiber that takes a ticket,
 * chooses an operation, does it and records how long it took. Closed loop: a ticket is ready at
 * once, latency is that of the request. Open loop (`rate` > 0): ticket i is due at start + i/rate,
 * whether or not earlier ones have finished, and latency is counted from that instant, so that a
 * server that stalls can't hide the requests it kept waiting ("coordinated omission").
 *
 * Each loop owns its objects, its tallies and its random numbers: nothing is shared while it runs
 * but the counter that the progress line reads. Objects are never touched after the cursor of
 * deletes has passed them, but for requests already in flight, whose 404 is counted as a race, not
 * as an error.
 *
 * run_phase blocks (it calls rt_run) and is called from the main thread.
 */
#ifndef KT_CMD_BENCH_RUN_H
#define KT_CMD_BENCH_RUN_H

#include "base/hist.h"
#include "base/rand.h"
#include "cmd/bench_data.h"
#include "cmd/bench_objects.h"
#include "cmd/bench_target.h"
#include "cmd/bench_tree.h"

#define RUN_PIDS_MAX 64
#define RUN_ERROR_TEXT 256

/* What to do, from the command line. */
struct bench_config {
    struct bench_target target;
    uint32_t weights[OP_COUNT]; /* shares of the operations */
    bool check;                 /* sweep: read every object, expect the dead to be gone */
    uint32_t conns;
    int threads;
    double rate;         /* operations per second of all loops, 0: closed loop */
    int64_t duration_ms; /* 0: until `count` */
    int64_t warmup_ms;   /* not counted */
    uint64_t count;      /* operations, 0: until `duration_ms` */
    uint64_t seed;
    double verify;        /* share of GETs whose every byte is compared */
    double share;         /* share of objects that a sweep of deletes takes */
    uint32_t batch_files; /* entries of one tar */
    int64_t timeout_ms;   /* of one request */
    struct data_sizes sizes;
    struct data_keys keys;
    const struct bench_tree *tree; /* files to store instead of made-up bytes, or NULL */
    int pids[RUN_PIDS_MAX];        /* of the server, for its CPU time */
    int npids;
    bool quiet;
    const char *what; /* for the progress line */
};

struct bench_tally {
    uint64_t ops, bytes;  /* successful, within the measured time */
    uint64_t requests;    /* successful requests; a batch is one, of many ops */
    uint64_t busy;        /* 503, 429, 507 */
    uint64_t not_found;   /* 404 for something that must be there */
    uint64_t raced;       /* 404 for something deleted meanwhile */
    uint64_t resurrected; /* deleted, and readable */
    uint64_t corrupt;     /* wrong length or bytes */
    uint64_t errors;      /* everything else */
    uint64_t verified;
    uint64_t retries;    /* files of a tree that were sent again after a busy answer */
    struct hist latency; /* ns per request */
};

struct bench_result {
    struct bench_tally tally[OP_COUNT];
    double seconds;      /* measured time */
    double server_cpu_s; /* of all pids, -1: unknown */
    double client_cpu_s;
    char first_error[RUN_ERROR_TEXT];
    uint64_t connects;
};

/* Runs; `objects` is what exists before and after. `ret` is zeroed first (it is large: heap or
 * static). Requests that fail are counted, not errors of the run. Errors: those of rt_run and of
 * resolving the endpoint, UNAVAILABLE when the first connection fails. */
int run_phase(struct bench_config *cfg, struct bench_objects *objects,
              struct bench_result *ret) KT_MUST_CHECK;
/* True when nothing failed that shouldn't. */
bool run_is_clean(const struct bench_result *r);

#endif
