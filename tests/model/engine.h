/* engine: the store under test as the model drives it; the only part of the model that knows how it
 * is built. */
#ifndef KT_TESTS_MODEL_ENGINE_H
#define KT_TESTS_MODEL_ENGINE_H

#include "api/store.h"

struct engine;

struct engine_options {
    int disks; /* directories /d0, /d1, ... */
    uint64_t volume_limit_bytes;
    uint64_t reserve_bytes; /* 0: by the limit */
    uint64_t dead_fold_bytes;
    uint32_t undelete_window_s;
    uint32_t idle_mark_ms;
    uint64_t zero_fill_bytes;
    uint32_t open_volumes_max;
    bool background; /* the store compacts and scrubs by itself; not on demand then */
};

/* On a fiber. */
int engine_open(const struct engine_options *opt, struct engine **ret) KT_MUST_CHECK;
void engine_close(struct engine *e);
const struct store_api *engine_api(struct engine *e);

/* Each picks by `pick` among the volumes it fits; 0 when there was nothing to do. */
int engine_seal(struct engine *e, uint64_t pick);
int engine_compact(struct engine *e, uint64_t pick);
struct engine_findings {
    uint32_t n;
    char first[200];
};
int engine_scrub(struct engine *e, uint64_t pick, struct engine_findings *ret);
/* The directory of disk `disk`: "/d0". */
void engine_disk_path(int disk, char out[16]);

#endif
