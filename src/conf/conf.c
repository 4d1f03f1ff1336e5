/* conf: checking and storing values; sources and their rank.
 *
 * Every way in ends in conf_set: find the row, read the value by the row's type and limits, and
 * store it unless a source of higher rank did. Failure: INVALID, with the parameter's name, what
 * was given, and what would be right; the struct keeps the values it had. */
#include "conf/conf.h"

#include "base/assert.h"
#include "base/enc.h"
#include "base/err.h"
#include "base/nearest.h"
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define STRINGS_MAX KIB(256)
#define LIMIT_TEXT_MAX 32

/* Where a row's value lies in struct conf. */
#define MEMBER_LIST(name) offsetof(struct conf, name)
#define MEMBER_TEXT(name) offsetof(struct conf, name)
#define MEMBER_FLAG(name) offsetof(struct conf, name)
#define MEMBER_COUNT(name) offsetof(struct conf, name)
#define MEMBER_SIZE(name) offsetof(struct conf, name##_bytes)
#define MEMBER_TIME(name) offsetof(struct conf, name##_ms)
#define MEMBER_CHOICE(name) offsetof(struct conf, name)

static const struct row {
    struct conf_param param;
    size_t member;
} rows[CONF_PARAM_COUNT] = {
#define SECTION(name, prose)
#define PARAM(name, type, fallback, min, max, unit, reloadable, prose)                             \
    {{#name, CONF_TYPE_##type, fallback, min, max, unit, reloadable, prose}, MEMBER_##type(name)},
#include "conf/param_list.h"
#undef SECTION
#undef PARAM
};

/* A value that was read and found right. */
union value {
    uint64_t number;
    struct slice text;
};

const struct conf_param *conf_param(size_t i)
{
    return i < CONF_PARAM_COUNT ? &rows[i].param : NULL;
}

const char *conf_section(size_t i)
{
    static const struct {
        const char *section;
        size_t param;
    } order[] = {
#define SECTION(name, prose) {name, 0},
#define PARAM(name, type, fallback, min, max, unit, reloadable, prose) {NULL, CONF_PARAM_##name},
#include "conf/param_list.h"
#undef SECTION
#undef PARAM
    };
    const char *section = NULL;
    for (size_t k = 0; k < KT_ARRAY_LEN(order); k++) {
        if (order[k].section)
            section = order[k].section;
        else if (order[k].param == i)
            break;
    }
    return section;
}

static bool same_name(const char *a, const char *b)
{
    for (; *a && *b; a++, b++)
        if (*a != *b && !(*a == '-' && *b == '_'))
            return false;
    return *a == *b;
}

/* The row's number, CONF_PARAM_COUNT when there is none. */
static size_t find(const char *name)
{
    size_t i = 0;
    while (i < CONF_PARAM_COUNT && !same_name(name, rows[i].param.name))
        i++;
    return i;
}

const struct conf_param *conf_find(const char *name)
{
    return conf_param(find(name));
}

/* ---- notations ---- */

struct suffix {
    const char *name;
    uint64_t factor;
};

/* Digits and then one of the suffixes. */
static bool read_scaled(const char *s, const struct suffix *suffixes, uint64_t *ret)
{
    size_t digits = strspn(s, "0123456789");
    uint64_t v;
    if (!dec_to_u64(slice_of(s, digits), &v))
        return false;
    for (; suffixes->name; suffixes++)
        if (strcmp(s + digits, suffixes->name) == 0)
            return !__builtin_mul_overflow(v, suffixes->factor, ret);
    return false;
}

bool conf_read_size(const char *s, uint64_t *ret)
{
    static const struct suffix suffixes[] = {{"", 1},
                                             {"B", 1},
                                             {"KiB", KIB(1)},
                                             {"MiB", MIB(1)},
                                             {"GiB", GIB(1)},
                                             {"TiB", GIB(1024)},
                                             {"kB", 1000},
                                             {"MB", 1000000},
                                             {"GB", 1000000000},
                                             {"TB", UINT64_C(1000000000000)},
                                             {NULL, 0}};
    return read_scaled(s, suffixes, ret);
}

bool conf_read_time_ms(const char *s, int64_t *ret)
{
    static const struct suffix suffixes[] = {{"ms", 1},    {"s", 1000},    {"", 1000},
                                             {"m", 60000}, {"h", 3600000}, {"d", 86400000},
                                             {NULL, 0}};
    uint64_t v;
    if (!read_scaled(s, suffixes, &v) || v > INT64_MAX)
        return false;
    *ret = (int64_t)v;
    return true;
}

static bool read_flag(const char *s, uint64_t *ret)
{
    static const char *const words[] = {"no", "yes", "false", "true", "off", "on", "0", "1"};
    for (size_t i = 0; i < KT_ARRAY_LEN(words); i++) {
        if (strcmp(s, words[i]) == 0) {
            *ret = i % 2;
            return true;
        }
    }
    return false;
}

static bool read_choice(const char *choices, const char *s, uint64_t *ret)
{
    size_t len = strlen(s);
    uint64_t n = 0;
    for (const char *at = choices; at; at = strchr(at, '|') ? strchr(at, '|') + 1 : NULL, n++) {
        if (strncmp(at, s, len) == 0 && (at[len] == '|' || at[len] == 0) && len > 0) {
            *ret = n;
            return true;
        }
    }
    return false;
}

/* ---- checking ---- */

static int refuse(const struct conf_param *p, const char *value, const char *wanted)
{
    return err_set(KT_ERR_INVALID, "%s: '%.60s' is not %s", p->name, value, wanted);
}

/* A limit in the notation of its parameter, for messages. */
static const char *limit_text(const struct conf_param *p, uint64_t v, char *out)
{
    static const struct suffix sizes[] = {
        {"TiB", GIB(1024)}, {"GiB", GIB(1)}, {"MiB", MIB(1)}, {"KiB", KIB(1)}, {"", 1}};
    static const struct suffix times[] = {
        {"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}};
    static const struct suffix plain[] = {{"", 1}};
    const struct suffix *s = p->type == CONF_TYPE_SIZE   ? sizes
                             : p->type == CONF_TYPE_TIME ? times
                                                         : plain;
    while (s->factor > 1 && (v == 0 || v % s->factor != 0))
        s++;
    snprintf(out, LIMIT_TEXT_MAX, "%llu%s", (unsigned long long)(v / s->factor), v ? s->name : "");
    return out;
}

static int read_number(const struct conf_param *p, const char *value, uint64_t *ret)
{
    char least[LIMIT_TEXT_MAX], most[LIMIT_TEXT_MAX];
    int64_t ms = 0;
    switch (p->type) {
    case CONF_TYPE_COUNT:
        if (!dec_to_u64(slice_str(value), ret))
            return refuse(p, value, "a number");
        break;
    case CONF_TYPE_SIZE:
        if (!conf_read_size(value, ret))
            return refuse(p, value, "a size: write 4096, 64KiB, 1MiB or 2GiB");
        break;
    case CONF_TYPE_TIME:
        if (!conf_read_time_ms(value, &ms))
            return refuse(p, value, "a time: write 250ms, 10s, 5m, 2h or 7d");
        *ret = (uint64_t)ms;
        break;
    case CONF_TYPE_FLAG:
        return read_flag(value, ret) ? 0 : refuse(p, value, "yes or no");
    case CONF_TYPE_CHOICE:
        if (!read_choice(p->unit, value, ret))
            return err_set(KT_ERR_INVALID, "%s: '%.60s' is none of %s", p->name, value, p->unit);
        break;
    case CONF_TYPE_LIST:
    case CONF_TYPE_TEXT:
        return err_set(KT_ERR_INTERNAL, "%s is no number", p->name);
    }
    if (*ret < p->min || *ret > p->max)
        return err_set(KT_ERR_INVALID, "%s: '%.60s' is out of range: %s to %s", p->name, value,
                       limit_text(p, p->min, least), limit_text(p, p->max, most));
    return 0;
}

static int check_text(const struct conf_param *p, const char *value)
{
    for (const char *s = value; *s; s++)
        if ((unsigned char)*s < 0x20 || *s == 0x7f)
            return err_set(KT_ERR_INVALID, "%s: a control byte in the value", p->name);
    if (p->type == CONF_TYPE_TEXT && strlen(value) > p->max)
        return err_set(KT_ERR_INVALID, "%s: longer than %llu bytes", p->name,
                       (unsigned long long)p->max);
    return 0;
}

/* ---- storing ---- */

static int keep(struct conf *c, struct slice text, const char **ret)
{
    struct slice copy = arena_dup(&c->strings, text);
    if (!copy.p)
        return err_set(KT_ERR_LIMIT, "more than %llu bytes of configuration",
                       (unsigned long long)STRINGS_MAX);
    *ret = (const char *)copy.p;
    return 0;
}

static int add_entry(struct conf *c, const struct conf_param *p, struct slice entry,
                     struct conf_list *list)
{
    while (entry.len && entry.p[0] == ' ')
        entry = slice_sub(entry, 1, entry.len);
    while (entry.len && entry.p[entry.len - 1] == ' ')
        entry.len--;
    if (entry.len == 0)
        return err_set(KT_ERR_INVALID, "%s: an empty entry in the list", p->name);
    if ((uint64_t)list->n >= p->max)
        return err_set(KT_ERR_INVALID, "%s: more than %llu entries", p->name,
                       (unsigned long long)p->max);
    return keep(c, entry, &list->at[list->n++]);
}

/* Entries are added to `list`; an empty text is an empty list. */
static int read_list(struct conf *c, const struct conf_param *p, struct slice text,
                     struct conf_list *list)
{
    while (text.len) {
        ptrdiff_t comma = slice_find(text, ',');
        size_t len = comma < 0 ? text.len : (size_t)comma;
        int rc = add_entry(c, p, slice_of(text.p, len), list);
        if (rc < 0)
            return rc;
        if (comma >= 0 && len + 1 == text.len)
            return err_set(KT_ERR_INVALID, "%s: an empty entry in the list", p->name);
        text = slice_sub(text, comma < 0 ? len : len + 1, text.len);
    }
    if ((uint64_t)list->n < p->min)
        return err_set(KT_ERR_INVALID, "%s: needs at least %llu", p->name,
                       (unsigned long long)p->min);
    return 0;
}

static int set_list(struct conf *c, size_t i, enum conf_source source, const char *value)
{
    struct conf_list *list = (struct conf_list *)((char *)c + rows[i].member);
    struct conf_list new = {.n = 0};
    if (source == c->source[i] && source != CONF_DEFAULT)
        new = *list;
    int rc = read_list(c, &rows[i].param, slice_str(value), &new);
    if (rc == 0 && source >= c->source[i])
        *list = new;
    return rc;
}

static int set_text(struct conf *c, size_t i, enum conf_source source, const char *value)
{
    if (source < c->source[i])
        return 0;
    return keep(c, slice_str(value), (const char **)((char *)c + rows[i].member));
}

static void store_number(struct conf *c, size_t i, uint64_t v)
{
    char *at = (char *)c + rows[i].member;
    switch (rows[i].param.type) {
    case CONF_TYPE_FLAG:
        *(bool *)at = v != 0;
        break;
    case CONF_TYPE_CHOICE:
        *(int *)(void *)at = (int)v;
        break;
    case CONF_TYPE_TIME:
        *(int64_t *)(void *)at = (int64_t)v;
        break;
    default:
        *(uint64_t *)(void *)at = v;
    }
}

static int unknown(const char *name)
{
    struct nearest n = nearest_start(name);
    for (size_t i = 0; i < CONF_PARAM_COUNT; i++)
        nearest_offer(&n, rows[i].param.name);
    if (n.word)
        return err_set(KT_ERR_INVALID, "there is no parameter '%.60s'; did you mean '%s'?", name,
                       n.word);
    return err_set(KT_ERR_INVALID, "there is no parameter '%.60s'", name);
}

int conf_set(struct conf *c, enum conf_source source, const char *name, const char *value)
{
    size_t i = find(name);
    const struct conf_param *p = conf_param(i);
    if (!p)
        return unknown(name);
    uint64_t number = 0;
    int rc;
    if (p->type == CONF_TYPE_LIST || p->type == CONF_TYPE_TEXT) {
        rc = check_text(p, value);
        if (rc == 0)
            rc = p->type == CONF_TYPE_LIST ? set_list(c, i, source, value)
                                           : set_text(c, i, source, value);
    } else {
        rc = read_number(p, value, &number);
        if (rc == 0 && source >= c->source[i])
            store_number(c, i, number);
    }
    if (rc == 0 && source > c->source[i])
        c->source[i] = (uint8_t)source;
    return rc;
}

void conf_init(struct conf *c)
{
    memset(c, 0, sizeof(*c));
    arena_init(&c->strings, NULL, 0, STRINGS_MAX);
    for (size_t i = 0; i < CONF_PARAM_COUNT; i++) {
        int rc = conf_set(c, CONF_DEFAULT, rows[i].param.name, rows[i].param.fallback);
        kt_assert(rc == 0);
    }
}

void conf_done(struct conf *c)
{
    arena_done(&c->strings);
}

int conf_finish(struct conf *c, uint64_t memory_bytes)
{
    if (c->http_body_budget_bytes == 0)
        c->http_body_budget_bytes = KT_MAX(MIB(64), KT_MIN(GIB(8), memory_bytes / 4));
    if (c->http_body_budget_bytes < c->max_blob_bytes)
        return err_set(
            KT_ERR_INVALID,
            "http_body_budget (%llu bytes) is smaller than max_blob (%llu bytes): no blob of "
            "that size could be stored; raise the one or lower the other",
            (unsigned long long)c->http_body_budget_bytes, (unsigned long long)c->max_blob_bytes);
    if (c->volume_limit_bytes && c->volume_limit_bytes < 4 * c->max_blob_bytes)
        return err_set(
            KT_ERR_INVALID,
            "volume_limit (%llu bytes) must be at least four times max_blob (%llu bytes)",
            (unsigned long long)c->volume_limit_bytes, (unsigned long long)c->max_blob_bytes);
    for (int i = 0; i < c->data.n; i++)
        for (int j = 0; j < i; j++)
            if (strcmp(c->data.at[i], c->data.at[j]) == 0)
                return err_set(KT_ERR_INVALID, "data: '%s' is given twice", c->data.at[i]);
    return 0;
}
