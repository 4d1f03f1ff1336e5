/* offload: jobs on the worker pool. The job lives on the caller's stack, the wait is not
 * cancelable, so the worker never touches memory that is gone.
 *
 * Failure modes: a full queue is LIMIT before anything has run. Writes and syncs of files are
 * urgent: never refused, because a refused write would look like a broken disk; each belongs to a
 * parked fiber, which bounds them.
 */
#include "rt/rt_priv.h"

#include <errno.h>

void rt_job_run(struct rt_job *job)
{
    struct diag *outer_diag = diag_fiber;
    struct rt_fiber *outer = fiber_self;
    diag_fiber = &job->diag;
    fiber_self = NULL; /* the simulator may run a job on a fiber: it must not yield there either */
    job->rc = job->fn(job->arg);
    fiber_self = outer;
    diag_fiber = outer_diag;
}

void rt_job_finished(struct rt_job *job)
{
    atomic_fetch_sub_explicit(&rt_self.jobs, 1, memory_order_relaxed);
    rt_wake(&job->wait);
}

static int run_job(int (*fn)(void *), void *arg, bool urgent)
{
    kt_assert(rt_may_yield());
    struct rt_job job;
    job.fn = fn;
    job.arg = arg;
    job.rc = 0;
    job.urgent = urgent;
    job.next = NULL;
    job.diag.code = 0;
    job.diag.text[0] = '\0';
    rt_wait_init(&job.wait);
    atomic_fetch_add_explicit(&rt_self.jobs, 1, memory_order_relaxed);
    int rc = be()->offload(be()->self, &job);
    if (rc < 0) {
        atomic_fetch_sub_explicit(&rt_self.jobs, 1, memory_order_relaxed);
        return rc == -EAGAIN ? err_set(KT_ERR_LIMIT, "the queue of blocking calls is full")
                             : err_sys(-rc, "start a blocking call");
    }
    stat_add(&loop_self->stat_offloads, 1);
    fiber_park(&job.wait, RT_NEVER, "offload", false);
    if (job.rc < 0 && job.diag.code == -job.rc)
        *diag_get() = job.diag;
    return job.rc;
}

int rt_offload(int (*fn)(void *arg), void *arg)
{
    return run_job(fn, arg, false);
}

int offload_urgent(int (*fn)(void *arg), void *arg)
{
    return run_job(fn, arg, true);
}
