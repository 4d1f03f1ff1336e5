/* log_format: one line as logfmt or JSON, into a fixed buffer. Values are escaped here and nowhere
 * else. */
#include "base/err.h"
#include "obs/log.h"
#include <stdio.h>
#include <string.h>
#include <time.h>

/* Room kept at the end for a closing quote, cut=1, the brace and the newline. */
#define TAIL 16
#define LIMIT (LOG_LINE_MAX - TAIL)

struct line_out {
    char *p;
    size_t len;
    enum log_format format;
    bool cut; /* something did not fit; nothing is added any more */
};

static void put(struct line_out *o, const char *p, size_t len)
{
    if (o->cut || o->len + len > LIMIT) {
        o->cut = true;
        return;
    }
    memcpy(o->p + o->len, p, len);
    o->len += len;
}

static void put_str(struct line_out *o, const char *s)
{
    put(o, s, strlen(s));
}

/* Bytes of the UTF-8 sequence at the start of s, 0 when there is none (RFC 3629: no surrogates,
 * shortest form). */
static size_t utf8_len(struct slice s)
{
    uint8_t c = s.p[0];
    size_t n = c < 0x80                 ? 1
               : c >= 0xc2 && c <= 0xdf ? 2
               : (c & 0xf0) == 0xe0     ? 3
               : c >= 0xf0 && c <= 0xf4 ? 4
                                        : 0;
    if (n == 0 || n > s.len)
        return 0;
    for (size_t i = 1; i < n; i++)
        if ((s.p[i] & 0xc0) != 0x80)
            return 0;
    if ((c == 0xe0 && s.p[1] < 0xa0) || (c == 0xed && s.p[1] > 0x9f) ||
        (c == 0xf0 && s.p[1] < 0x90) || (c == 0xf4 && s.p[1] > 0x8f))
        return 0;
    return n;
}

static void put_escaped(struct line_out *o, struct slice s)
{
    while (s.len > 0 && !o->cut) {
        size_t n = utf8_len(s);
        uint8_t c = s.p[0];
        char esc[8];
        /* C1 controls (U+0080..U+009F) drive terminals just as C0 ones do. */
        bool c1 = n == 2 && c == 0xc2 && s.p[1] < 0xa0;
        if (n == 1 && (c == '"' || c == '\\'))
            put(o, (const char[]){'\\', (char)c}, 2);
        else if (n == 0 || c1 || c < 0x20 || c == 0x7f)
            put(o, esc, (size_t)snprintf(esc, sizeof(esc), "\\u%04x", c1 ? s.p[1] : c));
        else
            put(o, (const char *)s.p, n);
        s = slice_sub(s, n ? n : 1, s.len);
    }
}

/* logfmt leaves a plain word bare; everything else is quoted. */
static bool is_word(struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.p[i];
        if (c <= 0x20 || c >= 0x7f || c == '"' || c == '\\' || c == '=')
            return false;
    }
    return s.len > 0;
}

static void put_key(struct line_out *o, const char *key)
{
    if (o->format == LOG_JSON) {
        put_str(o, o->len ? ",\"" : "{\"");
        put_str(o, key);
        put_str(o, "\":");
    } else {
        put_str(o, o->len ? " " : "");
        put_str(o, key);
        put_str(o, "=");
    }
}

/* A field is written whole or not at all, but for a quoted text, which may be cut at its end. */
static void put_text(struct line_out *o, const char *key, struct slice text)
{
    size_t start = o->len;
    bool quoted = o->format == LOG_JSON || !is_word(text) || text.len > LIMIT / 2;
    put_key(o, key);
    if (!quoted) {
        put(o, (const char *)text.p, text.len);
        if (o->cut)
            o->len = start;
        return;
    }
    put_str(o, "\"");
    if (o->cut) {
        o->len = start;
        return;
    }
    put_escaped(o, text);
    o->p[o->len++] = '"'; /* its room is in the tail */
}

static void put_number(struct line_out *o, const char *key, int64_t v, bool is_signed)
{
    char text[24];
    size_t start = o->len;
    int n = is_signed ? snprintf(text, sizeof(text), "%lld", (long long)v)
                      : snprintf(text, sizeof(text), "%llu", (unsigned long long)v);
    put_key(o, key);
    put(o, text, (size_t)n);
    if (o->cut)
        o->len = start;
}

static void put_hex(struct line_out *o, const char *key, uint64_t v)
{
    char text[20];
    int n = snprintf(text, sizeof(text), "%llx", (unsigned long long)v);
    put_text(o, key, slice_of(text, (size_t)n));
}

static bool is_secret(const char *key)
{
    static const char *const words[] = {"secret", "password", "token", "authorization",
                                        "signature"};
    for (size_t i = 0; i < KT_ARRAY_LEN(words); i++)
        if (strcasestr(key, words[i]))
            return true;
    return false;
}

static void put_field(struct line_out *o, const struct log_field *f)
{
    int rc = (int)(int64_t)f->number;
    if (f->type != LOG_TYPE_NONE && is_secret(f->key)) {
        put_text(o, f->key, SLICE_LIT("[hidden]"));
        return;
    }
    switch (f->type) {
    case LOG_TYPE_NONE:
        break;
    case LOG_TYPE_BYTES:
        put_text(o, f->key, f->bytes);
        break;
    case LOG_TYPE_U64:
    case LOG_TYPE_I64:
        put_number(o, f->key, (int64_t)f->number, f->type == LOG_TYPE_I64);
        break;
    case LOG_TYPE_HEX:
        put_hex(o, f->key, f->number);
        break;
    case LOG_TYPE_ERR:
        put_text(o, f->key, slice_str(err_name(rc)));
        if (!o->cut)
            put_text(o, "why", slice_str(err_text(rc)));
        break;
    }
}

static void put_time(struct line_out *o, int64_t wall_ns)
{
    struct tm tm;
    char text[40];
    time_t s = (time_t)(wall_ns / NS_PER_SEC);
    long us = (long)(wall_ns % NS_PER_SEC / 1000);
    if (wall_ns < 0 || !gmtime_r(&s, &tm)) {
        put_text(o, "ts", SLICE_LIT("?"));
        return;
    }
    int n = snprintf(text, sizeof(text), "%04d-%02d-%02dT%02d:%02d:%02d.%06ldZ", tm.tm_year + 1900,
                     tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, us);
    put_text(o, "ts", slice_of(text, (size_t)n));
}

size_t log_format(enum log_format format, const struct log_line *line, char *out)
{
    static const char *const levels[] = {"error", "warn", "info", "debug"};
    struct line_out o = {.p = out, .format = format};
    put_time(&o, line->wall_ns);
    put_text(&o, "level", slice_str(levels[line->level]));
    put_text(&o, "module", slice_str(line->module));
    if (line->request_id)
        put_hex(&o, "rid", line->request_id);
    put_text(&o, "msg", slice_str(line->msg));
    if (line->suppressed)
        put_number(&o, "suppressed", (int64_t)line->suppressed, false);
    for (int i = 0; i < line->n && !o.cut; i++)
        put_field(&o, &line->fields[i]);

    const char *tail = format == LOG_JSON ? o.cut ? ",\"cut\":1}\n" : "}\n"
                       : o.cut            ? " cut=1\n"
                                          : "\n";
    memcpy(out + o.len, tail, strlen(tail));
    return o.len + strlen(tail);
}
