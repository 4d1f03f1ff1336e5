/* rt_priv: what the files of rt/ share; nobody else includes it.
 *
 * One struct rt for the process, an array of struct rt_loop, one per thread. A loop's fields are
 * touched by its own thread only, except the three marked "any thread". Fibers live at the top of
 * their own stacks: one mapping per fiber, nothing else is allocated to start one.
 *
 * Life of a fiber: fiber_spawn (pool or mmap) -> ready list -> fiber_resume from the loop -> fn
 * runs; parks in fiber_park (state in struct rt_wait) and comes back through fiber_make_ready -> fn
 * returns
 * -> the group is told -> the loop takes the stack back into the pool.
 *
 * State of a wait (struct rt_wait.state), which settles every race between waker, timer and cancel:
 *
 *     INIT --rt_wake--> WOKEN              (woken before the park: the park returns at once)
 *     INIT --park-----> PARKED --rt_wake--> WOKEN   (the waker, and nobody else, readies the fiber)
 *                       PARKED --timer, cancel--> ENDED   (who moved the state readies the fiber)
 *
 * A waker on another thread moves PARKED to WOKEN first and then links the wait into the loop's
 * inbox. From that moment timer and cancel lose, so the fiber stays parked, and the wait alive,
 * until its own loop takes it from the inbox. A waker that found INIT touches nothing after its
 * exchange.
 */
#ifndef KT_RT_RT_PRIV_H
#define KT_RT_RT_PRIV_H

#include "base/assert.h"
#include "base/list.h"
#include "rt/backend.h"
#include "rt/rt.h"
#include "rt/san.h"
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

enum { WAIT_INIT, WAIT_PARKED, WAIT_WOKEN, WAIT_ENDED };

enum {
    LOOPS_MAX = 64,
    WORKERS_MAX = 256,
    EVENTS_PER_TURN = 256,
    RESUMES_PER_TURN = 64,    /* at least all that were ready when the turn began */
    JOB_QUEUE_MAX = 4096,     /* waiting offload jobs, urgent ones apart */
    FIBERS_KEPT = 256,        /* idle stacks kept mapped per loop */
    STACK_CHECK_EVERY = 64,   /* uses of a stack between two looks at its residency */
    STACK_KEEP_BYTES = 65536, /* resident bytes that an idle stack may keep */
    SLOW_TURN_MS = 100,
};
#define TIMERS_MAX (1u << 22)
#define SOCK_ADDED 0x80000000u /* in rt_sock.registered: the poller knows the socket */

struct rt_fiber {
    void *sp; /* while suspended; read by tools/gdb/kitten.py */
    struct rt_loop *loop;
    struct list ready;      /* in loop->ready, or loop->pool when dead */
    struct list live;       /* in loop->live */
    struct list member;     /* in group->fibers */
    struct rt_group *group; /* NULL: none (rt_run's main fiber) */
    struct list scopes;     /* groups that it has opened and not yet waited for */
    int (*fn)(void *arg);
    void *arg;
    struct rt_wait *wait;  /* the one it is parked on, or NULL */
    const char *wait_name; /* static string; NULL while running or ready */
    int64_t wait_since_ns;
    bool wait_cancelable;
    int wait_rc; /* 0, -KT_ERR_TIMEOUT or -KT_ERR_CANCELED: why the park ended */
    bool ended;
    uint32_t no_yield; /* depth of rt_no_yield_begin */
    uint64_t id, request_id;
    struct rt_timer timer; /* the wait's deadline */
    struct diag diag;
    uint8_t *map; /* guard page first, then the stack; this struct is at its end */
    size_t map_bytes;
    uint32_t uses;
    struct san_ctx san;
};

struct timer_slot {
    int64_t at_ns;
    struct rt_timer *timer;
};

/* rt_call_on's message; lives on the caller's stack until `wait` is woken. */
struct remote_call {
    struct remote_call *next;
    int (*fn)(void *arg);
    void *arg;
    int rc;
    struct diag diag;
    struct rt_wait wait;
};

struct rt_loop {
    int index;
    struct rt_poller *poller;
    void *sp; /* the loop's own context while a fiber runs */
    struct san_ctx san;
    struct rt_fiber *current;
    struct list ready, live, pool;
    uint32_t live_count, pool_count, all_count; /* all: live + pool */
    uint64_t next_fiber_id;
    int64_t now_ns;
    int64_t turn_ns; /* when the turn began */
    uint64_t last_fiber_id, last_request_id;
    struct timer_slot *heap;
    uint32_t heap_len, heap_cap, heap_user; /* user: armed timers that are not a fiber's */
    struct rt_group root;
    bool drained;
    struct rt_event events[EVENTS_PER_TURN];
    int event_at, event_count;
    /* any thread */
    _Atomic(struct rt_wait *) inbox;
    _Atomic(struct remote_call *) calls;
    _Atomic bool sleeping;
    /* written by the owner, read by any thread */
    _Atomic uint64_t stat_fibers, stat_fibers_max, stat_switches, stat_offloads, stat_read_hits,
        stat_read_offloads, stat_stack_high;
};

struct rt {
    const struct rt_backend *backend;
    struct rt_loop *loops;
    int loop_count;
    uint32_t max_fibers;
    size_t stack_bytes;
    int (*fn)(void *arg);
    void *arg;
    int result;
    struct diag result_diag;
    _Atomic bool ending;  /* the main function has returned */
    _Atomic int drained;  /* loops without fibers; all of them: time to leave */
    _Atomic int64_t jobs; /* offloaded and not finished */
};

extern struct rt rt_self;
extern _Thread_local struct rt_loop *loop_self;
extern _Thread_local struct rt_fiber *fiber_self;

static inline const struct rt_backend *be(void)
{
    return rt_self.backend;
}
static inline void stat_add(_Atomic uint64_t *counter, uint64_t n)
{
    uint64_t old = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, old + n, memory_order_relaxed);
}

/* fiber.c. Errors: LIMIT, NO_MEMORY. */
int fiber_spawn(struct rt_loop *l, struct rt_group *g, int (*fn)(void *), void *arg) KT_MUST_CHECK;
void fiber_resume(struct rt_loop *l, struct rt_fiber *f);
void fiber_make_ready(struct rt_fiber *f);
void fiber_pool_free(struct rt_loop *l);
/* Parks the caller until `w` is woken; no diagnostic is set. 0, -KT_ERR_TIMEOUT, -KT_ERR_CANCELED.
 */
int fiber_park(struct rt_wait *w, int64_t deadline_ns, const char *name, bool cancelable);
/* As above with a diagnostic. */
int fiber_wait(struct rt_wait *w, int64_t deadline_ns, const char *name) KT_MUST_CHECK;
/* Ends a wait early with `rc` unless a waker was first. On the fiber's loop. */
void fiber_end_wait(struct rt_fiber *f, int rc);
bool fiber_canceled(const struct rt_fiber *f);

/* group.c */
void group_init(struct rt_group *g, struct rt_group *parent);
void group_member_ended(struct rt_group *g, struct rt_fiber *f, int rc);

/* timer.c */
int timer_reserve(struct rt_loop *l, uint32_t fibers) KT_MUST_CHECK;
void timer_fire(struct rt_loop *l);
void fiber_deadline(struct rt_timer *t);

/* loop.c */
int loop_init(struct rt_loop *l, int index) KT_MUST_CHECK;
void loop_done(struct rt_loop *l);
void loop_run(struct rt_loop *l);
void loop_wake(struct rt_loop *l);
void loop_deliver(struct rt_wait *w);

/* net.c */
void sock_event(struct rt_sock *s, uint32_t bits);
void net_forget_listeners(void);

/* offload.c. Runs fn on a worker, exempt from the queue's bound. */
int offload_urgent(int (*fn)(void *), void *arg);

/* stop.c */
void stop_init(void);
void stop_poll(void); /* loop 0, every turn: delivers a signal that arrived */
void stop_on_signal(int signo);

#endif
