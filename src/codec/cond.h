/* codec/cond: conditional requests (RFC 9110 section 13).
 *
 * Model. The handler describes what it has (struct cond_target) and asks once, before it does
 * anything; the answer follows the order of section 13.2.2: If-Match, else If-Unmodified-Since;
 * then If-None-Match, else (GET and HEAD) If-Modified-Since. If-Range is a separate question, asked
 * only when there is a Range. Several fields of one name count as one list. Tags in lists may come
 * without quotes, as S3 clients send them; such a tag is strong. A malformed list is INVALID (400)
 * rather than a guess; a malformed date is ignored.
 *
 * Pure, any thread, never yields.
 */
#ifndef KT_CODEC_COND_H
#define KT_CODEC_COND_H

#include "codec/h1.h"

/* The current representation of the target. */
struct cond_target {
    bool exists;
    bool weak;        /* the tag is a weak one */
    struct slice tag; /* entity tag without quotes; empty when there is none */
    int64_t mtime_s;  /* Last-Modified in Unix seconds, or COND_NO_MTIME */
};
#define COND_NO_MTIME INT64_MIN

/* Returns 0 to go on, -KT_ERR_NOT_MODIFIED, -KT_ERR_PRECONDITION or -KT_ERR_INVALID. `now_s` is the
 * wall clock, for two-digit years. */
int cond_evaluate(const struct h1_field *fields, int nfields, enum h1_method method,
                  const struct cond_target *target, int64_t now_s) KT_MUST_CHECK;

/* True when a Range field may be honoured: there is no If-Range, or it matches by strong
 * comparison, or its date equals Last-Modified. */
bool cond_range_allowed(const struct h1_field *fields, int nfields,
                        const struct cond_target *target, int64_t now_s) KT_MUST_CHECK;

/* Does the list `value` name `target`? 1, 0 or -KT_ERR_INVALID. `strong`: weak tags never match. */
int cond_list_matches(struct slice value, const struct cond_target *target,
                      bool strong) KT_MUST_CHECK;

#endif
