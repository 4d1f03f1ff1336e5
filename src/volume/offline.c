/* offline: label, lock, listing, heads.
 *
 * Failure modes: whatever can't be read is an error of that call with a sentence; the caller goes
 * on with the rest. */
#include "volume/offline.h"

#include "base/assert.h"
#include "base/buf.h"
#include "base/enc.h"
#include "format/deadlog.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define LABEL_NAME "disk"
#define DEAD_LOG_MAX (UINT64_C(1) << 30)
#define DEAD_FILE_MAX (UINT64_C(1) << 32)

/* ---- directory ---- */

struct listing {
    struct offline *o;
    uint32_t cap;
    bool too_many;
};

static void list_name(void *arg, const char *name)
{
    struct listing *l = arg;
    struct offline *o = l->o;
    if (o->nnames >= OFFLINE_NAMES_MAX) {
        l->too_many = true;
        return;
    }
    if (o->nnames == l->cap) {
        l->cap = l->cap ? 2 * l->cap : 64;
        o->names = mem_realloc(o->names, l->cap * sizeof(*o->names));
    }
    snprintf(o->names[o->nnames++], OFFLINE_NAME_MAX, "%s", name);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(a, b);
}

static int list(struct offline *o)
{
    struct listing l = {.o = o};
    int rc = rt_dir_list(o->dir, list_name, &l);
    if (rc == 0 && l.too_many)
        rc = err_set(KT_ERR_LIMIT, "%s holds more than %u files", o->path, OFFLINE_NAMES_MAX);
    if (rc == 0 && o->nnames)
        qsort(o->names, o->nnames, sizeof(*o->names), compare_names);
    return rc;
}

static int read_label(struct offline *o)
{
    uint8_t *block = mem_alloc(BLOCK_SIZE);
    int rc = rt_file_pread(o->lock, block, BLOCK_SIZE, 0);
    if (rc == -KT_ERR_EOF)
        rc = err_set(KT_ERR_CORRUPT, "it is too short");
    if (rc == 0)
        rc = disk_label_decode(slice_of(block, BLOCK_SIZE), &o->label);
    if (rc == 0)
        rc = feature_check(&o->label.features, &disk_features_known, "the data directory");
    mem_free(block);
    return rc < 0 ? err_wrap(rc, "%s/%s", o->path, LABEL_NAME) : 0;
}

int offline_open(const char *path, bool alone, struct offline *ret)
{
    struct offline o = {.path = path, .lock = -1};
    o.dir = rt_dir_open(path, false);
    if (o.dir == -KT_ERR_NOT_FOUND)
        return err_set(KT_ERR_NOT_FOUND, "there is no directory %s", path);
    if (o.dir < 0)
        return o.dir;
    int rc = o.lock = rt_file_open(o.dir, LABEL_NAME, RT_O_READ, 0);
    if (rc == -KT_ERR_NOT_FOUND)
        rc = err_set(KT_ERR_NOT_FOUND, "%s is no data directory: it has no file \"%s\"", path,
                     LABEL_NAME);
    if (rc >= 0 && alone && (rc = rt_file_lock(o.lock)) == -KT_ERR_LOCKED)
        rc = err_set(KT_ERR_LOCKED, "%s is in use by another process: stop kitten first", path);
    if (rc >= 0)
        rc = read_label(&o);
    if (rc >= 0)
        rc = list(&o);
    if (rc < 0) {
        struct diag kept = *diag_get();
        offline_close(&o);
        *diag_get() = kept;
        return rc;
    }
    *ret = o;
    return 0;
}

void offline_close(struct offline *o)
{
    rt_file_close(o->lock);
    rt_file_close(o->dir);
    mem_free(o->names);
    *o = (struct offline){.dir = -1, .lock = -1};
}

vid_t offline_vid(const char *name, const char *ext)
{
    uint64_t vid;
    if (strlen(name) != 9 + strlen(ext) || name[8] != '.' || strcmp(name + 9, ext) != 0 ||
        !hex_to_u64(slice_of(name, 8), &vid))
        return 0;
    for (int i = 0; i < 8; i++)
        if (name[i] >= 'A' && name[i] <= 'F')
            return 0;
    return (vid_t)vid;
}

void offline_name(vid_t vid, const char *ext, char out[OFFLINE_NAME_MAX])
{
    snprintf(out, OFFLINE_NAME_MAX, "%08x.%s", vid, ext);
}

bool offline_has(const struct offline *o, const char *name)
{
    return o->nnames &&
           bsearch(name, o->names, o->nnames, sizeof(*o->names), compare_names) != NULL;
}

int offline_read(const struct offline *o, const char *name, uint64_t max, uint8_t **ret,
                 size_t *ret_len)
{
    struct rt_stat st;
    uint8_t *bytes = NULL;
    int file = rt_file_open(o->dir, name, RT_O_READ, 0);
    if (file < 0)
        return file;
    int rc = rt_file_stat(file, &st);
    if (rc == 0 && st.size > max)
        rc = err_set(KT_ERR_TOO_LARGE, "%s has %" PRIu64 " bytes", name, st.size);
    if (rc == 0 && !(bytes = mem_try_alloc((size_t)st.size + 1)))
        rc = err_set(KT_ERR_NO_MEMORY, "no memory for %s", name);
    if (rc == 0)
        rc = rt_file_pread(file, bytes, (size_t)st.size, 0);
    rt_file_close(file);
    if (rc < 0) {
        mem_free(bytes);
        return rc;
    }
    *ret = bytes;
    *ret_len = (size_t)st.size;
    return 0;
}

int offline_write(const struct offline *o, const char *name, struct iovec *iov, int n)
{
    char tmp[OFFLINE_NAME_MAX + 8];
    snprintf(tmp, sizeof(tmp), "%s.tmp", name);
    int file = rt_file_open(o->dir, tmp, RT_O_READ | RT_O_WRITE | RT_O_CREATE, 0600);
    if (file < 0)
        return file;
    int rc = rt_file_truncate(file, 0);
    if (rc == 0)
        rc = rt_file_pwritev(file, iov, n, 0);
    if (rc == 0)
        rc = rt_file_sync(file);
    rt_file_close(file);
    if (rc == 0)
        rc = rt_file_rename(o->dir, tmp, name);
    return rc == 0 ? rt_dir_sync(o->dir) : rc;
}

/* ---- volumes ---- */

static int check_head(const struct offline *o, struct offline_volume *v, const uint8_t *head)
{
    int rc = superblock_decode(slice_of(head, BLOCK_SIZE), &v->super);
    if (rc < 0)
        return rc;
    if (v->super.vid != v->vid)
        return err_set(KT_ERR_CONFLICT, "the file holds volume %08x: give it its own name",
                       v->super.vid);
    if (memcmp(v->super.cell, o->label.cell, UUID_BYTES) != 0)
        return err_set(KT_ERR_CONFLICT, "it belongs to another cell: move it back there");
    rc = feature_check(&v->super.features, &volume_features_known, "the volume");
    if (rc < 0)
        return rc;
    rc =
        slot_choose(slice_of(head + VOLUME_SLOT_A, BLOCK_SIZE),
                    slice_of(head + VOLUME_SLOT_B, BLOCK_SIZE), &v->super, &v->slot, &v->bad_slots);
    if (rc < 0)
        return rc;
    v->slot_index = rc;
    superblock_place(&v->super, v->slot.generation, &v->place);
    return 0;
}

int offline_volume_open(const struct offline *o, vid_t vid, struct offline_volume *ret)
{
    char name[OFFLINE_NAME_MAX];
    struct rt_stat st;
    struct offline_volume v = {.vid = vid};
    uint8_t *head = mem_alloc(VOLUME_LOG_START);
    offline_name(vid, "vol", name);
    int rc = v.file = rt_file_open(o->dir, name, RT_O_READ, 0);
    if (rc >= 0)
        rc = rt_file_stat(v.file, &st);
    if (rc >= 0 && st.size < VOLUME_LOG_START)
        rc = err_set(KT_ERR_CORRUPT, "the file has %" PRIu64 " bytes, its head alone %u", st.size,
                     VOLUME_LOG_START);
    if (rc >= 0)
        rc = rt_file_pread(v.file, head, VOLUME_LOG_START, 0);
    if (rc >= 0)
        rc = check_head(o, &v, head);
    mem_free(head);
    if (rc < 0) {
        struct diag kept = *diag_get();
        rt_file_close(v.file);
        *diag_get() = kept;
        return rc;
    }
    v.size = st.size;
    v.end = st.size / NEEDLE_ALIGN * NEEDLE_ALIGN;
    if (v.slot.state != VOLUME_OPEN && v.slot.sealed_length >= VOLUME_LOG_START)
        v.end = KT_MIN(v.end, v.slot.sealed_length);
    *ret = v;
    return 0;
}

void offline_volume_close(struct offline_volume *v)
{
    rt_file_close(v->file);
    v->file = -1;
}

void offline_index_head(const struct offline_volume *v, struct index_head *ret)
{
    *ret = (struct index_head){.vid = v->vid, .generation = v->slot.generation, .log_end = v->end};
    memcpy(ret->uuid, v->super.uuid, UUID_BYTES);
}

/* ---- dead marks ---- */

static int mark_compare(const void *a, const void *b)
{
    const struct dead_mark *x = a, *y = b;
    if (x->seq != y->seq)
        return x->seq < y->seq ? -1 : 1;
    return x->counter < y->counter   ? 1
           : x->counter > y->counter ? -1
                                     : 0; /* highest counter first */
}

/* Adds what VID.dead holds. */
static int folded_marks(const struct offline *o, const struct offline_volume *v, struct buf *marks)
{
    char name[OFFLINE_NAME_MAX];
    uint8_t *bytes;
    size_t len;
    struct dead_file expect = {.vid = v->vid}, f;
    memcpy(expect.uuid, v->super.uuid, UUID_BYTES);
    offline_name(v->vid, "dead", name);
    int rc = offline_read(o, name, DEAD_FILE_MAX, &bytes, &len);
    if (rc < 0)
        return rc == -KT_ERR_NOT_FOUND ? 0 : rc;
    rc = dead_file_decode(slice_of(bytes, len), &expect, &f);
    if (rc == 0)
        rc = buf_add(marks, bytes + DEAD_FILE_HEAD, len - DEAD_FILE_HEAD);
    mem_free(bytes);
    return rc;
}

/* Adds what the valid part of dead.log says of this volume. */
static int logged_marks(const struct offline *o, const struct offline_volume *v, struct buf *marks)
{
    uint8_t *bytes;
    size_t len;
    uint32_t chain;
    struct deadlog_head head;
    struct deadlog_record rec;
    int rc = offline_read(o, "dead.log", DEAD_LOG_MAX, &bytes, &len);
    if (rc < 0)
        return rc == -KT_ERR_NOT_FOUND ? 0 : rc;
    if (deadlog_head_decode(slice_of(bytes, len), &head, &chain) == 0) {
        for (size_t at = DEADLOG_START; rc == 0 && at + DEADLOG_RECORD <= len;
             at += DEADLOG_RECORD) {
            if (!deadlog_record_decode(bytes + at, &chain, &rec))
                break;
            struct dead_mark m = {rec.id.seq, rec.counter, rec.time_s};
            if (rec.id.vid == v->vid)
                rc = buf_add(marks, &m, sizeof(m));
        }
    }
    mem_free(bytes);
    return rc;
}

int offline_dead_marks(const struct offline *o, const struct offline_volume *v,
                       struct dead_mark **ret, uint32_t *ret_count)
{
    struct buf marks = BUF_INIT(DEAD_FILE_MAX);
    int rc = folded_marks(o, v, &marks);
    if (rc == 0)
        rc = logged_marks(o, v, &marks);
    if (rc < 0) {
        buf_done(&marks);
        return rc;
    }
    struct dead_mark *m = (struct dead_mark *)(void *)marks.p; /* the caller's now */
    uint32_t n = (uint32_t)(marks.len / sizeof(*m)), kept = 0;
    if (n)
        qsort(m, n, sizeof(*m), mark_compare);
    for (uint32_t i = 0; i < n; i++)
        if (kept == 0 || m[kept - 1].seq != m[i].seq)
            m[kept++] = m[i];
    *ret = m;
    *ret_count = kept;
    return 0;
}
