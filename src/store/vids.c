/* vids: volume ids that are never given out twice, and the set of directories that belong together.
 *
 * Happy path. The store file lies in every directory; at the start the copy with the highest
 * counter counts, and the next id is above it and above every volume found. Before an id is used,
 * the file with the id after it is written to every working disk.
 *
 * Failure modes. A disk that can't take the file is skipped as long as the disk that will hold the
 * volume has it: that disk's copy travels with the volume. While a directory is missing, its copy
 * may be the newer one: the first id given out then leaves a gap that is larger than what it can
 * have seen. A directory listed but not given makes the store incomplete: ids of volumes it doesn't
 * know are then NOT_HERE, not NOT_FOUND. */
#include "store/store_priv.h"

#define STORE_FILE_NAME "store"
#define VID_BASE_MIN 0x10000u
#define MISSING_GAP DISK_VOLUMES_MAX /* ids that a missing directory may have seen given out */
#define VID_BASE_RANGE 0x70000000u

static int write_copies(struct store *s, const struct store_disk *target)
{
    uint8_t *block = mem_zalloc(BLOCK_SIZE);
    s->file.counter++;
    store_file_encode(&s->file, block);
    int rc = 0, good = 0;
    for (int i = 0; i < s->ndisks; i++) {
        struct store_disk *sd = &s->disks[i];
        if (disk_state_of(sd->disk) == DISK_FAILED && sd != target)
            continue;
        struct iovec iov = {.iov_base = block, .iov_len = BLOCK_SIZE};
        int one = disk_put_file(sd->disk, STORE_FILE_NAME, &iov, 1);
        if (one < 0 && (!target || sd == target))
            rc = one;
        good += one == 0;
    }
    mem_free(block);
    if (!target && good > 0)
        rc = 0;
    return rc < 0 ? err_wrap(rc, "store file") : 0;
}

static bool lists(const struct store_file *f, const uint8_t *uuid)
{
    for (uint32_t i = 0; i < f->ndisks; i++)
        if (memcmp(f->disks[i], uuid, UUID_BYTES) == 0)
            return true;
    return false;
}

/* Takes over the newest readable copy. A directory that must have one and has none makes the list
 * unsure, unless another copy tells. */
static int read_copies(struct store *s)
{
    bool found = false, lost = false;
    for (int i = 0; i < s->ndisks; i++) {
        uint8_t *bytes;
        size_t len;
        struct store_file f = {0};
        int rc = disk_get_file(s->disks[i].disk, STORE_FILE_NAME, BLOCK_SIZE, &bytes, &len);
        if (rc == 0) {
            rc = store_file_decode(slice_of(bytes, len), &f);
            mem_free(bytes);
        }
        if (rc == -KT_ERR_FORMAT || rc == -KT_ERR_DENIED)
            return rc;
        if (rc < 0) {
            lost = lost || rc != -KT_ERR_NOT_FOUND || disk_volume_count(s->disks[i].disk) > 0;
            continue;
        }
        found = true;
        if (f.counter > s->file.counter)
            s->file = f;
    }
    if (lost && !found)
        s->file.flags |= STORE_FILE_UNSURE;
    return 0;
}

static bool given(const struct store *s, const uint8_t *uuid)
{
    for (int i = 0; i < s->ndisks; i++)
        if (memcmp(disk_label_of(s->disks[i].disk)->uuid, uuid, UUID_BYTES) == 0)
            return true;
    return false;
}

/* Brings the list up to date with the directories that are here. Returns whether it changed. */
static bool update_list(struct store *s)
{
    bool changed = false;
    if (s->opt.forget_missing) {
        uint32_t kept = 0;
        s->file.flags &= ~STORE_FILE_UNSURE;
        for (uint32_t i = 0; i < s->file.ndisks; i++)
            if (given(s, s->file.disks[i]))
                memmove(s->file.disks[kept++], s->file.disks[i], UUID_BYTES);
        changed = true;
        s->file.ndisks = kept;
    }
    for (int i = 0; i < s->ndisks; i++) {
        const uint8_t *uuid = disk_label_of(s->disks[i].disk)->uuid;
        if (lists(&s->file, uuid) || s->file.ndisks == STORE_DISKS_MAX)
            continue;
        memcpy(s->file.disks[s->file.ndisks++], uuid, UUID_BYTES);
        changed = true;
    }
    s->incomplete = (s->file.flags & STORE_FILE_UNSURE) != 0;
    for (uint32_t i = 0; i < s->file.ndisks; i++)
        s->incomplete = s->incomplete || !given(s, s->file.disks[i]);
    return changed;
}

int vids_open(struct store *s)
{
    int rc = read_copies(s);
    if (rc < 0)
        return rc;
    bool changed = update_list(s);
    vid_t next = s->file.next_vid;
    for (int i = 0; i < s->ndisks; i++) {
        uint32_t n = disk_volume_count(s->disks[i].disk);
        if (n > 0)
            next = KT_MAX(next, volume_vid(disk_volume_at(s->disks[i].disk, n - 1)) + 1);
    }
    if (next == 0) {
        uint32_t random;
        rt_random(&random, sizeof(random));
        next = VID_BASE_MIN + random % VID_BASE_RANGE;
    }
    changed = changed || next != s->file.next_vid;
    s->file.next_vid = next;
    rc = changed ? write_copies(s, NULL) : 0;
    /* A full or failing disk is no reason not to serve reads: an id is only given out once it is
     * written. */
    return rc == -KT_ERR_NO_SPACE || rc == -KT_ERR_IO ? 0 : rc;
}

int vids_next(struct store *s, const struct store_disk *target, int64_t deadline_ns, vid_t *ret)
{
    int rc = gate_enter(&s->vid_gate, deadline_ns);
    if (rc < 0)
        return rc;
    vid_t vid = s->file.next_vid;
    if (s->incomplete && !s->skipped) {
        vid = vid < UINT32_MAX - MISSING_GAP ? vid + MISSING_GAP : UINT32_MAX;
        s->skipped = true;
    }
    if (vid == UINT32_MAX) {
        rc = err_set(KT_ERR_LIMIT, "no volume ids are left");
    } else {
        s->file.next_vid = vid + 1;
        rc = write_copies(s, target);
    }
    gate_leave(&s->vid_gate);
    if (rc == 0)
        *ret = vid;
    return rc;
}
