/* disk_label: one block, fixed fields. */
#include "format/disk_label.h"

#define DISK_LABEL_MAGIC BLOCK_MAGIC('K', 'T', 'N', 'D', 'I', 'S', 'K', '\n')

const struct feature_words disk_features_known = {0, 0, 0};

struct disk_label_disk {
    uint64_t magic;
    uint32_t version;
    uint32_t capacity_class;
    uint64_t compat, ro_compat, incompat;
    uint8_t uuid[UUID_BYTES];
    uint8_t cell[UUID_BYTES];
    uint64_t volume_limit_bytes;
    uint64_t created_ms;
    uint8_t store[UUID_BYTES];
};
_Static_assert(sizeof(struct disk_label_disk) == 104, "on-disk layout");
_Static_assert(offsetof(struct disk_label_disk, compat) == 16, "on-disk layout");
_Static_assert(offsetof(struct disk_label_disk, uuid) == 40, "on-disk layout");
_Static_assert(offsetof(struct disk_label_disk, cell) == 56, "on-disk layout");
_Static_assert(offsetof(struct disk_label_disk, volume_limit_bytes) == 72, "on-disk layout");
_Static_assert(offsetof(struct disk_label_disk, store) == 88, "on-disk layout");

void disk_label_encode(const struct disk_label *label, uint8_t out[BLOCK_SIZE])
{
    struct disk_label_disk d = {
        .magic = DISK_LABEL_MAGIC,
        .version = DISK_LABEL_VERSION,
        .capacity_class = label->capacity_class,
        .compat = label->features.compat,
        .ro_compat = label->features.ro_compat,
        .incompat = label->features.incompat,
        .volume_limit_bytes = label->volume_limit_bytes,
        .created_ms = label->created_ms,
    };
    memcpy(d.uuid, label->uuid, UUID_BYTES);
    memcpy(d.cell, label->cell, UUID_BYTES);
    memcpy(d.store, label->store, UUID_BYTES);
    memcpy(out, &d, sizeof(d));
    block_seal(out, sizeof(d));
}

int disk_label_decode(struct slice in, struct disk_label *ret)
{
    struct disk_label_disk d;
    int rc = block_check(in, DISK_LABEL_MAGIC, "disk label");
    if (rc < 0)
        return rc;
    memcpy(&d, in.p, sizeof(d));
    if (d.version != DISK_LABEL_VERSION)
        return err_set(KT_ERR_FORMAT,
                       "data directory of format version %u, kitten " KITTEN_VERSION
                       " knows %u: use the version that wrote it",
                       d.version, DISK_LABEL_VERSION);
    *ret = (struct disk_label){
        .features = {d.compat, d.ro_compat, d.incompat},
        .capacity_class = d.capacity_class,
        .volume_limit_bytes = d.volume_limit_bytes,
        .created_ms = d.created_ms,
    };
    memcpy(ret->uuid, d.uuid, UUID_BYTES);
    memcpy(ret->cell, d.cell, UUID_BYTES);
    memcpy(ret->store, d.store, UUID_BYTES);
    return 0;
}
