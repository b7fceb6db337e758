/* qdrant_recover_ask.c - what a recover is asked for, and what its file says of itself. */
#include "api/qdrant_recover.h"

#include "api/api_internal.h"
#include "base/rand.h"
#include "node/cold_exec.h"

#include <inttypes.h>
#include <stdio.h>

static const char MIDDLE[] = ".recovering-";
static const char LAST_LINE[] = "{\"tiervec_snapshot_end\"";

static bool fail(struct recover *r, enum problem p, const char *text)
{
    import_fail(&r->in, p, 0, "%s", text);
    return false;
}

static bool fail_status(struct recover *r, status st, const struct err *err)
{
    return fail(r, problem_of_status(st), err->text);
}

/* What parsing a part of the first line found. */
static bool fail_parsed(struct recover *r, const struct qd_parse *p)
{
    enum problem problem = p->problem == QD_FORMAT     ? PROBLEM_BAD_JSON
                           : p->problem == QD_TOO_MUCH ? PROBLEM_NO_MEMORY
                                                       : PROBLEM_INVALID;

    import_fail(&r->in, problem, 1, "line 1: %s", p->text);
    return false;
}

/* --- names --- */

bool recover_is_left(const char *name, const char *other)
{
    size_t bytes = strlen(name);

    if (strlen(other) != bytes + RECOVER_SUFFIX_BYTES || memcmp(other, name, bytes) != 0 ||
        memcmp(other + bytes, MIDDLE, sizeof MIDDLE - 1) != 0)
        return false;
    other += bytes + sizeof MIDDLE - 1;
    return strspn(other, "0123456789abcdef") == RECOVER_HEX;
}

bool recover_take_name(struct recover *r)
{
    struct request *req = r->in.req;
    struct slice key = req->match.params[0];
    struct collection *c =
        node_collection_pin(req->api->options.node, (const char *)key.data, key.bytes);
    struct collection_info info = {0};
    uint8_t random[RECOVER_HEX / 2];
    char hex[RECOVER_HEX + 1];
    struct qd_parse p = {0};

    if (c != NULL) {
        node_collection_info(c, &info);
        node_collection_unpin(c);
        key = slice_text(info.name);
    }
    if (!qd_check_name(&p, "collection_name", key)) {
        qd_fail(req, 422, "Validation error in JSON body: [%s]", p.text);
        return false;
    }
    if (key.bytes + RECOVER_SUFFIX_BYTES > API_NAME_BYTES_MAX) {
        reply_problem(req, PROBLEM_INVALID,
                      "the name of a collection that is recovered has at most %d bytes",
                      API_NAME_BYTES_MAX - RECOVER_SUFFIX_BYTES);
        return false;
    }
    (void)snprintf(r->name, sizeof r->name, "%.*s", (int)key.bytes, (const char *)key.data);
    req->api->options.rand->fill(req->api->options.rand, random, sizeof random);
    crypto_hex(random, sizeof random, hex);
    (void)snprintf(r->fresh, sizeof r->fresh, "%.*s%s%s", (int)key.bytes, (const char *)key.data,
                   MIDDLE, hex);
    return true;
}

bool recover_take_checksum(struct recover *r, const char *where, struct slice text)
{
    bool fine = text.bytes == CRYPTO_SHA256_HEX_BYTES - 1;

    for (size_t i = 0; fine && i < text.bytes; i++) {
        uint8_t c = text.data[i];

        c = c >= 'A' && c <= 'F' ? (uint8_t)(c + 32) : c;
        fine = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
        r->checksum[i] = (char)c;
    }
    if (fine)
        return true;
    r->checksum[0] = '\0';
    import_fail(&r->in, PROBLEM_INVALID, 0, "%s: a SHA-256 in 64 hexadecimal digits is needed",
                where);
    return false;
}

/* --- a file of this node --- */

/* "<id>" or "<id>/": a UUID as its folder is called. */
static bool is_id(struct slice s)
{
    uint8_t id[16];

    return s.bytes == UUID_TEXT_BYTES - 1 && uuid_parse((const char *)s.data, s.bytes, id);
}

static bool is_file_name(struct slice s)
{
    static const char end[] = ".snapshot";

    return s.bytes >= sizeof end && s.data[0] != '.' && memchr(s.data, '/', s.bytes) == NULL &&
           memchr(s.data, '\0', s.bytes) == NULL &&
           memcmp(s.data + s.bytes - (sizeof end - 1), end, sizeof end - 1) == 0;
}

/* root/<id>/NAME.snapshot; nothing else is read. */
static bool is_ours(struct slice path, const char *root)
{
    size_t front = strlen(root);

    if (path.bytes < front + 1 + UUID_TEXT_BYTES || memcmp(path.data, root, front) != 0 ||
        path.data[front] != '/')
        return false;
    path = slice_make(path.data + front + 1, path.bytes - front - 1);
    if (!is_id(slice_make(path.data, UUID_TEXT_BYTES - 1)) || path.data[UUID_TEXT_BYTES - 1] != '/')
        return false;
    return is_file_name(slice_make(path.data + UUID_TEXT_BYTES, path.bytes - UUID_TEXT_BYTES));
}

/* The path of a bare name: among the files of the collection. */
static bool path_of_name(struct recover *r, struct slice name, char out[FS_PATH_BYTES])
{
    struct request *req = r->in.req;
    struct collection *c = node_collection_pin(req->api->options.node, r->name, strlen(r->name));
    char dir[FS_PATH_BYTES];
    struct err err = {0};
    char text[FS_PATH_BYTES];
    status st;

    if (c == NULL) {
        import_fail(&r->in, PROBLEM_NOT_FOUND, 0,
                    "Collection `%s` doesn't exist, so it has no snapshots: say the whole path of "
                    "another one's",
                    r->name);
        return false;
    }
    (void)snprintf(text, sizeof text, "%.*s", (int)name.bytes, (const char *)name.data);
    st = node_exports_dir(c, &r->fs, dir, &err);
    node_collection_unpin(c);
    if (st == ST_OK)
        st = fs_join(out, dir, text, &err);
    return st == ST_OK || fail_status(r, st, &err);
}

static bool open_file(struct recover *r, const char *path)
{
    struct fs_stat found;
    struct err err = {0};
    status st = fs_stat(r->fs, path, &found, &err);

    if (st == ST_OK && found.is_dir)
        return fail(r, PROBLEM_INVALID, "location: it is a directory");
    if (st == ST_OK)
        st = fs_open(r->fs, path, FS_READ | FS_NO_FOLLOW, &r->file, &err);
    if (st == ST_OK)
        return true;
    if (st == ST_NOT_FOUND)
        return fail(r, PROBLEM_NOT_FOUND, "there is no such snapshot on this node");
    if (st == ST_INVALID)
        return fail(r, PROBLEM_INVALID, "location: it is a symbolic link, which is not followed");
    return fail_status(r, st, &err);
}

static bool take_location(struct recover *r, struct slice location)
{
    static const char scheme[] = "file://";
    struct request *req = r->in.req;
    struct err err = {0};
    char root[FS_PATH_BYTES];
    char path[FS_PATH_BYTES];
    struct slice rest;
    status st;

    if (location.bytes < sizeof scheme - 1 || memcmp(location.data, scheme, sizeof scheme - 1) != 0)
        return fail(r, PROBLEM_INVALID,
                    "location: only file:// is read, of this node's own snapshots; send a file "
                    "from elsewhere to POST .../snapshots/upload");
    rest = slice_make(location.data + sizeof scheme - 1, location.bytes - (sizeof scheme - 1));
    st = percent_decode(&req->arena, rest, false, &rest, &err);
    if (st == ST_OK)
        st = node_exports_root(req->api->options.node, &r->fs, root, &err);
    if (st != ST_OK)
        return fail_status(r, st, &err);
    if (is_file_name(rest))
        return path_of_name(r, rest, path) && open_file(r, path);
    if (rest.bytes >= sizeof path || !is_ours(rest, root)) {
        import_fail(&r->in, PROBLEM_INVALID, 0,
                    "location: it must be file://NAME.snapshot of the collection, or "
                    "file://%s/<collection id>/NAME.snapshot: nothing else on this machine is read",
                    root);
        return false;
    }
    (void)snprintf(path, sizeof path, "%.*s", (int)rest.bytes, (const char *)rest.data);
    return open_file(r, path);
}

bool recover_take_asked(struct recover *r)
{
    struct slice location = {0};
    struct slice checksum = {0};
    struct slice ignored = {0};
    struct qd_parse p = {0};
    struct err err = {0};
    struct jval body;
    status st = request_json_text(r->in.req, buf_slice(&r->raw), &body, &err);

    if (st == ST_OK && jval_type(body) != J_OBJECT)
        st = err_set(&err, ST_INVALID, "an object is needed");
    if (st != ST_OK)
        return fail(r, st == ST_INVALID ? PROBLEM_BAD_JSON : problem_of_status(st), err.text);
    if (!qd_string(&p, body, "location", &location) ||
        !qd_string(&p, body, "checksum", &checksum) || !qd_string(&p, body, "priority", &ignored) ||
        !qd_string(&p, body, "api_key", &ignored))
        return fail(r, PROBLEM_BAD_JSON, p.text);
    if (location.data == NULL)
        return fail(r, PROBLEM_BAD_JSON, "missing field `location`");
    if (checksum.data != NULL && !recover_take_checksum(r, "checksum", checksum))
        return false;
    return take_location(r, location);
}

/* --- its lines --- */

static bool take_index(struct recover *r, struct qd_parse *p, struct slice field,
                       struct jval schema)
{
    struct request *req = r->in.req;
    struct recover_index *index = &r->indexes[r->index_count++];
    struct err err = {0};
    status st;

    if (!qd_parse_schema(p, req, schema, &index->spec, &index->schema))
        return false;
    st = path_parse(field, &req->arena, &index->spec.path, &err);
    return st == ST_OK ||
           qd_bad(p, st == ST_NOMEM ? QD_TOO_MUCH : QD_INPUT, "indexes: %s", err.text);
}

static bool take_indexes(struct recover *r, struct qd_parse *p, struct jval head)
{
    struct jval indexes;

    if (!qd_member(head, "indexes", &indexes))
        return true;
    if (jval_type(indexes) != J_OBJECT)
        return qd_bad(p, QD_FORMAT, "indexes: an object is needed");
    r->indexes = arena_zero(&r->in.req->arena, (jval_count(indexes) + 1) * sizeof *r->indexes);
    if (r->indexes == NULL)
        return qd_no_memory(p);
    for (struct jiter it = jval_iter(indexes); jiter_next(&it);)
        if (!take_index(r, p, it.key, it.value))
            return false;
    return true;
}

static bool take_members(struct recover *r, struct qd_parse *p, struct jval head)
{
    uint64_t version = 0;
    struct jval config;
    bool strings = false;

    if (jval_type(head) != J_OBJECT ||
        !qd_uint(p, head, "tiervec_snapshot", 0, UINT64_MAX, &version) || version == 0)
        return qd_bad(p, QD_INPUT, "this is no snapshot of tiervec: its first line must say so");
    if (version != 1)
        return qd_bad(p, QD_INPUT,
                      "the snapshot's format is %" PRIu64 ", this version reads format 1", version);
    if (!qd_bool(p, head, "string_ids", &strings))
        return false;
    if (!qd_member(head, "config", &config) || jval_type(config) != J_OBJECT)
        return qd_bad(p, QD_INPUT, "`config` is missing, or no object");
    if (!qd_parse_create(p, r->in.req, config, &r->create))
        return false;
    r->create.spec.name = r->fresh;
    r->create.spec.string_ids = strings;
    return take_indexes(r, p, head);
}

bool recover_take_head(struct recover *r, struct slice line)
{
    struct qd_parse p = {0};
    struct err err = {0};
    struct jval head;
    status st = request_json_text(r->in.req, line, &head, &err);
    bool fine;

    if (st != ST_OK) {
        import_fail(&r->in, st == ST_INVALID ? PROBLEM_INVALID : problem_of_status(st), 1,
                    "line 1: this is no snapshot of tiervec: %s", err.text);
        return false;
    }
    fine = take_members(r, &p, head);
    request_json_done(r->in.req);
    return fine || fail_parsed(r, &p);
}

static bool take_last(struct recover *r, struct slice line, uint64_t number)
{
    struct qd_parse p = {0};
    struct jval last;

    if (!request_json_part(r->in.req, line, &last) || jval_type(last) != J_OBJECT ||
        !qd_uint(&p, last, "documents", 0, UINT64_MAX - 1, &r->documents_said)) {
        import_fail(&r->in, PROBLEM_INVALID, number,
                    "line %" PRIu64 ": the last line does not say how many documents there are",
                    number);
        return false;
    }
    r->ended = true;
    return true;
}

bool recover_take_line(struct import *in, struct slice line, uint64_t number)
{
    struct recover *r = (struct recover *)in;

    if (r->ended) {
        import_fail(in, PROBLEM_INVALID, number,
                    "line %" PRIu64 ": something follows the last line", number);
        return false;
    }
    if (line.bytes >= sizeof LAST_LINE - 1 &&
        memcmp(line.data, LAST_LINE, sizeof LAST_LINE - 1) == 0)
        return take_last(r, line, number);
    if (!import_take_line(in, line, number))
        return false;
    r->documents++;
    return true;
}

static bool check_sum(struct recover *r)
{
    char hex[CRYPTO_SHA256_HEX_BYTES];
    struct err err = {0};

    if (r->checksum[0] == '\0')
        return true;
    if (crypto_sum_hex(r->sum, hex, &err) != ST_OK)
        return fail(r, PROBLEM_NO_MEMORY, err.text);
    if (strcmp(hex, r->checksum) == 0)
        return true;
    import_fail(&r->in, PROBLEM_INVALID, 0, "the snapshot's SHA-256 is %s, wanted is %s", hex,
                r->checksum);
    return false;
}

bool recover_check_whole(struct recover *r)
{
    struct collection_info info;
    bool counts;

    if (!r->ended) {
        import_fail(&r->in, PROBLEM_INVALID, 0,
                    "line %" PRIu64 ": the snapshot is not whole: its last line is missing",
                    r->in.units.count + 1);
        return false;
    }
    node_collection_info(r->in.req->collection, &info);
    counts = node_collection_waits(r->in.req->collection) || /* about, then */
             info.document_count == r->documents_said;
    if (r->documents != r->documents_said || !counts) {
        import_fail(&r->in, PROBLEM_INVALID, 0,
                    "line %" PRIu64 ": the snapshot has %" PRIu64 " documents with %" PRIu64
                    " ids, its last line says %" PRIu64,
                    r->in.units.count, r->documents, info.document_count, r->documents_said);
        return false;
    }
    return check_sum(r);
}

/* --- its bytes --- */

static bool more_of_file(struct recover *r, struct buf *out, enum upload_end *end)
{
    struct err err = {0};
    size_t bytes = 0;
    status st;

    if (atomic_load_explicit(&r->in.req->api->draining, memory_order_relaxed)) {
        *end = UPLOAD_DRAINING;
        return true;
    }
    if (!buf_reserve(out, RECOVER_PIECE_BYTES + JSON_PADDING_BYTES)) {
        out->failed = false;
        return fail(r, PROBLEM_NO_MEMORY, "out of memory for a piece of the file");
    }
    st = fs_pread(r->fs, r->file, out->data + out->bytes, RECOVER_PIECE_BYTES, r->file_at, &bytes,
                  &err);
    if (st != ST_OK)
        return fail_status(r, st, &err);
    out->bytes += bytes;
    r->file_at += bytes;
    *end = bytes == 0 ? UPLOAD_WHOLE : UPLOAD_COMES;
    (void)atomic_fetch_add(&r->in.upload->steps, 1);
    return true;
}

static bool more_of_form(struct recover *r, struct buf *out, enum upload_end *end)
{
    enum multipart_step step;
    struct err err = {0};
    size_t used = 0;

    if (!upload_take(r->in.upload, &r->raw, &r->raw_end)) {
        r->raw.failed = false;
        return fail(r, PROBLEM_NO_MEMORY, "out of memory for a piece of the body");
    }
    step = multipart_take(&r->multipart, buf_slice(&r->raw), r->raw_end == UPLOAD_WHOLE, &used, out,
                          &err);
    memmove(r->raw.data, r->raw.data + used, r->raw.bytes - used);
    r->raw.bytes -= used;
    if (step == MULTIPART_BAD)
        return fail(r, PROBLEM_INVALID, err.text);
    if (!buf_reserve(out, JSON_PADDING_BYTES)) {
        out->failed = false;
        return fail(r, PROBLEM_NO_MEMORY, "out of memory for a piece of the body");
    }
    *end = r->raw_end;
    return true;
}

bool recover_more(struct import *in, struct buf *out, enum upload_end *end)
{
    struct recover *r = (struct recover *)in;
    size_t before = out->bytes;
    struct err err = {0};
    bool fine;

    if (r->file != NULL) {
        fine = more_of_file(r, out, end);
    } else if (r->is_multipart) {
        fine = more_of_form(r, out, end);
    } else {
        fine = upload_take(in->upload, out, end);
        if (!fine) {
            out->failed = false;
            return fail(r, PROBLEM_NO_MEMORY, "out of memory for a piece of the body");
        }
    }
    if (!fine || r->checksum[0] == '\0' || out->bytes == before)
        return fine;
    return crypto_sum_add(r->sum, slice_make(out->data + before, out->bytes - before), &err) ==
               ST_OK ||
           fail(r, PROBLEM_NO_MEMORY, err.text);
}
