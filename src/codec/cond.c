/* cond: one pass over the fields notes which conditions are there, then they are judged in the
 * RFC's order. */
#include "codec/cond.h"

#include "codec/httpdate.h"

enum which {
    IF_MATCH,
    IF_NONE_MATCH,
    IF_MODIFIED_SINCE,
    IF_UNMODIFIED_SINCE,
    IF_RANGE,
    WHICH_COUNT
};

static const struct slice names[WHICH_COUNT] = {
    [IF_MATCH] = SLICE_LIT("if-match"),
    [IF_NONE_MATCH] = SLICE_LIT("if-none-match"),
    [IF_MODIFIED_SINCE] = SLICE_LIT("if-modified-since"),
    [IF_UNMODIFIED_SINCE] = SLICE_LIT("if-unmodified-since"),
    [IF_RANGE] = SLICE_LIT("if-range"),
};

/* Which condition a field is, or WHICH_COUNT. */
static enum which which_of(const struct h1_field *f)
{
    if (f->name.len < 8 || f->name.p[2] != '-' || (f->name.p[0] | 0x20) != 'i' ||
        (f->name.p[1] | 0x20) != 'f')
        return WHICH_COUNT;
    for (int i = 0; i < WHICH_COUNT; i++)
        if (slice_eq_nocase(f->name, names[i]))
            return (enum which)i;
    return WHICH_COUNT;
}

static int bad_list(void)
{
    return err_set(KT_ERR_INVALID, "malformed list of entity tags");
}

static void skip(struct slice *s, size_t n)
{
    *s = slice_sub(*s, n, s->len);
}

/* etagc of RFC 9110 section 8.8.3; unquoted tags may not hold separators either. */
static bool is_tag_byte(uint8_t b, bool quoted)
{
    return b == 0x21 || (b >= 0x23 && b != 0x7f && (quoted || b != ','));
}

/* Takes one entity tag off `s`. */
static bool take_tag(struct slice *s, bool *ret_weak, struct slice *ret_tag)
{
    *ret_weak = slice_has_prefix(*s, SLICE_LIT("W/\""));
    if (*ret_weak)
        skip(s, 2);
    bool quoted = s->p[0] == '"';
    if (quoted)
        skip(s, 1);
    size_t len = 0;
    while (len < s->len && is_tag_byte(s->p[len], quoted))
        len++;
    *ret_tag = slice_sub(*s, 0, len);
    skip(s, len);
    if (!quoted)
        return len > 0;
    if (s->len == 0 || s->p[0] != '"')
        return false;
    skip(s, 1);
    return true;
}

static void skip_blanks(struct slice *s)
{
    while (s->len && (s->p[0] == ' ' || s->p[0] == '\t'))
        skip(s, 1);
}

int cond_list_matches(struct slice value, const struct cond_target *target, bool strong)
{
    bool found = false, any = false;
    skip_blanks(&value);
    if (slice_eq(value, SLICE_LIT("*")))
        return target->exists ? 1 : 0;
    while (value.len) {
        if (value.p[0] == ',') {
            skip(&value, 1);
            skip_blanks(&value);
            continue;
        }
        bool weak;
        struct slice tag;
        if (!take_tag(&value, &weak, &tag))
            return bad_list();
        any = true;
        bool comparable = !strong || (!weak && !target->weak);
        found |= target->exists && target->tag.len > 0 && comparable && slice_eq(tag, target->tag);
        skip_blanks(&value);
        if (value.len && value.p[0] != ',')
            return bad_list();
    }
    return any ? found : bad_list();
}

#define ABSENT 2

/* Judges all fields of one list condition: 1 when one of them matches, 0 when none does, ABSENT
 * when there is no field of that name, -KT_ERR_INVALID. */
static int judge_list(const struct h1_field *fields, int n, enum which which,
                      const struct cond_target *t)
{
    int found = ABSENT;
    for (int i = 0; i < n; i++) {
        if (which_of(&fields[i]) != which)
            continue;
        int rc = cond_list_matches(fields[i].value, t, which == IF_MATCH);
        if (rc < 0)
            return rc;
        found = found == 1 ? 1 : rc;
    }
    return found;
}

/* The date of the only field of that name. False when there is none, several, or no date. */
static bool date_of(const struct h1_field *fields, int n, enum which which, int64_t now_s,
                    int64_t *ret)
{
    const struct h1_field *f = NULL;
    for (int i = 0; i < n; i++) {
        if (which_of(&fields[i]) != which)
            continue;
        if (f)
            return false;
        f = &fields[i];
    }
    return f && httpdate_parse(f->value, now_s, ret) == 0;
}

static bool any_condition(const struct h1_field *fields, int n)
{
    for (int i = 0; i < n; i++)
        if (which_of(&fields[i]) != WHICH_COUNT)
            return true;
    return false;
}

static int failed(void)
{
    return err_set(KT_ERR_PRECONDITION, "a condition of the request does not hold");
}

int cond_evaluate(const struct h1_field *fields, int nfields, enum h1_method method,
                  const struct cond_target *target, int64_t now_s)
{
    if (KT_LIKELY(!any_condition(fields, nfields)))
        return 0;
    bool read = method == H1_GET || method == H1_HEAD;
    bool has_mtime = target->exists && target->mtime_s != COND_NO_MTIME;
    int64_t date;

    int match = judge_list(fields, nfields, IF_MATCH, target);
    if (match < 0)
        return match;
    if (match == 0)
        return failed();
    if (match == ABSENT && has_mtime &&
        date_of(fields, nfields, IF_UNMODIFIED_SINCE, now_s, &date) && target->mtime_s > date)
        return failed();

    int none = judge_list(fields, nfields, IF_NONE_MATCH, target);
    if (none < 0)
        return none;
    if (none == 1)
        return read ? -KT_ERR_NOT_MODIFIED : failed();
    if (none == ABSENT && read && has_mtime &&
        date_of(fields, nfields, IF_MODIFIED_SINCE, now_s, &date) && target->mtime_s <= date)
        return -KT_ERR_NOT_MODIFIED;
    return 0;
}

bool cond_range_allowed(const struct h1_field *fields, int nfields,
                        const struct cond_target *target, int64_t now_s)
{
    const struct h1_field *f = h1_find(fields, nfields, "if-range");
    if (!f)
        return true;
    if (!target->exists || f->value.len == 0)
        return false;
    int64_t date;
    if (date_of(fields, nfields, IF_RANGE, now_s, &date))
        return target->mtime_s != COND_NO_MTIME && target->mtime_s == date;
    struct slice rest = f->value, tag;
    bool weak;
    return take_tag(&rest, &weak, &tag) && rest.len == 0 && !weak && !target->weak &&
           target->tag.len > 0 && slice_eq(tag, target->tag);
}
