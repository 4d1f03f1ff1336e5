/* reply: response heads and bodies.
 *
 * Happy path: http_reply builds the head in the connection's own buffer and sends head and body
 * with one call. A streamed answer holds its head back until the first body bytes come, so that an
 * error found while they are read can still become an error answer, and small streams take one send
 * as well.
 *
 * Failure: a field that may not be sent refuses the whole answer before a byte has gone out. A send
 * that fails breaks the connection. A stream that ends short of its promised length closes the
 * connection, which is how the client learns of it.
 */
#include "base/assert.h"
#include "base/enc.h"
#include "http/http_priv.h"

#define PIECES_MAX 8
#define ERROR_BODY_MAX 65536u

struct status_text {
    int status;
    const char *text;
};
static const struct status_text status_texts[] = {
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {204, "No Content"},
    {206, "Partial Content"},
    {207, "Multi-Status"},
    {301, "Moved Permanently"},
    {302, "Found"},
    {303, "See Other"},
    {304, "Not Modified"},
    {307, "Temporary Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {410, "Gone"},
    {411, "Length Required"},
    {412, "Precondition Failed"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {416, "Range Not Satisfiable"},
    {417, "Expectation Failed"},
    {422, "Unprocessable Content"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
    {507, "Insufficient Storage"},
};

static const char *status_text(int status)
{
    for (size_t i = 0; i < KT_ARRAY_LEN(status_texts); i++)
        if (status_texts[i].status == status)
            return status_texts[i].text;
    return "Other";
}

void http_reply_reset(struct http_active *a)
{
    a->reply = REPLY_NONE;
    a->keep = true;
    a->chunked_out = false;
    a->reply_left = 0;
    a->held = 0;
}

/* ---- the head ---- */

/* Fields that only the server may write: they decide framing, or would be there twice. */
static bool is_reserved(struct slice name)
{
    static const struct slice reserved[] = {
        SLICE_LIT("content-length"), SLICE_LIT("transfer-encoding"),
        SLICE_LIT("connection"),     SLICE_LIT("date"),
        SLICE_LIT("server"),         SLICE_LIT("x-request-id"),
    };
    for (size_t i = 0; i < KT_ARRAY_LEN(reserved); i++)
        if (slice_eq_nocase(name, reserved[i]))
            return true;
    return false;
}

/* What the server's own lines take at most. */
#define OWN_LINES_MAX 384u

static int check_fields(const struct http_reply *rp)
{
    size_t need = OWN_LINES_MAX;
    for (int i = 0; i < rp->nfields; i++) {
        struct slice name = slice_str(rp->fields[i].name);
        if (!h1_is_token(name) || is_reserved(name) || !h1_is_value(rp->fields[i].value))
            return err_set(KT_ERR_INVALID, "response field %.64s may not be sent",
                           rp->fields[i].name);
        need += name.len + rp->fields[i].value.len + 4;
    }
    if (need > HTTP_REPLY_HEAD_MAX)
        return err_set(KT_ERR_INVALID, "response head of %zu bytes, limit %u", need,
                       HTTP_REPLY_HEAD_MAX);
    return 0;
}

static char *put(char *at, const void *p, size_t len)
{
    memcpy(at, p, len);
    return at + len;
}
#define PUT_LIT(at, s) put((at), (s), sizeof(s) - 1)

static char *put_slice(char *at, struct slice s)
{
    return s.len ? put(at, s.p, s.len) : at;
}

static char *put_status(char *at, int status)
{
    if (KT_LIKELY(status == 200))
        return PUT_LIT(at, "HTTP/1.1 200 OK\r\nserver: kitten\r\ndate: ");
    at = PUT_LIT(at, "HTTP/1.1 ");
    at += dec_from_u64((uint64_t)status, at);
    *at++ = ' ';
    at = put_slice(at, slice_str(status_text(status)));
    return PUT_LIT(at, "\r\nserver: kitten\r\ndate: ");
}

/* The Date of this second, made once per second and loop. */
static char *put_date(char *at, struct http_loop *l, int64_t now)
{
    if (KT_UNLIKELY(now >= l->date_until_ns)) {
        int64_t wall = rt_wall_ns();
        httpdate_format(wall / NS_PER_SEC, l->date);
        l->date_until_ns = now + NS_PER_SEC - wall % NS_PER_SEC;
    }
    return put(at, l->date, HTTPDATE_LEN);
}

static char *put_id(char *at, uint64_t id)
{
    uint8_t bytes[8];
    for (int i = 0; i < 8; i++)
        bytes[i] = (uint8_t)(id >> (56 - 8 * i));
    at = PUT_LIT(at, "\r\nx-request-id: ");
    hex_encode(bytes, sizeof(bytes), at);
    return at + 16;
}

/* Builds the head into a->out and decides whether the connection goes on. */
static int build_head(struct http_active *a, const struct http_reply *rp, uint64_t body_len)
{
    int rc = check_fields(rp);
    if (rc < 0)
        return rc;
    kt_assert(rp->status >= 200 && rp->status <= 599);
    const struct h1_head *h = &a->rq.head;
    bool chunked = body_len == UINT64_MAX && h->minor > 0;
    a->keep = h->keep_alive && !rp->close && !a->conn->loop->stopping && http_body_drainable(a) &&
              (body_len != UINT64_MAX || chunked);
    char *at = put_status(a->out, rp->status);
    a->rq.answered_ns = rt_now_ns();
    at = put_date(at, a->conn->loop, a->rq.answered_ns);
    at = put_id(at, a->rq.id);
    at = PUT_LIT(at, "\r\nx-content-type-options: nosniff\r\n");
    for (int i = 0; i < rp->nfields; i++) {
        at = put_slice(at, slice_str(rp->fields[i].name));
        at = PUT_LIT(at, ": ");
        at = put_slice(at, rp->fields[i].value);
        at = PUT_LIT(at, "\r\n");
    }
    if (chunked) {
        at = PUT_LIT(at, "transfer-encoding: chunked\r\n");
    } else if (body_len != UINT64_MAX && rp->status != 204 &&
               !(rp->status == 304 && body_len == 0)) {
        at = PUT_LIT(at, "content-length: ");
        at += dec_from_u64(body_len, at);
        at = PUT_LIT(at, "\r\n");
    }
    if (!a->keep)
        at = PUT_LIT(at, "connection: close\r\n");
    else if (h->minor == 0)
        at = PUT_LIT(at, "connection: keep-alive\r\n");
    at = PUT_LIT(at, "\r\n");
    a->held = (size_t)(at - a->out);
    a->chunked_out = chunked;
    kt_assert(a->held <= sizeof(a->out));
    a->rq.status = 0;
    return 0;
}

/* ---- sending ---- */

/* Moves up to `max` bytes of `from` (n pieces) into `to`; returns the number of pieces in `to`. */
static int take_step(struct iovec *from, int n, size_t max, struct iovec *to)
{
    int m = 0;
    for (int i = 0; i < n && max > 0; i++) {
        size_t len = KT_MIN(from[i].iov_len, max);
        if (len == 0)
            continue;
        to[m++] = (struct iovec){from[i].iov_base, len};
        from[i].iov_base = (char *)from[i].iov_base + len;
        from[i].iov_len -= len;
        max -= len;
    }
    return m;
}

static int send_step(struct http_active *a, struct iovec *iov, int n)
{
    uint32_t timeout_ms = a->conn->loop->server->opt.limits.send_timeout_ms;
    int rc = rt_sendv(&a->conn->sock, iov, n, rt_after_ms(timeout_ms));
    if (KT_LIKELY(rc == 0))
        return 0;
    a->broken = true;
    if (rc == -KT_ERR_TIMEOUT)
        http_count(&a->conn->loop->n.timeouts, 1);
    return rc;
}

/* Sends all pieces, `total` bytes, each step of 256 KiB within the send timeout. */
static int send_pieces(struct http_active *a, struct iovec *iov, int n, uint64_t total)
{
    if (KT_LIKELY(total <= HTTP_SEND_STEP))
        return send_step(a, iov, n);
    struct iovec step[PIECES_MAX + 1];
    kt_assert(n <= (int)KT_ARRAY_LEN(step));
    for (;;) {
        int m = take_step(iov, n, HTTP_SEND_STEP, step);
        int rc = m ? send_step(a, step, m) : 0;
        if (m == 0 || rc < 0)
            return rc;
    }
}

static struct iovec iov_of(const void *p, size_t len)
{
    return (struct iovec){(void *)(uintptr_t)p, len};
}

static bool is_head_request(const struct http_active *a)
{
    return a->rq.head.method == H1_HEAD;
}

int http_reply(struct http_request *rq, const struct http_reply *rp, const struct slice *body,
               int n)
{
    struct http_active *a = http_active_of(rq);
    struct iovec iov[PIECES_MAX + 1];
    uint64_t len = 0;
    kt_assert(a->reply == REPLY_NONE && n >= 0 && n <= PIECES_MAX);
    for (int i = 0; i < n; i++) {
        iov[i + 1] = iov_of(body[i].p, body[i].len);
        len += body[i].len;
    }
    bool no_body = is_head_request(a) || rp->status == 204 || rp->status == 304;
    kt_assert(len == 0 || is_head_request(a) || !no_body);
    int rc = build_head(a, rp, no_body && len == 0 ? rp->body_len : len);
    if (rc < 0)
        return rc;
    iov[0] = iov_of(a->out, a->held);
    a->reply = REPLY_OPEN;
    rq->status = rp->status;
    rc = send_pieces(a, iov, no_body ? 1 : n + 1, a->held + (no_body ? 0 : len));
    if (rc < 0)
        return rc;
    rq->sent_bytes = no_body ? 0 : len;
    a->reply = REPLY_DONE;
    return 0;
}

int http_reply_begin(struct http_request *rq, const struct http_reply *rp)
{
    struct http_active *a = http_active_of(rq);
    kt_assert(a->reply == REPLY_NONE);
    int rc = build_head(a, rp, rp->body_len);
    if (rc < 0)
        return rc;
    a->reply = REPLY_HELD;
    a->reply_left = rp->body_len;
    /* Noted for the moment the head goes out; rq->status stays 0 until then. */
    a->held_status = rp->status;
    return 0;
}

/* Sends the held head, if any, and up to three pieces after it. */
static int send_with_head(struct http_active *a, const struct iovec *pieces, int n)
{
    struct iovec iov[4];
    int m = 0;
    uint64_t total = 0;
    if (a->reply == REPLY_HELD) {
        iov[m++] = iov_of(a->out, a->held);
        total = a->held;
        a->reply = REPLY_OPEN;
        a->rq.status = a->held_status;
        a->rq.answered_ns = rt_now_ns();
    }
    for (int i = 0; i < n; i++) {
        iov[m++] = pieces[i];
        total += pieces[i].iov_len;
    }
    return send_pieces(a, iov, m, total);
}

static size_t chunk_size_line(char *out, uint64_t len)
{
    static const char digits[] = "0123456789abcdef";
    char tmp[16];
    size_t n = 0;
    do {
        tmp[n++] = digits[len & 15];
        len >>= 4;
    } while (len);
    for (size_t i = 0; i < n; i++)
        out[i] = tmp[n - 1 - i];
    memcpy(out + n, "\r\n", 2);
    return n + 2;
}

int http_reply_body(struct http_request *rq, struct slice bytes)
{
    struct http_active *a = http_active_of(rq);
    struct iovec iov[3];
    kt_assert(a->reply == REPLY_HELD || a->reply == REPLY_OPEN);
    if (a->reply_left != UINT64_MAX) {
        if (bytes.len > a->reply_left)
            return err_set(KT_ERR_INTERNAL, "answer of more bytes than its head promised");
        a->reply_left -= bytes.len;
    }
    if (bytes.len == 0 || is_head_request(a))
        return 0;
    int n = 0;
    if (a->chunked_out)
        iov[n++] = iov_of(a->chunk_line, chunk_size_line(a->chunk_line, bytes.len));
    iov[n++] = iov_of(bytes.p, bytes.len);
    if (a->chunked_out)
        iov[n++] = iov_of("\r\n", 2);
    int rc = send_with_head(a, iov, n);
    if (rc == 0)
        rq->sent_bytes += bytes.len;
    return rc;
}

int http_reply_end(struct http_request *rq)
{
    struct http_active *a = http_active_of(rq);
    kt_assert(a->reply == REPLY_HELD || a->reply == REPLY_OPEN);
    bool head = is_head_request(a);
    if (!head && a->reply_left != UINT64_MAX && a->reply_left > 0)
        return err_set(KT_ERR_INTERNAL, "answer ends %llu bytes short of what its head promised",
                       (unsigned long long)a->reply_left);
    struct iovec last = iov_of("0\r\n\r\n", 5);
    int rc = send_with_head(a, &last, a->chunked_out && !head ? 1 : 0);
    if (rc == 0)
        a->reply = REPLY_DONE;
    return rc;
}

/* ---- errors ---- */

/* Writes `s` as the inside of a JSON string; anything but plain ASCII becomes '?'. */
static int add_json_text(struct buf *out, const char *s)
{
    for (; *s; s++) {
        char c = *s >= ' ' && *s < 0x7f ? *s : '?';
        int rc = c == '"' || c == '\\' ? buf_add(out, "\\", 1) : 0;
        if (rc == 0)
            rc = buf_add(out, &c, 1);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* The default error body: one line of JSON. */
static const char *json_error(const struct http_request *rq, int rc, struct buf *out)
{
    int status = err_http_status(rc);
    int bad = buf_addf(out, "{\"error\":\"%s\",\"message\":\"", err_s3_code(rc));
    /* What went wrong inside is for the log, not for the client. */
    if (bad == 0)
        bad = add_json_text(out, status >= 500 ? err_message(rc) : err_text(rc));
    if (bad == 0)
        bad = buf_addf(out, "\",\"request_id\":\"%016llx\"}\n", (unsigned long long)rq->id);
    if (bad < 0)
        out->len = 0;
    return "application/json";
}

int http_reply_error(struct http_request *rq, int rc)
{
    struct http_active *a = http_active_of(rq);
    if (a->reply == REPLY_OPEN || a->reply == REPLY_DONE)
        return err_set(KT_ERR_INTERNAL, "an error after the head was sent");
    http_reply_reset(a);
    const struct http_server_options *opt = &a->conn->loop->server->opt;
    struct buf body KT_CLEANUP(buf_done) = BUF_INIT(ERROR_BODY_MAX);
    int status = err_http_status(rc);
    struct http_field fields[2];
    int n = 0;
    if (status != 304) {
        const char *type =
            opt->error ? opt->error(opt->arg, rq, rc, &body) : json_error(rq, rc, &body);
        fields[n++] = (struct http_field){"content-type", slice_str(type)};
    }
    if (status == 405)
        fields[n++] =
            (struct http_field){"allow", SLICE_LIT("GET, HEAD, PUT, POST, DELETE, OPTIONS")};
    else if (status == 503)
        fields[n++] = (struct http_field){"retry-after", SLICE_LIT("1")};
    else if (status == 401)
        fields[n++] = (struct http_field){"www-authenticate", SLICE_LIT("Bearer")};
    struct slice text = buf_slice(&body);
    struct http_reply rp = {.status = status, .fields = fields, .nfields = n};
    return http_reply(rq, &rp, &text, status == 304 ? 0 : 1);
}

void http_reply_busy(struct rt_sock *s)
{
    static const char text[] =
        "HTTP/1.1 503 Service Unavailable\r\nserver: kitten\r\nretry-after: 1\r\n"
        "content-length: 0\r\nconnection: close\r\n\r\n";
    struct iovec iov = iov_of(text, sizeof(text) - 1);
    /* The socket's buffer is empty: this can't wait unless the peer plays tricks, and then it has
     * lost. */
    if (rt_sendv(s, &iov, 1, rt_after_ms(10)) < 0)
        return;
}
