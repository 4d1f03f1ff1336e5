/* sim: the simulated machine behind rt/backend.h, for tests: one thread, one 64-bit seed.
 *
 * Model. sim_new makes a machine with a virtual clock, an in-memory network and in-memory disks. A
 * test runs a program on it with rt_run (options.backend = sim_backend(s), loops = 1), crashes it,
 * and runs it again on what survived:
 *
 *     struct sim *s = sim_new(seed, NULL);
 *     sim_fail_at(s, 17, SIM_FAULT_CUT_AFTER);    // the 17th persisting call is the last one
 *     rc = rt_run(&opt, program, arg);            // after the cut every call fails; the program
 * unwinds sim_restart(s);                             // unsynced sectors are kept, lost or torn rc
 * = rt_run(&opt, program, arg);            // and recovers
 *
 * Clock. It advances to the next event when no socket is ready, and a little with every poll.
 * Nothing to wait for, for ever, is a deadlock: it is printed with the seed and aborts.
 *
 * Disk. Each directory that dir_open creates is a disk with a capacity. It behaves as ext4 and xfs
 * were measured to:
 *  - a write dirties the page cache; datasync and sync make the file durable;
 *  - a failed sync marks its dirty sectors clean although they never reached the disk: the next
 * sync succeeds, buffered reads go on showing the new bytes, direct reads and a crash show the old
 * ones;
 *  - at a power cut each unsynced 512-byte sector is kept, lost, torn or garbage, each by itself
 *    (bytes rewritten with what they were stay: "powersafe overwrite");
 * the size of an unsynced append is the old one, the new one, or between; an unsynced truncation
 * happened or did not;
 *  - creations, renames and unlinks are durable after dir_sync of their directory only; unsynced
 * ones survive as a prefix, or (dir_reorder) as any subset in order;
 *  - a kill keeps the page cache and drops everything else.
 * A directory's own creation is durable at once. Sparse files cost their whole size.
 *
 * Network. Connections are byte streams with delay, a bounded window, partial sends and receives. A
 * lost segment is what TCP makes of it in the end: a reset of both ends.
 *
 * Determinism. Same seed, options and program: same trace hash (sim_trace). Net, disk, clock,
 * random bytes and the test's workload draw from streams of their own, so that a change in one
 * leaves the others alone.
 *
 * Only tests include this header. Single-threaded; nothing here yields. */
#ifndef KT_RT_SIM_H
#define KT_RT_SIM_H

#include "base/macros.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sim;
struct rt_backend;

/* Rates are per million calls; 0: never. Zero options of time and size mean the default. */
struct sim_options {
    uint64_t capacity_bytes; /* of each disk; 0: 64 MiB */
    uint32_t read_eio_ppm, write_eio_ppm, sync_eio_ppm;
    uint32_t short_read_ppm; /* a read returns fewer bytes although there are more */
    uint32_t short_write_ppm;
    uint32_t no_space_ppm;          /* a creation or a write fails with -ENOSPC */
    uint32_t cold_ppm;              /* a nowait read finds the page missing */
    uint32_t stall_ppm;             /* a blocking job takes up to stall_max_ns */
    uint32_t net_loss_ppm;          /* per segment: both ends are reset after a while */
    int64_t io_min_ns, io_max_ns;   /* duration of a blocking job; 0: 50 us .. 2 ms */
    int64_t stall_max_ns;           /* 0: 20 s */
    int64_t net_min_ns, net_max_ns; /* delay of a segment; 0: 50 us .. 1 ms */
    bool dir_reorder;               /* unsynced directory operations survive in any subset */
};

struct sim *sim_new(uint64_t seed, const struct sim_options *opt);
void sim_free(struct sim *s);
const struct rt_backend *sim_backend(struct sim *s);
/* The options in force; a test may change rates while nothing runs or between calls. */
struct sim_options *sim_options(struct sim *s);

/* The workload's random stream: below(n) is 0..n-1 (n >= 1); chance(ppm). */
uint64_t sim_rand(struct sim *s);
uint64_t sim_rand_below(struct sim *s, uint64_t n);
bool sim_chance(struct sim *s, uint32_t ppm);
/* Hash of every call, result and event so far; sim_note folds a test's own observation in. */
uint64_t sim_trace(const struct sim *s);
void sim_note(struct sim *s, uint64_t value);
int64_t sim_now_ns(const struct sim *s);
/* Jumps the wall clock (not the monotonic one) by `ns`. */
void sim_wall_jump(struct sim *s, int64_t ns);

/* ---- crashes ---- */

enum sim_state {
    SIM_RUNNING,
    SIM_POWER_CUT, /* unsynced state is at the disk's mercy */
    SIM_KILLED,    /* kill -9: the page cache survives */
};
/* From now on every disk call fails with -EIO without effect and every connection is reset. */
void sim_cut(struct sim *s, enum sim_state how);
/* The same at a virtual time (monotonic ns). */
void sim_cut_at(struct sim *s, int64_t at_ns, enum sim_state how);
enum sim_state sim_state(const struct sim *s);
/* After rt_run has returned: applies the crash, or a clean power-off for SIM_RUNNING (the page
 * cache is kept), closes all handles and locks, forgets pending events and planned faults. */
void sim_restart(struct sim *s);
/* Handles (files, directories, sockets) that are open now; 0 after a program that cleans up. */
uint32_t sim_open_handles(const struct sim *s);

/* ---- the n-th persisting call ---- */

/* Persisting calls: create, pwritev, datasync, sync, truncate, rename, unlink, dir_sync. */
enum sim_fault {
    SIM_FAULT_NONE,
    SIM_FAULT_EIO,        /* fails with -EIO; a sync loses its dirty sectors */
    SIM_FAULT_ENOSPC,     /* fails with -ENOSPC where the call may (else as EIO) */
    SIM_FAULT_SHORT,      /* a write takes only a part (others: no fault) */
    SIM_FAULT_CUT_BEFORE, /* power cut instead of the call */
    SIM_FAULT_CUT_AFTER,  /* the call is the last one before a power cut */
    SIM_FAULT_KILL_AFTER, /* the call is the last one before a kill */
    SIM_FAULT_COUNT
};
const char *sim_fault_name(enum sim_fault f);
/* Arms one fault at the n-th persisting call from now (n >= 1) and restarts the count. NONE only
 * counts. */
void sim_fail_at(struct sim *s, uint64_t n, enum sim_fault what);
/* Persisting calls since sim_fail_at. */
uint64_t sim_calls(const struct sim *s);
/* True when the armed fault has happened. */
bool sim_fired(const struct sim *s);
/* The same for the n-th data read (-EIO). */
void sim_fail_read_at(struct sim *s, uint64_t n);

/* ---- looking at and damaging disks (path as given to dir_open, name as in it) ---- */

/* A broken disk answers -EIO to everything. */
void sim_disk_break(struct sim *s, const char *path, bool broken);
void sim_disk_capacity(struct sim *s, const char *path, uint64_t bytes);
/* Calls each() for every name in the directory, sorted. */
void sim_disk_each(struct sim *s, const char *path, void (*each)(void *arg, const char *name),
                   void *arg);
/* Size in bytes, -1 when there is no such file. */
int64_t sim_file_size(struct sim *s, const char *path, const char *name);
/* Copies bytes out of the page cache's view; false when out of range or absent. */
bool sim_file_read(struct sim *s, const char *path, const char *name, uint64_t off, void *p,
                   size_t len);
/* Changes bytes behind the program's back, on disk and in the cache. False as above. */
bool sim_file_poke(struct sim *s, const char *path, const char *name, uint64_t off, const void *p,
                   size_t len);
bool sim_file_flip_bit(struct sim *s, const char *path, const char *name, uint64_t off,
                       unsigned bit);
/* Cuts or extends a file behind the program's back. */
bool sim_file_resize(struct sim *s, const char *path, const char *name, uint64_t size);
bool sim_file_remove(struct sim *s, const char *path, const char *name);
/* Copies a file within or between disks (a misplaced volume). */
bool sim_file_copy(struct sim *s, const char *path, const char *from, const char *to_path,
                   const char *to);
/* Reads of this range fail with -EIO until len is 0; one range a file. */
bool sim_file_bad_range(struct sim *s, const char *path, const char *name, uint64_t off,
                        uint64_t len);

struct sim_counts {
    uint64_t reads, writes, syncs, dir_syncs, creates, renames, unlinks, truncates;
    uint64_t failed_reads, failed_writes, failed_syncs, short_reads, short_writes, no_space, stalls;
    uint64_t cuts, kills, sectors_lost, sectors_kept, sectors_torn, dir_ops_lost, events;
};
const struct sim_counts *sim_counts(const struct sim *s);

#endif
