/* superblock: fixed fields at fixed places, through a struct that has the layout of the disk. */
#include "format/superblock.h"

#include "base/assert.h"
#include "base/enc.h"
#include <inttypes.h>

#define SUPERBLOCK_MAGIC BLOCK_MAGIC('K', 'T', 'N', 'V', 'O', 'L', '1', '\n')
#define SLOT_MAGIC BLOCK_MAGIC('K', 'T', 'N', 'S', 'L', 'O', 'T', '\n')

const struct feature_words volume_features_known = {0, 0, 0};

struct superblock_disk {
    uint64_t magic;
    uint32_t version;
    uint32_t zero;
    uint64_t compat, ro_compat, incompat;
    uint8_t cell[UUID_BYTES];
    uint8_t uuid[UUID_BYTES];
    uint32_t vid;
    uint32_t secret;
    uint32_t policy;
    uint32_t expiry_class;
    uint64_t limit_bytes;
    uint64_t created_ms;
};
_Static_assert(sizeof(struct superblock_disk) == 104, "on-disk layout");
_Static_assert(offsetof(struct superblock_disk, compat) == 16, "on-disk layout");
_Static_assert(offsetof(struct superblock_disk, cell) == 40, "on-disk layout");
_Static_assert(offsetof(struct superblock_disk, uuid) == 56, "on-disk layout");
_Static_assert(offsetof(struct superblock_disk, vid) == 72, "on-disk layout");
_Static_assert(offsetof(struct superblock_disk, expiry_class) == 84, "on-disk layout");
_Static_assert(offsetof(struct superblock_disk, created_ms) == 96, "on-disk layout");

struct slot_epoch_disk {
    uint32_t epoch;
    uint32_t zero;
    uint64_t start;
};

struct slot_disk {
    uint64_t magic;
    uint64_t counter;
    uint8_t uuid[UUID_BYTES];
    uint32_t vid;
    uint32_t epoch;
    uint32_t generation;
    uint8_t state;
    uint8_t nreplicas;
    uint8_t nhistory;
    uint8_t zero;
    uint64_t sealed_length;
    uint64_t changed_ms;
    char reason[SLOT_REASON_MAX];
    uint8_t replicas[SLOT_REPLICAS_MAX][UUID_BYTES];
    struct slot_epoch_disk history[SLOT_HISTORY_MAX];
};
_Static_assert(sizeof(struct slot_disk) == 1344, "on-disk layout");
_Static_assert(offsetof(struct slot_disk, uuid) == 16, "on-disk layout");
_Static_assert(offsetof(struct slot_disk, generation) == 40, "on-disk layout");
_Static_assert(offsetof(struct slot_disk, state) == 44, "on-disk layout");
_Static_assert(offsetof(struct slot_disk, sealed_length) == 48, "on-disk layout");
_Static_assert(offsetof(struct slot_disk, reason) == 64, "on-disk layout");
_Static_assert(offsetof(struct slot_disk, replicas) == 192, "on-disk layout");
_Static_assert(offsetof(struct slot_disk, history) == 320, "on-disk layout");

void superblock_encode(const struct superblock *sb, uint8_t out[BLOCK_SIZE])
{
    kt_assert(sb->vid != 0);
    struct superblock_disk d = {
        .magic = SUPERBLOCK_MAGIC,
        .version = VOLUME_VERSION,
        .compat = sb->features.compat,
        .ro_compat = sb->features.ro_compat,
        .incompat = sb->features.incompat,
        .vid = sb->vid,
        .secret = sb->secret,
        .policy = sb->policy,
        .expiry_class = sb->expiry_class,
        .limit_bytes = sb->limit_bytes,
        .created_ms = sb->created_ms,
    };
    memcpy(d.cell, sb->cell, UUID_BYTES);
    memcpy(d.uuid, sb->uuid, UUID_BYTES);
    memcpy(out, &d, sizeof(d));
    block_seal(out, sizeof(d));
}

int superblock_decode(struct slice in, struct superblock *ret)
{
    struct superblock_disk d;
    int rc = block_check(in, SUPERBLOCK_MAGIC, "volume superblock");
    if (rc < 0)
        return rc;
    memcpy(&d, in.p, sizeof(d));
    if (d.version != VOLUME_VERSION)
        return err_set(KT_ERR_FORMAT,
                       "volume of format version %u, kitten " KITTEN_VERSION
                       " knows %u: use the version that wrote it",
                       d.version, VOLUME_VERSION);
    if (d.vid == 0)
        return err_set(KT_ERR_CORRUPT, "volume superblock with volume id 0");
    if (d.limit_bytes > VOLUME_LIMIT_MAX)
        return err_set(KT_ERR_CORRUPT, "volume superblock with a limit of %" PRIu64 " bytes",
                       d.limit_bytes);
    *ret = (struct superblock){
        .features = {d.compat, d.ro_compat, d.incompat},
        .vid = d.vid,
        .secret = d.secret,
        .policy = d.policy,
        .expiry_class = d.expiry_class,
        .limit_bytes = d.limit_bytes,
        .created_ms = d.created_ms,
    };
    memcpy(ret->cell, d.cell, UUID_BYTES);
    memcpy(ret->uuid, d.uuid, UUID_BYTES);
    return 0;
}

void slot_encode(const struct state_slot *slot, uint8_t out[BLOCK_SIZE])
{
    kt_assert(slot->nreplicas <= SLOT_REPLICAS_MAX && slot->nhistory <= SLOT_HISTORY_MAX);
    struct slot_disk d = {
        .magic = SLOT_MAGIC,
        .counter = slot->counter,
        .vid = slot->vid,
        .epoch = slot->epoch,
        .generation = slot->generation,
        .state = slot->state,
        .nreplicas = slot->nreplicas,
        .nhistory = slot->nhistory,
        .sealed_length = slot->sealed_length,
        .changed_ms = slot->changed_ms,
    };
    memcpy(d.uuid, slot->uuid, UUID_BYTES);
    memcpy(d.reason, slot->reason, strnlen(slot->reason, SLOT_REASON_MAX - 1));
    memcpy(d.replicas, slot->replicas, (size_t)slot->nreplicas * UUID_BYTES);
    for (size_t i = 0; i < slot->nhistory; i++)
        d.history[i] = (struct slot_epoch_disk){.epoch = slot->history[i].epoch,
                                                .start = slot->history[i].start};
    memcpy(out, &d, sizeof(d));
    block_seal(out, sizeof(d));
}

/* What a checksum can't say: that the fields make sense together. */
static int slot_check(const struct slot_disk *d, const struct superblock *sb)
{
    if (memcmp(d->uuid, sb->uuid, UUID_BYTES) != 0 || d->vid != sb->vid)
        return err_set(KT_ERR_CORRUPT, "state slot belongs to another volume (id %08x)", d->vid);
    if (d->state < VOLUME_OPEN || d->state > VOLUME_FENCED || d->nreplicas > SLOT_REPLICAS_MAX ||
        d->nhistory > SLOT_HISTORY_MAX)
        return err_set(KT_ERR_CORRUPT, "state slot with impossible fields");
    for (size_t i = 1; i < d->nhistory; i++)
        if (d->history[i].epoch <= d->history[i - 1].epoch ||
            d->history[i].start < d->history[i - 1].start)
            return err_set(KT_ERR_CORRUPT, "state slot with a history that goes back");
    bool sealed = d->state == VOLUME_SEALED;
    if (sealed && (d->sealed_length < VOLUME_LOG_START || d->sealed_length > VOLUME_LIMIT_MAX ||
                   d->sealed_length % NEEDLE_ALIGN))
        return err_set(KT_ERR_CORRUPT, "state slot with sealed length %" PRIu64, d->sealed_length);
    return 0;
}

int slot_decode(struct slice in, const struct superblock *sb, struct state_slot *ret)
{
    struct slot_disk d;
    int rc = block_check(in, SLOT_MAGIC, "state slot");
    if (rc < 0)
        return rc;
    memcpy(&d, in.p, sizeof(d));
    rc = slot_check(&d, sb);
    if (rc < 0)
        return rc;
    *ret = (struct state_slot){
        .counter = d.counter,
        .vid = d.vid,
        .epoch = d.epoch,
        .generation = d.generation,
        .state = d.state,
        .nreplicas = d.nreplicas,
        .nhistory = d.nhistory,
        .sealed_length = d.sealed_length,
        .changed_ms = d.changed_ms,
    };
    memcpy(ret->uuid, d.uuid, UUID_BYTES);
    memcpy(ret->reason, d.reason, SLOT_REASON_MAX - 1);
    memcpy(ret->replicas, d.replicas, sizeof(d.replicas));
    for (size_t i = 0; i < d.nhistory; i++)
        ret->history[i] = (struct slot_epoch){d.history[i].epoch, d.history[i].start};
    return 0;
}

int slot_choose(struct slice a, struct slice b, const struct superblock *sb, struct state_slot *ret,
                unsigned *ret_bad)
{
    struct state_slot second;
    int rc_a = slot_decode(a, sb, ret);
    int rc_b = slot_decode(b, sb, &second);
    *ret_bad = (rc_a < 0 ? SLOT_BAD_A : 0) | (rc_b < 0 ? SLOT_BAD_B : 0);
    if (rc_a < 0 && rc_b < 0)
        return err_wrap(rc_b, "no valid state slot");
    if (rc_b < 0 || (rc_a == 0 && ret->counter > second.counter))
        return 0;
    if (rc_a == 0 && ret->counter == second.counter) {
        if (memcmp(a.p, b.p, BLOCK_SIZE) != 0)
            return err_set(KT_ERR_CORRUPT, "both state slots claim counter %" PRIu64,
                           second.counter);
        return 0;
    }
    *ret = second;
    return 1;
}

void superblock_place(const struct superblock *sb, uint32_t generation, struct needle_place *ret)
{
    memcpy(ret->uuid, sb->uuid, UUID_BYTES);
    ret->secret = sb->secret;
    ret->generation = generation;
}
