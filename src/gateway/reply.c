/* reply: answers in JSON, and the one form of a refusal. Nothing that a client sent is given back
 * as anything but an escaped JSON string under a JSON content type (the server adds nosniff). */
#include "gateway/gateway_priv.h"

#include "base/macros.h"
#include <stdio.h>
#include <string.h>

/* Length of the valid UTF-8 sequence at s.p[i], 0 when there is none (Unicode 15, table 3-7). */
static size_t utf8_len(struct slice s, size_t i)
{
    uint8_t c = s.p[i];
    size_t n = c < 0x80                 ? 1
               : c >= 0xc2 && c <= 0xdf ? 2
               : (c & 0xf0) == 0xe0     ? 3
               : c >= 0xf0 && c <= 0xf4 ? 4
                                        : 0;
    if (n == 0 || n > s.len - i)
        return 0;
    for (size_t k = 1; k < n; k++)
        if ((s.p[i + k] & 0xc0) != 0x80)
            return 0;
    if ((c == 0xe0 && s.p[i + 1] < 0xa0) || (c == 0xed && s.p[i + 1] > 0x9f) ||
        (c == 0xf0 && s.p[i + 1] < 0x90) || (c == 0xf4 && s.p[i + 1] > 0x8f))
        return 0;
    return n;
}

static bool plain(uint8_t c)
{
    return c >= 0x20 && c != '"' && c != '\\' && c != '<' && c != '>' && c != '&' && c != 0x7f;
}

int json_add_text(struct buf *out, struct slice text)
{
    int replaced = 0;
    int rc = buf_add_str(out, "\"");
    for (size_t i = 0; i < text.len && rc >= 0;) {
        size_t n = utf8_len(text, i);
        if (n == 0) {
            replaced = 1;
            rc = buf_add_str(out, "\\ufffd");
            i++;
        } else if (n > 1 || plain(text.p[i])) {
            rc = buf_add(out, text.p + i, n);
            i += n;
        } else {
            rc = buf_addf(out, "\\u%04x", text.p[i]);
            i++;
        }
    }
    if (rc >= 0)
        rc = buf_add_str(out, "\"");
    return rc < 0 ? rc : replaced;
}

const char *error_message(int rc)
{
    int status = err_http_status(rc);
    /* The same words for every 404 and every failed proof, whatever was the reason. */
    bool own_words = status >= 400 && status < 500 && status != 404 &&
                     rc != -KT_ERR_UNAUTHENTICATED && rc != -KT_ERR_SIGNATURE;
    if (rc == -KT_ERR_NO_BUCKET)
        return err_message(rc);
    return own_words ? err_text(rc) : err_message(rc);
}

/* The code in lower case: NOT_FOUND -> not_found. */
static int add_code(struct buf *out, int rc)
{
    char code[48];
    size_t n = 0;
    for (const char *p = err_name(rc); *p && n < sizeof(code); p++)
        code[n++] = (char)(*p >= 'A' && *p <= 'Z' ? *p + 32 : *p);
    return buf_add(out, code, n);
}

int json_add_error(struct buf *out, int rc, const char *message)
{
    int e;
    if ((e = buf_add_str(out, "{\"code\":\"")) < 0 || (e = add_code(out, rc)) < 0 ||
        (e = buf_add_str(out, "\",\"message\":")) < 0 ||
        (e = json_add_text(out, slice_str(message))) < 0)
        return e;
    return buf_add_str(out, "}");
}

static int add_refusal(struct buf *out, const struct http_request *rq, int rc)
{
    int e;
    if ((e = buf_add_str(out, "{\"error\":")) < 0 ||
        (e = json_add_error(out, rc, error_message(rc))) < 0)
        return e;
    out->len--; /* the brace: the request id goes inside */
    return buf_addf(out, ",\"request_id\":\"%016llx\"}}\n", (unsigned long long)rq->id);
}

const char *gateway_error(void *arg, const struct http_request *rq, int rc, struct buf *out)
{
    (void)arg;
    size_t before = out->len;
    if (add_refusal(out, rq, rc) < 0)
        out->len = before;
    return "application/json";
}

#define FIELD(n, v) ((struct http_field){(n), slice_str(v)})

int reply_refusal(struct http_request *rq, int rc, const struct http_field *extra)
{
    struct buf out KT_CLEANUP(buf_done) = BUF_INIT(4096);
    struct http_field f[] = {FIELD("content-type", gateway_error(NULL, rq, rc, &out)), *extra};
    struct slice body = buf_slice(&out);
    struct http_reply rp = {
        .status = err_http_status(rc), .fields = f, .nfields = 2, .body_len = body.len};
    return http_reply(rq, &rp, &body, 1);
}

int reply_json(struct http_request *rq, int status, struct slice json)
{
    struct http_field f[] = {FIELD("content-type", "application/json"),
                             FIELD("cache-control", "no-store")};
    struct http_reply rp = {.status = status, .fields = f, .nfields = 2, .body_len = json.len};
    return http_reply(rq, &rp, &json, 1);
}

int reply_status(struct http_request *rq, int status)
{
    struct http_reply rp = {.status = status};
    return http_reply(rq, &rp, NULL, 0);
}
