/* volume/generation: what compaction, scrub and fsck need of a volume beyond reading needles.
 *
 * Model. A generation is one log file with its index. Readers and background jobs hold references;
 * compaction writes a new file beside it and swaps (volume_swap_generation). The old one lives
 * until its last reader is done, also when its name is gone.
 *
 * Invariants: bytes below generation_length never change; the index of a sealed volume is loaded at
 * first use and then fixed, but for its dead bits. Any loop; KT_YIELDS calls on a fiber.
 *
 *     struct generation *g = volume_generation(v);
 *     rc = scan_open(&s, generation_file(g), generation_place(g), VOLUME_LOG_START,
 * generation_length(g), SCAN_VERIFY);
 *     ...
 *     generation_unref(g);
 */
#ifndef KT_VOLUME_GENERATION_H
#define KT_VOLUME_GENERATION_H

#include "volume/volume.h"

/* The current generation with a reference; NULL when the volume serves nothing. */
struct generation *volume_generation(struct volume *v);
void generation_unref(struct generation *g);
int generation_file(const struct generation *g);
const struct needle_place *generation_place(const struct generation *g);
uint64_t generation_length(const struct generation *g);     /* sealed length, or the synced end */
struct index *generation_index(const struct generation *g); /* NULL while not loaded */
/* Loads the index of a sealed volume when it isn't. Errors: NOT_HERE, IO, NO_MEMORY, TIMEOUT. */
int volume_need_index(struct volume *v, int64_t deadline_ns) KT_MUST_CHECK KT_YIELDS;
/* Each dead mark with its counter and time, folded or not, sorted by seq. *ret is owned by the
 * caller. */
int volume_dead_marks(struct volume *v, struct dead_mark **ret,
                      uint32_t *ret_count) KT_MUST_CHECK KT_YIELDS;
/* Puts a compacted generation in place of the current one after VID.vol was renamed: `file`
 * (read-only) and `ix`, both taken over in any case, of generation `slot->generation`; `slot` lies
 * in slot A of the new file. The old index must be loaded. Dead bits are carried over from the old
 * index. Readers of the old generation keep it until they close. */
int volume_swap_generation(struct volume *v, int file, struct index *ix,
                           const struct state_slot *slot) KT_MUST_CHECK KT_YIELDS;
/* The current state slot. */
void volume_slot(struct volume *v, struct state_slot *ret);
/* Rot was found (by a scrub): the volume keeps serving what verifies. `reason` is shown in its
 * status. */
void volume_note_damage(struct volume *v, const char *reason);
/* Removes a sealed volume whose every needle has expired. */
int volume_drop(struct volume *v) KT_MUST_CHECK KT_YIELDS;

#endif
