/* bench_worker: one connection of the load generator, and what the connections of one loop share.
 *
 * bench_run makes a struct bench_loop per event loop and one fiber per connection that runs
 * worker_run. All fields belong to that loop's thread, but `done` and `stop`, which the monitor
 * reads and sets.
 */
#ifndef KT_CMD_BENCH_WORKER_H
#define KT_CMD_BENCH_WORKER_H

#include "base/rand.h"
#include "cmd/bench_run.h"
#include <stdatomic.h>

struct bench_loop {
    const struct bench_config *cfg;
    int index, loops;             /* this one's number, and of how many */
    struct bench_objects objects; /* this loop's share */
    uint64_t cursor;              /* objects before it are deleted or visited (sweeps) */
    uint64_t next_index;          /* of the next object to store; steps by `loops` */
    uint64_t end_index;           /* exclusive; UINT64_MAX: none */
    uint64_t tickets, tickets_max;
    int64_t start_ns, from_ns, until_ns; /* begin; measured window */
    int64_t interval_ns; /* open loop: between this loop's tickets; 0: closed loop */
    uint32_t conns;
    struct data_keys keys;
    struct rand_state rand;
    struct bench_tally *tally; /* OP_COUNT of them, owned by bench_run */
    char first_error[RUN_ERROR_TEXT];
    uint64_t connects;
    int failed_rc;         /* why the loop ended early, or 0 */
    _Atomic uint64_t done; /* operations, for the progress line */
    _Atomic bool stop;
};

/* A fiber: takes tickets until there are none. `arg` is the struct bench_loop. Failures of requests
 * are counted; returns an error only when no connection can be made at all. */
int worker_run(void *arg) KT_MUST_CHECK KT_YIELDS;

#endif
