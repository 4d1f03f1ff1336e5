/* volume/rebuild: makes the indexes of a data directory anew from its logs; `kitten rebuild index`.
 *
 * Of a sealed volume all headers are read and VID.idx is written in its sealed form (tmp, fsync,
 * rename). Of any other volume VID.idx is removed: the next start reads the log instead and writes
 * it again as the volume grows. Nothing else is touched. The directory must not be in use. One
 * fiber.
 */
#ifndef KT_VOLUME_REBUILD_H
#define KT_VOLUME_REBUILD_H

#include "volume/offline.h"

struct rebuild_options {
    /* Told of each volume: `rc` < 0 and `why` when its index could not be made. */
    void (*done)(void *arg, vid_t vid, uint32_t needles, int rc, const char *why);
    void (*progress)(void *arg, uint64_t done, uint64_t total); /* bytes of log; may be NULL */
    void *arg;
};

struct rebuild_result {
    uint32_t rebuilt, removed, failed; /* volumes */
};

/* Errors: as offline_open. A volume whose log is damaged is `failed`, its index stays as it was. */
int rebuild_indexes(const char *path, const struct rebuild_options *opt,
                    struct rebuild_result *ret) KT_MUST_CHECK KT_YIELDS;

#endif
