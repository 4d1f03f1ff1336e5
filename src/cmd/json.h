/* json: writes one JSON value to a stdio stream, for --json output and report files.
 *
 * Keys are literals of ours and are written as they are; texts are escaped. Depth is bounded by
 * JSON_DEPTH_MAX (asserted). Write errors are left to the stream's error flag, which the command's
 * end checks. Not thread-safe, never yields.
 *
 *     struct json j = json_start(stdout);
 *     json_open(&j, NULL, '{');
 *     json_u64(&j, "ops", 12);
 *     json_close(&j);            // {"ops":12} and a line feed
 */
#ifndef KT_CMD_JSON_H
#define KT_CMD_JSON_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define JSON_DEPTH_MAX 16

struct json {
    FILE *out;
    int depth;
    char closers[JSON_DEPTH_MAX]; /* '}' or ']' of each open level */
    bool more;                    /* the current level has a member already */
};

struct json json_start(FILE *out);
/* Opens an object ('{') or array ('['); `key` is NULL at the top and within arrays. */
void json_open(struct json *j, const char *key, char kind);
/* Closes the innermost level; ends the line after the outermost. */
void json_close(struct json *j);
void json_text(struct json *j, const char *key, const char *value); /* NULL is written as null */
void json_u64(struct json *j, const char *key, uint64_t value);
void json_real(struct json *j, const char *key, double value); /* not finite: null */
void json_bool(struct json *j, const char *key, bool value);

#endif
