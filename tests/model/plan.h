/* plan: what one model run does: lives of the store, operations in each, faults. Made from a seed,
 * and shrunk. */
#ifndef KT_TESTS_MODEL_PLAN_H
#define KT_TESTS_MODEL_PLAN_H

#include "rt/sim.h"
#include "tests/model/engine.h"

enum fault_class {
    CLASS_CUT = 1,  /* power cuts */
    CLASS_KILL = 2, /* kill -9 */
    CLASS_SYNC_EIO = 4,
    CLASS_WRITE_EIO = 8,
    CLASS_READ_EIO = 16,
    CLASS_SHORT = 32, /* short reads and writes */
    CLASS_STALL = 64,
    CLASS_FULL = 128,    /* a small disk */
    CLASS_ROT = 256,     /* one flipped bit between two lives */
    CLASS_REORDER = 512, /* unsynced directory operations in any subset */
    CLASS_BROKEN = 1024, /* a disk stops answering */
    CLASS_COUNT = 11,
};

enum op_kind {
    OP_PUT,
    OP_PUT_MANY,
    OP_GET,
    OP_RANGE,
    OP_DELETE,
    OP_UNDELETE,
    OP_GET_DEAD,
    OP_WRONG,
    OP_SLEEP,
    OP_SEAL,
    OP_COMPACT,
    OP_SCRUB,
    OP_DROP_BUCKET,
    OP_BREAK,
    OP_KIND_COUNT
};
const char *op_name(enum op_kind k);

struct op {
    uint8_t kind, fiber, life;
    bool off;      /* shrunk away */
    uint64_t dice; /* chooses target, size, ... */
};

enum life_end { END_CLOSE, END_NTH_CALL };
struct life {
    enum life_end end;
    enum sim_fault fault; /* for END_NTH_CALL */
    uint64_t nth;         /* persisting call of this life */
    bool arm_late;        /* count from the first operation, not from the open */
    bool power_off;       /* the power goes right after a clean close */
    bool one_disk;        /* the store is opened with the first of its directories only */
    bool no_index;        /* all index files are gone before it: they are caches */
    uint32_t jump_s;      /* the wall clock goes forward before it */
    bool off;
};

#define PLAN_OPS_MAX 600
#define PLAN_LIVES_MAX 8
#define PLAN_FIBERS_MAX 6

struct plan {
    uint64_t seed;
    uint32_t classes;
    struct sim_options sim;
    struct engine_options engine;
    bool plain; /* no expiring blobs */
    int fibers, nlives;
    struct life lives[PLAN_LIVES_MAX];
    uint32_t nops;
    struct op ops[PLAN_OPS_MAX];
};

/* `only`: classes that may be used. */
void plan_make(struct plan *p, uint64_t seed, uint32_t only);
/* Sets the rates that go with p->classes. */
void plan_apply_classes(struct plan *p);
void plan_print(const struct plan *p);
/* Makes a failing plan smaller while `fails` says that it still fails. */
void plan_shrink(struct plan *p, bool (*fails)(const struct plan *p));

#endif
