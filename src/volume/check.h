/* volume/check: verifies a data directory that no process uses, without changing it; `kitten fsck`.
 *
 * Model. Label, lock, dead log, and of each volume: superblock and both slots, every needle
 * (headers only with `fast`), folded dead marks, the index against the log, job record. Each thing
 * that isn't as it should be is one finding, of a severity that says what it means: NOTE    nothing
 * is wrong: leftovers that the next start removes or carries on STALE   derived data that is
 * rebuilt, or a torn tail that was never acknowledged: repairs itself DAMAGE  acknowledged bytes
 * are lost or can't be trusted
 *
 * What lies above an open log's highest `durable` mark and doesn't verify is a torn tail, unless
 * something behind it knows it to be synced. One fiber.
 */
#ifndef KT_VOLUME_CHECK_H
#define KT_VOLUME_CHECK_H

#include "volume/offline.h"

enum check_severity { CHECK_NOTE, CHECK_STALE, CHECK_DAMAGE };

struct check_finding {
    enum check_severity severity;
    char file[OFFLINE_NAME_MAX];
    uint64_t offset, bytes; /* extent in the file; 0, 0: the file as a whole */
    bool has_seq;
    seq_t seq;
    char text[240]; /* one sentence: what, and what to do */
};

struct check_options {
    bool fast; /* headers only */
    void (*finding)(void *arg, const struct check_finding *f);
    void (*progress)(void *arg, uint64_t done, uint64_t total); /* bytes; may be NULL */
    void *arg;
};

#define CHECK_FINDINGS_MAX 10000u /* reported; more are counted */

struct check_result {
    uint64_t bytes, needles;
    uint32_t volumes, dead;
    uint32_t found[3]; /* by severity */
};

/* Errors: as offline_open; everything else is a finding. */
int check_directory(const char *path, const struct check_options *opt,
                    struct check_result *ret) KT_MUST_CHECK KT_YIELDS;

#endif
