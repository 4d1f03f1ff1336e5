/* h1: request and response heads.
 *
 * Happy path: find_end walks line feeds with memchr until the empty line; then the start line and
 * each field line are split at known places and every byte is checked against a class table. Fields
 * that decide framing (Host, Content-Length, Transfer-Encoding, Connection, Expect) are noted in
 * `struct framing` on the way and judged together at the end.
 *
 * Failure: the first rule broken wins; nothing is repaired. The caller must treat every error as
 * the end of the connection, because the place where the next message starts is not known any more.
 */
#include "codec/h1.h"

#include "base/checked.h"
#include "base/enc.h"

/* Byte classes. */
#define C_TOKEN 1u  /* tchar, RFC 9110 section 5.6.2 */
#define C_TARGET 2u /* visible ASCII but '#': RFC 9112 section 3.2 without the fragment */
#define C_HOST 4u   /* reg-name, IP literal and port characters, RFC 3986 section 3.2.2 */
#define C_VALUE 8u  /* field-vchar, SP, HTAB, obs-text */

#define TOKEN_ALNUM (C_TOKEN | C_TARGET | C_HOST | C_VALUE)
static const uint8_t class_of[256] = {
    ['\t'] = C_VALUE,
    [' '] = C_VALUE,
    ['!'] = TOKEN_ALNUM,
    ['"'] = C_TARGET | C_VALUE,
    ['#'] = C_TOKEN | C_VALUE,
    ['$'] = TOKEN_ALNUM,
    ['%'] = TOKEN_ALNUM,
    ['&'] = TOKEN_ALNUM,
    ['\''] = TOKEN_ALNUM,
    ['(' ... ')'] = C_TARGET | C_HOST | C_VALUE,
    ['*' ... '+'] = TOKEN_ALNUM,
    [','] = C_TARGET | C_HOST | C_VALUE,
    ['-' ... '.'] = TOKEN_ALNUM,
    ['/'] = C_TARGET | C_VALUE,
    ['0' ... '9'] = TOKEN_ALNUM,
    [':' ... ';'] = C_TARGET | C_HOST | C_VALUE,
    ['<'] = C_TARGET | C_VALUE,
    ['='] = C_TARGET | C_HOST | C_VALUE,
    ['>' ... '@'] = C_TARGET | C_VALUE,
    ['A' ... 'Z'] = TOKEN_ALNUM,
    ['['] = C_TARGET | C_HOST | C_VALUE,
    ['\\'] = C_TARGET | C_VALUE,
    [']'] = C_TARGET | C_HOST | C_VALUE,
    ['^'] = C_TOKEN | C_TARGET | C_VALUE,
    ['_'] = TOKEN_ALNUM,
    ['`'] = C_TOKEN | C_TARGET | C_VALUE,
    ['a' ... 'z'] = TOKEN_ALNUM,
    ['{'] = C_TARGET | C_VALUE,
    ['|'] = C_TOKEN | C_TARGET | C_VALUE,
    ['}'] = C_TARGET | C_VALUE,
    ['~'] = TOKEN_ALNUM,
    [0x80 ... 0xff] = C_VALUE,
};

/* What the fields say about framing; judged when all have been seen. */
struct framing {
    struct slice host, length, coding;
    int hosts, lengths, codings;
    bool close, keep_alive, expect_continue, expect_other;
};

static int bad(const char *what)
{
    return err_set(KT_ERR_PROTO, "malformed head: %s", what);
}

static bool all_of(struct slice s, unsigned class)
{
    unsigned seen = class;
    for (size_t i = 0; i < s.len; i++)
        seen &= class_of[s.p[i]];
    return (seen & class) != 0;
}

bool h1_is_token(struct slice s)
{
    return s.len > 0 && all_of(s, C_TOKEN);
}

bool h1_is_value(struct slice s)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), tops = UINT64_C(0x8080808080808080);
    size_t i = 0;
    /* Eight bytes at a time: a borrow into the top bit shows a byte below 0x20 or equal to 0x7f. It
     * may also show a tab or a neighbour of such a byte, so the table has the last word. */
    for (; i + 8 <= s.len; i += 8) {
        uint64_t v = load_u64le(s.p + i), del = v ^ (ones * 0x7f);
        if (KT_UNLIKELY((((v - ones * 0x20) & ~v) | ((del - ones) & ~del)) & tops))
            break;
    }
    return all_of(slice_sub(s, i, s.len - i), C_VALUE);
}

/* Finds the end of the head in the first `max` bytes. Returns its length with the empty line, 0
 * when it is not there yet, or an error that depends only on the bytes up to the one that is wrong.
 */
static ssize_t find_end(struct slice in, uint32_t max, size_t *scanned)
{
    size_t len = KT_MIN(in.len, (size_t)max), at = *scanned;
    if (len > 0 && class_of[in.p[0]] != TOKEN_ALNUM)
        return bad("first byte");
    while (at < len) {
        const uint8_t *lf = memchr(in.p + at, '\n', len - at);
        if (!lf)
            break;
        size_t i = (size_t)(lf - in.p);
        if (i == 0 || in.p[i - 1] != '\r')
            return bad("bare line feed");
        if (i >= 3 && in.p[i - 2] == '\n')
            return (ssize_t)(i + 1);
        at = i + 1;
    }
    *scanned = KT_MAX(at, len);
    if (in.len < max)
        return 0;
    return err_set(KT_ERR_HEADER_TOO_BIG, "head does not end within %u bytes", max);
}

/* Takes one line off `rest`, without its CR LF. Every line feed is known to follow a CR. */
static struct slice take_line(struct slice *rest)
{
    ptrdiff_t lf = slice_find(*rest, '\n');
    size_t len = lf < 0 ? rest->len : (size_t)lf + 1;
    struct slice line = slice_sub(*rest, 0, len >= 2 ? len - 2 : 0);
    *rest = slice_sub(*rest, len, rest->len - len);
    return line;
}

static struct slice trim(struct slice s)
{
    while (s.len && (s.p[0] == ' ' || s.p[0] == '\t'))
        s.p++, s.len--;
    while (s.len && (s.p[s.len - 1] == ' ' || s.p[s.len - 1] == '\t'))
        s.len--;
    return s;
}

/* Notes the options of one Connection field (a comma-separated list). */
static void note_connection(struct framing *f, struct slice value)
{
    while (value.len) {
        ptrdiff_t comma = slice_find(value, ',');
        size_t len = comma < 0 ? value.len : (size_t)comma;
        struct slice option = trim(slice_sub(value, 0, len));
        f->close |= slice_eq_nocase(option, SLICE_LIT("close"));
        f->keep_alive |= slice_eq_nocase(option, SLICE_LIT("keep-alive"));
        value = slice_sub(value, len + 1, value.len);
    }
}

static void note_field(struct framing *f, const struct h1_field *field)
{
    struct slice name = field->name;
    switch (name.len) {
    case 4:
        if (slice_eq_nocase(name, SLICE_LIT("host"))) {
            f->hosts++;
            f->host = field->value;
        }
        break;
    case 6:
        if (slice_eq_nocase(name, SLICE_LIT("expect"))) {
            bool known = slice_eq_nocase(field->value, SLICE_LIT("100-continue"));
            f->expect_continue |= known;
            f->expect_other |= !known;
        }
        break;
    case 10:
        if (slice_eq_nocase(name, SLICE_LIT("connection")))
            note_connection(f, field->value);
        break;
    case 14:
        if (slice_eq_nocase(name, SLICE_LIT("content-length"))) {
            f->lengths++;
            f->length = field->value;
        }
        break;
    case 17:
        if (slice_eq_nocase(name, SLICE_LIT("transfer-encoding"))) {
            f->codings++;
            f->coding = field->value;
        }
        break;
    default:
        break;
    }
}

static int parse_field(struct slice line, struct h1_field *ret)
{
    ptrdiff_t colon = slice_find(line, ':');
    if (colon < 0)
        return bad("field line without a colon");
    struct slice name = slice_sub(line, 0, (size_t)colon);
    /* Also refuses obs-fold and blanks before the colon: neither is made of token characters. */
    if (!h1_is_token(name))
        return bad("field name");
    struct slice value = trim(slice_sub(line, (size_t)colon + 1, line.len));
    if (!h1_is_value(value))
        return bad("control character in a field value");
    *ret = (struct h1_field){name, value};
    return 0;
}

static int parse_fields(struct slice rest, const struct h1_limits *lim, struct h1_field *fields,
                        struct framing *f)
{
    int n = 0;
    uint32_t max = KT_MIN(lim->fields_max, (uint32_t)H1_FIELDS_MAX);
    for (;;) {
        struct slice line = take_line(&rest);
        if (line.len == 0)
            return n;
        if ((uint32_t)n == max)
            return err_set(KT_ERR_HEADER_TOO_BIG, "more than %u header fields", max);
        int rc = parse_field(line, &fields[n]);
        if (rc < 0)
            return rc;
        note_field(f, &fields[n++]);
    }
}

/* host [ ":" port ], no user info. */
static bool host_ok(struct slice s)
{
    if (s.len == 0 || !all_of(s, C_HOST))
        return false;
    size_t end = s.len;
    if (s.p[0] == '[') {
        ptrdiff_t close = slice_find(s, ']');
        if (close < 2)
            return false;
        end = (size_t)close + 1;
        for (size_t i = 1; i + 1 < end; i++)
            if (s.p[i] == '[')
                return false;
    } else {
        ptrdiff_t colon = slice_find(s, ':');
        if (slice_find(s, '[') >= 0 || slice_find(s, ']') >= 0 || colon == 0)
            return false;
        if (colon > 0)
            end = (size_t)colon;
    }
    if (end == s.len)
        return true;
    uint64_t port;
    struct slice digits = slice_sub(s, end + 1, s.len);
    return s.p[end] == ':' && (digits.len == 0 || (dec_to_u64(digits, &port) && port <= 65535));
}

/* Decides body length and persistence. `request` tells whose rules hold. */
static int judge_length(const struct framing *f, int minor, uint64_t *ret_len)
{
    if (f->codings > 0 && f->lengths > 0)
        return bad("both Content-Length and Transfer-Encoding");
    if (f->codings > 1 || f->lengths > 1)
        return bad("repeated Content-Length or Transfer-Encoding");
    if (f->codings == 1) {
        if (minor == 0)
            return bad("Transfer-Encoding in HTTP/1.0");
        if (!slice_eq_nocase(f->coding, SLICE_LIT("chunked")))
            return err_set(KT_ERR_UNSUPPORTED,
                           "only the transfer coding \"chunked\" is implemented");
        *ret_len = H1_LEN_CHUNKED;
        return 0;
    }
    if (f->lengths == 1) {
        uint64_t len;
        if (f->length.len > 19 || !dec_to_u64(f->length, &len) || len > INT64_MAX)
            return bad("Content-Length");
        *ret_len = len;
    }
    return 0;
}

static int parse_version(struct slice s, int *ret_minor)
{
    if (s.len != 8 || memcmp(s.p, "HTTP/", 5) != 0 || s.p[6] != '.' || s.p[5] < '0' ||
        s.p[5] > '9' || s.p[7] < '0' || s.p[7] > '9')
        return bad("HTTP version");
    if (s.p[5] != '1' || s.p[7] > '1')
        return err_set(KT_ERR_UNSUPPORTED, "HTTP/%c.%c is not implemented", s.p[5], s.p[7]);
    *ret_minor = s.p[7] - '0';
    return 0;
}

static const struct slice methods[H1_METHOD_COUNT] = {
    [H1_GET] = SLICE_LIT("GET"),       [H1_HEAD] = SLICE_LIT("HEAD"),
    [H1_PUT] = SLICE_LIT("PUT"),       [H1_POST] = SLICE_LIT("POST"),
    [H1_DELETE] = SLICE_LIT("DELETE"), [H1_OPTIONS] = SLICE_LIT("OPTIONS"),
};

const char *h1_method_name(enum h1_method m)
{
    return (unsigned)m < H1_METHOD_COUNT ? (const char *)methods[m].p : "?";
}

static int parse_method(struct slice s, enum h1_method *ret)
{
    if (!h1_is_token(s))
        return bad("method");
    for (int m = 0; m < H1_METHOD_COUNT; m++) {
        if (slice_eq(s, methods[m])) {
            *ret = (enum h1_method)m;
            return 0;
        }
    }
    return err_set(KT_ERR_METHOD, "method %.*s is not served", (int)KT_MIN(s.len, (size_t)32),
                   (const char *)s.p);
}

/* Splits the target into path and query; *ret_authority is empty but for the absolute form. */
static int split_target(struct h1_head *h, struct slice *ret_authority)
{
    struct slice s = h->target;
    *ret_authority = slice_of(NULL, 0);
    if (s.p[0] != '/') {
        if (s.len == 1 && s.p[0] == '*' && h->method == H1_OPTIONS) {
            h->path = s;
            return 0;
        }
        size_t scheme = slice_eq_nocase(slice_sub(s, 0, 7), SLICE_LIT("http://"))    ? 7
                        : slice_eq_nocase(slice_sub(s, 0, 8), SLICE_LIT("https://")) ? 8
                                                                                     : 0;
        if (scheme == 0)
            return bad("request target");
        s = slice_sub(s, scheme, s.len);
        size_t end = 0;
        while (end < s.len && s.p[end] != '/' && s.p[end] != '?')
            end++;
        *ret_authority = slice_sub(s, 0, end);
        if (!host_ok(*ret_authority))
            return bad("authority of the request target");
        s = slice_sub(s, end, s.len);
    }
    ptrdiff_t mark = slice_find(s, '?');
    h->has_query = mark >= 0;
    h->path = mark < 0 ? s : slice_sub(s, 0, (size_t)mark);
    h->query = mark < 0 ? slice_of(NULL, 0) : slice_sub(s, (size_t)mark + 1, s.len);
    if (h->path.len == 0)
        h->path = SLICE_LIT("/");
    return 0;
}

static int parse_request_line(struct slice line, const struct h1_limits *lim, struct h1_head *h,
                              struct slice *ret_authority)
{
    ptrdiff_t first = slice_find(line, ' ');
    if (first < 0)
        return bad("request line");
    struct slice rest = slice_sub(line, (size_t)first + 1, line.len);
    ptrdiff_t second = slice_find(rest, ' ');
    if (second < 1)
        return bad("request line");
    h->target = slice_sub(rest, 0, (size_t)second);
    int rc = parse_version(slice_sub(rest, (size_t)second + 1, rest.len), &h->minor);
    if (rc < 0)
        return rc;
    rc = parse_method(slice_sub(line, 0, (size_t)first), &h->method);
    if (rc < 0)
        return rc;
    if (h->target.len > lim->uri_max)
        return err_set(KT_ERR_URI_TOO_LONG, "request target of %zu bytes, limit %u", h->target.len,
                       lim->uri_max);
    if (!all_of(h->target, C_TARGET))
        return bad("byte in the request target");
    h->has_query = false;
    h->query = slice_of(NULL, 0);
    return split_target(h, ret_authority);
}

static int judge_request(const struct framing *f, struct slice authority, struct h1_head *h)
{
    if (f->hosts > 1 || (f->hosts == 0 && h->minor > 0))
        return bad(f->hosts ? "more than one Host" : "no Host");
    if (f->hosts == 1 && !host_ok(f->host))
        return bad("Host");
    if (authority.len && f->hosts == 1 && !slice_eq_nocase(authority, f->host))
        return bad("Host differs from the request target's authority");
    h->host = f->hosts ? f->host : authority;
    h->body_len = 0;
    int rc = judge_length(f, h->minor, &h->body_len);
    if (rc < 0)
        return rc;
    if (f->expect_other)
        return err_set(KT_ERR_EXPECTATION, "only the expectation \"100-continue\" is known");
    h->expect_continue = f->expect_continue && h->minor > 0 && h->body_len > 0;
    h->keep_alive = !f->close && (h->minor > 0 || f->keep_alive);
    return 0;
}

/* When no line end came within the limits, it is the target that is too long. */
static ssize_t too_big(struct slice in, const struct h1_limits *lim, ssize_t rc)
{
    if (rc == -KT_ERR_HEADER_TOO_BIG && slice_find(slice_sub(in, 0, lim->head_max), '\n') < 0)
        return err_set(KT_ERR_URI_TOO_LONG, "request line does not end within %u bytes",
                       lim->head_max);
    return rc;
}

ssize_t h1_parse_head(struct slice in, const struct h1_limits *lim, size_t *scanned,
                      struct h1_head *ret)
{
    size_t skip = in.len > 0 && in.p[0] == '\r' ? 2 : 0;
    if (skip && in.len < skip)
        return 0;
    if (skip && in.p[1] != '\n')
        return bad("bare carriage return");
    struct slice msg = slice_sub(in, skip, in.len);
    size_t seen = *scanned > skip ? *scanned - skip : 0;
    ssize_t end = find_end(msg, lim->head_max, &seen);
    *scanned = seen + skip;
    if (end <= 0)
        return too_big(msg, lim, end);

    struct slice rest = slice_sub(msg, 0, (size_t)end), authority;
    struct framing f = {.hosts = 0};
    int rc = parse_request_line(take_line(&rest), lim, ret, &authority);
    if (rc < 0)
        return rc;
    rc = parse_fields(rest, lim, ret->fields, &f);
    if (rc < 0)
        return rc;
    ret->nfields = rc;
    rc = judge_request(&f, authority, ret);
    return rc < 0 ? rc : (ssize_t)skip + end;
}

static int parse_status_line(struct slice line, struct h1_response *r)
{
    if (line.len < 12 || line.p[8] != ' ' || (line.len > 12 && line.p[12] != ' '))
        return bad("status line");
    int rc = parse_version(slice_sub(line, 0, 8), &r->minor);
    if (rc < 0)
        return rc;
    uint64_t status;
    if (!dec_to_u64(slice_sub(line, 9, 3), &status) || status < 100 || status > 599)
        return bad("status code");
    r->status = (int)status;
    return h1_is_value(slice_sub(line, 12, line.len)) ? 0 : bad("reason phrase");
}

ssize_t h1_parse_response(struct slice in, const struct h1_limits *lim, bool to_head_request,
                          size_t *scanned, struct h1_response *ret)
{
    ssize_t end = find_end(in, lim->head_max, scanned);
    if (end <= 0)
        return end;
    struct slice rest = slice_sub(in, 0, (size_t)end);
    struct framing f = {.hosts = 0};
    int rc = parse_status_line(take_line(&rest), ret);
    if (rc < 0)
        return rc;
    rc = parse_fields(rest, lim, ret->fields, &f);
    if (rc < 0)
        return rc;
    ret->nfields = rc;
    uint64_t len = H1_LEN_UNTIL_CLOSE;
    rc = judge_length(&f, ret->minor, &len);
    if (rc < 0)
        return rc;
    bool empty = to_head_request || ret->status < 200 || ret->status == 204 || ret->status == 304;
    ret->body_len = empty ? 0 : len;
    ret->keep_alive =
        !f.close && (ret->minor > 0 || f.keep_alive) && ret->body_len != H1_LEN_UNTIL_CLOSE;
    return end;
}

const struct h1_field *h1_find(const struct h1_field *fields, int n, const char *name)
{
    struct slice want = slice_str(name);
    for (int i = 0; i < n; i++)
        if (slice_eq_nocase(fields[i].name, want))
            return &fields[i];
    return NULL;
}
