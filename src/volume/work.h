/* volume/work: the manners of a long job beside live traffic: a byte rate, pauses, progress.
 *
 * Model. Compaction, scrub and the like run on one fiber and call work_step after each piece. It
 * adds the bytes to the progress, lets other fibers run, sleeps as long as the rate demands, and
 * waits while the pause function names a reason. Cancellation of the fiber's group ends the next
 * step with CANCELED. Progress may be read from any thread at any time. Only what makes an
 * eighth of a second, at most WORK_BURST bytes, passes unslept, so that small pieces don't cost a
 * timer each.
 */
#ifndef KT_VOLUME_WORK_H
#define KT_VOLUME_WORK_H

#include "rt/rt.h"

#define WORK_BURST (1u << 20)
#define WORK_PAUSE_MS 100 /* how often a paused job asks again */

struct work {
    uint64_t bytes_per_s; /* 0: no limit */
    /* Why to stand still now, NULL to go on; static storage; may be NULL. */
    const char *(*pause)(void *arg);
    void *arg;

    /* any thread may read */
    _Atomic uint64_t done, total; /* bytes */
    const char *_Atomic phase;    /* static storage */
    const char *_Atomic paused;   /* reason, or NULL */
    _Atomic int64_t started_ns;   /* monotonic */
    _Atomic int64_t paused_ns;    /* spent in pauses */

    /* the fiber's own */
    uint64_t owed;   /* bytes since the rate was last looked at */
    int64_t next_ns; /* when the rate allows the next burst */
};

/* Starts a job over `total` bytes; keeps rate and pause function. */
void work_begin(struct work *w, const char *phase, uint64_t total);
void work_phase(struct work *w, const char *phase);
/* Errors: CANCELED. */
int work_step(struct work *w, uint64_t bytes) KT_MUST_CHECK KT_YIELDS;
/* Mean bytes a second since the start, pauses left out; and seconds to go at that rate (UINT64_MAX:
 * unknown). */
uint64_t work_rate(const struct work *w);
uint64_t work_eta_s(const struct work *w);

#endif
