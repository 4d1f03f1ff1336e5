/* backend: the seam between kitten and the operating system (clock, randomness, network, disk,
 * threads).
 *
 * Two implementations: backend_linux.c, and the simulator's backend_sim.c (virtual clock, in-memory
 * network, faulty disk, one 64-bit seed). Only rt/ includes this header; everyone else uses
 * rt/rt.h.
 *
 * Conventions: every function returns >= 0 or a negative errno (-EAGAIN, -EIO, ...): the seam
 * speaks the kernel's language, rt/ turns it into KT_ERR_*. Handles are small ints. Calls marked
 * [blocks] may take long and run on the offload pool; all others never block. In the simulator
 * everything runs on one thread and [blocks] calls return at once, the job's completion being
 * delivered after a virtual delay.
 */
#ifndef KT_RT_BACKEND_H
#define KT_RT_BACKEND_H

#include "base/macros.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

struct rt_addr;   /* rt.h */
struct rt_stat;   /* rt.h */
struct rt_poller; /* one per loop, made by the backend: an epoll instance, or the simulator's queue
                   */

/* What poll reports: readiness bits for the cookie that was registered with the socket. */
#define RT_POLL_IN 1u
#define RT_POLL_OUT 2u
#define RT_POLL_HUP 4u
struct rt_event {
    void *cookie;
    uint32_t bits;
};

struct rt_job; /* an offloaded call, see rt.h */

struct rt_backend {
    const char *name;
    void *self; /* the backend's own state, passed first to every call */

    /* clock and randomness */
    int64_t (*mono_ns)(void *self);
    int64_t (*wall_ns)(void *self); /* since the Unix epoch */
    void (*random)(void *self, void *out, size_t len);

    /* polling */
    int (*poller_new)(void *self, struct rt_poller **ret);
    void (*poller_free)(void *self, struct rt_poller *p);
    /* Registers a socket, level-triggered, for `bits`; poll_mod changes them (0 parks it). */
    int (*poll_add)(void *self, struct rt_poller *p, int sock, uint32_t bits, void *cookie);
    int (*poll_mod)(void *self, struct rt_poller *p, int sock, uint32_t bits, void *cookie);
    int (*poll_del)(void *self, struct rt_poller *p, int sock);
    /* Waits until an event, a poll_wake or `until_ns` (mono; <= now: returns at once; INT64_MAX:
     * never). */
    int (*poll_wait)(void *self, struct rt_poller *p, struct rt_event *ev, int max,
                     int64_t until_ns);
    void (*poll_wake)(void *self, struct rt_poller *p); /* any thread */

    /* network: all sockets non-blocking, close-on-exec, TCP_NODELAY */
    int (*net_listen)(void *self, const struct rt_addr *addr, int backlog, bool reuse_port);
    int (*net_local)(void *self, int sock, struct rt_addr *ret);
    int (*net_accept)(void *self, int sock, struct rt_addr *ret_peer);
    int (*net_connect)(void *self,
                       const struct rt_addr *addr);  /* socket handle; finished when writable */
    int (*net_connect_result)(void *self, int sock); /* 0 or -errno */
    ssize_t (*net_recv)(void *self, int sock, void *p, size_t len);
    ssize_t (*net_sendv)(void *self, int sock, const struct iovec *iov, int n);
    int (*net_shutdown)(void *self, int sock);
    int (*net_close)(void *self, int sock);

    /* disk. `dir` is a handle from dir_open; names are single components, opened beneath it without
     * following links; only regular files with one link are accepted. */
    int (*dir_open)(void *self, const char *path, bool create); /* [blocks] */
    int (*dir_sync)(void *self, int dir);                       /* [blocks] */
    int (*dir_list)(void *self, int dir, void (*each)(void *arg, const char *name),
                    void *arg);                                                     /* [blocks] */
    int (*dir_space)(void *self, int dir, uint64_t *ret_total, uint64_t *ret_free); /* [blocks] */
    int (*file_open)(void *self, int dir, const char *name, unsigned flags,
                     unsigned mode); /* [blocks] */
    ssize_t (*file_preadv)(void *self, int file, const struct iovec *iov, int n,
                           uint64_t off); /* [blocks] */
    ssize_t (*file_preadv_nowait)(void *self, int file, const struct iovec *iov, int n,
                                  uint64_t off);
    ssize_t (*file_pwritev)(void *self, int file, const struct iovec *iov, int n,
                            uint64_t off);                     /* [blocks] */
    int (*file_datasync)(void *self, int file);                /* [blocks] */
    int (*file_sync)(void *self, int file);                    /* [blocks] */
    int (*file_truncate)(void *self, int file, uint64_t size); /* [blocks] */
    int (*file_advise)(void *self, int file, uint64_t off, uint64_t len,
                       int advice); /* RT_ADVISE_* */
    int (*file_lock)(void *self,
                     int file); /* exclusive, whole file, -EWOULDBLOCK when held elsewhere */
    int (*file_stat)(void *self, int file, struct rt_stat *ret);
    int (*file_rename)(void *self, int dir, const char *from, const char *to); /* [blocks] */
    int (*file_unlink)(void *self, int dir, const char *name);                 /* [blocks] */
    int (*file_close)(void *self, int handle); /* files and directories */

    /* offload: on a worker, calls rt_job_run(job) and then rt_job_finished(job), both of rt.h;
     * `job` may be gone after the latter. -EAGAIN when the queue is full; jobs marked urgent are
     * always taken (each belongs to a waiting fiber, so their number is bounded) and go first. */
    int (*offload)(void *self, struct rt_job *job);
    int (*resolve)(void *self, const char *host, uint16_t port, struct rt_addr *ret); /* [blocks] */

    /* threads: runs fn on n threads (the simulator accepts n == 1 only) and joins them. */
    int (*run_threads)(void *self, int n, void (*fn)(void *arg, int index), void *arg);

    /* Optional (NULL: nothing to do). start comes before any other call of a run but the clock's
     * and random's, stop after the last one, when no job is left. */
    int (*start)(void *self, int workers, int queue_max);
    void (*stop)(void *self);
    /* Calls on_signal(signo) at SIGINT, SIGTERM and SIGHUP until stop, on some thread. The second
     * SIGINT ends the process instead. */
    int (*watch_signals)(void *self, void (*on_signal)(int signo));
};

extern const struct rt_backend rt_backend_linux;

#endif
