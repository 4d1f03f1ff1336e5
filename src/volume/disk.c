/* disk: a data directory from its birth to its close.
 *
 * Happy path. Open the directory, lock the file `disk`, verify the label, remove *.tmp, open each
 * volume in order of its id, replay the dead log. A new directory gets its dead log first and its
 * label last (by rename), so that a label says: everything that must be here was here.
 *
 * Failure modes. Each refusal is a sentence that says what to do: in use (LOCKED), another cell or
 * foreign files (CONFLICT), links (DENIED), a newer format (FORMAT), a damaged label (CORRUPT). A
 * fault after the start turns the disk FAILED: no new data, reads still tried; a lack of space
 * turns it FULL until there is space again.
 */
#include "volume/disk.h"

#include "base/checked.h"
#include "base/enc.h"
#include "base/fault.h"
#include "obs/metric.h"
#include "volume/volume_priv.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define DISK_MAGIC 0x4b445349u
#define LABEL_NAME "disk"
#define LABEL_TMP "disk.tmp"
#define LIMIT_MIN MIB(256)
#define LIMIT_MAX GIB(32)

const char *disk_state_name(uint8_t state)
{
    return state == DISK_OK ? "ok" : state == DISK_FULL ? "full" : "failed";
}

/* ---- whole files ---- */

int disk_sync_dir(struct disk *d)
{
    return BUG(SKIP_DIRFSYNC) ? 0 : rt_dir_sync(d->dir);
}

static int tmp_open(struct disk *d, const char *tmp)
{
    unsigned flags = RT_O_READ | RT_O_WRITE | RT_O_CREATE | RT_O_EXCL;
    int file = rt_file_open(d->dir, tmp, flags, 0600);
    if (file != -KT_ERR_EXISTS)
        return file;
    int rc = rt_file_unlink(d->dir, tmp); /* what an attempt that failed left behind */
    return rc < 0 ? rc : rt_file_open(d->dir, tmp, flags, 0600);
}

int disk_replace_file(struct disk *d, const char *name, struct iovec *iov, int n, int *ret_file)
{
    char tmp[VOLUME_NAME_MAX + 8];
    *ret_file = -1;
    snprintf(tmp, sizeof(tmp), "%s.tmp", name);
    int file = tmp_open(d, tmp);
    if (file < 0)
        return file;
    int rc = rt_file_pwritev(file, iov, n, 0);
    if (rc == 0)
        rc = rt_file_sync(file);
    if (rc == 0)
        rc = rt_file_rename(d->dir, tmp, name);
    if (rc < 0) {
        struct diag kept = *diag_get();
        rt_file_close(file);
        best_effort(rt_file_unlink(d->dir, tmp));
        *diag_get() = kept;
        return rc;
    }
    *ret_file = file;
    return disk_sync_dir(d);
}

int disk_put_file(struct disk *d, const char *name, struct iovec *iov, int n)
{
    int file;
    int rc = disk_replace_file(d, name, iov, n, &file);
    rt_file_close(file);
    return rc;
}

int disk_get_file(struct disk *d, const char *name, uint64_t max, uint8_t **ret, size_t *ret_len)
{
    struct rt_stat st;
    uint8_t *bytes = NULL;
    int file = rt_file_open(d->dir, name, RT_O_READ, 0);
    if (file < 0)
        return file;
    int rc = rt_file_stat(file, &st);
    if (rc == 0 && st.size > max)
        rc = err_set(KT_ERR_TOO_LARGE, "%s has %" PRIu64 " bytes", name, st.size);
    if (rc == 0 && !(bytes = mem_try_alloc((size_t)st.size + 1)))
        rc = err_set(KT_ERR_NO_MEMORY, "no memory for %s", name);
    for (uint64_t at = 0, len; rc == 0 && at < st.size; at += len) { /* others run in between */
        len = KT_MIN(st.size - at, MIB(1));
        rc = rt_file_pread(file, bytes + at, (size_t)len, at);
        rt_yield();
    }
    rt_file_close(file);
    if (rc < 0) {
        mem_free(bytes);
        return rc;
    }
    *ret = bytes;
    *ret_len = (size_t)st.size;
    return 0;
}

/* ---- state ---- */

void disk_fault(struct disk *d, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    section_begin(&d->mu);
    if (atomic_load(&d->state) != DISK_FAILED)
        vsnprintf(d->reason, sizeof(d->reason), fmt, ap);
    atomic_store(&d->state, DISK_FAILED);
    section_end(&d->mu);
    va_end(ap);
}

void disk_note_volume_fault(struct disk *d, vid_t vid)
{
    section_begin(&d->mu);
    bool second = ++d->faulty_volumes >= 2;
    section_end(&d->mu);
    if (second)
        disk_fault(d, "writes failed in two volumes, last in %08x", vid);
}

static void set_space_state(struct disk *d, bool full)
{
    section_begin(&d->mu);
    uint8_t state = atomic_load(&d->state);
    if (state != DISK_FAILED) {
        atomic_store(&d->state, full ? DISK_FULL : DISK_OK);
        snprintf(d->reason, sizeof(d->reason), "%s",
                 full ? "free space is below the reserve: writes are refused until there is more"
                      : "");
    }
    section_end(&d->mu);
}

void disk_note_full(struct disk *d)
{
    set_space_state(d, true);
}

void disk_note_written(struct disk *d, uint64_t bytes)
{
    atomic_fetch_add_explicit(&d->written_bytes, bytes, memory_order_relaxed);
}

uint64_t disk_free_bytes(const struct disk *d)
{
    uint64_t free = atomic_load_explicit(&d->free_bytes, memory_order_relaxed);
    uint64_t written = atomic_load_explicit(&d->written_bytes, memory_order_relaxed);
    return free > written ? free - written : 0;
}

bool disk_writable(const struct disk *d)
{
    return disk_state_of(d) == DISK_OK && disk_free_bytes(d) > d->reserve_bytes;
}

uint8_t disk_state_of(const struct disk *d)
{
    return atomic_load_explicit(&d->state, memory_order_relaxed);
}

const struct disk_label *disk_label_of(const struct disk *d)
{
    return &d->label;
}

int disk_dir(const struct disk *d)
{
    return d->dir;
}

static int ask_space(struct disk *d)
{
    uint64_t total, free;
    int rc = rt_dir_space(d->dir, &total, &free);
    if (rc < 0)
        return rc;
    atomic_store(&d->total_bytes, total);
    atomic_store(&d->written_bytes, 0);
    atomic_store(&d->free_bytes, free);
    return 0;
}

void disk_check_space(struct disk *d)
{
    if (ask_space(d) == 0)
        set_space_state(d, disk_free_bytes(d) <= d->reserve_bytes);
}

void disk_stat(struct disk *d, struct disk_stat *ret)
{
    *ret = (struct disk_stat){
        .path = d->path,
        .state = disk_state_of(d),
        .total_bytes = atomic_load(&d->total_bytes),
        .free_bytes = disk_free_bytes(d),
        .reserve_bytes = d->reserve_bytes,
        .limit_bytes = d->limit_bytes,
        .volumes = disk_volume_count(d),
        .dead_log_bytes = atomic_load(&d->dead.bytes),
        .dead_folds = atomic_load(&d->dead.folds),
        .dead_groups = atomic_load(&d->dead.groups),
        .dead_records = atomic_load(&d->dead.marks),
    };
    memcpy(ret->uuid, d->label.uuid, UUID_BYTES);
    memcpy(ret->cell, d->label.cell, UUID_BYTES);
    for (uint32_t i = 0; i < ret->volumes; i++)
        ret->open_volumes += volume_state_of(disk_volume_at(d, i)) == VOLUME_OPEN;
    section_begin(&d->mu);
    memcpy(ret->reason, d->reason, sizeof(ret->reason));
    section_end(&d->mu);
}

/* ---- volumes ---- */

uint32_t disk_volume_count(const struct disk *d)
{
    return atomic_load_explicit(&d->nvolumes, memory_order_acquire);
}

struct volume *disk_volume_at(struct disk *d, uint32_t i)
{
    return d->volumes[i];
}

int disk_add_volume(struct disk *d, struct volume *v)
{
    int rc = 0;
    section_begin(&d->mu);
    uint32_t n = disk_volume_count(d);
    if (n == DISK_VOLUMES_MAX)
        rc = -KT_ERR_LIMIT;
    kt_assert(n == 0 || d->volumes[n - 1]->vid < v->vid);
    if (rc == 0) {
        d->volumes[n] = v;
        atomic_store_explicit(&d->nvolumes, n + 1, memory_order_release);
    }
    section_end(&d->mu);
    if (rc < 0)
        return err_set(KT_ERR_LIMIT, "%s holds %u volumes: the limit", d->path, DISK_VOLUMES_MAX);
    return 0;
}

struct volume *disk_find_volume(struct disk *d, vid_t vid)
{
    uint32_t low = 0, high = disk_volume_count(d);
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (d->volumes[mid]->vid < vid)
            low = mid + 1;
        else
            high = mid;
    }
    return low < disk_volume_count(d) && d->volumes[low]->vid == vid ? d->volumes[low] : NULL;
}

/* ---- what lies in the directory ---- */

struct listing {
    vid_t *vids;
    uint32_t count, cap;
    char (*tmp)[VOLUME_NAME_MAX + 8]; /* names to remove */
    uint32_t ntmp, cap_tmp;
    char foreign[64]; /* the first name that isn't ours */
    bool volumes_past_limit;
};

/* "VVVVVVVV.ext" with an extension of ours; *ret_vid is set for .vol only. */
static bool is_volume_file(const char *name, vid_t *ret_vid)
{
    static const char *const ext[] = {".vol", ".idx", ".dead", ".job"};
    uint64_t vid;
    *ret_vid = 0;
    if (strlen(name) < 12 || !hex_to_u64(slice_of(name, 8), &vid))
        return false;
    for (size_t i = 0; i < KT_ARRAY_LEN(ext); i++) {
        if (strcmp(name + 8, ext[i]) != 0)
            continue;
        char canonical[VOLUME_NAME_MAX];
        volume_file_name((vid_t)vid, ext[i] + 1, canonical);
        if (strcmp(name, canonical) != 0)
            return false;
        *ret_vid = i == 0 ? (vid_t)vid : 0;
        return true;
    }
    return false;
}

static bool ends_with(const char *name, const char *suffix)
{
    size_t n = strlen(name), m = strlen(suffix);
    return n >= m && strcmp(name + n - m, suffix) == 0;
}

static bool is_own_name(const char *name)
{
    static const char *const names[] = {LABEL_NAME, "dead.log",    "store",     "mini",
                                        "keys",     "kitten.conf", "lost+found"};
    for (size_t i = 0; i < KT_ARRAY_LEN(names); i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return name[0] == '.' || strncmp(name, "kitten", 6) == 0 || strncmp(name, "mini.", 5) == 0;
}

static void list_name(void *arg, const char *name)
{
    struct listing *l = arg;
    vid_t vid;
    if (is_volume_file(name, &vid)) {
        if (vid == 0)
            return;
        if (l->count == DISK_VOLUMES_MAX) {
            l->volumes_past_limit = true;
            return;
        }
        if (l->count == l->cap) {
            l->cap = l->cap ? l->cap * 2 : 64;
            l->vids = mem_realloc(l->vids, l->cap * sizeof(*l->vids));
        }
        l->vids[l->count++] = vid;
    } else if (ends_with(name, ".tmp") && strlen(name) < sizeof(*l->tmp)) {
        if (l->ntmp == l->cap_tmp) {
            l->cap_tmp = l->cap_tmp ? l->cap_tmp * 2 : 16;
            l->tmp = mem_realloc(l->tmp, l->cap_tmp * sizeof(*l->tmp));
        }
        snprintf(l->tmp[l->ntmp++], sizeof(*l->tmp), "%s", name);
    } else if (!is_own_name(name) && l->foreign[0] == '\0') {
        snprintf(l->foreign, sizeof(l->foreign), "%s", name);
    }
}

static int compare_vids(const void *a, const void *b)
{
    const vid_t *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(a, b);
}

static void listing_done(struct listing *l)
{
    mem_free(l->vids);
    mem_free(l->tmp);
}

static int list_directory(struct disk *d, struct listing *l)
{
    *l = (struct listing){0};
    int rc = rt_dir_list(d->dir, list_name, l);
    if (rc == 0 && l->volumes_past_limit)
        rc = err_set(KT_ERR_LIMIT, "%s holds more than %u volumes", d->path, DISK_VOLUMES_MAX);
    /* The directory's order is chance; ours must not be. */
    if (l->count)
        qsort(l->vids, l->count, sizeof(*l->vids), compare_vids);
    if (l->ntmp)
        qsort(l->tmp, l->ntmp, sizeof(*l->tmp), compare_names);
    return rc;
}

static int remove_tmp(struct disk *d, const struct listing *l)
{
    for (uint32_t i = 0; i < l->ntmp; i++) {
        int rc = rt_file_unlink(d->dir, l->tmp[i]);
        if (rc < 0 && rc != -KT_ERR_NOT_FOUND)
            return err_wrap(rc, "remove %s", l->tmp[i]);
    }
    return 0;
}

static int open_volumes(struct disk *d)
{
    struct listing l;
    int rc = list_directory(d, &l);
    if (rc == 0)
        rc = remove_tmp(d, &l);
    for (uint32_t i = 0; rc == 0 && i < l.count; i++) {
        struct volume *v;
        rc = volume_open(d, l.vids[i], &v);
        if (rc == 0)
            rc = disk_add_volume(d, v);
    }
    listing_done(&l);
    return rc;
}

/* ---- label and lock ---- */

static uint32_t capacity_class(uint64_t bytes)
{
    uint32_t log2 = 0;
    for (uint64_t gib = bytes >> 30; gib > 1; gib >>= 1)
        log2++;
    return log2;
}

static uint64_t default_limit(uint64_t capacity)
{
    uint64_t limit = KT_MIN(KT_MAX(capacity / 128, LIMIT_MIN), LIMIT_MAX);
    return limit / MIB(1) * MIB(1);
}

static int lock(struct disk *d)
{
    int rc = rt_file_lock(d->lock_file);
    if (rc == -KT_ERR_LOCKED)
        return err_set(KT_ERR_LOCKED,
                       "data directory %s is in use by another process: stop that one, or name "
                       "another directory",
                       d->path);
    return rc;
}

/* A directory that is about to become ours may hold nothing else. */
static int check_unused(struct disk *d)
{
    struct listing l;
    int rc = list_directory(d, &l);
    if (rc == 0 && l.count > 0)
        rc = err_set(
            KT_ERR_CONFLICT,
            "%s holds volumes but no label: restore its file \"%s\", or name another directory",
            d->path, LABEL_NAME);
    if (rc == 0 && l.foreign[0])
        rc = err_set(KT_ERR_CONFLICT,
                     "%s is not empty (\"%s\") and no data directory: name an empty one", d->path,
                     l.foreign);
    listing_done(&l);
    return rc;
}

static int write_label(struct disk *d)
{
    uint8_t *block = mem_zalloc(BLOCK_SIZE);
    disk_label_encode(&d->label, block);
    struct iovec iov = {.iov_base = block, .iov_len = BLOCK_SIZE};
    int rc = rt_file_pwritev(d->lock_file, &iov, 1, 0);
    if (rc == 0)
        rc = rt_file_sync(d->lock_file);
    if (rc == 0)
        rc = rt_file_rename(d->dir, LABEL_TMP, LABEL_NAME);
    if (rc == 0)
        rc = disk_sync_dir(d);
    mem_free(block);
    return rc;
}

/* Makes a new data directory: lock, dead log, label. */
static int give_birth(struct disk *d)
{
    static const uint8_t none[UUID_BYTES];
    int rc = check_unused(d);
    if (rc < 0)
        return rc;
    rc = d->lock_file = rt_file_open(d->dir, LABEL_TMP, RT_O_READ | RT_O_WRITE | RT_O_CREATE, 0600);
    if (rc >= 0)
        rc = lock(d);
    if (rc < 0)
        return rc;
    int other = rt_file_open(d->dir, LABEL_NAME, RT_O_READ, 0);
    if (other >= 0) {
        rt_file_close(other);
        return err_set(KT_ERR_LOCKED, "data directory %s is being set up by another process",
                       d->path);
    }
    d->label = (struct disk_label){
        .capacity_class = capacity_class(atomic_load(&d->total_bytes)),
        .volume_limit_bytes = d->opt.volume_limit_bytes
                                  ? d->opt.volume_limit_bytes
                                  : default_limit(atomic_load(&d->total_bytes)),
        .created_ms = (uint64_t)(rt_wall_ns() / NS_PER_MS),
    };
    rt_random(d->label.uuid, UUID_BYTES);
    memcpy(d->label.store, d->opt.store, UUID_BYTES);
    if (memcmp(d->opt.cell, none, UUID_BYTES) == 0)
        rt_random(d->label.cell, UUID_BYTES);
    else
        memcpy(d->label.cell, d->opt.cell, UUID_BYTES);
    rc = dead_log_open(d, true);
    rt_file_close(d->dead.file);
    d->dead.file = -1;
    if (rc == 0)
        rc = rt_file_truncate(d->lock_file, 0);
    return rc < 0 ? rc : write_label(d);
}

/* Verifies the label of an existing directory. */
static int read_label(struct disk *d)
{
    static const uint8_t none[UUID_BYTES];
    uint8_t *block = mem_alloc(BLOCK_SIZE);
    int rc = rt_file_pread(d->lock_file, block, BLOCK_SIZE, 0);
    if (rc == -KT_ERR_EOF)
        rc = err_set(KT_ERR_CORRUPT, "it is too short");
    if (rc == 0)
        rc = disk_label_decode(slice_of(block, BLOCK_SIZE), &d->label);
    if (rc == 0)
        rc = feature_check(&d->label.features, &disk_features_known, "data directory");
    mem_free(block);
    if (rc == 1)
        return err_set(KT_ERR_FORMAT,
                       "data directory %s was written by a newer version with features that allow "
                       "reading only: "
                       "use that version",
                       d->path);
    if (rc < 0)
        return err_wrap(rc, "label of data directory %s", d->path);
    if (memcmp(d->opt.cell, none, UUID_BYTES) != 0 &&
        memcmp(d->opt.cell, d->label.cell, UUID_BYTES) != 0)
        return err_set(
            KT_ERR_CONFLICT,
            "data directory %s belongs to another cell than the ones before it: serve it by itself",
            d->path);
    return 0;
}

static int take_directory(struct disk *d, bool *ret_fresh)
{
    *ret_fresh = false;
    d->lock_file = rt_file_open(d->dir, LABEL_NAME, RT_O_READ | RT_O_WRITE, 0);
    if (d->lock_file == -KT_ERR_NOT_FOUND) {
        *ret_fresh = true;
        return give_birth(d);
    }
    if (d->lock_file < 0)
        return d->lock_file;
    int rc = lock(d);
    return rc < 0 ? rc : read_label(d);
}

/* ---- open and close ---- */

static void apply_defaults(struct disk_options *opt)
{
    if (!opt->dead_fold_bytes)
        opt->dead_fold_bytes = MIB(8);
    if (!opt->dead_log_bytes_max || opt->dead_log_bytes_max > DEAD_LOG_MAX)
        opt->dead_log_bytes_max = DEAD_LOG_MAX;
    if (!opt->undelete_window_s)
        opt->undelete_window_s = 24 * 3600;
    if (!opt->idle_mark_ms)
        opt->idle_mark_ms = 1000;
    if (!opt->queue_bytes_max)
        opt->queue_bytes_max = 64u << 20;
    if (!opt->queue_count_max)
        opt->queue_count_max = 16384;
}

static struct disk *disk_new(const char *path, const struct disk_options *opt)
{
    struct disk *d = mem_zalloc(sizeof(*d));
    d->magic = DISK_MAGIC;
    snprintf(d->path, sizeof(d->path), "%s", path);
    d->opt = *opt;
    d->metric = metric_label(DIM_DISK, slice_str(path));
    apply_defaults(&d->opt);
    d->dir = d->lock_file = d->dead.file = -1;
    atomic_init(&d->state, DISK_OK);
    pthread_mutex_init(&d->mu, NULL);
    pthread_mutex_init(&d->dead.mu, NULL);
    list_init(&d->dead.queue);
    d->volumes = mem_zalloc(DISK_VOLUMES_MAX * sizeof(struct volume *));
    return d;
}

static void set_limits(struct disk *d)
{
    uint64_t total = atomic_load(&d->total_bytes);
    d->limit_bytes =
        d->opt.volume_limit_bytes ? d->opt.volume_limit_bytes : d->label.volume_limit_bytes;
    d->limit_bytes = KT_MIN(d->limit_bytes, VOLUME_LIMIT_MAX);
    d->reserve_bytes =
        d->opt.reserve_bytes ? d->opt.reserve_bytes : KT_MIN(2 * d->limit_bytes, total / 16);
}

int disk_open(const char *path, const struct disk_options *opt, struct disk **ret)
{
    bool fresh;
    if (strlen(path) >= sizeof((*ret)->path))
        return err_set(KT_ERR_INVALID, "data directory path longer than %zu bytes",
                       sizeof((*ret)->path) - 1);
    struct disk *d = disk_new(path, opt);
    int rc = d->dir = rt_dir_open(path, true);
    if (rc >= 0)
        rc = ask_space(d);
    if (rc == 0)
        rc = take_directory(d, &fresh);
    if (rc == 0) {
        set_limits(d);
        /* A process that was killed may have renamed without a sync; what is built on those names
         * must not outlive them. */
        rc = disk_sync_dir(d);
    }
    if (rc == 0)
        rc = open_volumes(d);
    if (rc == 0)
        rc = dead_log_open(d, false);
    if (rc < 0) {
        struct diag kept = *diag_get();
        disk_close(d);
        *diag_get() = kept;
        return rc;
    }
    set_space_state(d, disk_free_bytes(d) <= d->reserve_bytes);
    *ret = d;
    return 0;
}

void disk_close(struct disk *d)
{
    if (!d)
        return;
    kt_assert(d->magic == DISK_MAGIC);
    for (uint32_t i = 0, n = disk_volume_count(d); i < n; i++)
        volume_stop(d->volumes[i]);
    dead_log_stop(d);
    for (uint32_t i = 0, n = disk_volume_count(d); i < n; i++)
        volume_free(d->volumes[i]);
    rt_file_close(d->lock_file);
    rt_file_close(d->dir);
    pthread_mutex_destroy(&d->dead.mu);
    pthread_mutex_destroy(&d->mu);
    mem_free(d->volumes);
    d->magic = 0;
    mem_free(d);
}
