/* bench_objects: what the load generator has stored, and the manifest file that remembers it.
 *
 * A growing array of objects, some of them deleted; with names when they were files of a tree. A
 * manifest is text: a first line "kitten-bench 1 SEED FILES", then per object
 *
 *     live|dead|maybe <TAB> id or "-" <TAB> index in hex <TAB> size <TAB> crc32c in hex <TAB> name,
 * percent-encoded
 *
 * written to a temporary name and renamed. "maybe" is an object whose delete got no answer. Bound:
 * OBJECTS_MAX. One owner; load and save run outside of event loops (they use stdio) and never
 * yield.
 */
#ifndef KT_CMD_BENCH_OBJECTS_H
#define KT_CMD_BENCH_OBJECTS_H

#include "base/macros.h"
#include "cmd/bench_target.h"
#include <stdbool.h>
#include <stdint.h>

#define OBJECTS_MAX UINT64_C(200000000)

enum object_state {
    OBJECT_LIVE,
    OBJECT_DEAD,  /* its delete was acknowledged */
    OBJECT_MAYBE, /* its delete was sent, and the answer never came */
};

struct bench_objects {
    struct bench_object *items;   /* owned */
    char **names;                 /* owned, each too; NULL without names */
    uint8_t *state;               /* owned; enum object_state */
    char (*sigs)[TARGET_SIG_LEN]; /* owned; signed ahead, or NULL */
    uint64_t n, cap;
    uint64_t signed_n; /* the first so many have a signature */
    uint64_t seed;
    bool files; /* bytes came from files: known by their checksum only */
};

void objects_init(struct bench_objects *o, uint64_t seed, bool files);
void objects_done(struct bench_objects *o);
/* Appends; `name` (taken over, from mem_alloc) is NULL without names. Errors: LIMIT. */
int objects_add(struct bench_objects *o, const struct bench_object *item, char *name) KT_MUST_CHECK;
/* Moves all of `from` to the end of `to`. Errors: LIMIT. */
int objects_append(struct bench_objects *to, struct bench_objects *from) KT_MUST_CHECK;
/* Signs a request for each object ahead. */
void objects_sign(struct bench_objects *o, const struct bench_target *t, enum target_op op);

/* Errors: those of opening and reading, FORMAT with the line's number. */
int objects_load(const char *path, struct bench_objects *ret) KT_MUST_CHECK;
int objects_save(const char *path, const struct bench_objects *o) KT_MUST_CHECK;

#endif
