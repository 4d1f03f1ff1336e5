/* rt: the runtime. Straight-line code on stackful fibers, one event loop per core.
 *
 * Model. rt_run() starts `loops` event loops, each on a thread of its own, and a bounded pool of
 * worker threads for calls that block. Code runs on fibers; a fiber lives on the loop that started
 * it for all its life, so loop-local state needs no lock and thread-locals stay valid over a yield.
 * A call that has to wait parks its fiber and lets others run.
 *
 * Invariants.
 *  1. A fiber is woken only by the wait it registered: one struct rt_wait per sleep, completed
 * once.
 *  2. Every wait takes a deadline (absolute, monotonic ns; RT_NEVER only where a bound exists
 * elsewhere) and fails with -KT_ERR_TIMEOUT past it, or -KT_ERR_CANCELED once its group is
 * canceled.
 *  3. A group's scope ends when all its fibers have.
 *  4. Between rt_no_yield_begin/end nothing may yield (pthread mutexes are held only there);
 * asserted.
 *  5. Fibers, stacks, connections and jobs are capped; at the cap the call returns -KT_ERR_LIMIT.
 *
 * Functions marked KT_YIELDS may park the caller and must run on a fiber. Everything else is
 * callable from any thread unless it says otherwise. Errors are -KT_ERR_* with a diagnostic
 * (base/err.h).
 *
 *     static int two_legs(void)
 *     {
 *         struct rt_group g;
 *         rt_group_open(&g);
 *         int rc = rt_go(&g, leg, &a);
 *         if (rc == 0)
 *             rc = rt_go(&g, leg, &b);
 *         return rt_group_wait(&g, rc);      // joins both, first error wins
 *     }
 */
#ifndef KT_RT_RT_H
#define KT_RT_RT_H

#include "base/err.h"
#include "base/list.h"
#include "base/macros.h"
#include "base/slice.h"
#include <stdatomic.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

struct rt_backend;
struct rt_loop;
struct rt_fiber;

/* ---- start and stop ---- */

struct rt_options {
    const struct rt_backend *backend; /* NULL: Linux */
    int loops;                        /* event loops, 1..64; 0: one per available CPU */
    int workers;                      /* offload threads, 1..256; 0: 8 per loop, at most 64 */
    uint32_t max_fibers;              /* per loop; 0: 16384 */
    uint32_t stack_bytes;             /* per fiber, without its guard page; 0: 256 KiB */
};

/* Runs `fn(arg)` on a fiber of loop 0 with all loops up; when it returns, stops and joins
 * everything and returns its result. All groups must have ended by then. Errors: LIMIT, NO_MEMORY,
 * INVALID. */
int rt_run(const struct rt_options *opt, int (*fn)(void *arg), void *arg) KT_MUST_CHECK;

int rt_loop_count(void);
/* Index of the calling loop, or -1 outside loops. */
int rt_loop_index(void);
/* Runs fn(arg) on a fiber of loop `index` and waits for its result. */
int rt_call_on(int index, int (*fn)(void *arg), void *arg) KT_MUST_CHECK KT_YIELDS;

/* True on a fiber outside no-yield sections. */
bool rt_may_yield(void);
void rt_no_yield_begin(void);
void rt_no_yield_end(void);
/* Lets other ready fibers run. */
void rt_yield(void) KT_YIELDS;
/* Sets the calling fiber's request id, shown in logs and in the fiber list (0: none). */
void rt_set_request_id(uint64_t id);
uint64_t rt_request_id(void);

/* ---- time ---- */

#define RT_NEVER INT64_MAX
int64_t rt_now_ns(void);   /* monotonic; cached per loop turn is allowed to be up to 1 ms old */
int64_t rt_clock_ns(void); /* monotonic, read now: for measuring */
int64_t rt_wall_ns(void);  /* since the Unix epoch; may jump */
static inline int64_t rt_after_ms(int64_t ms)
{
    return rt_now_ns() + ms * NS_PER_MS;
}
/* Sleeps until `deadline_ns`. Returns 0, or CANCELED. */
int rt_sleep_until(int64_t deadline_ns) KT_MUST_CHECK KT_YIELDS;
/* Cryptographic random bytes (the simulator's seeded stream under simulation). */
void rt_random(void *out, size_t len);

/* ---- fibers and groups ---- */

struct rt_group {
    struct list fibers;      /* live members */
    struct rt_wait *waiter;  /* rt_group_wait's, or NULL */
    struct rt_group *parent; /* the opening fiber's own group: cancellation is inherited */
    struct list scope;       /* link in the opening fiber's list of open groups */
    int first_error;         /* of the first member that failed */
    int first_diag_code;     /* its diagnostic, kept for the joiner */
    char first_diag_text[DIAG_TEXT_MAX];
    uint32_t count;
    bool canceled;
};

/* Opens a scope on the calling fiber's stack; it must be ended by rt_group_wait on every path. */
void rt_group_open(struct rt_group *g);
/* Starts fn(arg) on a new fiber of this loop as a member. Errors: LIMIT, NO_MEMORY, CANCELED. */
int rt_go(struct rt_group *g, int (*fn)(void *arg), void *arg) KT_MUST_CHECK;
/* Cancels all members: each wait they are in, or enter, returns -KT_ERR_CANCELED. */
void rt_group_cancel(struct rt_group *g);
/* Waits for all members; `rc` < 0 cancels them first. Returns rc, else the first member's error,
 * else 0. */
int rt_group_wait(struct rt_group *g, int rc) KT_YIELDS;

/* ---- the one waiting primitive ---- */

/* A one-shot rendezvous between one fiber and any thread. The fiber inits it, hands it to whoever
 * will complete it, and parks. rt_wake may come before the park. When the park ends early
 * (deadline, cancel) the fiber must make sure that nobody will touch `w` any more: take it back
 * under the same lock that the waker uses. */
struct rt_wait {
    struct rt_fiber *fiber;
    struct rt_wait *next_remote; /* link in the loop's inbox */
    _Atomic uint32_t state;
};

void rt_wait_init(struct rt_wait *w);
/* Returns 0 when woken, -KT_ERR_TIMEOUT or -KT_ERR_CANCELED otherwise. */
int rt_wait_park(struct rt_wait *w, int64_t deadline_ns) KT_MUST_CHECK KT_YIELDS;
/* As park, but neither deadline nor cancellation ends it: only for waits that are bounded by
 * construction (an offloaded call that will return). */
void rt_wait_park_uncancelable(struct rt_wait *w) KT_YIELDS;
/* Wakes it, once; from any thread. `w` may be gone as soon as this is called. */
void rt_wake(struct rt_wait *w);

/* ---- loop-local synchronisation (fibers of one loop only) ---- */

struct rt_mutex {
    struct rt_fiber *owner;
    struct list waiters;
};
struct rt_cond {
    struct list waiters;
};
struct rt_sem {
    uint32_t free;
    struct list waiters;
};
void rt_mutex_init(struct rt_mutex *m);
int rt_mutex_lock(struct rt_mutex *m, int64_t deadline_ns) KT_MUST_CHECK KT_YIELDS;
void rt_mutex_unlock(struct rt_mutex *m);
void rt_cond_init(struct rt_cond *c);
/* Waits for a signal (no mutex: loop-local state can't change between check and wait). */
int rt_cond_wait(struct rt_cond *c, int64_t deadline_ns) KT_MUST_CHECK KT_YIELDS;
void rt_cond_signal(struct rt_cond *c);
void rt_cond_broadcast(struct rt_cond *c);
void rt_sem_init(struct rt_sem *s, uint32_t free);
int rt_sem_take(struct rt_sem *s, int64_t deadline_ns) KT_MUST_CHECK KT_YIELDS;
void rt_sem_give(struct rt_sem *s);

/* ---- network ---- */

struct rt_addr {
    uint8_t ip[16]; /* IPv6, or IPv4 mapped (::ffff:a.b.c.d) */
    uint16_t port;  /* host order */
};
#define RT_ADDR_TEXT_MAX 64
/* Parses "127.0.0.1:9000" or "[::1]:9000". Errors: INVALID. */
int rt_addr_parse(struct slice s, struct rt_addr *ret) KT_MUST_CHECK;
/* Writes it in the same form, NUL-terminated. */
void rt_addr_format(const struct rt_addr *a, char out[RT_ADDR_TEXT_MAX]);

/* A connected or listening socket, bound to the calling loop. Owned by the caller, embedded in its
 * structs. */
struct rt_sock {
    int handle;          /* -1: closed */
    uint32_t registered; /* RT_POLL_* bits now in the poller */
    struct rt_loop *loop;
    struct rt_wait *reader; /* the fiber waiting for input, or NULL */
    struct rt_wait *writer;
    void (*parked_fn)(
        struct rt_sock *s); /* called on the loop when a parked socket becomes readable */
    uint32_t ready;         /* bits reported and not yet consumed */
};

int rt_listen(const struct rt_addr *addr, struct rt_sock *ret) KT_MUST_CHECK;
int rt_sock_local(const struct rt_sock *s, struct rt_addr *ret) KT_MUST_CHECK;
/* Errors: TIMEOUT, CANCELED, LIMIT (out of descriptors: the caller backs off), CLOSED. */
int rt_accept(struct rt_sock *listener, struct rt_sock *ret, struct rt_addr *ret_peer,
              int64_t deadline_ns) KT_MUST_CHECK KT_YIELDS;
int rt_connect(const struct rt_addr *addr, struct rt_sock *ret,
               int64_t deadline_ns) KT_MUST_CHECK KT_YIELDS;
int rt_resolve(const char *host, uint16_t port, struct rt_addr *ret) KT_MUST_CHECK KT_YIELDS;
/* Bytes read (> 0), 0 at the peer's end of stream. Errors: TIMEOUT, CANCELED, CLOSED. */
ssize_t rt_recv(struct rt_sock *s, void *p, size_t len,
                int64_t deadline_ns) KT_MUST_CHECK KT_YIELDS;
/* The same without waiting: -KT_ERR_AGAIN when nothing is there (sets no diagnostic). */
ssize_t rt_recv_now(struct rt_sock *s, void *p, size_t len) KT_MUST_CHECK;
/* Sends everything or fails; `iov` is consumed (changed). n <= 64. */
int rt_sendv(struct rt_sock *s, struct iovec *iov, int n,
             int64_t deadline_ns) KT_MUST_CHECK KT_YIELDS;
/* Parks the socket without a fiber: fn runs on the loop (not on a fiber) when input arrives or the
 * peer hangs up. The parking is one-shot; rt_unpark takes it back. At most one reader or parking at
 * a time. */
int rt_park(struct rt_sock *s, void (*fn)(struct rt_sock *s)) KT_MUST_CHECK;
void rt_unpark(struct rt_sock *s);
int rt_shutdown(struct rt_sock *s);
/* Closes and wakes any waiter with CLOSED. Safe on a closed one. */
void rt_close(struct rt_sock *s);
/* From a parked_fn or timer (not on a fiber): starts a detached fiber owned by the loop's root
 * group, which rt_run waits for. Errors: LIMIT, NO_MEMORY. */
int rt_go_root(int (*fn)(void *arg), void *arg) KT_MUST_CHECK;

/* ---- timers without a fiber (for parked connections) ---- */

struct rt_timer {
    int64_t at_ns;
    uint32_t slot; /* position in the loop's heap, UINT32_MAX when idle */
    struct rt_loop *loop;
    void (*fn)(struct rt_timer *t);
};
void rt_timer_init(struct rt_timer *t, void (*fn)(struct rt_timer *t));
int rt_timer_set(struct rt_timer *t,
                 int64_t at_ns) KT_MUST_CHECK; /* (re)arms on the calling loop */
void rt_timer_cancel(struct rt_timer *t);

/* ---- files: reads try the page cache on the loop and offload only when they would block ---- */

struct rt_stat {
    uint64_t size;      /* bytes */
    uint64_t allocated; /* bytes on disk */
};
#define RT_O_READ 1u
#define RT_O_WRITE 2u
#define RT_O_CREATE 4u
#define RT_O_EXCL 8u
#define RT_O_DIRECT 16u /* bypass the page cache; offset, length and memory aligned to 4096 */
#define RT_ADVISE_RANDOM 1
#define RT_ADVISE_DONTNEED 2
#define RT_ADVISE_SEQUENTIAL 3

int rt_dir_open(const char *path, bool create) KT_MUST_CHECK KT_YIELDS; /* handle */
int rt_dir_sync(int dir) KT_MUST_CHECK KT_YIELDS;
/* Calls each(arg, name) for every entry but "." and "..", in no order. */
int rt_dir_list(int dir, void (*each)(void *arg, const char *name),
                void *arg) KT_MUST_CHECK KT_YIELDS;
int rt_dir_space(int dir, uint64_t *ret_total, uint64_t *ret_free) KT_MUST_CHECK KT_YIELDS;
/* `name` is one component; links, devices and files with several links are refused (DENIED). */
int rt_file_open(int dir, const char *name, unsigned flags, unsigned mode) KT_MUST_CHECK KT_YIELDS;
/* Exactly `len` bytes or an error: EOF when the file ends before, IO on a fault. */
int rt_file_pread(int file, void *p, size_t len, uint64_t off) KT_MUST_CHECK KT_YIELDS;
/* Up to `len` bytes; the count is short only at the end of the file. */
ssize_t rt_file_pread_some(int file, void *p, size_t len, uint64_t off) KT_MUST_CHECK KT_YIELDS;
/* Everything or an error; short writes are continued, and an error after a short write is an error.
 */
int rt_file_pwritev(int file, struct iovec *iov, int n, uint64_t off) KT_MUST_CHECK KT_YIELDS;
int rt_file_datasync(int file) KT_MUST_CHECK KT_YIELDS;
int rt_file_sync(int file) KT_MUST_CHECK KT_YIELDS;
/* pwritev and datasync as one offloaded job: the group commit's. */
int rt_file_pwritev_sync(int file, struct iovec *iov, int n, uint64_t off,
                         bool sync) KT_MUST_CHECK KT_YIELDS;
int rt_file_truncate(int file, uint64_t size) KT_MUST_CHECK KT_YIELDS;
int rt_file_advise(int file, uint64_t off, uint64_t len, int advice);
int rt_file_lock(int file) KT_MUST_CHECK; /* Errors: LOCKED */
int rt_file_stat(int file, struct rt_stat *ret) KT_MUST_CHECK;
int rt_file_rename(int dir, const char *from, const char *to) KT_MUST_CHECK KT_YIELDS;
int rt_file_unlink(int dir, const char *name) KT_MUST_CHECK KT_YIELDS;
void rt_file_close(int handle); /* files and directories; -1 is fine */

/* ---- offload ---- */

struct rt_job {
    int (*fn)(void *arg);
    void *arg;
    int rc;
    bool urgent;         /* exempt from the queue's bound, and served first (writes and syncs) */
    struct diag diag;    /* what fn reported */
    struct rt_job *next; /* link in the backend's queue */
    struct rt_wait wait;
};
/* Runs fn(arg) on a worker thread and waits for its result; fn may block and may not use fiber
 * calls. Not cancelable: `arg` may live on the caller's stack. The queue is bounded: LIMIT when
 * full. */
int rt_offload(int (*fn)(void *arg), void *arg) KT_MUST_CHECK KT_YIELDS;
/* For backends: runs fn, keeping its result and diagnostic in the job. Any thread. */
void rt_job_run(struct rt_job *job);
/* For backends: wakes the waiting fiber after rt_job_run; `job` may be gone at once. Any thread. */
void rt_job_finished(struct rt_job *job);

/* ---- signals and introspection ---- */

/* Waits for SIGINT or SIGTERM (or rt_stop()). Returns the signal's number, 0 for rt_stop; once
 * asked, every later call returns at once. A second SIGINT ends the process. Errors: TIMEOUT,
 * CANCELED. */
int rt_wait_stop(int64_t deadline_ns) KT_YIELDS;
void rt_stop(void); /* any thread */
/* Called on loop 0, not on a fiber, after a SIGHUP; set before rt_run. */
void rt_set_reload_hook(void (*fn)(void));
/* Calls each() for every live fiber of this loop: its id, request id, what it waits for, for how
 * long. */
struct rt_fiber_info {
    uint64_t id, request_id;
    const char *wait; /* name of the wait, "running" or "ready" */
    int64_t waiting_ns;
};
void rt_fiber_list(void (*each)(void *arg, const struct rt_fiber_info *info), void *arg);
/* Called on a loop whose turn took more than 100 ms, with the fiber that ran last; set before
 * rt_run. */
struct rt_slow {
    int loop;
    int64_t took_ns;
    uint64_t fiber_id, request_id;
};
void rt_set_slow_hook(void (*fn)(const struct rt_slow *slow));
struct rt_stats {
    uint64_t fibers, fibers_max, switches, offloads, offload_queue, read_hits, read_offloads,
        stack_high_water;
};
void rt_stats(struct rt_stats *ret); /* sums all loops */

#endif
