/* sim_priv: the insides of the simulated machine, shared by backend_sim.c, sim_disk.c and
 * sim_net.c. */
#ifndef KT_RT_SIM_PRIV_H
#define KT_RT_SIM_PRIV_H

#include "base/list.h"
#include "rt/backend.h"
#include "rt/rt.h"
#include "rt/sim.h"

#define SIM_SECTOR 512u
#define SIM_NAME_MAX 64u
#define SIM_PATH_MAX 128u
#define SIM_HANDLES_MAX 65536
#define SIM_HANDLE_BASE 1000 /* so that no handle looks like a descriptor of the test process */

enum sim_stream {
    SIM_RNG_NET,
    SIM_RNG_DISK,
    SIM_RNG_CLOCK,
    SIM_RNG_ENTROPY,
    SIM_RNG_WORK,
    SIM_RNG_COUNT
};

/* An event: fn runs when the clock reaches at_ns; ties go by order of creation. */
struct sim_event {
    int64_t at_ns;
    uint64_t order;
    void (*fn)(struct sim *s, void *arg, uint64_t n);
    void *arg;
    uint64_t n;
};

enum sim_sector_state { SECTOR_CLEAN, SECTOR_DIRTY };

/* A file's content: what the page cache shows and what is on disk. A sector that a failed sync lost
 * is CLEAN with cache != disk. */
struct sim_inode {
    struct list all; /* link in sim.inodes */
    struct sim_dir *dir;
    uint8_t *cache, *disk; /* cap bytes each; bytes past the sizes are zero in `cache` */
    uint8_t *state;        /* enum sim_sector_state per sector */
    uint64_t cap;          /* bytes allocated, a multiple of SIM_SECTOR */
    uint64_t cache_size, disk_size;
    uint64_t trunc_to; /* least size since the last sync, UINT64_MAX when it never shrank */
    uint64_t bad_off, bad_len;
    uint32_t opens;
    uint32_t links; /* entries of dir->now that name it; recounted at each change */
    uint32_t id;
    int locked_by; /* handle, 0: none */
    bool marked;   /* by the collector */
};

struct sim_entry {
    char name[SIM_NAME_MAX];
    struct sim_inode *inode;
};
struct sim_names {
    struct sim_entry *v;
    size_t n, cap;
};
/* One unsynced directory operation: `from` is empty for a creation, `to` for an unlink. */
struct sim_dir_op {
    char from[SIM_NAME_MAX], to[SIM_NAME_MAX];
    struct sim_inode *inode;
};
struct sim_dir {
    struct list all; /* link in sim.dirs */
    char path[SIM_PATH_MAX];
    struct sim_names now, durable;
    struct sim_dir_op *ops;
    size_t nops, ops_cap;
    uint64_t capacity;
    bool broken;
};

struct sim_sock;
struct sim_segment {
    struct list link;
    struct sim_sock *to;
    size_t len, at; /* `at`: bytes already received */
    bool fin;
    uint8_t bytes[];
};
enum sim_sock_state { SOCK_LISTENING, SOCK_CONNECTING, SOCK_CONNECTED, SOCK_RESET };
/* One end of a connection, or a listener. */
struct sim_sock {
    enum sim_sock_state state;
    struct rt_addr addr, peer_addr;
    struct sim_sock
        *peer;            /* other end (a reference), NULL before connecting and when both closed */
    struct list accepted; /* listener: ends that wait for accept */
    struct list accept_link;
    struct list inbox; /* delivered segments */
    size_t inbox_bytes, flying_bytes;
    int64_t last_at_ns; /* delivery time of the last segment sent to this end: streams keep order */
    uint32_t refs;      /* the handle or accept queue, the peer, events that point here */
    bool fin_sent, fin_seen, closed;
    bool hole;     /* a segment to this end was lost: nothing behind it may arrive */
    int error;     /* positive errno that ended it */
    uint32_t bits; /* wanted by the poller */
    bool polled;
    void *cookie;
};

enum sim_handle_kind { HANDLE_FREE, HANDLE_DIR, HANDLE_FILE, HANDLE_SOCK };
struct sim_handle {
    enum sim_handle_kind kind;
    unsigned flags; /* RT_O_* */
    union {
        struct sim_dir *dir;
        struct sim_inode *inode;
        struct sim_sock *sock;
    };
};

struct sim {
    struct rt_backend ops;
    struct sim_options opt;
    uint64_t seed;
    uint64_t rng[SIM_RNG_COUNT];
    uint64_t trace;
    int64_t now_ns, wall_base_ns;
    enum sim_state state;
    struct sim_event *events; /* binary heap */
    size_t nevents, events_cap;
    uint64_t event_order;
    bool woken;
    uint32_t jobs, queue_max;
    struct sim_handle *handles;
    size_t nhandles;
    uint32_t open_handles;
    struct list dirs, inodes;
    uint32_t next_inode;
    uint16_t next_port;
    uint64_t calls, fail_at; /* persisting calls, and the one that fails */
    uint64_t reads, fail_read_at;
    enum sim_fault fault;
    bool fired;
    struct sim_counts counts;
};

/* backend_sim.c */
uint64_t sim_draw(struct sim *s, enum sim_stream stream);
uint64_t sim_draw_below(struct sim *s, enum sim_stream stream, uint64_t n);
bool sim_draw_chance(struct sim *s, enum sim_stream stream, uint32_t ppm);
/* Uniform in [min, max]. */
int64_t sim_draw_ns(struct sim *s, enum sim_stream stream, int64_t min_ns, int64_t max_ns);
void sim_post(struct sim *s, int64_t at_ns, void (*fn)(struct sim *s, void *arg, uint64_t n),
              void *arg, uint64_t n);
/* KITTEN_SIM_TRACE is set: each call is printed on standard error. */
bool sim_printing(void);
/* Folds one call into the trace and passes its result through. */
ssize_t sim_log(struct sim *s, const char *call, uint64_t a, uint64_t b, ssize_t result);
int sim_handle_new(struct sim *s, enum sim_handle_kind kind, void *object);
struct sim_handle *sim_handle_get(struct sim *s, int handle, enum sim_handle_kind kind);
void sim_handle_free(struct sim *s, int handle);

/* sim_disk.c */
void sim_disk_ops(struct rt_backend *ops);
int sim_disk_close(struct sim *s, int handle);

/* sim_crash.c */
/* Applies the end of an incarnation (s->state) to all disks. */
void sim_disk_crash(struct sim *s);
void sim_disk_free(struct sim *s);
/* Frees inodes that no handle, name or unsynced operation refers to. */
void sim_disk_collect(struct sim *s);

/* sim_inode.c: file contents and names, without faults */
struct sim_inode *sim_inode_new(struct sim *s, struct sim_dir *dir);
void sim_inode_free(struct sim_inode *f);
void sim_inode_write(struct sim_inode *f, uint64_t off, const uint8_t *p, size_t len);
void sim_inode_read(const struct sim_inode *f, uint64_t off, uint8_t *p, size_t len, bool direct);
void sim_inode_resize(struct sim_inode *f, uint64_t size);
void sim_inode_sync(struct sim_inode *f);
void sim_inode_lose(struct sim *s, struct sim_inode *f);
uint64_t sim_inode_cost(uint64_t size);
/* Clean sectors of the range are read from the disk again. */
void sim_inode_evict(struct sim_inode *f, uint64_t off, uint64_t len);
struct sim_dir *sim_dir_find(struct sim *s, const char *path);
struct sim_inode *sim_name_find(const struct sim_names *names, const char *name);
void sim_name_set(struct sim_names *names, const char *name, struct sim_inode *f);
void sim_names_copy(struct sim_names *to, const struct sim_names *from);
/* Counts each inode's names in d->now anew. */
void sim_dir_recount(struct sim *s, struct sim_dir *d);
void sim_dir_apply(struct sim_names *names, const struct sim_dir_op *op);

/* sim_net.c */
void sim_net_ops(struct rt_backend *ops);
void sim_net_cut(struct sim *s);
uint32_t sim_sock_ready(const struct sim_sock *k);
void sim_sock_unref(struct sim_sock *k);

#endif
