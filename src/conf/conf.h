/* conf: every parameter of kitten, from defaults, a file, the environment and the command line.
 *
 * Model. param_list.h is the only list. Each source sets parameters through conf_set, which checks
 * the value; a source of higher rank wins whatever the order of the calls: flag > environment >
 * file > default. A list is replaced by the highest source that names it, and grows when that
 * source names it again. What nobody knows is an error that names the nearest parameter.
 *
 *     struct conf c;
 *     conf_init(&c);
 *     rc = conf_load_file(&c, path);
 *     if (rc == 0) rc = conf_load_env(&c, environ);
 *     if (rc == 0) rc = conf_set(&c, CONF_FLAG, "volume-limit", "1GiB");
 *     if (rc == 0) rc = conf_finish(&c, machine_memory_bytes());
 *
 * Notation: sizes are 4096, 64KiB, 1MiB, 2GiB, 1TiB (binary) or kB, MB, GB, TB (decimal); times are
 * 250ms, 10s, 5m, 2h, 7d, a bare number means seconds; flags are yes or no; lists are separated by
 * commas.
 *
 * Bounds: a file of 64 KiB, lines of 190 bytes, lists of CONF_LIST_MAX. Start-up code: one thread,
 * never yields; reads its file directly (a listed exemption). Strings live as long as the struct.
 */
#ifndef KT_CONF_CONF_H
#define KT_CONF_CONF_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/macros.h"
#include <stdbool.h>
#include <stdint.h>

#define CONF_LIST_MAX 64

enum conf_type {
    CONF_TYPE_LIST,
    CONF_TYPE_TEXT,
    CONF_TYPE_FLAG,
    CONF_TYPE_COUNT,
    CONF_TYPE_SIZE,
    CONF_TYPE_TIME,
    CONF_TYPE_CHOICE
};
enum conf_source { CONF_DEFAULT, CONF_FILE, CONF_ENV, CONF_FLAG };

struct conf_list {
    const char *at[CONF_LIST_MAX]; /* owned by the struct conf */
    int n;
};

/* Number of each parameter: CONF_PARAM_listen, ... */
enum conf_param_id {
#define SECTION(name, prose)
#define PARAM(name, type, fallback, min, max, unit, reloadable, prose) CONF_PARAM_##name,
#include "conf/param_list.h"
#undef SECTION
#undef PARAM
    CONF_PARAM_COUNT
};

#define CONF_FIELD_LIST(name) struct conf_list name
#define CONF_FIELD_TEXT(name) const char *name
#define CONF_FIELD_FLAG(name) bool name
#define CONF_FIELD_COUNT(name) uint64_t name
#define CONF_FIELD_SIZE(name) uint64_t name##_bytes
#define CONF_FIELD_TIME(name) int64_t name##_ms
#define CONF_FIELD_CHOICE(name) int name

struct conf {
#define SECTION(name, prose)
#define PARAM(name, type, fallback, min, max, unit, reloadable, prose) CONF_FIELD_##type(name);
#include "conf/param_list.h"
#undef SECTION
#undef PARAM
    uint8_t source[CONF_PARAM_COUNT]; /* enum conf_source of each value */
    struct arena strings;
};

/* One row of the table. */
struct conf_param {
    const char *name; /* as in the file: lower_case */
    enum conf_type type;
    const char *fallback; /* the default in the file's notation */
    uint64_t min, max;    /* of numbers; entries of a list; bytes of a text */
    const char *unit;     /* or the choices, separated by '|' */
    bool reloadable;      /* takes effect on SIGHUP */
    const char *prose;
};

/* All defaults. */
void conf_init(struct conf *c);
void conf_done(struct conf *c);

/* The i-th parameter, NULL past the last. */
const struct conf_param *conf_param(size_t i);
/* The section that the i-th parameter stands in. */
const char *conf_section(size_t i);
/* By name, '-' and '_' being the same; NULL when there is none. */
const struct conf_param *conf_find(const char *name);

/* Sets one parameter, unless a source of higher rank has set it (the value is checked all the
 * same). Errors: INVALID with a sentence that says what would be right. */
int conf_set(struct conf *c, enum conf_source source, const char *name,
             const char *value) KT_MUST_CHECK;
/* The text of a kitten.conf; `name` is for messages ("kitten.conf:12: ..."). Errors: INVALID,
 * TOO_LARGE. */
int conf_load_text(struct conf *c, struct slice text, const char *name) KT_MUST_CHECK;
/* Errors: as conf_load_text; NOT_FOUND, DENIED, IO. */
int conf_load_file(struct conf *c, const char *path) KT_MUST_CHECK;
/* Every KITTEN_x of the environment; KITTEN_CONF, KITTEN_BUG, KITTEN_YES, KITTEN_ACCESS_KEY and
 * KITTEN_SECRET_KEY are not parameters. */
int conf_load_env(struct conf *c, char *const *env) KT_MUST_CHECK;
/* Fills in what depends on the machine (`memory_bytes` that this process may use) and checks what
 * must fit together. Call it last. Errors: INVALID. */
int conf_finish(struct conf *c, uint64_t memory_bytes) KT_MUST_CHECK;

/* Notations. Return false when malformed or beyond 64 bits. */
bool conf_read_size(const char *s, uint64_t *ret) KT_MUST_CHECK;
bool conf_read_time_ms(const char *s, int64_t *ret) KT_MUST_CHECK;

/* Generated texts: the options for --help, etc/kitten.conf, docs/config.md. Errors: TOO_LARGE,
 * NO_MEMORY. */
int conf_render_help(struct buf *out) KT_MUST_CHECK;
int conf_render_file(struct buf *out) KT_MUST_CHECK;
int conf_render_docs(struct buf *out) KT_MUST_CHECK;

#endif
