/* volume/gate: a lock that may be held over a yield and taken from any loop.
 *
 * Model. rt_mutex serves the fibers of one loop; a gate serves all. It guards rare, slow steps
 * (loading an index, creating a volume), never a hot path. Waiters are served in order of arrival;
 * ownership is handed over, so there is no stampede. The owner may not enter again.
 *
 *     int rc = gate_enter(&v->load_gate, deadline_ns);
 *     if (rc < 0)
 *         return rc;
 *     rc = slow_step(v);
 *     gate_leave(&v->load_gate);
 */
#ifndef KT_VOLUME_GATE_H
#define KT_VOLUME_GATE_H

#include "rt/rt.h"
#include <pthread.h>

struct gate {
    pthread_mutex_t mu;
    bool busy;           /* guarded by mu */
    struct list waiters; /* guarded by mu */
};

void gate_init(struct gate *g);
void gate_done(struct gate *g);
/* Errors: TIMEOUT, CANCELED. */
int gate_enter(struct gate *g, int64_t deadline_ns) KT_MUST_CHECK KT_YIELDS;
void gate_leave(struct gate *g);

/* A short section that may not yield, under a plain mutex. */
static inline void section_begin(pthread_mutex_t *mu)
{
    rt_no_yield_begin();
    pthread_mutex_lock(mu);
}
static inline void section_end(pthread_mutex_t *mu)
{
    pthread_mutex_unlock(mu);
    rt_no_yield_end();
}

#endif
