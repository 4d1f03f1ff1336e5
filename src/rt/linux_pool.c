/* linux_pool: worker threads and their two queues, urgent jobs first, each first come, first
 * served.
 *
 * Failure modes: a thread that can't be started undoes the pool; a full queue is -EAGAIN. Urgent
 * jobs have no bound of their own: each is owned by a parked fiber.
 */
#include "rt/linux.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

struct queue {
    struct rt_job *first, **last;
};

static struct {
    pthread_mutex_t mu;
    pthread_cond_t work;
    struct queue urgent, normal; /* guarded by mu */
    int queued;                  /* normal jobs waiting; guarded by mu */
    int idle;                    /* workers asleep; guarded by mu */
    bool stopping;               /* guarded by mu */
    int closing[64];             /* descriptors whose close takes long; guarded by mu */
    int closing_count;
    int queue_max;
    int workers;
    pthread_t thread[256];
} pool = {.mu = PTHREAD_MUTEX_INITIALIZER, .work = PTHREAD_COND_INITIALIZER};

static void push(struct queue *q, struct rt_job *job)
{
    job->next = NULL;
    *q->last = job;
    q->last = &job->next;
}

static struct rt_job *pop(struct queue *q)
{
    struct rt_job *job = q->first;
    if (job) {
        q->first = job->next;
        if (!q->first)
            q->last = &q->first;
    }
    return job;
}

static struct rt_job *next_job(void)
{
    struct rt_job *job = pop(&pool.urgent);
    if (!job) {
        job = pop(&pool.normal);
        if (job)
            pool.queued--;
    }
    return job;
}

/* Does one piece of work, dropping the lock meanwhile. False when there is none. */
static bool work_once(void)
{
    struct rt_job *job = next_job();
    if (!job && pool.closing_count == 0)
        return false;
    int fd = job ? -1 : pool.closing[--pool.closing_count];
    pthread_mutex_unlock(&pool.mu);
    if (job) {
        rt_job_run(job);
        rt_job_finished(job);
    } else {
        close(fd);
    }
    pthread_mutex_lock(&pool.mu);
    return true;
}

static void *worker_main(void *arg)
{
    pthread_mutex_lock(&pool.mu);
    for (;;) {
        if (work_once())
            continue;
        if (pool.stopping)
            break;
        pool.idle++;
        pthread_cond_wait(&pool.work, &pool.mu);
        pool.idle--;
    }
    pthread_mutex_unlock(&pool.mu);
    return arg;
}

void linux_pool_stop(void)
{
    pthread_mutex_lock(&pool.mu);
    pool.stopping = true;
    pthread_cond_broadcast(&pool.work);
    pthread_mutex_unlock(&pool.mu);
    for (int i = 0; i < pool.workers; i++)
        pthread_join(pool.thread[i], NULL);
    pool.workers = 0;
}

int linux_pool_start(void *self, int workers, int queue_max)
{
    (void)self;
    pool.urgent = (struct queue){NULL, &pool.urgent.first};
    pool.normal = (struct queue){NULL, &pool.normal.first};
    pool.queued = 0;
    pool.closing_count = 0;
    pool.stopping = false;
    pool.queue_max = queue_max;
    pool.workers = 0;

    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old); /* workers take no signals */
    int rc = 0;
    while (rc == 0 && pool.workers < workers) {
        rc = pthread_create(&pool.thread[pool.workers], NULL, worker_main, NULL);
        if (rc == 0)
            pool.workers++;
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (rc != 0)
        linux_pool_stop();
    return -rc;
}

int linux_offload(void *self, struct rt_job *job)
{
    (void)self;
    int rc = 0;
    pthread_mutex_lock(&pool.mu);
    if (job->urgent) {
        push(&pool.urgent, job);
    } else if (pool.queued >= pool.queue_max) {
        rc = -EAGAIN;
    } else {
        push(&pool.normal, job);
        pool.queued++;
    }
    bool wake = rc == 0 && pool.idle > 0;
    pthread_mutex_unlock(&pool.mu);
    if (wake)
        pthread_cond_signal(&pool.work);
    return rc;
}

bool linux_pool_close(int fd)
{
    pthread_mutex_lock(&pool.mu);
    bool taken =
        pool.workers > 0 && !pool.stopping && pool.closing_count < (int)KT_ARRAY_LEN(pool.closing);
    if (taken)
        pool.closing[pool.closing_count++] = fd;
    pthread_mutex_unlock(&pool.mu);
    if (taken)
        pthread_cond_signal(&pool.work);
    return taken;
}
