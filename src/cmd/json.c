/* json: a writer without state beyond the open levels; nothing is allocated. */
#include "cmd/json.h"

#include "base/assert.h"
#include <inttypes.h>
#include <math.h>
#include <stddef.h>

struct json json_start(FILE *out)
{
    return (struct json){.out = out};
}

static void write_text(FILE *out, const char *s)
{
    fputc('"', out);
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (c == '"' || c == '\\')
            fprintf(out, "\\%c", c);
        else if (c < 0x20 || c == 0x7f)
            fprintf(out, "\\u%04x", c);
        else
            fputc(c, out);
    }
    fputc('"', out);
}

static void member(struct json *j, const char *key)
{
    if (j->more)
        fputc(',', j->out);
    j->more = true;
    if (key) {
        write_text(j->out, key);
        fputc(':', j->out);
    }
}

void json_open(struct json *j, const char *key, char kind)
{
    kt_assert(j->depth < JSON_DEPTH_MAX);
    member(j, key);
    fputc(kind, j->out);
    j->closers[j->depth++] = kind == '{' ? '}' : ']';
    j->more = false;
}

void json_close(struct json *j)
{
    kt_assert(j->depth > 0);
    fputc(j->closers[--j->depth], j->out);
    j->more = true;
    if (j->depth == 0)
        fputc('\n', j->out);
}

void json_text(struct json *j, const char *key, const char *value)
{
    member(j, key);
    if (value)
        write_text(j->out, value);
    else
        fputs("null", j->out);
}

void json_u64(struct json *j, const char *key, uint64_t value)
{
    member(j, key);
    fprintf(j->out, "%" PRIu64, value);
}

void json_real(struct json *j, const char *key, double value)
{
    member(j, key);
    if (isfinite(value))
        fprintf(j->out, "%.6g", value);
    else
        fputs("null", j->out);
}

void json_bool(struct json *j, const char *key, bool value)
{
    member(j, key);
    fputs(value ? "true" : "false", j->out);
}
