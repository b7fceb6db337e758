#include "objstore/s3_xml.h"

#include "base/mem.h"

#include <expat.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* Called at the end of each element with its path, "Error/Code", and its text; false stops. */
typedef bool text_fn(void *arg, const char *path, const char *text);

struct walk {
    XML_Parser parser;
    text_fn *fn;
    void *arg;
    char path[S3_XML_PATH_BYTES];
    size_t path_bytes;
    size_t ends[S3_XML_DEPTH_MAX]; /* of the path, in front of each open element */
    size_t depth;
    char text[S3_XML_TEXT_BYTES_MAX + 1];
    size_t text_bytes;
    const char *fault;
};

static void stop(struct walk *w, const char *fault)
{
    if (w->fault == NULL)
        w->fault = fault;
    (void)XML_StopParser(w->parser, XML_FALSE);
}

static void on_start(void *arg, const XML_Char *name, const XML_Char **attributes)
{
    struct walk *w = arg;
    const char *plain = strrchr(name, ':');
    size_t bytes;

    (void)attributes;
    plain = plain != NULL ? plain + 1 : name;
    bytes = strlen(plain);
    if (w->depth == S3_XML_DEPTH_MAX || w->path_bytes + bytes + 2 > sizeof w->path) {
        stop(w, "elements too deep");
        return;
    }
    w->ends[w->depth++] = w->path_bytes;
    if (w->path_bytes > 0)
        w->path[w->path_bytes++] = '/';
    memcpy(w->path + w->path_bytes, plain, bytes + 1);
    w->path_bytes += bytes;
    w->text_bytes = 0;
}

static void on_end(void *arg, const XML_Char *name)
{
    struct walk *w = arg;

    (void)name;
    if (w->fault != NULL)
        return; /* the end of an empty element comes even after a stop at its start */
    w->text[w->text_bytes] = '\0';
    if (!w->fn(w->arg, w->path, w->text)) {
        stop(w, "an element that cannot be");
        return;
    }
    w->text_bytes = 0;
    w->path_bytes = w->ends[--w->depth];
    w->path[w->path_bytes] = '\0';
}

static void on_text(void *arg, const XML_Char *text, int bytes)
{
    struct walk *w = arg;

    if ((size_t)bytes > S3_XML_TEXT_BYTES_MAX - w->text_bytes) {
        stop(w, "a text that is too long");
        return;
    }
    memcpy(w->text + w->text_bytes, text, (size_t)bytes);
    w->text_bytes += (size_t)bytes;
}

static void on_doctype(void *arg, const XML_Char *name, const XML_Char *system_id,
                       const XML_Char *public_id, int has_internal)
{
    (void)name;
    (void)system_id;
    (void)public_id;
    (void)has_internal;
    stop(arg, "a document type");
}

static struct slice without_blanks(struct slice s)
{
    while (s.bytes > 0 &&
           (s.data[0] == ' ' || s.data[0] == '\n' || s.data[0] == '\r' || s.data[0] == '\t'))
        s = slice_make(s.data + 1, s.bytes - 1);
    return s;
}

static status walk(struct slice body, text_fn *fn, void *arg, struct err *err)
{
    static const XML_Memory_Handling_Suite memory = {mem_alloc, mem_resize, mem_free};
    struct walk *w = mem_zero(sizeof *w);
    status st = ST_OK;

    body = without_blanks(body);
    if (w != NULL)
        w->parser = XML_ParserCreate_MM(NULL, &memory, NULL);
    if (w == NULL || w->parser == NULL) {
        mem_free(w);
        return err_set(err, ST_NOMEM, "no memory to read XML");
    }
    w->fn = fn;
    w->arg = arg;
    XML_SetUserData(w->parser, w);
    XML_SetElementHandler(w->parser, on_start, on_end);
    XML_SetCharacterDataHandler(w->parser, on_text);
    XML_SetStartDoctypeDeclHandler(w->parser, on_doctype);
    if (body.bytes > INT_MAX)
        st = err_set(err, ST_CORRUPT, "XML of %zu bytes", body.bytes);
    else if (XML_Parse(w->parser, (const char *)body.data, (int)body.bytes, XML_TRUE) !=
             XML_STATUS_OK) {
        enum XML_Error code = XML_GetErrorCode(w->parser);

        if (code == XML_ERROR_NO_MEMORY)
            st = err_set(err, ST_NOMEM, "no memory to read XML");
        else
            st = err_set(err, ST_CORRUPT, "XML that cannot be read: %s, line %lu",
                         w->fault != NULL ? w->fault : XML_ErrorString(code),
                         (unsigned long)XML_GetCurrentLineNumber(w->parser));
    }
    XML_ParserFree(w->parser);
    explicit_bzero(w->text, sizeof w->text); /* it may have been a key */
    mem_free(w);
    return st;
}

/* What can be printed of a text, cut to its bound. */
static void copy_text(char *out, size_t bytes_max, const char *text)
{
    size_t at = 0;

    for (; *text != '\0' && at + 1 < bytes_max; text++)
        out[at++] = (unsigned char)*text < 0x20 || (unsigned char)*text > 0x7e ? '?' : *text;
    out[at] = '\0';
}

static bool on_error(void *arg, const char *path, const char *text)
{
    struct s3_error *e = arg;

    if (strcmp(path, "Error/Code") == 0)
        copy_text(e->code, sizeof e->code, text);
    else if (strcmp(path, "Error/Message") == 0)
        copy_text(e->message, sizeof e->message, text);
    else if (strcmp(path, "Error/RequestId") == 0)
        copy_text(e->request_id, sizeof e->request_id, text);
    else if (strcmp(path, "Error/Region") == 0)
        copy_text(e->region, sizeof e->region, text);
    return true;
}

bool s3_xml_error(struct slice body, struct s3_error *out)
{
    memset(out, 0, sizeof *out);
    if (body.bytes == 0 || walk(body, on_error, out, NULL) != ST_OK || out->code[0] == '\0') {
        memset(out, 0, sizeof *out);
        return false;
    }
    return true;
}

struct listing {
    struct objstore_result *result;
    size_t capacity;
    char *key; /* of the entry that is being read; owned */
    uint64_t bytes;
    uint64_t modified_ns;
    bool is_listing;
    bool encoded;
    bool no_memory;
};

static bool take_entry(struct listing *l)
{
    struct objstore_result *r = l->result;

    if (l->key == NULL || r->entry_count == OBJSTORE_LIST_MAX)
        return false;
    if (r->entry_count == l->capacity) {
        size_t capacity = l->capacity == 0 ? 64 : l->capacity * 2;
        void *grown = mem_resize(r->entries, capacity * sizeof *r->entries);

        if (grown == NULL) {
            l->no_memory = true;
            return false;
        }
        r->entries = grown;
        l->capacity = capacity;
    }
    r->entries[r->entry_count++] = (struct objstore_entry){l->key, l->bytes, l->modified_ns};
    l->key = NULL;
    l->bytes = 0;
    l->modified_ns = 0;
    return true;
}

static bool take_u64(const char *text, uint64_t *out)
{
    char *end;

    if (*text < '0' || *text > '9')
        return false;
    *out = strtoull(text, &end, 10);
    return *end == '\0';
}

static bool on_listing(void *arg, const char *path, const char *text)
{
    static const char root[] = "ListBucketResult";
    struct listing *l = arg;

    if (strncmp(path, root, sizeof root - 1) != 0)
        return true;
    path += sizeof root - 1;
    l->is_listing |= *path == '\0';
    if (strcmp(path, "/Contents/Key") == 0) {
        mem_free(l->key);
        l->key = mem_strdup(text);
        l->no_memory |= l->key == NULL;
        return l->key != NULL;
    }
    if (strcmp(path, "/Contents/Size") == 0)
        return take_u64(text, &l->bytes);
    if (strcmp(path, "/Contents/LastModified") == 0)
        l->modified_ns = s3_xml_time_ns(text);
    else if (strcmp(path, "/Contents") == 0)
        return take_entry(l);
    else if (strcmp(path, "/IsTruncated") == 0)
        l->result->truncated = strcmp(text, "true") == 0;
    else if (strcmp(path, "/EncodingType") == 0)
        l->encoded = strcmp(text, "url") == 0;
    return true;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static void decode_key(char *key)
{
    char *out = key;

    for (const char *at = key; *at != '\0'; at++) {
        int high = *at == '%' ? hex_digit(at[1]) : -1;
        int low = high >= 0 ? hex_digit(at[2]) : -1;

        if (low >= 0 && (high != 0 || low != 0)) {
            *out++ = (char)(high * 16 + low);
            at += 2;
        } else {
            *out++ = *at == '+' ? ' ' : *at;
        }
    }
    *out = '\0';
}

/* Keys as the store knows them become keys as its users do. */
static status settle_keys(struct listing *l, const char *prefix, struct err *err)
{
    struct objstore_result *r = l->result;
    size_t prefix_bytes = strlen(prefix);
    size_t kept = 0;
    status st = ST_OK;

    for (size_t i = 0; i < r->entry_count; i++) {
        char *key = r->entries[i].key;

        if (l->encoded)
            decode_key(key);
        if (strncmp(key, prefix, prefix_bytes) != 0 && st == ST_OK)
            st = err_set(err, ST_CORRUPT, "the listing holds keys that were not asked for");
        if (st == ST_OK && key[prefix_bytes] == '\0') {
            mem_free(key);
            continue;
        }
        if (st == ST_OK)
            memmove(key, key + prefix_bytes, strlen(key) - prefix_bytes + 1);
        r->entries[kept++] = r->entries[i];
    }
    r->entry_count = kept;
    return st;
}

status s3_xml_list(struct slice body, const char *prefix, struct objstore_result *r,
                   struct err *err)
{
    struct listing l = {.result = r};
    status st = walk(body, on_listing, &l, err);

    mem_free(l.key);
    if (l.no_memory)
        return err_set(err, ST_NOMEM, "no memory for a listing");
    if (st == ST_OK && !l.is_listing)
        st = err_set(err, ST_CORRUPT, "XML that is no listing");
    return st != ST_OK ? st : settle_keys(&l, prefix, err);
}

struct field {
    const char *path;
    const char *root;
    char *out;
    size_t bytes_max;
    bool saw_root;
};

static bool on_field(void *arg, const char *path, const char *text)
{
    struct field *f = arg;

    f->saw_root |= strcmp(path, f->root) == 0;
    if (strcmp(path, f->path) != 0)
        return true;
    if (strlen(text) >= f->bytes_max)
        return false;
    memcpy(f->out, text, strlen(text) + 1);
    return true;
}

/* It goes into headers and addresses of later requests. */
static status check_token(const char *token, const char *what, struct err *err)
{
    for (const char *c = token; *c != '\0'; c++)
        if (*c <= 0x20 || *c >= 0x7F)
            return err_set(err, ST_CORRUPT, "XML with %s that is none", what);
    return ST_OK;
}

status s3_xml_upload_id(struct slice body, char out[OBJSTORE_UPLOAD_BYTES], struct err *err)
{
    struct field f = {"InitiateMultipartUploadResult/UploadId", "InitiateMultipartUploadResult",
                      out, OBJSTORE_UPLOAD_BYTES, false};
    status st;

    out[0] = '\0';
    st = walk(body, on_field, &f, err);
    if (st == ST_OK && out[0] == '\0')
        st = err_set(err, ST_CORRUPT, "XML without the id of an upload");
    if (st == ST_OK)
        st = check_token(out, "the id of an upload", err);
    if (st != ST_OK)
        out[0] = '\0';
    return st;
}

status s3_xml_complete(struct slice body, char etag[OBJSTORE_ETAG_BYTES], struct err *err)
{
    char found[OBJSTORE_ETAG_BYTES - 2] = "";
    struct field f = {"CompleteMultipartUploadResult/ETag", "CompleteMultipartUploadResult", found,
                      sizeof found, false};
    status st = walk(body, on_field, &f, err);

    if (st == ST_OK && !f.saw_root)
        st = err_set(err, ST_CORRUPT, "XML that does not say what the completion came to");
    if (st == ST_OK)
        st = check_token(found, "an ETag", err);
    if (st != ST_OK)
        return st;
    etag[0] = '\0';
    if (found[0] != '\0')
        (void)snprintf(etag, OBJSTORE_ETAG_BYTES, found[0] == '"' ? "%s" : "\"%s\"", found);
    return ST_OK;
}

struct fields {
    const struct s3_xml_field *at;
    size_t count;
};

static bool on_fields(void *arg, const char *path, const char *text)
{
    const struct fields *f = arg;

    for (size_t i = 0; i < f->count; i++)
        if (strcmp(path, f->at[i].path) == 0) {
            if (strlen(text) >= f->at[i].bytes_max)
                return false;
            memcpy(f->at[i].out, text, strlen(text) + 1);
        }
    return true;
}

status s3_xml_fields(struct slice body, const struct s3_xml_field *fields, size_t count,
                     struct err *err)
{
    struct fields f = {fields, count};

    return walk(body, on_fields, &f, err);
}

static void put_escaped(struct buf *out, const char *text)
{
    for (; *text != '\0'; text++) {
        switch (*text) {
        case '&':
            buf_put_text(out, "&amp;");
            break;
        case '<':
            buf_put_text(out, "&lt;");
            break;
        case '>':
            buf_put_text(out, "&gt;");
            break;
        case '"':
            buf_put_text(out, "&quot;");
            break;
        default:
            buf_put_u8(out, (uint8_t)*text);
        }
    }
}

void s3_xml_put_parts(struct buf *out, const struct objstore_part *parts, size_t count)
{
    buf_put_text(out, "<CompleteMultipartUpload "
                      "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
    for (size_t i = 0; i < count; i++) {
        buf_printf(out, "<Part><PartNumber>%u</PartNumber><ETag>", (unsigned)parts[i].number);
        put_escaped(out, parts[i].etag);
        buf_put_text(out, "</ETag></Part>");
    }
    buf_put_text(out, "</CompleteMultipartUpload>");
}

uint64_t s3_xml_time_ns(const char *text)
{
    struct tm tm = {0};
    const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
    uint64_t ns = 0;
    time_t seconds;

    if (rest == NULL)
        return 0;
    if (*rest == '.') {
        uint64_t unit = 100000000;

        for (rest++; *rest >= '0' && *rest <= '9'; rest++, unit /= 10)
            ns += (uint64_t)(*rest - '0') * unit;
    }
    seconds = timegm(&tm);
    if (*rest != 'Z' || rest[1] != '\0' || seconds <= 0)
        return 0;
    return (uint64_t)seconds * 1000000000 + ns;
}
